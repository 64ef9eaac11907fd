"""Pictures of notebook 02: necklaces, the wall, Ritz values, orders against J2. Energies in units of J1, spins S."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from nqs_lab.lab.notebook import MARKERS, PALETTE
from nqs_lab.lab.order_results import OrderPoint


def necklaces(orbits: Sequence[Sequence[int]], n_sites: int, ax: Axes) -> Axes:
    """Each orbit of bit patterns as a row of necklaces, filled beads up; the representative, on the left, is framed.

    Arguments: orbits: bit patterns, the representative first; n_sites: beads; ax: the axes to draw on.
    """
    angles = np.pi / 2 - 2 * np.pi * np.arange(n_sites) / n_sites
    for row, orbit in enumerate(orbits):
        for column, state in enumerate(orbit):
            centre = np.array([1.25 * column, -1.3 * row])
            ax.add_patch(Circle(tuple(centre), 0.36, fill=False, color="#999999", linewidth=1.2, zorder=1))
            for site, angle in enumerate(angles):
                up = (state >> site) & 1
                bead = centre + 0.36 * np.array([np.cos(angle), np.sin(angle)])
                face = PALETTE[0] if up else "white"
                ax.add_patch(Circle(tuple(bead), 0.11, facecolor=face, edgecolor="#333333", linewidth=1.0, zorder=2))
            if column == 0:
                ax.add_patch(Circle(tuple(centre), 0.56, fill=False, color=PALETTE[1], linewidth=1.6, linestyle="--"))
        ax.text(-0.85, -1.3 * row, f"{orbit[0]:0{n_sites}b}", ha="right", va="center", family="monospace")
    ax.text(-0.85, 0.75, "representative", ha="right", va="center", fontsize=9)
    ax.set_xlim(-2.3, 1.25 * max(len(orbit) for orbit in orbits) - 0.55)
    ax.set_ylim(-1.3 * (len(orbits) - 1) - 0.7, 0.95)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def wall(
    n_sites: Int[np.ndarray, " K"],
    curves: Mapping[str, Float[np.ndarray, " K"]],
    clusters: Mapping[str, tuple[int, int]],
    limits: Mapping[str, float],
    ax: Axes,
) -> Axes:
    """Numbers of states against the number of sites, on a logarithmic axis.

    Arguments: curves: name -> states; clusters: name -> (N, states of its ground state's sector); limits: name -> the
    states whose vector (or matrix) fills a given memory, drawn as horizontal lines.
    """
    for k, (name, values) in enumerate(curves.items()):
        ax.semilogy(n_sites, values, color=PALETTE[(0, 1, 2)[k]], marker="", linestyle=("-", "--", "-.")[k], label=name)
    for name, (n, states) in clusters.items():
        ax.plot(n, states, color=PALETTE[6], marker="o", markersize=5, linestyle="none")
        ax.annotate(name, (n, states), textcoords="offset points", xytext=(5, -11), fontsize=8)
    for name, states in limits.items():
        ax.axhline(states, color="#777777", linewidth=1, linestyle=":", marker="")
        ax.text(n_sites[0], states * 1.25, name, ha="left", va="bottom", fontsize=8, color="#444444")
    ax.set_ylim(bottom=1)
    ax.set_xlabel("number of sites N")
    ax.set_ylabel("number of states")
    ax.legend(loc="upper left")
    return ax


def ritz_values(
    values: Sequence[Float[np.ndarray, " _"]], exact: Float[np.ndarray, " L"], ax: Axes, *, name: str, colour: int = 0
) -> Axes:
    """Every Ritz value at every step as a dot, the exact levels as lines.

    Arguments: values[m]: eigenvalues of the tridiagonal matrix after m + 1 steps; exact: levels to draw (totals).
    """
    steps = np.concatenate([np.full(len(v), m + 1) for m, v in enumerate(values)])
    for level in exact:
        ax.axhline(level, color="#bbbbbb", linewidth=0.8, marker="", zorder=1)
    flat = np.concatenate(list(values))
    look = {"linestyle": "none", "marker": MARKERS[colour], "markersize": 2.5, "color": PALETTE[colour]}
    ax.plot(steps, flat, label=name, zorder=2, **look)
    ax.set_xlabel("Lanczos step m  (= products with H)")
    ax.set_ylabel("Ritz value  (total, units of $J_1$, spins $S$)")
    return ax


def order_curves(points: Mapping[str, Sequence[OrderPoint]], axes: np.ndarray) -> np.ndarray:
    """S(q) at three wave vectors, the two sign weights, the entropy and the weight of ring products against J2.

    Arguments: points: name of the torus -> its points; axes: four axes in a (2, 2) array.
    """
    first, second, third, fourth = axes.flat
    waves = {"(\u03c0,\u03c0)": (np.pi, np.pi), "(\u03c0,0)": (np.pi, 0.0), "(0,\u03c0)": (0.0, np.pi)}
    for k, (name, found) in enumerate(points.items()):
        j2 = np.array([p.j2 for p in found])
        look = {"linestyle": ("-", "--")[k], "markersize": 4, "markerfacecolor": ("white", None)[k]}
        for c, (label, q) in enumerate(waves.items()):
            values = [p.structure_factor(*q) for p in found]
            first.plot(j2, values, color=PALETTE[c], marker=MARKERS[c], label=f"S{label}, {name}", **look)
        for c, (label, entry) in enumerate((("N\u00e9el", "neel_weight"), ("stripe", "stripe_weight"))):
            weights = [getattr(p, entry) for p in found]
            second.plot(j2, weights, color=PALETTE[c], marker=MARKERS[c], label=f"{label}, {name}", **look)
        third.plot(j2, [p.entropy for p in found], color=PALETTE[3], marker=MARKERS[3], label=name, **look)
        fourth.plot(j2, [p.ring_weight for p in found], color=PALETTE[4], marker=MARKERS[4], label=name, **look)
    first.set_ylabel("$S(q)$  (spins $S$)")
    second.set_ylabel("weight of the sign rule  $W$")
    third.set_ylabel("entropy of half the sites  (nats)")
    fourth.set_ylabel("weight of ring products")
    second.set_ylim(0.45, 1.03)
    third.set_ylim(0, 3.2)
    fourth.set_ylim(0, 1)
    for ax in axes.flat:
        ax.set_xlabel("$J_2/J_1$")
        ax.legend(fontsize=7.5)
    return axes
