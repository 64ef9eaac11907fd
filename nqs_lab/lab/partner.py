"""How much of a T5 head's attention reaches the partner of a dimer, and what the dimer state loses to the rest."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8

from nqs_lab.ansatz.dimer_network import dimer_pairs, draw_dimer_state, partner_displacement
from nqs_lab.ansatz.transformer import patch_tables
from nqs_lab.spins import Lattice, square

STEEP = 1000.0
"""Penalty of the readout with a threshold: so steep that its GELUs are ReLUs."""
PENALTIES = np.geomspace(1.0, 80.0, 24)
"""Penalties from which the readout without a threshold takes the best."""


class Contents(NamedTuple):
    """What S configurations offer to every receiving patch, whatever the positional bias P.

    `odds`: sum over all other patches of e^(c_j - c_partner), so that (1 - alpha) / alpha = odds e^-P. `others`: mean
    of their spins s10 with those weights. `partner`: s10 of the partner; `own`: s01 of the receiver.
    """

    odds: Float[np.ndarray, "S n"]
    others: Float[np.ndarray, "S n"]
    partner: Float[np.ndarray, "S n"]
    own: Float[np.ndarray, "S n"]


def similarity(patches: Float[np.ndarray, "S n b"], spread: float | int) -> Float[np.ndarray, "S n n"]:
    """The content logits c_ij = (B/2) u_i . u_j / 4 of `dimer_network`, between -B/2 and B/2."""
    return spread / 2 * np.einsum("sia,sja->sij", patches, patches) / patches.shape[2]


def read_contents(sigma: Int8[np.ndarray, "S N"], lattice: Lattice, spread: float | int) -> Contents:
    """Everything of the configurations that does not depend on the positional bias."""
    sites, displacement = patch_tables(lattice, 2)
    patches = sigma[:, sites].astype(float)
    logits = similarity(patches, spread)
    receiver, sender = np.nonzero(displacement == partner_displacement(lattice))
    assert np.array_equal(receiver, np.arange(len(sites)))
    relative = np.exp(logits - np.take_along_axis(logits, np.broadcast_to(sender[:, None], (*logits.shape[:2], 1)), 2))
    relative[:, receiver, sender] = 0.0
    odds = relative.sum(axis=2)
    fetched = patches[:, :, 1]  # s10
    others = np.einsum("sij,sj->si", relative, fetched) / odds
    return Contents(odds, others, fetched[:, sender], patches[:, :, 2])


def partner_weights(contents: Contents, bias: float | Float[np.ndarray, " P"]) -> Float[np.ndarray, "*P S n"]:
    """alpha = 1 / (1 + odds e^-P): the softmax weight of the partner, for one bias or many."""
    return 1 / (1 + contents.odds * np.exp(-np.asarray(bias)[..., None, None]))


def guaranteed(n: int, bias: float | Float[np.ndarray, " P"], spread: float | int) -> Float[np.ndarray, "*P"]:
    """The least weight that any contents leave to the partner, 1 / (1 + (n - 1) e^(B - P)) >= 1 - (n - 1) e^(B - P)."""
    return np.asarray(1 / (1 + (n - 1) * np.exp(spread - np.asarray(bias))))


def sufficient_bias(n: int, spread: float | int) -> float:
    """The bias above which the partner holds more than half of the weight whatever the contents: log(n - 1) + B."""
    return float(np.log(n - 1) + spread)


def break_dimers(sigma: Int8[np.ndarray, "S N"], lattice: Lattice, rng: np.random.Generator) -> Int8[np.ndarray, "S N"]:
    """The configurations with two dimers between patches made parallel, one up and one down: psi = 0, still Sz = 0.

    A configuration in which all these dimers point the same way is left as it is.
    """
    first = dimer_pairs(lattice)[lattice.n_sites // 4 :, 0]
    broken = sigma.copy()
    for row in broken:
        up, down = first[row[first] > 0], first[row[first] < 0]
        if len(up) and len(down):
            row[[rng.choice(up), rng.choice(down)]] *= -1
    return broken


class Sample(NamedTuple):
    """Contents of configurations of the dimer state, and of the same with two broken dimers."""

    support: Contents
    broken: Contents


def make_sample(n: int, spread: float | int, *, count: int = 60, seed: int = 9) -> Sample:
    """About `count` configurations on the square torus of n patches. Raises ValueError unless n is a square >= 4."""
    side = 2 * int(np.sqrt(n))
    if n < 4 or side * side != 4 * n:
        raise ValueError(f"n patches must form a square, n = 4, 9, 16, 25, ...; got {n}.")
    lattice, rng = square(side), np.random.default_rng([seed, n])
    sigma = draw_dimer_state(lattice, 2 * count, rng)
    broken = break_dimers(sigma, lattice, rng)
    both = np.flatnonzero(np.any(broken != sigma, axis=1))[:count]
    return Sample(read_contents(sigma[both], lattice, spread), read_contents(broken[both], lattice, spread))


def costs(contents: Contents, bias: Float[np.ndarray, " P"], threshold: float | int) -> Float[np.ndarray, "P S"]:
    """-log|psi| of the readout per unit of penalty: sum_i relu(|s01 + A_i| - threshold) / (2 - threshold)."""
    alpha = partner_weights(contents, bias)
    fetched = alpha * contents.partner + (1 - alpha) * contents.others
    excess = np.maximum(np.abs(contents.own + fetched) - threshold, 0.0)
    return excess.sum(axis=-1) / (2 - threshold)


def state_error(sample: Sample, bias: Float[np.ndarray, " P"], *, threshold: bool) -> Float[np.ndarray, " P"]:
    """The largest error of an amplitude, in units of the mean amplitude on the support, at most 1, for every bias.

    Exact: 1 on the support and 0 where a dimer is broken. With the threshold at the penalty `STEEP`; without it at the
    best of `PENALTIES`, since a large one punishes the attention that leaks away and a small one spares broken dimers.
    """
    penalties = np.array([STEEP]) if threshold else PENALTIES
    right, wrong = (costs(part, bias, 1.0 if threshold else 0.0)[..., None] * penalties for part in sample)
    shift = right.min(axis=1, keepdims=True)
    mean = np.exp(shift - right).mean(axis=1)
    worst_right = np.abs(np.exp(shift - right) / mean[:, None] - 1).max(axis=1)
    worst_wrong = np.exp(np.minimum(shift[:, 0] - wrong.min(axis=1), 0.0)) / mean
    return np.minimum(np.maximum(worst_right, worst_wrong), 1.0).min(axis=1)
