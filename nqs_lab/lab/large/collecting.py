"""Fresh samples of a state that does not move any more, collected so that a kill loses little."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Int8

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.filling import TimeIsUp
from nqs_lab.lab.large.clock import Clock
from nqs_lab.vmc.driver import draws
from nqs_lab.vmc.estimate import statistics
from nqs_lab.vmc.samples import Samples

KEEP_EVERY = 40.0
"""Seconds between two writings of what has been collected."""


class Collected(NamedTuple):
    """Fresh samples: configurations, log psi and local energies (total, units of J1) by draw and chain."""

    sigma: Int8[np.ndarray, "draws chains N"]
    log_psi: Complex[np.ndarray, "draws chains"]
    e_loc: Complex[np.ndarray, "draws chains"]

    @property
    def energy(self) -> nl.Stats:
        """What `nl.measure` returns."""
        return statistics(self.e_loc)


def start_from(samples: Samples, chains: int, key: int) -> Samples:
    """The first `chains` chains of another state's samples, with random numbers of their own (numbered `key`).

    A good start where the two states are similar; the first sweeps are thrown away.
    """
    if chains > len(samples.sigma):
        raise ValueError(f"expected at most {len(samples.sigma)} chains, the samples to start from, got {chains}.")
    weight = jnp.full((chains,), 1 / chains, jnp.float64)
    own = jax.random.fold_in(samples.key, key)
    return Samples(samples.sigma[:chains], samples.log_psi[:chains], weight, own, samples.acceptance)


def collect(
    vmc: nl.VMC, model: AbstractAnsatz, samples: Samples, count: int, *, discard: int, file: Path, clock: Clock
) -> Collected:
    """`count` draws of every chain at fixed parameters, one sweep apart, after `discard` that are thrown away.

    With samples = state.samples and discard = 1 these are the draws of `nl.measure`. What is collected is kept in
    `file` and taken up again. Raises TimeIsUp, after writing, when the clock says so; ValueError for a file that
    cannot be read or was made with other sizes.
    """
    shape = (count, *samples.sigma.shape)
    kept: dict[str, Any] = {
        "samples": samples,
        "done": np.array(0),
        "sigma": np.zeros(shape, np.int8),
        "log_psi": np.zeros(shape[:2], np.complex128),
        "e_loc": np.zeros(shape[:2], np.complex128),
    }
    if file.exists():
        kept = nl.store.load(file, kept)
    written = time.monotonic()
    try:
        while int(kept["done"]) < discard + count:
            if clock.over:
                raise TimeIsUp(f"{file.stem}: stopped after {int(kept['done'])} of {discard + count} draws")
            _draw_once(vmc, model, kept, discard)
            if time.monotonic() - written > KEEP_EVERY:
                nl.store.save(file, kept)
                written = time.monotonic()
    finally:
        nl.store.save(file, kept)
    return Collected(kept["sigma"], kept["log_psi"], kept["e_loc"])


def _draw_once(vmc: nl.VMC, model: AbstractAnsatz, kept: dict[str, Any], discard: int) -> None:
    """One more sweep; `done` and the samples move on together, last, so that a Ctrl-C in between repeats the draw."""
    ((samples, e_loc),) = draws(vmc, model, kept["samples"], 1)
    row = int(kept["done"]) - discard
    if row >= 0:
        kept["sigma"][row], kept["log_psi"][row] = np.asarray(samples.sigma), np.asarray(samples.log_psi)
        kept["e_loc"][row] = np.asarray(e_loc)
    kept |= {"samples": samples, "done": np.array(int(kept["done"]) + 1)}


def with_chains(vmc: nl.VMC, chains: int) -> nl.VMC:
    """The same optimisation with another number of Markov chains."""
    return nl.VMC(vmc.ham, nl.ExchangeSampler(vmc.ham, n_chains=chains), vmc.preconditioner, vmc.optimiser)


def some_draws(collected: Collected, count: int) -> Collected:
    """So many of the draws, evenly spread over all; all of them where there are fewer."""
    most = len(collected.sigma)
    chosen = np.linspace(0, most - 1, min(count, most)).round().astype(int)
    return Collected(collected.sigma[chosen], collected.log_psi[chosen], collected.e_loc[chosen])


def as_samples(collected: Collected) -> Samples:
    """All of them in one list with equal weights, draw by draw."""
    sigma, log_psi = collected.sigma.reshape(-1, collected.sigma.shape[-1]), collected.log_psi.reshape(-1)
    weight = np.full(len(sigma), 1 / len(sigma))
    rows = jnp.asarray(sigma), jnp.asarray(log_psi), jnp.asarray(weight)
    return Samples(*rows, jax.random.key(0), jnp.ones((), jnp.float64))
