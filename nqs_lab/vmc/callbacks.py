"""What a run tells while it goes: history, progress, early stop. Callbacks collect, so they are ordinary objects."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm.auto import tqdm

from nqs_lab.vmc.estimate import with_error


@dataclass(frozen=True)
class StepRecord:
    """One step in host numbers. `energy` is the total energy (real part, units of J1) before the step's update."""

    step: int
    energy: float
    energy_imag: float
    error: float
    variance: float
    acceptance: float
    step_norm: float
    seconds: float
    finite: bool
    fallback: bool
    float32: bool
    n_sites: int
    n_samples: int


def make_record(info: Any, step: int, n_sites: int, n_samples: int, start: float) -> StepRecord:
    """The host record of a StepInfo; `start` is the clock (perf_counter) at the beginning of the step."""
    energy = complex(info.energy)
    return StepRecord(
        step=step,
        energy=energy.real,
        energy_imag=energy.imag,
        error=float(info.error),
        variance=float(info.variance),
        acceptance=float(info.acceptance),
        step_norm=float(info.step_norm),
        seconds=time.perf_counter() - start,
        finite=bool(info.finite),
        fallback=bool(info.fallback),
        float32=bool(info.float32),
        n_sites=n_sites,
        n_samples=n_samples,
    )


class Callback:
    """Hooks of a run; override what you need. `save_state`/`load_state` let a Checkpoint carry what was collected.

    A callback with `last = True` is called after those without.
    """

    last = False

    def on_start(self, vmc: Any, state: Any, n_steps: int, callbacks: Sequence["Callback"]) -> None:
        """Before the first step; `callbacks` are all of the run, this one included."""

    def on_step(self, record: StepRecord, state: Any) -> bool | None:
        """After every step; True stops the run."""

    def on_end(self, state: Any) -> None:
        """After the last step, also after an error or Ctrl-C."""

    def save_state(self) -> dict[str, np.ndarray]:
        """What a checkpoint must keep of this callback, as arrays."""
        return {}

    def load_state(self, saved: dict[str, np.ndarray]) -> None:
        """Take back what `save_state` gave."""


class History(Callback):
    """Every step's numbers: history["energy"] (total, real, units of J1), "error", "variance", "acceptance", "seconds",
    "step_norm", "finite", "fallback", "float32", "step", "energy_imag"; energies are those before the step's update.
    """

    FIELDS = tuple(name for name in StepRecord.__dataclass_fields__ if name not in ("n_sites", "n_samples"))

    def __init__(self):
        self._rows: list[tuple] = []

    def on_step(self, record: StepRecord, state: Any) -> None:
        """Keep the record."""
        values = asdict(record)
        self._rows.append(tuple(values[name] for name in self.FIELDS))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> Float[np.ndarray, " steps"]:
        if name not in self.FIELDS:
            raise KeyError(f"{name!r} is not recorded; choose from {', '.join(self.FIELDS)}.")
        return np.array([row[self.FIELDS.index(name)] for row in self._rows], np.float64)

    def save_state(self) -> dict[str, np.ndarray]:
        """The table, one row a step."""
        return {"rows": np.array(self._rows, np.float64).reshape(len(self._rows), len(self.FIELDS))}

    def load_state(self, saved: dict[str, np.ndarray]) -> None:
        """Replace what was collected."""
        self._rows = [tuple(row) for row in np.asarray(saved["rows"]).tolist()]


class ProgressBar(Callback):
    """A bar in the terminal or the notebook; says "compiling" until the first step is back, then counts steps taken.

    `reference`: exact total energy (units of J1), shown as the relative error beside the energy per site.
    """

    def __init__(self, reference: float | int | None = None, *, label: str = "", disable: bool = False):
        self.reference, self.label, self.disable = reference, label, disable
        self._bar: Any = None

    def on_start(self, vmc: Any, state: Any, n_steps: int, callbacks: Sequence[Callback]) -> None:
        """Open the bar."""
        text = f"{self.label}: " if self.label else ""
        self._bar = tqdm(total=n_steps, desc=f"{text}compiling (once)", disable=self.disable, dynamic_ncols=True)
        self._first, self._rejected = True, 0

    def on_step(self, record: StepRecord, state: Any) -> None:
        """Show energy per site, its error, and the distance to the reference."""
        if self._first:
            self._first = False
            self._bar.set_description_str(self.label or "VMC")
            self._bar.start_t = self._bar.last_print_t = (
                time.time()
            )  # the rate shown is that of steps, not of compiling
        self._rejected += not record.finite
        sites = record.n_sites
        text = f"E/N = {with_error(record.energy / sites, record.error / sites)} J1"
        if self.reference is not None:
            text += (
                f", exact {self.reference / sites:.6f}, rel. error {relative_error(record.energy, self.reference):.1e}"
            )
        if self._rejected:
            text += f", {self._rejected} steps rejected"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def on_end(self, state: Any) -> None:
        """Close the bar with its last numbers."""
        self._bar.close()


class EarlyStop(Callback):
    """Stop when the relative error to `reference` (total energy) falls below `target`, or when the energy has not
    improved by more than its error for `patience` steps.

    Raises ValueError if neither is given, or target comes without reference.
    """

    def __init__(
        self, *, reference: float | int | None = None, target: float | int | None = None, patience: int | None = None
    ):
        if target is None and patience is None:
            raise ValueError("EarlyStop needs reference= with target= (a relative error), or patience= (steps).")
        if target is not None and reference is None:
            raise ValueError("target is a relative error and needs reference=, the exact total energy.")
        self.reference, self.target, self.patience = reference, target, patience
        self.best, self.since = np.inf, 0

    def on_step(self, record: StepRecord, state: Any) -> bool:
        """True once the target is met or patience is spent."""
        if not record.finite:
            return False
        if self.target is not None and self.reference is not None:
            if relative_error(record.energy, self.reference) < self.target:
                return True
        self.since += 1
        if record.energy < self.best - record.error:
            self.best, self.since = record.energy, 0
        return self.patience is not None and self.since >= self.patience

    def save_state(self) -> dict[str, np.ndarray]:
        """The best energy and the steps since."""
        return {"best": np.array(self.best), "since": np.array(self.since)}

    def load_state(self, saved: dict[str, np.ndarray]) -> None:
        """Go on counting from there."""
        self.best, self.since = float(saved["best"]), int(saved["since"])


def relative_error(energy: float, reference: float) -> float:
    """|E - E0| / |E0|."""
    return abs(energy - reference) / abs(reference)
