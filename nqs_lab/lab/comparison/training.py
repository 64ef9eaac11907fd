"""One run of the comparison: train, look at the attention maps on the way, judge the state by the exact one."""

import time
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Complex, Float

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.comparison.freezing import freeze_test
from nqs_lab.lab.comparison.setting import Problem, Setting, make_model, make_vmc, problem
from nqs_lab.lab.recorder import MapRecorder as MapRecorder
from nqs_lab.lab.shelf import Outcome as Outcome
from nqs_lab.lab.weights import flat_weights, with_flat_weights
from nqs_lab.spins.observables import correlations, fidelity

SNAPSHOTS = (0, 2, 5, 10, 20, 30, 45, 60, 80, 100)
"""Steps after which the attention maps are looked at; the last step of a run is always added."""


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
        arrays["weights"] = flat_weights(state.model)
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
    return with_flat_weights(make_model(setting), weights, setting.name)
