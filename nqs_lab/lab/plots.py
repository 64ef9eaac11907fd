"""Pictures: each function draws data on the axes it is given and returns them. Energies in units of J1, spins S."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nqs_lab.lab.notebook import MARKERS, PALETTE, SIGNED_MAP, UNSIGNED_MAP

BAD, GOOD = PALETTE[1], PALETTE[0]


def convergence(histories: Mapping[str, Shaped[np.ndarray, " steps"]], reference: float, ax: Axes) -> Axes:
    """Relative error of the energy against the optimisation step, on a logarithmic axis.

        |E - E_ref| / |E_ref|

    Arguments:
        histories: name -> energy per step; runs may differ in length, non-finite entries are left out.
        reference: the exact energy, in the same units (total or per site) as the histories.
        ax: the axes to draw on.
    Raises:
        ValueError: no history, or a reference of zero.
    """
    if not histories:
        raise ValueError("convergence needs at least one history: {'name': energies}")
    if not np.isfinite(reference) or reference == 0.0:
        raise ValueError(f"the reference energy should be a finite number other than zero, got {reference}")
    for k, (name, values) in enumerate(histories.items()):
        energy = np.asarray(values, dtype=float)
        error = np.abs(energy - reference) / abs(reference)
        error[~np.isfinite(error) | (error == 0.0)] = np.nan
        every = max(1, len(energy) // 8)
        ax.semilogy(
            np.arange(1, len(energy) + 1),
            error,
            label=name,
            color=PALETTE[k % len(PALETTE)],
            marker=MARKERS[k % len(MARKERS)],
            markevery=(k * every // max(1, len(histories)), every),
        )
    ax.set_xlabel("optimisation step")
    ax.set_ylabel("relative error  |E - E_exact| / |E_exact|")
    ax.legend()
    return ax


def attention_map(
    rows: Shaped[np.ndarray, "rows n"],
    shape: tuple[int, int] | None,
    ax: Axes,
    *,
    signed: bool,
    names: Sequence[str] = (),
) -> Axes:
    """Attention weights: as one matrix, or as one little map of the patches for each row.

    Arguments:
        rows: weights (n, n), or (h, n): what one query patch looks at, head by head.
        shape: (columns, rows) of the patches, patch = x + columns * y: a map for each row; None: the matrix.
        ax: the axes to draw on.
        signed: True for weights of either sign (diverging colours, symmetric limits); False for softmax weights.
        names: a title for each little map.
    Raises:
        ValueError: the shape does not hold n patches, or negative weights with signed=False.
    """
    values = np.asarray(rows, dtype=float)
    if not signed and values.min() < 0:
        raise ValueError(f"signed=False is for softmax weights; the smallest weight here is {values.min():.3g}")
    limit = float(np.abs(values).max()) or 1.0
    picture = values if shape is None else _side_by_side(values, shape)
    low, colours = (-limit, SIGNED_MAP) if signed else (0.0, UNSIGNED_MAP)
    # A map of patches has y upwards, like C(r); a matrix has its first row on top.
    origin = "upper" if shape is None else "lower"
    image = ax.imshow(np.ma.masked_invalid(picture), origin=origin, cmap=colours, vmin=low, vmax=limit)
    ax.grid(False)
    if shape is None:
        _label_matrix(ax)
    else:
        _label_maps(ax, shape, list(names) or [f"head {k + 1}" for k in range(len(values))])
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="signed weight" if signed else "weight")
    return ax


def _label_matrix(ax: Axes) -> None:
    """Patch numbers on both axes."""
    ax.set_xlabel("key patch j")
    ax.set_ylabel("query patch i")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _label_maps(ax: Axes, shape: tuple[int, int], names: list[str]) -> None:
    """One name below each little map, and no axes."""
    ax.set_xticks([k * (shape[0] + 1) + (shape[0] - 1) / 2 for k in range(len(names))], names)
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _side_by_side(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Rows (k, n) as k maps beside each other, with a blank column between them."""
    columns, lines = shape
    if columns * lines != values.shape[1]:
        raise ValueError(f"a {columns} x {lines} map has {columns * lines} patches, the weights have {values.shape[1]}")
    out = np.full((lines, len(values) * (columns + 1) - 1), np.nan)
    for k, row in enumerate(values):
        out[:, k * (columns + 1) : k * (columns + 1) + columns] = row.reshape(lines, columns)
    return out


def tiles(
    values: Float[np.ndarray, "Ly Lx"],
    ax: Axes,
    *,
    signed: bool,
    limit: float,
    x_labels: Sequence[str],
    y_labels: Sequence[str],
) -> Axes:
    """A small map with its numbers written in, row 0 at the bottom, colours between -limit (or 0) and limit."""
    image = ax.imshow(
        values, origin="lower", cmap=SIGNED_MAP if signed else UNSIGNED_MAP, vmin=-limit if signed else 0.0, vmax=limit
    )
    image.set_gid("map")
    for (y, x), value in np.ndenumerate(values):
        text = ax.text(x, y, "", ha="center", va="center", fontsize=9)
        text.set_text(number(float(value)))
        text.set_color(ink(float(value), image.norm, image.get_cmap()))
    ax.set_xticks(range(len(x_labels)), x_labels)
    ax.set_yticks(range(len(y_labels)), y_labels)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def number(value: float) -> str:
    """Two decimals, with a true minus sign, and no minus before zero."""
    return f"{0.0 if abs(value) < 0.005 else value:.2f}".replace("-", "\u2212")


def ink(value: float, norm: Any, cmap: Any) -> str:
    """Black or white, whichever reads better on the colour of that value."""
    red, green, blue, _ = cmap(norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def correlation_map(values: Float[np.ndarray, "Ly Lx"], ax: Axes) -> Axes:
    """C(r) = <S_0 . S_r> on a rectangle, r = (x, y); colours symmetric about zero, limits of a spin pair (3/4)."""
    ny, nx = values.shape
    tiles(
        values, ax, signed=True, limit=0.75, x_labels=[str(x) for x in range(nx)], y_labels=[str(y) for y in range(ny)]
    )
    ax.set_xlabel("x (lattice constants)")
    ax.set_ylabel("y (lattice constants)")
    ax.set_title(r"$C(r) = \langle \mathbf{S}_0\cdot\mathbf{S}_r \rangle$")
    return ax


def structure_factor_map(values: Float[np.ndarray, "Ly Lx"], ax: Axes, *, limit: float | None = None) -> Axes:
    """S(q) on the wave vectors of a rectangle, q = 2 pi (kx/Lx, ky/Ly)."""
    ny, nx = values.shape
    top = float(values.max()) if limit is None else limit
    tiles(values, ax, signed=False, limit=top, x_labels=_pi_labels(nx), y_labels=_pi_labels(ny))
    ax.set_xlabel("$q_x$  (1 / lattice constant)")
    ax.set_ylabel("$q_y$  (1 / lattice constant)")
    ax.set_title(r"$S(q) = \Sigma_r\, C(r)\,e^{iq\cdot r}$")
    return ax


def _pi_labels(length: int) -> list[str]:
    """2 pi k / length for k = 0 .. length - 1, as multiples of pi."""
    named = {0.0: "0", 0.5: "\u03c0/2", 1.0: "\u03c0", 1.5: "3\u03c0/2"}
    return [named.get(2 * k / length, f"{2 * k / length:.2g}\u03c0") for k in range(length)]


def ring_energies(
    n_sites: Int[np.ndarray, " K"],
    energy: Float[np.ndarray, " K"],
    bethe_sites: Int[np.ndarray, " M"],
    bethe: Float[np.ndarray, " M"],
    ax: Axes,
) -> Axes:
    """E/N of Heisenberg rings against 1/N: even and odd rings by diagonalisation, the Bethe ansatz, and its limit."""
    for parity, name in ((0, "even rings, diagonalised"), (1, "odd rings, diagonalised (frustrated)")):
        chosen = n_sites % 2 == parity
        ax.plot(
            1 / n_sites[chosen],
            energy[chosen],
            linestyle="none",
            marker=MARKERS[parity],
            color=PALETTE[parity],
            label=name,
        )
    ax.plot(1 / bethe_sites, bethe, color=PALETTE[6], marker="x", linewidth=0.8, markersize=7, label="Bethe ansatz")
    ax.axhline(0.25 - np.log(2), color=PALETTE[2], linestyle="--", label="infinite ring: 1/4 \u2212 ln 2")
    ax.set_xlabel("1 / N  (N = number of sites)")
    ax.set_ylabel("E / N  (units of J1, spins S)")
    ax.set_xlim(left=-0.005)
    ax.legend()
    return ax


def happiness(names: Sequence[str], values: Sequence[float], bounds: Sequence[float], ax: Axes) -> Axes:
    """How happy a bond is, h = -(4/3) <S_i . S_j>, as bars, with a line where a bound is known (NaN: none)."""
    spots = np.arange(len(names))
    ax.barh(spots, values, color=PALETTE[5], height=0.6, label="exact, averaged over the bonds")
    for spot, bound in zip(spots, bounds, strict=True):
        if np.isfinite(bound):
            label = "bound for z neighbours" if spot == spots[0] else None
            ax.plot([bound, bound], [spot - 0.38, spot + 0.38], color=BAD, linewidth=2.2, marker="", label=label)
    for spot, value in enumerate(values):
        inside = value > 0.12
        ax.text(
            value + (-0.012 if inside else 0.012),
            spot,
            f"{value:.3f}",
            ha="right" if inside else "left",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(spots, names)
    ax.invert_yaxis()
    formula = r"$h = -\frac{4}{3}\,\langle \mathbf{S}_i\cdot\mathbf{S}_j \rangle$"
    ax.set_xlabel(f"happiness of a $J_1$ bond  {formula}   (1: a perfect singlet)")
    ax.set_xlim(0, 1.02)
    ax.grid(False, axis="y")
    ax.legend(loc="lower right")
    return ax
