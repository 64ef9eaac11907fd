"""The pictures of notebook 04: the two-parameter landscape, spectra of the metric, and runs with their spread."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from nqs_lab.lab.landscape import Landscape, Path, energy_map, minimum
from nqs_lab.lab.notebook import MARKERS, PALETTE

V1_RANGE, V2_RANGE = (-0.9, 0.45), (-0.5, 0.5)
GRADIENT, NATURAL = PALETTE[1], PALETTE[0]
FLOOR = 1e-14


def contours(landscape: Landscape, ax: Axes) -> Axes:
    """The energy above the family's best state, (E - E_best)/N, as grey levels (logarithmic); a star marks it."""
    v1, v2 = np.linspace(*V1_RANGE, 150), np.linspace(*V2_RANGE, 120)
    best, lowest, _ = minimum(landscape)
    height = np.log10(np.maximum(energy_map(landscape, v1, v2) - lowest, 1e-9) / landscape.n_sites)
    levels = np.arange(-4.0, 0.01, 0.25)
    filled = ax.contourf(v1, v2, height, levels=levels, cmap="Greys", vmin=-4.5, vmax=2.0, extend="both")
    ax.contour(v1, v2, height, levels=levels[::2], colors="#777777", linewidths=0.5, linestyles="solid")
    ax.plot(*best, marker="*", markersize=15, color=PALETTE[4], markeredgecolor="black", linestyle="none", zorder=5)
    ax.figure.colorbar(filled, ax=ax, ticks=[-4, -3, -2, -1, 0], label="log10 of (E \u2212 E_best)/N in J1")
    ax.set(xlim=V1_RANGE, ylim=V2_RANGE, xlabel="v1, nearest neighbours", ylabel="v2, second neighbours")
    ax.grid(False)
    return ax


def path(points: Float[np.ndarray, "steps 2"], ax: Axes, *, natural: bool, label: str) -> Axes:
    """An optimiser's path over the contours: orange squares for the gradient, blue circles for SR."""
    ax.plot(
        points[:, 0],
        points[:, 1],
        color=NATURAL if natural else GRADIENT,
        marker=MARKERS[0 if natural else 1],
        markersize=4,
        linewidth=1.3,
        label=label,
    )
    return ax


def excess(path: Path, lowest: float, n_sites: int) -> Float[np.ndarray, " steps"]:
    """(E - E_best)/N along a path, not below rounding, for a logarithmic axis."""
    return np.maximum((path.energies - lowest) / n_sites, FLOOR)


def step_circles(metric: Float[np.ndarray, "2 2"], at: Sequence[float], size: float, ax: Axes) -> Axes:
    """What 'equally far' means at a point: a circle in parameters, and the ellipse of states at distance `size`.

    The ellipse is d.S d = size^2; the circle has the same area.
    """
    values, vectors = np.linalg.eigh(metric)
    axes = size / np.sqrt(values)
    angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
    radius = float(np.sqrt(axes.prod()))
    centre = (float(at[0]), float(at[1]))
    ax.add_patch(Ellipse(centre, 2 * axes[0], 2 * axes[1], angle=angle, fill=False, color=NATURAL, linewidth=1.8))
    ax.add_patch(Ellipse(centre, 2 * radius, 2 * radius, fill=False, color=GRADIENT, linewidth=1.8, linestyle="--"))
    return ax


def spectra(named: Mapping[str, Float[np.ndarray, " K"]], shifts: Sequence[float], ax: Axes) -> Axes:
    """Eigenvalues of the metric or kernel in descending order, with the diagonal shifts as horizontal lines."""
    for k, (name, values) in enumerate(named.items()):
        shown = np.sort(np.abs(values))[::-1]
        ax.semilogy(
            np.arange(1, len(shown) + 1),
            np.maximum(shown, 1e-19),
            color=PALETTE[k],
            marker=MARKERS[k],
            markersize=3,
            markevery=max(1, len(shown) // 25),
            label=name,
        )
    for shift in shifts:
        ax.axhline(shift, color="#444444", linestyle="--", linewidth=1, marker="")
        ax.text(1.0, shift, f"shift {shift:g}", transform=ax.get_yaxis_transform(), ha="right", va="bottom", fontsize=9)
    ax.set(xlabel="number of the eigenvalue", ylabel="|eigenvalue|  (no unit)")
    ax.legend(loc="lower left")
    return ax


def shift_errors(shifts: Float[np.ndarray, " L"], named: Mapping[str, Float[np.ndarray, " L"]], ax: Axes) -> Axes:
    """Relative error of the direction against the shift, both logarithmic; a cross on top where the result is NaN."""
    top, bottom = 10.0, 10.0
    for k, (name, errors) in enumerate(named.items()):
        fine = np.isfinite(errors)
        shown = np.where(fine, np.clip(errors, 1e-17, top), np.nan)
        bottom = min(bottom, *shown[fine])
        ax.loglog(shifts, shown, color=PALETTE[k], marker=MARKERS[k], label=name)
        if np.any(~fine):
            gone, mark = np.full((~fine).sum(), top), {"marker": "x", "markersize": 9, "markeredgewidth": 2}
            ax.plot(shifts[~fine], gone, linestyle="none", color=PALETTE[k], label=f"{name}: NaN", **mark)
    ax.set(xlabel="diag_shift  (no unit)", ylabel="|x \u2212 x_exact| / |x_exact|", ylim=(bottom / 1e3, 60))
    ax.legend(loc="lower left")
    return ax


def projection(ax: Axes) -> Axes:
    """Blackboard: a curve of states, imaginary time pointing out of it, and the shadow that SR follows."""
    t = np.linspace(-1.5, 1.6, 80)
    ax.plot(t, -0.28 * t**2, color=PALETTE[6], linewidth=2.5, marker="")
    ax.text(-1.55, -0.95, "the family of states", fontsize=10, ha="left")
    ax.plot([-1.9, 1.7], [0, 0], color="#777777", linewidth=1, linestyle="--", marker="")
    ax.text(-1.9, 0.06, "tangent: what the parameters can do", fontsize=9, color="#555555")
    for tip, colour, text, spot in (
        ((1.1, 0.95), PALETTE[1], "imaginary time\n$-(H-E)\\psi\\,d\\tau$", (0.3, 0.83)),
        ((1.1, 0.0), PALETTE[0], "SR, its shadow", (0.62, 0.1)),
    ):
        ax.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.5})
        ax.text(*spot, text, color=colour, fontsize=10, ha="center", va="center")
    ax.plot([1.1, 1.1], [0, 0.95], color=PALETTE[3], linewidth=1.5, linestyle=":", marker="")
    ax.text(1.15, 0.5, "what the family\ncannot follow", color=PALETTE[3], fontsize=9, va="center")
    ax.plot(0, 0, marker="o", markersize=9, color="black")
    ax.text(0.0, -0.2, "$\\psi(v)$", fontsize=11, ha="center")
    ax.set(xlim=(-2.0, 2.0), ylim=(-1.05, 1.15))
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def runs(
    named: Mapping[str, Float[np.ndarray, "seeds steps"]], ax: Axes, *, seconds: Mapping[str, float] | None = None
) -> Axes:
    """Relative errors of several seeds for each optimiser: thin lines the seeds, a thick one their geometric mean.

    `seconds`: name -> seconds per step, which turns the axis of steps into wall time.
    """
    for k, (name, errors) in enumerate(named.items()):
        errors = np.maximum(np.asarray(errors, dtype=float), 1e-12)
        x = np.arange(errors.shape[1]) * (1.0 if seconds is None else seconds[name])
        for row in errors:
            ax.semilogy(x, row, color=PALETTE[k], linewidth=0.6, alpha=0.5, marker="")
        mean = np.exp(np.mean(np.log(errors), axis=0))
        ax.semilogy(
            x, mean, color=PALETTE[k], linewidth=2, marker=MARKERS[k], markevery=max(1, len(mean) // 8), label=name
        )
    ax.set_xlabel("optimisation step" if seconds is None else "wall time  (s)")
    ax.set_ylabel("relative error  |E \u2212 E0| / |E0|")
    ax.legend()
    return ax
