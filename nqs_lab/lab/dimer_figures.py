"""Pictures of lesson 09: the dimers on their lattice, position tables of patches, and the curves of its dashboard."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import FancyArrowPatch, Rectangle

from nqs_lab.ansatz.dimer_network import PARTNER, dimer_pairs
from nqs_lab.lab.notebook import PALETTE, UNSIGNED_MAP
from nqs_lab.lab.plots import tiles
from nqs_lab.spins import square

INSIDE, BETWEEN, ASKS = PALETTE[0], PALETTE[1], PALETTE[2]
FLOOR = 1e-16
"""Errors are drawn from here on: nothing smaller is more than rounding."""


def dimer_lattice(side: int, ax: Axes, *, asking: tuple[int, int] | None = (1, 0)) -> Axes:
    """The dimers of the Shastry-Sutherland lattice, patch frames, and the arrow from one patch to its partner.

    Blue: dimers inside a patch; orange: between two patches; a dimer over the edge is drawn as two stubs. `asking` is
    the patch (X, Y) that fetches, None for no arrow. Raises ValueError for an odd side.
    """
    lattice = square(side)
    pairs, xy = dimer_pairs(lattice), np.array(lattice.coordinates)
    for number, (first, second) in enumerate(pairs):
        inside = number < len(pairs) // 2
        step = np.array([1, 1]) if inside else np.array([-1, 1])
        start, end = xy[first], xy[first] + step
        colour = INSIDE if inside else BETWEEN
        whole = np.array_equal(end, xy[second])
        for begin, direction in ((start, step),) if whole else ((start, 0.45 * step), (xy[second], -0.45 * step)):
            label = {0: "dimer inside a patch", len(pairs) // 2: "dimer between two patches"}.get(number)
            label = None if begin is not start else label
            ax.plot(*zip(begin, begin + direction, strict=True), color=colour, lw=3.2, marker="", zorder=2, label=label)
    ax.plot(*xy.T, "o", color="black", ms=6, zorder=3)
    for corner in np.ndindex(side // 2, side // 2):
        asks = asking is not None and corner == asking
        ax.add_patch(_frame(corner, ASKS if asks else "#999999", 2.4 if asks else 1.0))
    if asking is not None:
        start = 2 * np.array(asking) + 0.5
        end = start + 2 * np.array(PARTNER)
        shape = {"arrowstyle": "-|>", "mutation_scale": 20, "connectionstyle": "arc3,rad=-0.35"}
        ax.add_patch(FancyArrowPatch(tuple(end), tuple(start), color=ASKS, lw=2.2, zorder=4, **shape))
        ax.plot([], [], color=ASKS, marker="", label="what one patch has to fetch")
    ax.set(xlim=(-0.9, side - 0.1), ylim=(-0.9, side - 0.1), aspect="equal")
    ax.set(xlabel="x (lattice constants)", ylabel="y (lattice constants)", xticks=range(side), yticks=range(side))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=1)
    return ax


def _frame(corner: tuple[int, ...], colour: str, width: float) -> Rectangle:
    """The frame of one patch."""
    return Rectangle((2 * corner[0] - 0.4, 2 * corner[1] - 0.4), 1.8, 1.8, fill=False, ec=colour, lw=width, zorder=1)


def table_tiles(
    row: Float[np.ndarray, " n"], shape: tuple[int, int], ax: Axes, *, signed: bool, limit: float, title: str
) -> Axes:
    """Weights of one head by the displacement to the sender, (0, 0) lower left, with the numbers written in."""
    nx, ny = shape
    names = [[str(k) for k in range(count)] for count in (nx, ny)]
    tiles(row.reshape(ny, nx), ax, signed=signed, limit=limit, x_labels=names[0], y_labels=names[1])
    ax.set_xlabel("patches to the right")
    ax.set_ylabel("patches up")
    ax.set_title(title)
    return ax


def weight_axes(ax: Axes, top: float) -> Axes:
    """Axes for the partner's weight against the bias."""
    ax.set(xlim=(0, top), ylim=(-0.02, 1.02), xlabel="bias P on the partner", ylabel="weight (no units)")
    ax.set_title("weight on the partner, all contents")
    return ax


def error_axes(ax: Axes, top: float) -> Axes:
    """Axes for the error of the state against the bias."""
    ax.set_yscale("log")
    ax.set(
        xlim=(0, top), ylim=(FLOOR / 3, 4), xlabel="bias P on the partner", ylabel="worst amplitude error (relative)"
    )
    ax.set_title("error of the dimer state")
    return ax


def patch_map(ax: Axes) -> Axes:
    """Axes of unit size for a map of patches of any number."""
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    ax.set_xlabel("patches; \u25a1 asks, \u25cb its partner")
    ax.grid(False)
    return ax


def draw_map(weights: Float[np.ndarray, "g g"], ax: Axes):
    """The image of one receiver's softmax weights, rows upwards, in sequential colours on a logarithmic scale."""
    scale = LogNorm(1e-4, 1.0, clip=True)
    return ax.imshow(np.maximum(weights, 1e-4), origin="lower", extent=(0, 1, 0, 1), cmap=UNSIGNED_MAP, norm=scale)


def at_least(values: Sequence[float] | Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Errors for a logarithmic axis: zero is drawn at the floor."""
    return np.maximum(np.asarray(values, dtype=float), FLOOR)
