"""Blackboard drawings of notebook 00: the map of the lessons, a state as signed bars, a small network."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nqs_lab.lab.notebook import PALETTE, SIGNED_MAP

CORE, FLOW = PALETTE[0], PALETTE[1]


class Lesson(NamedTuple):
    """A box of the map: number, a short title of two lines, its place, and whether it is written."""

    number: str
    title: str
    column: float
    part: int
    planned: bool = False


LESSONS = (
    Lesson("00", "start\nhere", 0.0, 1),
    Lesson("01", "Heisenberg\nmodel", 1.0, 1),
    Lesson("02", "exact diago-\nnalization", 2.0, 1),
    Lesson("03", "variational\nMonte Carlo", 3.0, 1),
    Lesson("04", "stochastic re-\nconfiguration", 4.0, 1),
    Lesson("05", "neural quan-\ntum states", 5.0, 1),
    Lesson("06", "attention\nfrom scratch", 1.0, 2),
    Lesson("07", "Transformer\nwave function", 2.0, 2),
    Lesson("08", "queries\nand keys?", 3.0, 2),
    Lesson("09", "why positions\nsuffice", 4.0, 2),
    Lesson("09b", "long\nsentences", 5.0, 2),
    Lesson("10", "gradient\nflow", 1.0, 3),
    Lesson("11", "momentum\nattention", 2.0, 3),
    Lesson("12", "Stein\nflows", 3.0, 3, True),
    Lesson("13", "integrators", 4.0, 3, True),
    Lesson("14", "accelerated\nTransformers", 5.0, 3, True),
    Lesson("15", "accelerated\nwave functions", 1.0, 4, True),
    Lesson("16", "beyond one\nlaptop", 2.0, 4, True),
)
PARTS = {
    1: "I  the quantum problem",
    2: "II  attention as a wave function",
    3: "III  attention as a flow",
    4: "IV  together",
}
CORE_PATH = ("00", "01", "03", "04", "06", "07", "08")
FLOW_PATH = ("06", "10", "11", "12")
_HEIGHT, _WIDTH, _ROW = 0.56, 0.86, 1.3


def lesson_map(ax: Axes) -> Axes:
    """All lessons as boxes, part by part; solid blue arrows: the core path, dashed orange ones: the flow path."""
    spot = {lesson.number: (lesson.column, -_ROW * lesson.part) for lesson in LESSONS}
    for lesson in LESSONS:
        _box(ax, *spot[lesson.number], lesson)
    for part, name in PARTS.items():
        last = max(lesson.column for lesson in LESSONS if lesson.part == part) + _WIDTH / 2
        text = {"fontsize": 10.5, "color": "#444444", "fontweight": "bold", "ha": "right", "va": "bottom"}
        ax.text(last, -_ROW * part + 0.36, name, **text)
    for path, colour, line in ((CORE_PATH, CORE, "-"), (FLOW_PATH, FLOW, "--")):
        for a, b in zip(path[:-1], path[1:], strict=True):
            _step(ax, spot[a], spot[b], colour, line)
    handles = [
        Line2D([], [], color=CORE, marker="", linewidth=2.4, label="core path"),
        Line2D([], [], color=FLOW, marker="", linewidth=2.4, linestyle="--", label="flow path"),
        Line2D([], [], color="#999999", marker="", linestyle=":", linewidth=1.5, label="box: planned"),
    ]
    ax.legend(handles=handles, loc="lower right", fontsize=9)
    ax.set_xlim(-0.5, 5.5)
    ax.set_ylim(-_ROW * 4 - 0.45, -_ROW + 0.75)
    ax.axis("off")
    return ax


def _box(ax: Axes, x: float, y: float, lesson: Lesson) -> None:
    """One lesson; a planned one has a dotted frame."""
    frame: dict[str, Any] = (
        {"fc": "white", "ec": "#999999", "ls": ":"} if lesson.planned else {"fc": "#eaf2fa", "ec": "#444444"}
    )
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    shape = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle=shape, lw=1.2, zorder=2, **frame))
    ax.text(x - _WIDTH / 2 + 0.05, y, lesson.number, ha="left", va="center", fontsize=10, fontweight="bold", zorder=3)
    left = 0.29 if len(lesson.number) > 2 else 0.21
    ax.text(x - _WIDTH / 2 + left, y, lesson.title, ha="left", va="center", fontsize=8, zorder=3)


def _step(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, line: str) -> None:
    """An arrow from box to box: along a row, over a box that the path leaves out, or down to another part."""
    (x0, y0), (x1, y1) = start, end
    bend = "arc3"
    if y0 == y1 and x1 - x0 > 1:  # over the lesson in between
        a, b, bend = (x0 + 0.3, y0 + _HEIGHT / 2), (x1 - 0.3, y1 + _HEIGHT / 2), "arc3,rad=-0.18"
    elif y0 == y1:
        a, b = (x0 + _WIDTH / 2, y0), (x1 - _WIDTH / 2, y1)
    else:
        a, b = (x0, y0 - _HEIGHT / 2), (x1 + 0.15 * np.sign(x0 - x1), y1 + _HEIGHT / 2)
    ax.add_patch(
        FancyArrowPatch(
            a, b, connectionstyle=bend, arrowstyle="-|>", mutation_scale=13, color=colour, ls=line, lw=2.2,
            zorder=1.5, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def amplitudes(sigma: Int8[np.ndarray, "D N"], psi: Float[np.ndarray, " K"], ax: Axes) -> Axes:
    """A state of a small ring: each configuration drawn as arrows on a circle, its amplitude above it as a signed bar.

    Arguments:
        sigma: configurations of +1 and -1, one row each (at most 8 rows are legible).
        psi: their amplitudes, dimensionless.
        ax: the axes to draw on.
    Raises:
        ValueError: not one amplitude for each configuration.
    """
    if len(sigma) != len(psi):
        raise ValueError(f"{len(sigma)} configurations need as many amplitudes, got {len(psi)}")
    low, high = min(0.0, float(psi.min())), max(0.0, float(psi.max()))
    span = high - low or 1.0
    colours = [PALETTE[1] if value > 0 else PALETTE[0] for value in psi]
    ax.bar(range(len(psi)), psi, color=colours, width=0.55)
    for k, value in enumerate(psi):
        text = f"{value:+.4f}".replace("-", "\u2212")
        gap = 0.03 * span
        ax.text(k, value + np.copysign(gap, value), text, ha="center", va="bottom" if value > 0 else "top", fontsize=9)
    n, middle, radius = sigma.shape[1], low - 0.62 * span, 0.3
    ax.set_xlim(-0.6, len(psi) - 0.4)
    ax.set_ylim(middle - 0.42 * span, high + 0.2 * span)
    width, height = ax.figure.get_size_inches()  # pyright: ignore[reportAttributeAccessIssue]
    stretch = (1.42 * span + 0.2 * span) / len(psi) * width / height  # circles that look round
    angle = np.pi / 2 + np.pi / n + 2 * np.pi * np.arange(n) / n
    x, y = radius * np.cos(angle), radius * stretch * np.sin(angle)
    for k, spins in enumerate(sigma):
        ax.plot(k + np.append(x, x[0]), middle + np.append(y, y[0]), color="#bbbbbb", marker="", linewidth=1, zorder=1)
        for s in range(n):
            arrow = "\u2191" if spins[s] > 0 else "\u2193"
            box = {"boxstyle": "circle,pad=0.12", "fc": "white", "ec": "#888888", "lw": 0.8}
            ax.text(k + x[s], middle + y[s], arrow, ha="center", va="center", fontsize=12, bbox=box, zorder=2)
    ax.axhline(0, color="#444444", linewidth=0.9, marker="")
    ax.set_xticks([])
    ax.set_yticks([tick for tick in np.linspace(-1, 1, 9) if low - 0.1 <= tick <= high + 0.1])
    ax.set_ylabel("amplitude (dimensionless)", loc="top")
    ax.spines["left"].set_bounds(low - 0.1 * span, high + 0.1 * span)
    ax.spines["bottom"].set_visible(False)
    ax.grid(False, axis="x")
    return ax


def small_network(
    weight: Float[np.ndarray, "M N"], bias: Float[np.ndarray, " K"], sigma: Int8[np.ndarray, " L"], ax: Axes
) -> Axes:
    """A network with one hidden layer: spins below, hidden units above, a line for each weight, their sum log psi.

    Arguments:
        weight: drawn as lines, colour for sign and size (diverging), thickness for size.
        bias: written into the hidden units, dimensionless.
        sigma: the configuration that the network reads.
        ax: the axes to draw on.
    Raises:
        ValueError: shapes that do not fit.
    """
    m, n = weight.shape
    if len(bias) != m or len(sigma) != n:
        raise ValueError(f"weights {m} x {n} need {m} biases and {n} spins, got {len(bias)} and {len(sigma)}")
    limit = float(np.abs(weight).max()) or 1.0
    scale = ScalarMappable(Normalize(-limit, limit), SIGNED_MAP)
    x_in, x_hidden = np.linspace(0, 1, n), np.linspace(0.5 - 0.5 * (m - 1) / n, 0.5 + 0.5 * (m - 1) / n, m)
    for (j, i), value in np.ndenumerate(weight):
        line = {"color": scale.to_rgba(value), "linewidth": 1 + 5 * abs(value) / limit, "marker": "", "zorder": 1}
        ax.plot([x_in[i], x_hidden[j]], [0, 1], **line)
    for i in range(n):
        _node(ax, x_in[i], 0.0, "\u2191" if sigma[i] > 0 else "\u2193", 15.0)
        ax.text(x_in[i], -0.3, f"$\\sigma_{{{i + 1}}} = {sigma[i]:+d}$", ha="center", fontsize=10)
    for j in range(m):
        ax.plot([x_hidden[j], 0.5], [1, 2], color="#bbbbbb", linewidth=1.5, marker="", zorder=1)
        text = f"$b_{{{j + 1}}}={bias[j]:+.2f}$".replace("-", "\u2212")
        _node(ax, x_hidden[j], 1.0, text, 8.5)
    box = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": "#444444", "lw": 1.2}
    ax.text(0.5, 2.0, r"$\log\psi(\sigma)$", ha="center", va="center", fontsize=12, bbox=box, zorder=3)
    for y, text in (
        (0, "spins"),
        (1, "hidden units:\n$\\log\\cosh(b_m + \\Sigma_i W_{mi}\\sigma_i)$"),
        (2, "their sum"),
    ):
        ax.text(1.17, y, text, va="center", fontsize=10, color="#444444")
    ax.figure.colorbar(scale, ax=ax, label="weight $W_{mi}$ (dimensionless)", shrink=0.8, pad=0.02)
    ax.set_xlim(-0.12, 1.72)
    ax.set_ylim(-0.5, 2.35)
    ax.axis("off")
    return ax


def _node(ax: Axes, x: float, y: float, text: str, size: float) -> None:
    """A round node with a text in it."""
    box = {"boxstyle": "circle,pad=0.3", "fc": "white", "ec": "#444444", "lw": 1.2}
    ax.text(x, y, text, ha="center", va="center", fontsize=size, bbox=box, zorder=3)
