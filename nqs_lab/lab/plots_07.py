"""Pictures of notebook 07: the whole wave function, its complex head, where it starts, and what is learnt when."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int8
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from nqs_lab.lab.notebook import MARKERS, PALETTE, SIGNED_MAP
from nqs_lab.lab.published import DMRG, EXACT, JASTROW, PAIR_PRODUCT, PAULI_TOTALS, RBM, SYMMETRISED_RBM
from nqs_lab.lab.torus_results import Torus

INK = "#444444"


def wave_function(
    sigma: Int8[np.ndarray, "Ly Lx"], tokens: Float[np.ndarray, "stages n d"], names: Sequence[str], ax: Axes
) -> Axes:
    """Blackboard picture: spins, their tokens after each stage, the sum over tokens, the head, log psi.

    Arguments:
        sigma: spins +1 and -1, row 0 at the bottom.
        tokens: the tokens before the first block and after each block, each stage on a colour scale of its own.
        names: what stands under each stage.
        ax: the axes to draw on.
    Raises:
        ValueError: not one name for each stage.
    """
    if len(names) != len(tokens):
        raise ValueError(f"expected one name for each of {len(tokens)} stages, got {len(names)}")
    lines, columns = sigma.shape
    for (y, x), spin in np.ndenumerate(sigma):
        colour = PALETTE[0] if spin > 0 else PALETTE[1]
        arrow = "\u2191" if spin > 0 else "\u2193"
        ax.text(0.8 * x, 0.9 + 0.8 * y, arrow, ha="center", va="center", fontsize=17, color=colour)
    ax.text(0.4 * (columns - 1), -0.1, "spins $\\sigma$\none patch a site", ha="center", va="top", fontsize=10)
    left = 0.8 * columns + 1.0
    for stage, name in zip(tokens, names, strict=True):
        _columns(stage, left, float(np.abs(stage).max()), ax)
        ax.text(left + 0.11 * len(stage), -0.1, name, ha="center", va="top", fontsize=10)
        _arrow(ax, left - 0.95, left - 0.2)
        left += 0.22 * len(stage) + 1.2
    _arrow(ax, left - 0.95, left - 0.2)
    _columns(tokens[-1].sum(axis=0, keepdims=True), left, float(np.abs(tokens[-1].sum(axis=0)).max()), ax, wide=0.5)
    ax.text(left + 0.25, -0.1, "sum over\ntokens", ha="center", va="top", fontsize=10)
    _arrow(ax, left + 0.7, left + 1.4)
    _head(ax, left + 1.5)
    ax.set(xlim=(-0.7, left + 7.2), ylim=(-1.0, 4.0))
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _columns(tokens: np.ndarray, left: float, limit: float, ax: Axes, *, wide: float = 0.22) -> None:
    """Tokens as columns of coloured cells, side by side."""
    width = wide * len(tokens)
    place = (left, left + width, 0.4, 3.8)
    ax.imshow(tokens.T, extent=place, cmap=SIGNED_MAP, vmin=-limit, vmax=limit, aspect="auto", origin="lower")
    ax.add_patch(Rectangle((left, 0.4), width, 3.4, fill=False, ec=INK, lw=1.0))


def _head(ax: Axes, left: float) -> None:
    """The complex head as a box, and the sign rule in front of all."""
    box = FancyBboxPatch((left, 1.3), 2.6, 1.6, boxstyle="round,pad=0.08", fc="#eaf2fa", ec=PALETTE[0], lw=1.6)
    ax.add_patch(box)
    text = "$z = w\\,y + b$\ncomplex\n$\\Sigma_a\\,\\log\\cosh z_a$"
    ax.text(left + 1.3, 2.1, text, ha="center", va="center", fontsize=10.5)
    ax.text(left + 1.3, -0.1, "complex\nhead", ha="center", va="top", fontsize=10)
    _arrow(ax, left + 2.75, left + 3.4)
    ax.text(left + 3.5, 2.1, "$\\log\\psi(\\sigma)$", va="center", fontsize=14)
    ax.text(left + 3.5, 1.2, "+ i\u03c0 for each \u2191\non sublattice A", va="center", fontsize=9, color=INK)


def _arrow(ax: Axes, start: float, end: float) -> None:
    """A short arrow to the right at half height."""
    ax.add_patch(FancyArrowPatch((start, 2.1), (end, 2.1), arrowstyle="-|>", mutation_scale=14, color=INK, lw=1.6))


def cosh_plane(z: Complex[np.ndarray, " K"] | None, axes: Any) -> None:
    """One unit of the head on two axes: size and phase of cosh z over the complex plane, and the z of a network."""
    x, y = np.linspace(-2.2, 2.2, 221), np.linspace(-2.2, 2.2, 221)
    value = np.cosh(x[None] + 1j * y[:, None])
    pictures = (
        (np.log(np.maximum(np.abs(value), 0.02)), "cividis", (-2.0, 1.6), "log |cosh z|"),
        (np.angle(value), "twilight", (-np.pi, np.pi), "phase of cosh z (radians)"),
    )
    for ax, (picture, colours, limits, name) in zip(axes, pictures, strict=True):
        image = ax.pcolormesh(x, y, picture, cmap=colours, vmin=limits[0], vmax=limits[1], shading="auto")
        ax.plot([0, 0], [np.pi / 2, -np.pi / 2], "x", color="white", ms=9, mew=2.4)
        if z is not None:
            ax.plot(np.real(z), np.imag(z), "o", color=PALETTE[1], ms=3, mec="black", mew=0.4)
        ax.set(xlabel="Re z", ylabel="Im z", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2))
        ax.set_aspect("equal")
        ax.grid(False)
        ax.figure.colorbar(image, ax=ax, shrink=0.85, label=name)


def cloud(amplitudes: Complex[np.ndarray, " D"], ax: Axes) -> Axes:
    """Amplitudes psi times the sign rule as dots in the complex plane, in units of 1 / sqrt(D)."""
    scaled = amplitudes * np.sqrt(len(amplitudes)) / np.linalg.norm(amplitudes)
    ax.plot(scaled.real, scaled.imag, ".", ms=2, color=PALETTE[0], alpha=0.35)
    ax.axhline(0, color="#888888", lw=0.8, marker="")
    ax.axvline(0, color="#888888", lw=0.8, marker="")
    ax.set(xlabel="Re (sign rule $\\times\\,\\psi$)   ($1/\\sqrt{D}$)", ylabel="Im")
    ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
    ax.set_aspect("equal")
    return ax


def course(steps: Sequence[int], lines: Mapping[str, Sequence[float]], ax: Axes) -> Axes:
    """Several distances from the exact state against the step, logarithmic; zeros are left out."""
    for k, (name, values) in enumerate(lines.items()):
        shown = np.where(np.asarray(values, dtype=float) > 0, values, np.nan)
        ax.semilogy(steps, shown, label=name, color=PALETTE[k % len(PALETTE)], marker=MARKERS[k % len(MARKERS)])
    ax.set(xlabel="optimisation step")
    ax.legend(fontsize=8)
    return ax


def beside(
    labels: Sequence[str], ours: Sequence[float], exact: Sequence[float], ax: Axes, *, error: Sequence[float] = ()
) -> Axes:
    """A row of numbers, ours as squares (with bars where errors are given) over the exact ones as dashes."""
    place = np.arange(len(labels))
    ax.plot(place, exact, "_", color="black", ms=20, mew=2.2, label="exact")
    bars = list(error) if len(error) else None
    ax.errorbar(place, ours, yerr=bars, linestyle="none", marker="s", color=PALETTE[1], ms=5, label="ours")
    ax.axhline(0, color="#888888", lw=0.8, marker="")
    ax.set_xticks(place, labels)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.legend(fontsize=8)
    return ax


def against_published(torus: Torus, ax: Axes) -> Axes:
    """Relative errors of published 6x6 energies against J2, and of all our states with their errors."""
    for k, method in enumerate((JASTROW, RBM, DMRG, SYMMETRISED_RBM, PAIR_PRODUCT)):
        points = {j2: row.total / rows[EXACT].total for j2, rows in PAULI_TOTALS.items() if (row := rows.get(method))}
        values = [1 - ratio for ratio in points.values()]
        ax.semilogy(list(points), values, color="#777777", marker=MARKERS[k], markersize=4, linewidth=1.0, label=method)
    states = torus.states()
    for k, name in enumerate(sorted({state.name for state in states})):
        mine = [state for state in states if state.name == name]
        at = [state.row.setting.j2 + 0.012 * (k + 1) for state in mine]
        values = [max(state.relative_error, 1e-6) for state in mine]
        bars = [state.relative_spread for state in mine]
        looks = {
            "color": PALETTE[k % 6],
            "marker": MARKERS[k % len(MARKERS)],
            "markersize": 7,
            "label": f"ours: {name}",
        }
        ax.errorbar(at, values, yerr=bars, linestyle="none", **looks)
    ax.set(xlabel="J2 / J1", ylabel="relative error of the energy", ylim=(5e-6, 0.5))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax
