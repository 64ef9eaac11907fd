"""The trial states of notebook 03 on the 4x4 torus at J2 = 0.5, with every local energy known, and walkers on them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.linalg import eigsh

from nqs_lab.lab.signs import rule
from nqs_lab.lab.walkers import exchanges, walk
from nqs_lab.spins import SpinBasis, ground_state, j1j2, matrix, square
from nqs_lab.vmc.estimate import statistics

J2 = 0.5
DISTANCES = (1, 2, 4, 5, 8)
"""Squared distances on the 4x4 torus."""
COUPLINGS = (-0.22547856, -0.01441632, -0.00589861, 0.09641155, 0.14938194)
"""The Jastrow couplings of lowest energy at J2 = 0.5, one per distance: notebook 03, section 1, finds them again."""


class TrialState(NamedTuple):
    """A state on the whole basis. Energies are totals in units of J1; `local_energy` is NaN where psi = 0.

    `energy` and `variance` are <H> and |H psi - E psi|^2 over ALL configurations, also those where psi = 0.
    """

    name: str
    log_psi: Float[np.ndarray, " D"]
    local_energy: Float[np.ndarray, " D"]
    energy: float
    variance: float


class Walks(NamedTuple):
    """Walkers on one state: where they were (T, W), and at each of `draws` the mean and the two error bars (K, W)."""

    state: TrialState
    positions: Int[np.ndarray, "T W"]
    draws: Int[np.ndarray, " K"]
    mean: Float[np.ndarray, "K W"]
    naive: Float[np.ndarray, "K W"]
    binned: Float[np.ndarray, "K W"]


def trial_state(name: str, psi: Float[np.ndarray, " D"], h) -> TrialState:
    """The state with these real amplitudes; amplitudes below 1e-10 of the largest count as zero."""
    psi = np.where(np.abs(psi) > 1e-10 * np.abs(psi).max(), psi, 0.0)
    psi = psi / np.linalg.norm(psi)
    h_psi = h @ psi
    energy = float(psi @ h_psi)
    with np.errstate(divide="ignore", invalid="ignore"):
        local = np.where(psi != 0, h_psi / psi, np.nan)
        return TrialState(name, np.log(np.abs(psi)), local, energy, float(np.sum((h_psi - energy * psi) ** 2)))


def jastrow_exponent(basis: SpinBasis, couplings: tuple[float, ...] = COUPLINGS) -> Float[np.ndarray, " D"]:
    """sum_{i<j} v(distance) s_i s_j for every configuration of the 4x4 torus, v in the order of DISTANCES."""
    sigma = basis.configurations().astype(float)
    x, y = np.arange(16) % 4, np.arange(16) // 4
    step = [np.abs(c[:, None] - c[None]) for c in (x, y)]
    squared = sum(np.minimum(d, 4 - d) ** 2 for d in step)
    v = np.array((0.0, *couplings))[np.searchsorted((0, *DISTANCES), squared)]
    return 0.5 * np.sum((sigma @ v) * sigma, axis=1)


def trap_state(basis: SpinBasis, h) -> Float[np.ndarray, " D"]:
    """Ground state of H cut down to the configurations with two up spins in every row of the 4x4 torus.

    On these configurations H psi = E psi, elsewhere psi = 0 and H psi is not: zero sampled variance, no eigenstate.
    """
    rows = basis.configurations().reshape(-1, 4, 4).sum(axis=2)
    inside = np.flatnonzero(np.all(rows == 0, axis=1))
    start = np.random.default_rng(0).normal(size=len(inside))
    _, vectors = eigsh(h[inside][:, inside], k=1, which="SA", v0=start)
    psi = np.zeros(basis.dim)
    psi[inside] = vectors[:, 0]
    return psi


def all_states() -> tuple[TrialState, ...]:
    """Exact ground state, Jastrow, flat state (both with the Marshall sign), and the trap, on the basis of 4x4."""
    basis = SpinBasis(square(4))
    ham = j1j2(square(4), J2)
    h, sign = matrix(ham, basis), rule(basis, "neel").astype(float)
    return (
        trial_state("Jastrow, Marshall sign", sign * np.exp(jastrow_exponent(basis)), h),
        trial_state("exact ground state", np.real(ground_state(ham, basis).state), h),
        trial_state("flat state, Marshall sign", sign, h),
        trial_state("trap: no spin leaves its row", trap_state(basis, h), h),
    )


def all_walks(*, n_walkers: int = 6, longest: int = 8192, seed: int = 3) -> tuple[Walks, ...]:
    """Walkers on each state, all started from the Neel pattern, and their error bars after 16, 23, 32, ... draws.

    One draw is one proposed exchange; the first is the configuration after the first proposal. Errors as in
    `nqs_lab.measure`: naive (independent draws) and binned (at least 32 bins).
    """
    basis = SpinBasis(square(4))
    moves = exchanges(basis, np.asarray(j1j2(square(4), J2).bonds))
    neel = np.flatnonzero((basis.configurations() == np.asarray(square(4).order("neel"))).all(axis=1))
    draws = np.unique(np.round(2.0 ** np.arange(4, np.log2(longest) + 0.1, 0.5)).astype(int))
    rng, found = np.random.default_rng(seed), []
    for state in all_states():
        positions = walk(moves, state.log_psi, np.repeat(neel, n_walkers), longest, rng=rng)
        energies = state.local_energy[positions[1:]]
        table = np.array([[_errors(energies[:n, w]) for w in range(n_walkers)] for n in draws])
        found.append(Walks(state, positions, draws, *np.moveaxis(table, 2, 0)))
    return tuple(found)


def _errors(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    """Mean, naive error and binned error of one chain."""
    stats = statistics(values[:, None].astype(complex))
    return stats.mean.real, float(np.sqrt(stats.variance / len(values))), stats.error
