"""What the explorer of notebook 08 shows: a shipped run, or one that is being trained here, in one shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

import nqs_lab as nl
from nqs_lab.lab.comparison.inputs import Course, course
from nqs_lab.lab.comparison.pairing import Contender, by_seed
from nqs_lab.lab.comparison.setting import (
    J2_GRID,
    TYPES,
    UNSIGNED_J2,
    Setting,
    default_sign,
    grid_settings,
    make_model,
    make_vmc,
    problem,
)
from nqs_lab.lab.comparison.training import SNAPSHOTS
from nqs_lab.lab.recorder import MapRecorder
from nqs_lab.lab.results import J2Point, load_j2_scan
from nqs_lab.lab.shelf import Row, Shelf
from nqs_lab.spins.observables import correlations, fidelity

SHIPPED, OWN = "shipped", "trained here"
FALLBACK = (0.1, 1e-3)
"""Rate and shift of a live run where no run of its type is on the shelf."""


class View(NamedTuple):
    """One run as it is shown. Energies are totals (units of J1): before every step, and `final` (None: not there yet).

    `maps_mean`, `maps_deviation` (looks, depth, h, n) at `steps`; `correlations`: C(r) of the trained state by site.
    """

    setting: Setting
    origin: str
    curve: Float[np.ndarray, " taken"]
    final: float | None
    infidelity: float | None
    steps: Int[np.ndarray, " looks"]
    maps_mean: Float[np.ndarray, "looks depth h n"]
    maps_deviation: Float[np.ndarray, "looks depth h n"]
    course: Course
    correlations: Float[np.ndarray, " N"] | None

    def energy_at(self, step: int) -> float | None:
        """Total energy after so many steps."""
        if step < len(self.curve):
            return float(self.curve[step])
        return self.final


class Progress(NamedTuple):
    """What a live training tells after a step: steps done, energies and maps so far, and at the end the judgement."""

    step: int
    curve: Float[np.ndarray, " taken"]
    arrays: dict[str, np.ndarray]
    final: dict[str, Any] | None


Trainer = Callable[[Setting, Callable[[Progress], bool]], None]
"""Trains a setting and tells about every step; where the answer is False it ends before the next one."""


def exact(j2: float) -> J2Point:
    """The exact ground state of the 4x4 torus: energy and correlations, shipped in steps of 0.01."""
    return load_j2_scan().at(j2)


def view_of(setting: Setting, arrays: dict[str, np.ndarray], numbers: dict[str, Any] | None, origin: str) -> View:
    """A run in the shape of the explorer; `numbers` is None while it is being trained."""
    return View(
        setting,
        origin,
        np.asarray(arrays["energy"], np.float64),
        None if numbers is None else float(numbers["energy"]),
        None if numbers is None else float(numbers["infidelity"]),
        np.asarray(arrays["map_steps"], np.int64),
        np.asarray(arrays["map_mean"], np.float64),
        np.asarray(arrays["map_deviation"], np.float64),
        course(arrays),
        None if "correlations" not in arrays else np.asarray(arrays["correlations"], np.float64),
    )


def find_row(shelf: Shelf[Setting], setting: Setting) -> Row[Setting] | None:
    """The shipped run with this type, coupling, sign rule and seed, whatever its rate and length."""
    return by_seed(shelf.rows, Contender(setting.attention), setting.j2, setting.sign).get(setting.seed)


def tuned(shelf: Shelf[Setting], kind: str) -> tuple[float, float]:
    """Rate and shift that the shipped runs of a type have; FALLBACK where there is none."""
    return next(((r.setting.rate, r.setting.diag_shift) for r in shelf.rows if r.setting.attention == kind), FALLBACK)


def why_missing(shelf: Shelf[Setting], setting: Setting) -> str:
    """What to say about a setting that is not on the shelf: planned but not trained yet, or off the grid."""
    planned = {s.name for s in grid_settings(dict.fromkeys(TYPES, FALLBACK))}
    if any(abs(setting.j2 - j2) < 1e-9 for j2 in J2_GRID) and setting.name in planned:
        return (
            f"this run is planned but not on the shelf yet; all of them are trained by: {shelf.command}. "
            "Or train this one here."
        )
    without, sign = ", ".join(f"{j2:g}" for j2 in UNSIGNED_J2), setting.sign
    return (
        f"J2 = {setting.j2:g} with the sign rule {sign} is off the shipped grid. Shipped: J2 = 0, 0.1, ..., 1 with the "
        f"default rule (here {default_sign(setting.j2)}), and without a rule at {without}. Or train it here."
    )


def train_live(setting: Setting, tell: Callable[[Progress], bool]) -> None:
    """Train on the 4x4 torus by full summation and tell about every step; ends within a step once `tell` says so."""
    magnet, vmc = problem(setting.j2), make_vmc(setting)
    history, recorder = nl.History(), MapRecorder([*[s for s in SNAPSHOTS if s < setting.steps], setting.steps])
    watcher = _Watcher(history, recorder, tell)
    state = vmc.init(make_model(setting), key=jax.random.key(setting.seed))
    state = nl.run(vmc, state, setting.steps, callbacks=[history, recorder, watcher])
    if watcher.stopped or int(state.step) < setting.steps:
        return
    psi = nl.state_vector(state.model, magnet.basis)
    final = {
        "energy": nl.measure(vmc, state).mean.real,
        "infidelity": 1 - fidelity(psi, magnet.ground.state),
        "correlations": correlations(psi, magnet.basis),
    }
    tell(Progress(setting.steps, history["energy"], recorder.arrays(), final))


class _Watcher(nl.Callback):
    """Passes every step on, after the others have seen it."""

    last = True

    def __init__(self, history: nl.History, recorder: MapRecorder, tell: Callable[[Progress], bool]):
        self.history, self.recorder, self.tell, self.stopped = history, recorder, tell, False

    def on_step(self, record: Any, state: Any) -> bool:
        """True ends the run."""
        self.stopped = not self.tell(Progress(record.step, self.history["energy"], self.recorder.arrays(), None))
        return self.stopped
