"""Blackboard drawing of lesson 06: spins, patches, tokens, and one token that gathers from the others."""

import numpy as np
from jaxtyping import Float, Int8
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from nqs_lab.lab.notebook import PALETTE, SIGNED_MAP

QUERY, SENDER = PALETTE[1], PALETTE[0]


def gathering(
    sigma: Int8[np.ndarray, "Ly Lx"], tokens: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], ax: Axes
) -> Axes:
    """A lattice cut in 2 x 2 patches, its tokens as columns of numbers, and the weights with which one token gathers.

    Arguments:
        sigma: spins +1 and -1, row 0 at the bottom.
        tokens: one row for each patch, patch = X + columns * Y.
        weights: what the patch in the middle takes from each patch, none negative.
        ax: the axes to draw on.
    Raises:
        ValueError: not one token and one weight for each patch.
    """
    lines, columns = sigma.shape
    n = lines * columns // 4
    if len(tokens) != n or len(weights) != n:
        raise ValueError(
            f"{columns} x {lines} spins make {n} patches, got {len(tokens)} tokens, {len(weights)} weights"
        )
    query = n // 2
    _draw_spins(sigma, query, ax)
    left = columns + 2.0
    _draw_tokens(tokens, left, 3.6, query, ax)
    _draw_gathering(weights, left, query, ax)
    right = left + 1.15 * n + 0.6
    _arrow(ax, (columns + 0.1, 4.8), (left - 0.5, 4.8), "#444444", 1.5)
    _arrow(ax, (right - 0.6, 4.8), (right + 0.5, 4.8), "#444444", 1.5)
    ax.text(right + 0.7, 4.8, "blocks,\nsum over patches,\nhead:\n$\\log\\psi(\\sigma)$", va="center", fontsize=11)
    ax.text(columns / 2 - 0.5, lines + 0.15, "spins, cut in patches", ha="center", fontsize=11)
    ax.text(left + 1.15 * n / 2 - 0.5, lines + 0.15, "one token of $d$ numbers each", ha="center", fontsize=11)
    ax.set_xlim(-0.8, right + 4.6)
    ax.set_ylim(-0.8, lines + 0.9)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _draw_spins(sigma: np.ndarray, query: int, ax: Axes) -> None:
    """Arrows, and a frame round each patch."""
    lines, columns = sigma.shape
    for (y, x), spin in np.ndenumerate(sigma):
        ax.text(x, y, "\u2191" if spin > 0 else "\u2193", ha="center", va="center", fontsize=15)
    for patch in range(lines * columns // 4):
        X, Y = patch % (columns // 2), patch // (columns // 2)
        colour = QUERY if patch == query else "#888888"
        width = 3 if patch == query else 1.2
        ax.add_patch(Rectangle((2 * X - 0.45, 2 * Y - 0.45), 1.9, 1.9, fill=False, ec=colour, lw=width))
        ax.text(2 * X + 0.5, 2 * Y + 0.5, str(patch), ha="center", va="center", fontsize=9, color=colour)


def _draw_tokens(tokens: np.ndarray, left: float, bottom: float, query: int, ax: Axes) -> None:
    """A column of coloured cells for each token."""
    limit = float(np.abs(tokens).max()) or 1.0
    height = 2.0 / tokens.shape[1]
    for patch, token in enumerate(tokens):
        x = left + 1.15 * patch
        ax.imshow(
            token[::-1, None],
            extent=(x - 0.3, x + 0.3, bottom, bottom + height * len(token)),
            cmap=SIGNED_MAP,
            vmin=-limit,
            vmax=limit,
        )
        edge = {"ec": QUERY, "lw": 3} if patch == query else {"ec": "#888888", "lw": 0.8}
        ax.add_patch(Rectangle((x - 0.3, bottom), 0.6, 2.0, fill=False, **edge))
        ax.text(x, bottom + 2.25, str(patch), ha="center", va="center", fontsize=9)


def _draw_gathering(weights: np.ndarray, left: float, query: int, ax: Axes) -> None:
    """Arrows from all tokens to the new one, as thick as their weights."""
    target = (left + 1.15 * query, 1.0)
    for patch, weight in enumerate(weights):
        start = (left + 1.15 * patch, 3.5)
        _arrow(ax, start, target, QUERY if patch == query else SENDER, 0.4 + 14 * float(weight))
    box = {"boxstyle": "round", "fc": "white", "ec": QUERY, "lw": 2}
    formula = f"new part of token {query}:  $A_{{{query}}}=\\Sigma_j\\,\\alpha_{{{query}j}}\\,V x_j$"
    ax.text(*target, formula, ha="center", va="top", fontsize=12, bbox=box)
    ax.text(target[0], -0.5, "thickness of an arrow = attention weight", ha="center", fontsize=9, color="#444444")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> None:
    """A straight arrow."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, lw=width, alpha=0.8))
