"""How close two sampled states are, with an error."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.large.collecting import Collected
from nqs_lab.vmc.batching import choose_chunk, log_amplitudes
from nqs_lab.vmc.cores import on_all_cores, visible_cores

_amplitudes = eqx.filter_jit(log_amplitudes)


class Overlap(NamedTuple):
    """1 - |<a|b>|^2 / (<a|a> <b|b>) and its standard error.

    `from_first`, `from_second`: the two estimates of which it is the mean, over samples of a and over samples of b. One
    alone is blind where its state vanishes and the other does not: then the two differ.
    """

    infidelity: float
    error: float
    from_first: float
    from_second: float


def overlap(a: AbstractAnsatz, b: AbstractAnsatz, of_a: Collected, of_b: Collected) -> Overlap:
    """Infidelity of two states from fresh samples of each.

    With w(s) = b(s) / a(s) over samples of |a|^2:  F = |<w>|^2 / <|w|^2>. So 1 - F is the relative variance of w, whose
    statistical error shrinks with it: an infidelity of 1e-6 can be told from zero. The same with a and b exchanged, and
    the mean of both. Errors by the jackknife over chains; half the difference is added where it is larger.
    """
    first, first_error = one_sided(of_a.log_psi, _cross(b, of_a))
    second, second_error = one_sided(of_b.log_psi, _cross(a, of_b))
    error = max(float(np.hypot(first_error, second_error)) / 2, abs(first - second) / 2)
    return Overlap((first + second) / 2, error, first, second)


def one_sided(
    own: Complex[np.ndarray, "draws chains"], other: Complex[np.ndarray, "draws chains"]
) -> tuple[float, float]:
    """1 - |<w>|^2 / <|w|^2>, w = exp(other - own), over samples of the first state, and its jackknife error.

    Computed as the variance of w about its mean, so that small values keep their digits. Chains are independent of
    each other, the draws of one are not: a chain is left out whole.
    """
    log_w = other - own
    log_w = log_w - np.real(log_w).max()
    w = np.exp(log_w)
    w = w / w.mean()
    chains = w.shape[1]
    total, square = w.sum(axis=0), (np.abs(w - 1) ** 2).sum(axis=0)  # by chain
    count = w.shape[0] * (chains - 1)
    # With the mean of w equal to one: <|w|^2> = <|w - 1|^2> + 1; without one chain its mean is 1 - shift.
    shift = (total - w.shape[0]) / count
    spread = (square.sum() - square) / count - np.abs(shift) ** 2
    left_out = spread / (spread + np.abs(1 - shift) ** 2)
    variance = square.sum() / w.size
    error = np.sqrt((chains - 1) / chains * np.sum((left_out - left_out.mean()) ** 2))
    return float(variance / (variance + 1)), float(error)


def _cross(model: AbstractAnsatz, samples: Collected) -> Complex[np.ndarray, "draws chains"]:
    """log psi of one state on the samples of the other."""
    rows = jnp.asarray(samples.sigma.reshape(-1, samples.sigma.shape[-1]))
    found = on_all_cores(_amplitudes, model, rows, choose_chunk(model, cores=visible_cores()))
    return np.asarray(found).reshape(samples.log_psi.shape)
