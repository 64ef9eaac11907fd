"""Pictures of notebook 03: configurations with their exchangeable bonds, a walker's mean, and the blind spot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from nqs_lab.lab.notebook import MARKERS, PALETTE

UP, DOWN = "#F3C78F", "#B9D7EA"  # light enough for black arrows, apart in brightness and hue


def configuration(sigma: Int8[np.ndarray, "Ly Lx"], ax: Axes, *, bonds: bool = False) -> Axes:
    """A configuration as coloured tiles with arrows, row 0 at the bottom.

    Arguments: spins +1 and -1; the axes; bonds=True draws a line across every antiparallel nearest-neighbour bond of
    the torus (bonds round the edge as stubs at both ends).
    """
    ny, nx = sigma.shape
    ax.imshow(sigma, origin="lower", cmap=ListedColormap([DOWN, UP]), vmin=-1, vmax=1)
    for y in range(ny):
        for x in range(nx):
            ax.text(x, y, "", ha="center", va="center", fontsize=15, zorder=3)
    set_configuration(ax, sigma)
    if bonds:
        for y in range(ny):
            for x in range(nx):
                for dx, dy in ((1, 0), (0, 1)):
                    if sigma[y, x] != sigma[(y + dy) % ny, (x + dx) % nx]:
                        _bond(ax, (x, y), (dx, dy), (nx, ny))
    ax.set_xticks(range(nx))
    ax.set_yticks(range(ny))
    ax.set(xlabel="x (lattice constants)", ylabel="y (lattice constants)")
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def set_configuration(ax: Axes, sigma: Int8[np.ndarray, "Ly Lx"]) -> None:
    """Put another configuration into the tiles and arrows drawn by `configuration`."""
    ax.images[0].set_data(sigma)
    for text, spin in zip(ax.texts, sigma.ravel(), strict=True):
        text.set_text("\u2191" if spin > 0 else "\u2193")


def _bond(ax: Axes, site: tuple[int, int], step: tuple[int, int], shape: tuple[int, int]) -> None:
    """A short line across a bond; where the bond leaves the picture, two stubs."""
    (x, y), (dx, dy), (nx, ny) = site, step, shape
    line: dict[str, Any] = {"color": PALETTE[0], "linewidth": 3.0, "marker": "", "solid_capstyle": "round"}
    if x + dx < nx and y + dy < ny:
        ax.plot([x + 0.3 * dx, x + 0.7 * dx], [y + 0.3 * dy, y + 0.7 * dy], **line)
        return
    ax.plot([x + 0.3 * dx, x + 0.47 * dx], [y + 0.3 * dy, y + 0.47 * dy], **line)
    x, y = (x + dx) % nx, (y + dy) % ny
    ax.plot([x - 0.47 * dx, x - 0.3 * dx], [y - 0.47 * dy, y - 0.3 * dy], **line)


def local_energies(
    values: Mapping[str, tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"]]],
    reference: float,
    axes: Sequence[Axes],
) -> None:
    """Histograms of the local energy per site, one below the other; each configuration counts with its probability.

    Arguments: name -> (E_loc per site, probability); the exact ground-state energy per site, drawn as a line; axes.
    """
    edges = np.linspace(-1.0, 0.3, 66).tolist()
    for k, (ax, (name, (energy, probability))) in enumerate(zip(axes, values.items(), strict=True)):
        mean = np.sum(probability * energy)
        spread = np.sqrt(np.sum(probability * (energy - mean) ** 2))
        ax.hist(energy, bins=edges, weights=probability, color=PALETTE[k])
        label = f"{name}: mean {mean:.4f},\nstandard deviation {spread:.4f}".replace("-", "\u2212")
        ax.text(0.98, 0.9, label, transform=ax.transAxes, ha="right", va="top")
        ax.axvline(reference, color="black", linestyle="--", linewidth=1.2, marker="")
        ax.set(xlim=(-1.0, 0.3), ylim=(0, 0.42), ylabel="probability")
        ax.tick_params(labelbottom=ax is axes[-1])
    axes[0].text(reference + 0.01, 0.36, "exact ground state", fontsize=9)
    axes[-1].set_xlabel("local energy per site  (units of J1, spins S)")


def blind_spot(
    epsilon: Float[np.ndarray, " K"],
    true: Float[np.ndarray, " K"],
    sampled: Float[np.ndarray, "K R"],
    ax: Axes,
    *,
    floor: float = 1e-4,
) -> Axes:
    """Variance against the norm that psi has outside: over all configurations, and what each of R runs saw.

    Arguments: norms; the variance over the whole basis; the sampled variance of R runs; values below `floor` are drawn
    on it.
    """
    ax.loglog(epsilon, true, color="black", marker="", label="over all configurations")
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.5, "alpha": 0.5, "color": PALETTE[1]}
    each = np.maximum(sampled.ravel(), floor)
    ax.loglog(np.repeat(epsilon, sampled.shape[1]), each, label="one run each: what its samples say", **dots)
    ax.loglog(
        epsilon, np.maximum(np.median(sampled, axis=1), floor), color=PALETTE[0], marker="s", label="median of the runs"
    )
    ax.set_xlabel(r"norm $\epsilon$ of $\psi$ outside the rows' sector")
    ax.set_ylabel(r"variance of $H$  (units of J1$^2$)")
    ax.set_ylim(bottom=floor / 2)
    ax.legend(loc="center left")
    return ax


def walker(
    values: Float[np.ndarray, " T"],
    draws: Int[np.ndarray, " K"],
    naive: Float[np.ndarray, " K"],
    binned: Float[np.ndarray, " K"],
    exact: float,
    ax: Axes,
) -> Axes:
    """One walker: each draw as a dot, the running mean, and two error bands of it (all per site).

    Arguments: E_loc/N of every draw; the numbers of draws at which errors are known; these; the state's exact mean.
    """
    mean = np.cumsum(values) / np.arange(1, len(values) + 1)
    ax.plot(np.arange(1, len(values) + 1), values, linestyle="none", marker=".", markersize=2, color="#bbbbbb")
    at = mean[draws - 1]
    ax.fill_between(draws, at - binned, at + binned, color=PALETTE[5], alpha=0.6, label="mean \u00b1 binned error")
    ax.fill_between(draws, at - naive, at + naive, color=PALETTE[1], alpha=0.7, label="mean \u00b1 naive error")
    ax.plot(np.arange(1, len(values) + 1), mean, color=PALETTE[0], marker="", label="running mean")
    ax.axhline(exact, color="black", linestyle="--", linewidth=1.2, marker="", label="exact mean of this state")
    ax.set(xscale="log", xlabel="draws (proposed exchanges)", ylabel="$E_{loc}/N$  (units of J1, spins S)")
    ax.set(xlim=(0.9, 1.2 * len(values)), ylim=(exact - 0.06, exact + 0.07))
    # Above the axes: inside there is no corner that dots and bands leave free.
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def v_scores(
    points: Mapping[str, Sequence[tuple[float, float]]],
    pairs: Sequence[tuple[str, float, float, float]],
    ax: Axes,
    *,
    floor: float = 2e-5,
) -> Axes:
    """V-score against the relative error of the energy, on logarithmic axes.

    Arguments: name -> list of (V, relative error); pairs (name, sampled V, V over the whole basis, relative error),
    drawn as an arrow from the first to the second; a V of zero is drawn at `floor`.
    """
    for k, (name, values) in enumerate(points.items()):
        v, error = np.array(values).T
        ax.loglog(v, error, linestyle="none", marker=MARKERS[k], color=PALETTE[k], markersize=7, label=name)
    for k, (name, sampled, true, error) in enumerate(pairs):
        tip = {"arrowstyle": "->", "color": PALETTE[1], "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", xy=(true, error), xytext=(max(sampled, floor), error), arrowprops=tip)
        ax.loglog([max(sampled, floor)], [error], marker="o", markerfacecolor="white", color=PALETTE[1], markersize=7)
        ax.annotate(name, (max(sampled, floor), error), xytext=(-4, 9 if k % 2 else -17), textcoords="offset points",
                    fontsize=9, color="#8a3c00")  # fmt: skip
    ax.set_xlabel("V-score  $N\\,\\mathrm{Var}(H)/E^2$  (dimensionless)")
    ax.set_ylabel("relative error of the energy")
    ax.legend(loc="lower right", fontsize=9)
    return ax
