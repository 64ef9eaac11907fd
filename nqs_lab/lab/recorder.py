"""Attention maps along a run: a callback that looks at the network after chosen steps."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.maps import relative_statistics
from nqs_lab.vmc.driver import draws
from nqs_lab.vmc.samples import AbstractSampler, Samples

NAMES = ("map_mean", "map_deviation", "map_mean_random", "map_deviation_random")


class MapRecorder(nl.Callback):
    """Collects the attention maps after chosen steps, over |psi|^2 and over all configurations alike.

    With a full summation both are exact; with Markov chains the first are over one fresh sweep of all chains, the
    second over as many random configurations of the same magnetisation. Training does not notice. A Checkpoint keeps
    what was collected. Raises ValueError, at the first look, if there is no ViT in the model.
    """

    def __init__(self, steps: Sequence[int]):
        self.steps = set(steps)
        self.taken: list[int] = []
        self.maps: list[tuple[np.ndarray, ...]] = []

    def on_start(self, vmc: Any, state: Any, n_steps: int, callbacks: Sequence[nl.Callback]) -> None:
        """The first look, before any step."""
        del n_steps, callbacks
        self.vmc = vmc
        self._look(state)

    def on_step(self, record: Any, state: Any) -> None:
        """A look after each of the chosen steps."""
        self._look(state)

    def _look(self, state: nl.VMCState) -> None:
        """Mean and deviation of the weights of the current network."""
        step = int(state.step)
        if step not in self.steps or step in self.taken:
            return
        weighted, anything = _summed(self.vmc, state) if self.vmc.sampler.exact else _sampled(self.vmc, state)
        self.taken.append(step)
        self.maps.append((*relative_statistics(state.model, weighted), *relative_statistics(state.model, anything)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Maps by look, block, head and displacement; "_random": over all configurations with equal weight."""
        taken = {name: np.stack([look[k] for look in self.maps]) for k, name in enumerate(NAMES)}
        return {"map_steps": np.array(self.taken)} | {name: maps.astype(np.float32) for name, maps in taken.items()}

    def save_state(self) -> dict[str, np.ndarray]:
        """The looks taken so far."""
        kept = {name: np.array([look[k] for look in self.maps], np.float64) for k, name in enumerate(NAMES)}
        return {"map_steps": np.array(self.taken, np.int64)} | kept

    def load_state(self, saved: dict[str, np.ndarray]) -> None:
        """Go on from there."""
        self.taken = saved["map_steps"].tolist()
        self.maps = list(zip(*(saved[name] for name in NAMES), strict=True))


def _summed(vmc: nl.VMC, state: nl.VMCState) -> tuple[Samples, Samples]:
    """All configurations, weighted by |psi|^2 and evenly."""
    # A state carries the amplitudes that its last step started from: weigh them anew.
    samples = _weigh(vmc.sampler, state.model, state.samples, vmc.chunks(state.model)[0])
    evenly = vmc.sampler.orbit_size / vmc.sampler.n_states  # pyright: ignore[reportAttributeAccessIssue]
    return samples, eqx.tree_at(lambda s: s.weight, samples, evenly)


def _sampled(vmc: nl.VMC, state: nl.VMCState) -> tuple[Samples, Samples]:
    """One fresh sweep of all chains under the current network, and the same spins shuffled over the sites."""
    # Keys of its own, made from that of the state: the random numbers of the training stay what they were.
    fresh, shuffle = jax.random.split(jax.random.fold_in(state.samples.key, 1))
    ((samples, _),) = draws(vmc, state.model, eqx.tree_at(lambda s: s.key, state.samples, fresh), 1)
    sigma = jax.vmap(jax.random.permutation)(jax.random.split(shuffle, len(samples.sigma)), samples.sigma)
    return samples, eqx.tree_at(lambda s: s.sigma, samples, sigma)


@eqx.filter_jit
def _weigh(sampler: AbstractSampler, model: AbstractAnsatz, samples: Samples, chunk_size: int) -> Samples:
    """The samples under the current network, compiled."""
    return sampler.step(model, samples, chunk_size=chunk_size)
