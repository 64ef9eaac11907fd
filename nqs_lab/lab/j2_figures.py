"""The pictures of the J2 scan: curves against J2, maps of C(r) and S(q). They need no widgets."""

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from nqs_lab.lab import plots
from nqs_lab.lab.notebook import PALETTE, LabFigure, style
from nqs_lab.lab.results import J2Point, J2Scan


def grid_correlations(point: J2Point) -> Float[np.ndarray, "Ly Lx"]:
    """C(r) as a map (Ly, Lx)."""
    columns, lines = point.lattice.shape or (point.lattice.n_sites, 1)
    return point.correlations.reshape(lines, columns)


def grid_structure_factor(point: J2Point) -> Float[np.ndarray, "Ly Lx"]:
    """S(q) as a map (Ly, Lx), q = 2 pi (kx/Lx, ky/Ly)."""
    return np.fft.fft2(grid_correlations(point)).real


def top_structure_factor(scan: J2Scan) -> float:
    """The largest S(q) of a scan, so that the colours mean the same at every J2."""
    return max(float(grid_structure_factor(point).max()) for point in scan.points)


def in_words(point: J2Point) -> str:
    """One sentence for those who cannot see the picture, and for copying."""
    neel, stripe = point.structure_factor(np.pi, np.pi), point.structure_factor(np.pi, 0.0)
    return (
        f"J2 = {point.j2:.2f}: E0/N = {point.energy_per_site:.6f}; first gap {point.gap:.4f}, triplet gap "
        f"{point.triplet_gap:.4f}; S(\u03c0,\u03c0) = {neel:.3f}, S(\u03c0,0) = {stripe:.3f}; "
        f"C(1,0) = {point.correlations[point.lattice.site(1, 0)]:.3f}, "
        f"C(1,1) = {point.correlations[point.lattice.site(1, 1)]:.3f}; sign weights: Neel {point.neel_weight:.4f}, "
        f"stripe {point.stripe_weight:.4f} (exact, 4x4 torus, units of J1, spins S)."
    )


def draw_curves(scan: J2Scan, energy_ax: Axes, gap_ax: Axes) -> None:
    """E0/N and the two gaps against J2, one dot for each computed point."""
    thin = {"marker": ".", "markersize": 3, "linewidth": 0.9}
    energy_ax.plot(scan.j2, scan.column("energy_per_site"), color=PALETTE[0], **thin)
    energy_ax.set(
        xlabel="J2 / J1", ylabel="E0 / N  (units of J1, spins S)", title="ground-state energy", ylim=(-0.8, -0.35)
    )
    named = (("gap", "first excited level, Sz = 0", "-"), ("triplet_gap", "lowest triplet, Sz = 1", "--"))
    for k, (name, label, dashes) in enumerate(named):
        gap_ax.plot(scan.j2, scan.column(name), color=PALETTE[k], linestyle=dashes, label=label, **thin)
    gap_ax.set(
        xlabel="J2 / J1", ylabel="gap  (units of J1, spins S)", title="gaps above the ground state", ylim=(0, 1.45)
    )
    gap_ax.legend(loc="upper left", frameon=False)


def static_figure(scan: J2Scan, values: tuple[float, ...]) -> LabFigure:
    """Curves on top, then C(r) and S(q) for each of the J2 values."""
    points = [scan.at(value) for value in values]
    with matplotlib.rc_context(style()):
        fig = LabFigure(figsize=(2.7 * len(points) + 1.0, 8.6), layout="constrained")
        grid = fig.add_gridspec(3, 2 * len(points))
        half = len(points)
        draw_curves(scan, fig.add_subplot(grid[0, :half]), fig.add_subplot(grid[0, half:]))
        for k, point in enumerate(points):
            spot = slice(2 * k, 2 * k + 2)
            c_ax = plots.correlation_map(grid_correlations(point), fig.add_subplot(grid[1, spot]))
            s_ax = fig.add_subplot(grid[2, spot])
            plots.structure_factor_map(grid_structure_factor(point), s_ax, limit=top_structure_factor(scan))
            c_ax.set_title(f"C(r), J2 = {point.j2:g}")
            s_ax.set_title(f"S(q), J2 = {point.j2:g}")
    return fig
