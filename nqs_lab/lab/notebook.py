"""The first cell of every notebook: fast or full mode, 64-bit numbers, named seeds and one look for all figures."""

import io
import os
from typing import Any, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import nqs_lab

T = TypeVar("T")

# Okabe and Ito's colours: told apart with any of the common colour blindnesses, the strongest contrast first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIGNED_MAP = "RdBu_r"  # for numbers with a sign: always with limits -a, +a
UNSIGNED_MAP = "cividis"  # for numbers that start at zero

_REPORT_SEEDS = (11, 23, 37, 41, 53, 67, 79, 83, 97, 101)
_TUNING_SEEDS = (211, 223, 227, 229, 233, 239)


def is_fast() -> bool:
    """True where the environment variable NQS_LAB_FAST is set to 1: the mode in which the tests run the notebooks."""
    value = os.environ.get("NQS_LAB_FAST", "0").strip().lower()
    if value in ("", "0", "false", "no"):
        return False
    if value in ("1", "true", "yes"):
        return True
    raise ValueError(f"NQS_LAB_FAST should be 0 or 1, it is {value!r}; unset it for the full notebook")


def budget(*, full: T, fast: T) -> T:
    """Return `full`, or `fast` in fast mode (NQS_LAB_FAST=1).

        n_steps = budget(full=600, fast=20)

    A notebook runs the same cells in both modes; only such numbers differ.
    """
    return fast if is_fast() else full


def seeds(count: int, *, purpose: str = "report") -> tuple[int, ...]:
    """Named seeds: the first `count` of a fixed list, one list for the runs reported and another for tuning.

    Arguments:
        count: how many seeds.
        purpose: "report" or "tuning". Settings chosen on the seeds they are reported with look better than they are.
    Raises:
        ValueError: unknown purpose, or more seeds than the list has.
    """
    lists = {"report": _REPORT_SEEDS, "tuning": _TUNING_SEEDS}
    if purpose not in lists:
        raise ValueError(f"purpose should be one of {tuple(lists)}, got {purpose!r}")
    if not 0 < count <= len(lists[purpose]):
        raise ValueError(f"count should lie between 1 and {len(lists[purpose])} for {purpose} seeds, got {count}")
    return lists[purpose][:count]


def style() -> dict[Any, Any]:
    """The settings of matplotlib behind every figure of the lab; opaque white, so that it reads on a dark page too."""
    return {
        "axes.prop_cycle": cycler(color=PALETTE, marker=MARKERS),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "font.size": 10,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "figure.dpi": 110,
        "image.interpolation": "nearest",
    }


class LabFigure(Figure):
    """A matplotlib Figure that a notebook shows when it is the last line of a cell, without pyplot's current figure."""

    def _repr_png_(self) -> bytes:
        """PNG bytes, which is how Jupyter asks for a picture."""
        return png_bytes(self)


def png_bytes(fig: Figure) -> bytes:
    """Draw a figure with the Agg backend and return it as PNG bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(fig).print_png(buffer, pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def figure(*, size: tuple[float, float] = (6.0, 3.6)) -> tuple[LabFigure, Axes]:
    """Return (figure, axes) with one panel in the lab's style; `size` is (width, height) in inches."""
    fig, axes = panels(1, 1, size=size)
    return fig, axes[0, 0]


def panels(n_rows: int, n_columns: int, *, size: tuple[float, float] = (9.0, 3.4)) -> tuple[LabFigure, np.ndarray]:
    """Return (figure, axes) in the lab's style; `axes` is an object array (n_rows, n_columns).

    Arguments:
        n_rows, n_columns: the grid of panels.
        size: width and height in inches.
    Raises:
        ValueError: no panel, or a size that is not positive.
    """
    if n_rows < 1 or n_columns < 1:
        raise ValueError(f"a figure needs at least one row and one column, got {n_rows} x {n_columns}")
    if min(size) <= 0:
        raise ValueError(f"size should be two positive numbers in inches, got {size}")
    with matplotlib.rc_context(style()):
        fig = LabFigure(figsize=size, layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(n_rows, n_columns, squeeze=False)
    return fig, axes


def setup() -> str:
    """Make a notebook ready: 64-bit numbers on, the lab's figure style set; return one line that says so.

    Call it in the first cell, before any array is made.
    """
    import jax

    nqs_lab.enable_x64()
    matplotlib.rcParams.update(style())
    mode = "fast mode (NQS_LAB_FAST=1: smaller numbers)" if is_fast() else "full mode"
    return f"nqs_lab {nqs_lab.__version__}, jax {jax.__version__} on {jax.default_backend()}, 64-bit, {mode}"
