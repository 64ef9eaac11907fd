"""Local energies over the compact list of flippable bonds, and honest statistics of what they say."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int8

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.vmc.batching import choose_chunk
from nqs_lab.vmc.cores import AXIS, core_count, spread


def local_energy(
    model: AbstractAnsatz,
    ham: Heisenberg,
    sigma: Int8[Array, "S N"],
    log_psi: Complex[Array, " S"],
    *,
    chunk_size: int | None = None,
) -> Complex[Array, " S"]:
    """E_loc(s) = sum_b J_b s_i s_j / 4 + sum_{b: s_i != s_j} (J_b / 2) psi(P_b s) / psi(s), in units of J1 (total).

    - `sigma` (S, N), `log_psi` (S,): configurations and their amplitudes under `model`.
    - `chunk_size`: forwards per chunk; chosen from the model's activations and the cache if not given.

    Only flippable bonds of non-zero coupling are evaluated: they are packed into one list of (sample, bond) pairs and
    walked by a loop whose number of chunks is data, so that shapes are static, the padding is at most one chunk, and
    nothing returns to the host. Where psi(s) = 0 the local energy does not exist and comes out non-finite.
    Reference: becca2017.
    """
    chunk = chunk_size or choose_chunk(model)
    total = sigma.shape[0] * ham.bonds.shape[0]
    flippable = jax.vmap(ham.flippable)(sigma)  # antiparallel and of non-zero coupling
    (pairs,) = jnp.nonzero(flippable.ravel(), size=-(-total // chunk) * chunk, fill_value=total)
    count = -(-jnp.sum(flippable) // chunk)
    arrays, static = eqx.partition(model, eqx.is_array)
    exchange = partial(_exchange_energy, static, chunk, core_count())
    shared = exchange if core_count() == 1 else spread(exchange, (False,) * 6, rows_out=False)
    diagonal = jax.vmap(ham.diagonal)(sigma).astype(jnp.complex128)
    return diagonal + shared(arrays, ham, sigma, log_psi, pairs, count)


def _exchange_energy(static, chunk, cores, arrays, ham, sigma, log_psi, pairs, count):
    """sum over the listed (sample, bond) pairs of (J_b / 2) psi(P_b s) / psi(s), each core taking every cores-th chunk.

    `pairs` number sample * B + bond, filled up with S * B; the first `count` chunks of them hold real ones.
    """
    first = jax.lax.axis_index(AXIS).astype(count.dtype) if cores > 1 else 0
    half, model = 0.5 * ham.coupling.astype(jnp.complex128), eqx.combine(arrays, static)
    (samples, _), bonds = sigma.shape, ham.bonds.shape[0]

    def add_chunk(turn, energy):
        pair = jax.lax.dynamic_slice_in_dim(pairs, (first + turn * cores) * chunk, chunk)
        valid = pair < samples * bonds
        s, b = jnp.where(valid, pair // bonds, 0), jnp.where(valid, pair % bonds, 0)
        moved = jax.vmap(model)(jax.vmap(ham.swap)(sigma[s], b)).astype(jnp.complex128)
        ratio = jnp.exp(moved - log_psi[s])
        return energy.at[s].add(jnp.where(valid, half[b] * ratio, jnp.zeros((), ratio.dtype)))

    turns = (count - first + cores - 1) // cores
    energy = jax.lax.fori_loop(0, turns, add_chunk, jnp.zeros(samples, jnp.complex128))
    return jax.lax.psum(energy, AXIS) if cores > 1 else energy


class Stats(eqx.Module):
    """Mean, its standard error, variance, R-hat and autocorrelation time of an energy (total, units of J1).

    `r_hat` and `tau` (in draws) are NaN where one draw per chain cannot tell them; `error` is 0 for a full summation.
    """

    mean: complex
    error: float
    variance: float
    r_hat: float
    tau: float
    n_samples: int

    def __repr__(self) -> str:
        """Mean(error) with the error on the last two digits, then the diagnostics."""
        text = with_error(self.mean.real, self.error)
        if np.isfinite(self.r_hat):
            text += (
                f" [variance {self.variance:.3g}, R-hat {self.r_hat:.4f}, tau {self.tau:.1f}, {self.n_samples} samples]"
            )
        else:
            text += f" [variance {self.variance:.3g}, {self.n_samples} samples]"
        return text


def with_error(value: float | int, error: float | int) -> str:
    """0.123456, 0.000012 -> "0.123456(12)"."""
    if not (np.isfinite(value) and np.isfinite(error) and error > 0):
        return f"{value:.8g}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def statistics(values: Complex[np.ndarray, "draws chains"]) -> Stats:
    """Statistics of draws at FIXED parameters, chains independent of each other.

    The error comes from binning: consecutive draws of a chain are averaged in bins of growing length, and the longest
    length that leaves at least 32 bins in all is used, so that correlated draws are not counted twice. tau =
    error^2 / (naive error)^2 is the number of draws per independent one. R-hat is the split one of Gelman et al.;
    above 1.01 the chains disagree. Raises ValueError for non-finite values or an empty array.
    """
    if values.ndim != 2 or values.size < 2:
        raise ValueError(f"expected draws x chains with at least two values, got shape {values.shape}.")
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"{np.sum(~np.isfinite(values))} of {values.size} local energies are not finite: the ansatz vanishes or "
            "overflows on sampled configurations. Train with a smaller step or check the parameters."
        )
    mean, variance = values.mean(), float(np.mean(np.abs(values - values.mean()) ** 2))
    naive = np.sqrt(variance / values.size)
    error = _binned_error(np.real(values))
    tau = (error / naive) ** 2 if naive > 0 else 1.0
    draws, r_hat = values.shape[0], float("nan")
    if draws >= 4:
        r_hat = _split_r_hat(np.real(values))
    else:
        tau = float("nan")
    return Stats(complex(mean), float(error), variance, r_hat, float(tau), values.size)


def _binned_error(values: Float[np.ndarray, "draws chains"]) -> float:
    """Standard error of the mean from the longest bins that leave at least 32 of them (one chain long at most)."""
    draws, chains = values.shape
    length = 1
    while 2 * length <= draws and (draws // (2 * length)) * chains >= 32:
        length *= 2
    used = (draws // length) * length
    bins = values[draws - used :].reshape(draws // length, length, chains).mean(1).ravel()
    return float(bins.std(ddof=1) / np.sqrt(bins.size))


def _split_r_hat(values: Float[np.ndarray, "draws chains"]) -> float:
    """Between-half-chain variance against within: sqrt(((n - 1)/n W + B/n) / W)."""
    half = values.shape[0] // 2
    halves = np.concatenate([values[:half], values[-half:]], axis=1)
    within, between = halves.var(axis=0, ddof=1).mean(), halves.mean(axis=0).var(ddof=1)
    return float(np.sqrt((half - 1) / half + between / within)) if within > 0 else 1.0


def v_score(energy: float | int, variance: float | int, n_sites: int, *, reference: float | int = 0.0) -> float:
    """V = N Var(H) / (E - E_inf)^2, dimensionless; E_inf = 0 for Heisenberg models. Reference: wu2024vscore."""
    return n_sites * variance / (energy - reference) ** 2
