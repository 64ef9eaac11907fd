"""A whole run: train, measure, and everything that is kept of it."""

from pathlib import Path
from typing import Any

import numpy as np

import nqs_lab as nl
from nqs_lab.lab.comparison.freezing import freeze_test
from nqs_lab.lab.comparison.training import sign_accuracy
from nqs_lab.lab.large.clock import Clock
from nqs_lab.lab.large.correlating import exact_correlations
from nqs_lab.lab.large.measuring import Effort, correlation_arrays, energy_numbers, measure_sampled, order_numbers
from nqs_lab.lab.large.reference import Reference, reference
from nqs_lab.lab.large.setting import Setting, make_model, solved
from nqs_lab.lab.large.training import Trained, train
from nqs_lab.lab.maps import input_dependence, network
from nqs_lab.lab.shelf import Outcome
from nqs_lab.lab.weights import flat_weights, with_flat_weights
from nqs_lab.spins.observables import fidelity


def run(setting: Setting, folder: Path, clock: Clock, *, effort: Effort | None = None) -> Outcome:
    """Train one network, or go on with it, and measure it; all that is under way is kept in `folder`.

    `effort`: how many fresh samples, `usual_effort` if not given.
    Raises TimeIsUp or KeyboardInterrupt as `train` does: the same call goes on, and ends where it would have ended.
    ValueError for a folder with another run in it, or files that cannot be read.
    """
    exact = reference(setting)
    trained = train(setting, folder, clock, reference=exact.energy)
    numbers, arrays = _course(setting, trained)
    if setting.chains:
        more, also = measure_sampled(setting, trained, exact, folder, clock, effort or usual_effort(setting))
    else:
        more, also = measure_summed(setting, trained, exact)
    arrays |= also | {"weights": flat_weights(trained.state.model)}
    return Outcome(numbers | more, arrays, trained.state.model)


def usual_effort(setting: Setting) -> Effort:
    """Fresh samples so that measuring takes a small part of the time of training: fewer on long rings."""
    return Effort() if setting.patch > 1 else Effort(draws=32, freeze_draws=8)


def _course(setting: Setting, trained: Trained) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the training itself says: steps, seconds, the curve, the attention maps along it."""
    history, state = trained.history, trained.state
    arrays = {"energy": history["energy"]}
    arrays |= {name: history[name].astype(np.float32) for name in ("error", "variance", "acceptance", "seconds")}
    arrays |= trained.recorder.arrays()
    numbers = {
        "parameters": nl.count_parameters(state.model),
        "tokens": len(network(state.model).patches),
        "steps": int(state.step),
        "not_finite": int(np.sum(history["finite"] == 0)),
        "seconds": round(float(history["seconds"].sum()), 1),
        "step_seconds": round(float(np.median(history["seconds"])), 4),
        "input_dependence": {
            "first": input_dependence(*trained.recorder.maps[0][:2]).tolist(),
            "last": input_dependence(*trained.recorder.maps[-1][:2]).tolist(),
        },
    }
    return numbers, arrays


def measure_summed(
    setting: Setting, trained: Trained, exact: Reference
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and arrays of a state that fits into memory, all exact: the last maps of the run are what is frozen."""
    magnet, model = solved(setting.lattice, setting.j2), trained.state.model
    psi = nl.state_vector(model, magnet.basis)
    numbers = energy_numbers(nl.measure(trained.vmc, trained.state), exact.energy, magnet.lattice.n_sites)
    numbers["infidelity"] = 1 - fidelity(psi, magnet.ground.state)
    numbers["sign_accuracy"] = sign_accuracy(psi, magnet)
    found = exact_correlations(psi, magnet.basis, magnet.lattice)
    numbers["order"] = order_numbers(found, magnet.lattice, exact)
    rows, deviation = trained.recorder.maps[-1][:2]
    losses = freeze_test(model, rows, magnet)
    numbers["freeze"] = {
        name: loss._asdict() | {"lost": loss.energy - numbers["energy"]} for name, loss in losses.items()
    }
    arrays = correlation_arrays(found) | {"rows": rows.astype(np.float32), "deviation": deviation.astype(np.float32)}
    return numbers, arrays


def trained_model(setting: Setting, weights: np.ndarray) -> nl.AbstractAnsatz:
    """The trained model of a setting from its shipped weights. Raises ValueError if their number does not fit."""
    return with_flat_weights(make_model(setting), weights, setting.name)
