"""One run of the comparison: train, look at the attention maps on the way, judge the state by the exact one."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Complex, Float

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.comparison.freezing import freeze_test
from nqs_lab.lab.comparison.setting import Problem, Setting, make_model, make_vmc, problem
from nqs_lab.lab.maps import relative_statistics
from nqs_lab.spins.observables import correlations, fidelity
from nqs_lab.vmc.samples import AbstractSampler, Samples

SNAPSHOTS = (0, 2, 5, 10, 20, 30, 45, 60, 80, 100)
"""Steps after which the attention maps are looked at; the last step of a run is always added."""


class Outcome(NamedTuple):
    """A finished run: plain numbers, arrays, and the trained model itself."""

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]
    model: AbstractAnsatz


class MapRecorder(nl.Callback):
    """Collects the attention maps along a run, over |psi|^2 and over all configurations alike."""

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
        # A state carries the amplitudes that its last step started from: weigh them anew.
        samples = _weigh(self.vmc.sampler, state.model, state.samples, self.vmc.chunks(state.model)[0])
        everywhere = eqx.tree_at(lambda s: s.weight, samples, self.vmc.sampler.orbit_size / self.vmc.sampler.n_states)
        self.taken.append(step)
        self.maps.append((*relative_statistics(state.model, samples), *relative_statistics(state.model, everywhere)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Maps by look, block, head and displacement; "_random": over all configurations with equal weight."""
        names = ("map_mean", "map_deviation", "map_mean_random", "map_deviation_random")
        taken = {name: np.stack([look[k] for look in self.maps]) for k, name in enumerate(names)}
        return {"map_steps": np.array(self.taken)} | {name: maps.astype(np.float32) for name, maps in taken.items()}


def train(setting: Setting, *, look: bool = True, callbacks: Sequence[nl.Callback] = ()) -> Outcome:
    """Train one network and judge it; `look=False` leaves out attention maps and freeze test (the tuning runs)."""
    magnet, vmc = problem(setting.j2), make_vmc(setting)
    history = nl.History()
    recorder = MapRecorder((*[s for s in SNAPSHOTS if s < setting.steps], setting.steps) if look else ())
    start = time.perf_counter()
    state = vmc.init(make_model(setting), key=jax.random.key(setting.seed))
    state = nl.run(vmc, state, setting.steps, callbacks=[history, recorder, *callbacks], on_interrupt="raise")
    seconds = time.perf_counter() - start
    stats = nl.measure(vmc, state)
    psi = nl.state_vector(state.model, magnet.basis)
    arrays = {"energy": history["energy"], "variance": history["variance"]}
    numbers = {
        "energy": stats.mean.real,
        "exact": magnet.ground.energy,
        "relative_error": abs(stats.mean.real / magnet.ground.energy - 1),
        "variance": stats.variance,
        "infidelity": 1 - fidelity(psi, magnet.ground.state),
        "sign_accuracy": sign_accuracy(psi, magnet),
        "parameters": nl.count_parameters(state.model),
        "steps": int(state.step),
        "not_finite": int(np.sum(history["finite"] == 0)),
        "seconds": round(seconds, 1),
        "step_seconds": round(float(np.median(history["seconds"][2:])), 4) if setting.steps > 2 else None,
    }
    if look:
        arrays |= recorder.arrays()
        arrays["correlations"] = correlations(psi, magnet.basis)
        arrays["weights"] = np.asarray(ravel_pytree(eqx.filter(state.model, eqx.is_inexact_array))[0])
        losses = freeze_test(state.model, recorder.maps[-1][0], magnet)
        numbers["freeze"] = {name: loss._asdict() for name, loss in losses.items()}
    return Outcome(numbers, arrays, state.model)


def sign_accuracy(psi: Complex[np.ndarray, " D"], magnet: Problem) -> float:
    """Weight of the configurations whose sign agrees with the exact one, sum |psi_exact|^2 [Re(psi) psi_exact > 0].

    The free global phase of psi is the one that maximises the overlap; 1 means every sign right, 1/2 is guessing.
    """
    exact = magnet.ground.state
    overlap = np.vdot(psi, exact)
    phase = overlap / abs(overlap) if abs(overlap) > 0 else 1.0
    return float(np.sum(np.abs(exact[np.real(psi * phase) * exact > 0]) ** 2))


def with_weights(setting: Setting, weights: Float[np.ndarray, " P"]) -> AbstractAnsatz:
    """The trained model of a setting from its stored weights. Raises ValueError if their number does not fit."""
    model = make_model(setting)
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)
    if flat.shape != weights.shape:
        raise ValueError(f"{setting.name} has {flat.size} parameters, got {weights.size} weights.")
    return eqx.combine(unravel(jax.numpy.asarray(weights, flat.dtype)), rest)


@eqx.filter_jit
def _weigh(sampler: AbstractSampler, model: AbstractAnsatz, samples: Samples, chunk_size: int) -> Samples:
    """The samples under the current network, compiled."""
    return sampler.step(model, samples, chunk_size=chunk_size)
