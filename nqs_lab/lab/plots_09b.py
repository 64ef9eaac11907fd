"""The pictures of lesson 09b: losses against the length of a sentence, and sentences with their attention."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from nqs_lab.lab.notebook import MARKERS, PALETTE

COLOUR: dict[str, str] = dict(zip(("t5", "factored", "dot-product"), PALETTE, strict=False))
MARK: dict[str, str] = dict(zip(("t5", "factored", "dot-product"), MARKERS, strict=False))
TOLD = PALETTE[1]
ARC = 0.2  # height of an arc for each word that it spans


def losses(
    lengths: Sequence[int],
    runs: Mapping[str, Float[np.ndarray, "seeds lengths"]],
    floor: Sequence[float],
    level: Sequence[float],
    ax: Axes,
    *,
    level_name: str,
) -> Axes:
    """Cross-entropy (nats per hidden word) against the number of words; one symbol for each run, a line for their mean.

    Arguments: `runs`: by type of attention; `floor`: of the best reader; `level`: of one who lacks something.
    """
    for shift, (kind, values) in zip((0.96, 1.0, 1.04), runs.items(), strict=False):
        colour, n = COLOUR[kind], np.asarray(lengths) * shift
        ax.plot(n, values.mean(axis=0), color=colour, marker="", label=kind)
        for run in values:
            ax.plot(n, run, color=colour, marker=MARK[kind], linestyle="none", markersize=4, alpha=0.8)
    ax.plot(lengths, floor, color="black", marker="", linestyle="--", label="floor (exact)")
    ax.plot(lengths, level, color="#777777", marker="", linestyle=":", linewidth=2, label=level_name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(lengths), [str(n) for n in lengths])
    ax.minorticks_off()
    ax.set_ylim(-0.08, 2.25)
    ax.set_xlabel("words in a sentence n")
    ax.set_ylabel("cross-entropy  (nats per hidden word)")
    return ax


def reading(
    text: Sequence[str],
    weights: Float[np.ndarray, " n"],
    place: int,
    ax: Axes,
    *,
    source: int | None = None,
    colour: str = PALETTE[0],
) -> Axes:
    """A short sentence in a row; arcs from the hidden word at `place` to the others, as thick as |weight|.

    `source`: the word with the answer, framed. Weights below 2 % of the largest are left out, negative ones dashed.
    """
    largest, longest = float(np.abs(weights).max()) or 1.0, 1
    for j, weight in enumerate(weights):
        share = abs(weight) / largest
        if share < 0.02 or j == place:
            continue
        longest = max(longest, abs(j - place))
        top = 0.25 + 2 * ARC * abs(j - place)  # a quadratic curve reaches half the height of its control point
        path = Path([(place, 0.25), ((place + j) / 2, top), (j, 0.25)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        style = "solid" if weight > 0 else "dashed"
        width, strength = 0.4 + 5 * share, 0.25 + 0.7 * share
        ax.add_patch(PathPatch(path, fc="none", ec=colour, lw=width, alpha=strength, ls=style, capstyle="round"))
    for j, word in enumerate(text):
        frame = TOLD if j == source else "black" if j == place else "none"
        box = {"boxstyle": "round,pad=0.25", "fc": "#f2f2f2", "ec": frame, "lw": 1.8}
        ax.text(j, 0, word, ha="center", va="center", fontsize=9, bbox=box)
    ax.set_xlim(-0.8, len(text) - 0.2)
    ax.set_ylim(-0.5, 0.6 + ARC * longest)
    ax.axis("off")
    return ax


def share_curves(
    lengths: Sequence[int],
    curves: Mapping[str, Float[np.ndarray, " lengths"]],
    ax: Axes,
    *,
    measured: Mapping[str, Float[np.ndarray, " lengths"]],
) -> Axes:
    """Softmax weight of one word against the number of words: formulas as lines, measured values as symbols."""
    for k, (name, values) in enumerate(curves.items()):
        ax.plot(lengths, values, marker="", color=PALETTE[k], label=name)
        if name in measured:
            ax.plot(lengths, measured[name], linestyle="none", marker=MARKERS[k], color=PALETTE[k])
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(lengths), [str(n) for n in lengths])
    ax.minorticks_off()
    ax.set_ylim(0, 1.03)
    ax.set_xlabel("words in a sentence n")
    ax.set_ylabel("weight on the word that matters")
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return ax
