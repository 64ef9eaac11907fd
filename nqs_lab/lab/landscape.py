"""A two-parameter wave function summed exactly: energy, gradient, metric, and the paths of two optimisers. NumPy only.

log psi(sigma) = v1 sum_i sigma_i sigma_(i+1) + v2 sum_i sigma_i sigma_(i+2), with the Marshall sign, on a closed ring.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nqs_lab.spins import Lattice, SpinBasis, chain, ground_state, j1j2, matrix

STARTS = {
    "uniform state, v = (0, 0)": (0.0, 0.0),
    "ferromagnetic side, v = (0.3, 0.3)": (0.3, 0.3),
    "far up the wall, v = (-0.85, 0.45)": (-0.85, 0.45),
    "behind the ridge, v = (0.3, -0.4)": (0.3, -0.4),
}


@dataclass(frozen=True)
class Landscape:
    """Configurations with the same two pair sums have the same amplitude, so K classes of them hold all that matters.

    `features` (K, 2): the pair sums; `count` (K,): configurations in the class; `hamiltonian` (K, K): H summed over the
    pairs of members, Marshall signs included; `exact`: the exact ground-state energy. Energies: totals, units of J1.
    """

    features: Float[np.ndarray, "K 2"]
    count: Float[np.ndarray, " K"]
    hamiltonian: Float[np.ndarray, "K K"]
    exact: float
    n_sites: int


@dataclass(frozen=True)
class Path:
    """Where an optimiser went: `points` (T+1, 2) and `energies` (T+1,), totals in units of J1."""

    points: Float[np.ndarray, "steps 2"]
    energies: Float[np.ndarray, " steps"]


def make_landscape(lattice: Lattice | None = None, j2: float = 0.3) -> Landscape:
    """Sum the J1-J2 ring (default: 12 sites) over its classes of configurations. ValueError for another lattice."""
    lattice = chain(12) if lattice is None else lattice
    n = lattice.n_sites
    if lattice.shape != (n, 1) or n % 2:
        raise ValueError(f"the landscape is made for closed rings with an even number of sites, got {lattice.name}")
    basis, ham = SpinBasis(lattice), j1j2(lattice, j2)
    sigma = basis.configurations().astype(int)
    sums = np.stack([np.sum(sigma * np.roll(sigma, -d, axis=1), axis=1) for d in (1, 2)], axis=1)
    sign = (-1.0) ** np.sum(sigma[:, ::2] > 0, axis=1)
    features, where, count = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    member = np.zeros((len(features), basis.dim))
    member[where.reshape(-1), np.arange(basis.dim)] = sign
    hamiltonian = member @ (matrix(ham, basis) @ member.T)
    exact = float(ground_state(ham, basis).energy)
    return Landscape(features.astype(float), count.astype(float), hamiltonian, exact, n)


def evaluate(
    landscape: Landscape, v: Float[np.ndarray, "2"]
) -> tuple[float, Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]]:
    """Energy E, force F = <dO (E_loc - E)> and metric S = <dO dO^T> at v; the gradient is dE/dv = 2 F."""
    log_psi = landscape.features @ v
    psi = np.exp(log_psi - log_psi.max())
    weight = landscape.count * psi**2
    weight = weight / weight.sum()
    # A class whose amplitude has underflowed has no weight; its local energy does not matter.
    safe = np.where(weight > 0, landscape.count * psi, 1.0)
    e_loc = np.where(weight > 0, landscape.hamiltonian @ psi / safe, 0.0)
    energy = float(weight @ e_loc)
    centred = landscape.features - weight @ landscape.features
    force = centred.T @ (weight * (e_loc - energy))
    return energy, force, centred.T @ (weight[:, None] * centred)


def energy_map(
    landscape: Landscape, v1: Float[np.ndarray, " X"], v2: Float[np.ndarray, " Y"]
) -> Float[np.ndarray, "Y X"]:
    """The energy on a grid of parameters."""
    grid = np.stack(np.meshgrid(v1, v2), axis=-1)
    log_psi = grid @ landscape.features.T
    psi = np.exp(log_psi - log_psi.max(axis=-1, keepdims=True))
    top = np.einsum("yxk,kl,yxl->yx", psi, landscape.hamiltonian, psi, optimize=True)
    return top / (psi**2 @ landscape.count)


def descend(
    landscape: Landscape,
    start: tuple[float, float],
    *,
    rate: float,
    steps: int,
    diag_shift: float | None = None,
    unit: float = 1.0,
    max_norm: float = np.inf,
) -> Path:
    """The path of gradient descent, v <- v - rate dE/dv, or with `diag_shift` of SR, v <- v - rate (S + shift)^-1 F.

    `unit`: the second parameter is counted in this unit, u2 = v2 / unit (the path is returned in v). `max_norm`: limit
    on the length of a step. Raises ValueError for a rate, unit or limit that is not positive, or a negative shift.
    """
    if not (rate > 0 and unit > 0 and max_norm > 0) or (diag_shift is not None and diag_shift < 0):
        raise ValueError(
            "rate, unit and max_norm should be positive and diag_shift >= 0 (or None for gradient descent), got "
            f"{rate}, {unit}, {max_norm} and {diag_shift}"
        )
    scale = np.array([1.0, unit])
    u = np.array(start, dtype=float) / scale
    points, energies = [], []
    for _ in range(steps + 1):
        energy, force, metric = evaluate(landscape, u * scale)
        points.append(u * scale)
        energies.append(energy)
        force, metric = scale * force, scale[:, None] * metric * scale
        step = rate * (2 * force if diag_shift is None else _solve(metric, diag_shift, force))
        length = float(np.linalg.norm(step))
        u = u - step * min(1.0, max_norm / length) if length > 0 else u
    return Path(np.array(points), np.array(energies))


def _solve(metric: np.ndarray, shift: float, force: np.ndarray) -> np.ndarray:
    """(S + shift)^-1 F; where that is singular, the shortest solution."""
    shifted = metric + shift * np.eye(2)
    try:
        return np.linalg.solve(shifted, force)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(shifted, force, rcond=None)[0]


def minimum(landscape: Landscape) -> tuple[Float[np.ndarray, "2"], float, Float[np.ndarray, "2 2"]]:
    """The best state of the family: its parameters, its energy, and the matrix of second derivatives of E there."""
    v = descend(landscape, (0.0, 0.0), rate=0.4, steps=60, diag_shift=1e-12).points[-1]
    h = 1e-4
    columns = [
        (2 * evaluate(landscape, v + h * axis)[1] - 2 * evaluate(landscape, v - h * axis)[1]) / (2 * h)
        for axis in np.eye(2)
    ]
    hessian = np.stack(columns, axis=1)
    return v, evaluate(landscape, v)[0], (hessian + hessian.T) / 2


def rate_limits(landscape: Landscape) -> tuple[float, float]:
    """The learning rates above which gradient descent and SR (shift 0) overshoot at the minimum.

    2 / lambda_max(E'') and 4 / lambda_max(S^-1 E''); the second does not depend on how the state is parametrised.
    """
    v, _, hessian = minimum(landscape)
    metric = evaluate(landscape, v)[2]
    relative = np.linalg.eigvals(np.linalg.solve(metric, hessian)).real
    return float(2 / np.linalg.eigvalsh(hessian)[-1]), float(4 / relative.max())
