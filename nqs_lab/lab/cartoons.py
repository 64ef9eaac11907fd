"""Blackboard drawings: arrows on loops, before any number."""

import numpy as np
from matplotlib.axes import Axes

from nqs_lab.lab.notebook import PALETTE

HAPPY, UNHAPPY = PALETTE[0], PALETTE[1]


def loop(n_sites: int, ax: Axes, *, diagonals: bool = False) -> Axes:
    """Classical up and down arrows on a ring drawn as a polygon: blue bonds are satisfied, dashed orange ones are not.

    Arguments:
        n_sites: corners of the polygon (3: triangle, 4: plaquette).
        ax: the axes to draw on.
        diagonals: also draw the two J2 bonds of a plaquette.
    Raises:
        ValueError: fewer than three sites, or diagonals on another loop than the plaquette.
    """
    if n_sites < 3 or (diagonals and n_sites != 4):
        raise ValueError(f"a loop has at least 3 sites, and only 4 sites have two diagonals; got {n_sites}")
    angles = np.pi / 2 + np.pi / n_sites * (n_sites % 2 == 0) + 2 * np.pi * np.arange(n_sites) / n_sites
    x, y = np.cos(angles), np.sin(angles)
    spins = [1 - 2 * (s % 2) for s in range(n_sites)]
    frustrated = n_sites % 2 == 1
    bonds = [(s, (s + 1) % n_sites) for s in range(n_sites)] + ([(0, 2), (1, 3)] if diagonals else [])
    for i, j in bonds:
        happy = spins[i] != spins[j]
        ax.plot(
            [x[i], x[j]],
            [y[i], y[j]],
            color=HAPPY if happy else UNHAPPY,
            linestyle="-" if happy else "--",
            linewidth=3,
            marker="",
            zorder=1,
        )
    for s in range(n_sites):
        ax.plot(x[s], y[s], marker="o", markersize=30, color="white", markeredgecolor="#444444", zorder=2)
        last = frustrated and s == n_sites - 1
        arrow = "?" if last else ("\u2191" if spins[s] > 0 else "\u2193")
        ax.text(x[s], y[s], arrow, ha="center", va="center", fontsize=20, zorder=3)
    ax.set_aspect("equal")
    ax.set_xlim(-1.3, 1.3)
    ax.set_ylim(-1.3, 1.3)
    ax.axis("off")
    return ax
