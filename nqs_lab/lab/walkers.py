"""Exchange Metropolis where every amplitude is known: walkers on the index of a small basis, and their exact laws."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from nqs_lab.spins import SpinBasis, bits


class Exchanges(NamedTuple):
    """The moves: the first `count[s]` entries of `target[s]` are the configurations one exchange away from s."""

    target: Int[np.ndarray, "D B"]
    count: Int[np.ndarray, " D"]


def exchanges(basis: SpinBasis, bonds: Int[np.ndarray, "B 2"]) -> Exchanges:
    """Tabulate the exchanges of antiparallel spins on the bonds; targets are positions in the basis.

    Arguments: a plain basis (no sector); the bonds, each once.
    Raises ValueError for a basis with a sector, whose states are orbits and not configurations.
    """
    if basis.sector is not None or basis.group is not None:
        raise ValueError("exchanges needs a plain basis of configurations: nl.SpinBasis(lattice).")
    sigma = basis.configurations()
    target = np.full((basis.dim, len(bonds)), -1)
    for b, (i, j) in enumerate(np.asarray(bonds)):
        flippable = sigma[:, i] != sigma[:, j]
        moved = sigma[flippable]
        moved[:, [i, j]] = moved[:, [j, i]]
        target[flippable, b] = basis.index(bits.from_configurations(moved))
    first = np.argsort(target < 0, axis=1, kind="stable")  # flippable bonds to the front, in their order
    return Exchanges(np.take_along_axis(target, first, axis=1), np.sum(target >= 0, axis=1))


def transition_matrix(moves: Exchanges, log_psi: Float[np.ndarray, " D"], *, hastings: bool = True) -> csr_array:
    """P(s -> t) of one move: a flippable bond drawn uniformly, accepted with min(1, |psi_t/psi_s|^2 A_s/A_t).

    Arguments: the moves; log |psi| (may be -inf); hastings=False leaves out the factor A_s/A_t, which is wrong.
    becca2017
    """
    dim, width = moves.target.shape
    s = np.repeat(np.arange(dim), moves.count)
    t = moves.target[np.arange(width)[None] < moves.count[:, None]]
    accepted = _acceptance(log_psi[s], log_psi[t], moves.count[s], moves.count[t], hastings)
    leave = csr_array((accepted / moves.count[s], (s, t)), shape=(dim, dim))
    stay = csr_array((1.0 - leave.sum(axis=1), (np.arange(dim), np.arange(dim))), shape=(dim, dim))
    return csr_array(leave + stay)


def walk(
    moves: Exchanges,
    log_psi: Float[np.ndarray, " D"],
    start: Int[np.ndarray, " W"],
    n_moves: int,
    *,
    rng: np.random.Generator,
    hastings: bool = True,
) -> Int[np.ndarray, "T W"]:
    """W independent walkers: their positions in the basis before, and after each of, n_moves moves (T = n_moves + 1).

    Arguments: the moves; log |psi| (may be -inf, never entered); where each walker starts; hastings as above.
    Raises ValueError if a walker starts where psi = 0.
    """
    if not np.all(np.isfinite(log_psi[start])):
        raise ValueError("a walker starts where psi = 0: it has probability zero there; start it elsewhere.")
    where = np.empty((n_moves + 1, len(start)), np.int64)
    where[0] = now = np.asarray(start)
    draw = rng.random((n_moves, 2, len(start)))
    for step in range(n_moves):
        pick = (draw[step, 0] * moves.count[now]).astype(np.int64)
        new = moves.target[now, pick]
        accept = _acceptance(log_psi[now], log_psi[new], moves.count[now], moves.count[new], hastings)
        now = np.where(draw[step, 1] < accept, new, now)
        where[step + 1] = now
    return where


def autocorrelation(
    matrix: csr_array, probability: Float[np.ndarray, " D"], values: Float[np.ndarray, " D"], lags: int
):
    """Exact autocorrelation rho(t), t = 0 .. lags, of values along a stationary chain with this transition matrix.

        rho(t) = sum_s p_s f_s (P^t f)_s / sum_s p_s f_s^2,   f = values - mean

    Arguments: P; the distribution p it keeps; a value per configuration (ignored where p = 0); the largest lag.
    """
    f = np.where(probability > 0, values, 0.0)
    f = np.where(probability > 0, f - probability @ f, 0.0)
    moved, out = f, np.empty(lags + 1)
    for lag in range(lags + 1):
        out[lag] = probability @ (f * moved)
        moved = matrix @ moved
    return out / out[0]


def _acceptance(old, new, count_old, count_new, hastings):
    """min(1, |psi'/psi|^2 A/A'), from log |psi|."""
    log_ratio = 2 * (new - old)
    if hastings:
        log_ratio = log_ratio + np.log(count_old / count_new)
    return np.exp(np.minimum(log_ratio, 0.0))
