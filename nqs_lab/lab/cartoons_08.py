"""Blackboard drawing of lesson 08: attention that must read its input, and attention that need not."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from nqs_lab.lab.notebook import PALETTE

LOOK = PALETTE[1]


def reading(lines: Sequence[tuple[Sequence[str], int, int]], ax: Axes) -> Axes:
    """Sentences one below the other, and in each an arrow from one word to the one that it must look at.

    `lines`: (words, who looks, at whom). Raises ValueError for a word that is not there.
    """
    for row, (words, receiver, sender) in enumerate(lines):
        if not 0 <= receiver < len(words) or not 0 <= sender < len(words):
            raise ValueError(f"the sentence has {len(words)} words, got {receiver} -> {sender}.")
        y, x = -1.6 * row, np.concatenate([[0.0], np.cumsum([0.28 * len(word) + 0.45 for word in words])])
        middle = (x[:-1] + x[1:]) / 2 - 0.2
        for k, word in enumerate(words):
            weight = "bold" if k in (receiver, sender) else "normal"
            ax.text(middle[k], y, word, ha="center", va="center", fontsize=11, fontweight=weight)
        _arrow(ax, (middle[receiver], y + 0.25), (middle[sender], y + 0.25), 0.35 if sender < receiver else -0.35)
    widest = max(sum(0.28 * len(word) + 0.45 for word in words) for words, _, _ in lines)
    ax.set_xlim(-0.6, widest + 0.2)
    ax.set_ylim(-1.6 * (len(lines) - 1) - 0.8, 1.6)
    ax.axis("off")
    return ax


def looking(
    states: Sequence[np.ndarray], receiver: tuple[int, int], steps: Sequence[tuple[int, int]], ax: Axes
) -> Axes:
    """Configurations side by side; in each the same site looks at the same displacements, whatever the spins are.

    `states`: spins +1 and -1 as (Ly, Lx), row 0 at the bottom.
    """
    left = 0.0
    for sigma in states:
        for (y, x), spin in np.ndenumerate(sigma):
            ax.text(left + x, y, "\u2191" if spin > 0 else "\u2193", ha="center", va="center", fontsize=14)
        x, y = receiver
        ax.plot([left + x], [y], "o", ms=22, mfc="none", mec=LOOK, mew=2)
        for dx, dy in steps:
            _arrow(ax, (left + x, y), (left + x + dx, y + dy), 0.0)
        left += sigma.shape[1] + 1.0
    ax.set_xlim(-0.7, left - 1.3)
    ax.set_ylim(-0.7, states[0].shape[0] - 0.3)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], bend: float) -> None:
    """From the one that looks to the one looked at."""
    style = f"arc3,rad={bend}"
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=style,
            arrowstyle="-|>",
            mutation_scale=12,
            lw=2,
            color=LOOK,
            shrinkA=9,
            shrinkB=7,
        )
    )
