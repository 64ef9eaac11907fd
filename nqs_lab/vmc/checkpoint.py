"""Runs that survive: atomic checkpoints with everything needed to go on bit for bit."""

import hashlib
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nqs_lab import store
from nqs_lab.vmc.callbacks import Callback, StepRecord
from nqs_lab.vmc.driver import VMC, VMCState


class Checkpoint(Callback):
    """Write the state, and what the other callbacks of the run collected, every `every` steps and at the end.

    With `seconds` also after the first step that ends so long after the last writing: then a kill loses little time,
    however slow a step is.

    The file at `path` is always complete (see `nqs_lab.store.save`). A write that fails (full disk, read-only folder)
    is a RuntimeWarning, not the end of the run. `resume` reads it back.
    Raises ValueError for every < 1 or seconds <= 0.
    """

    last = True

    def __init__(self, path: str | os.PathLike, *, every: int = 50, seconds: float | int | None = None):
        if every < 1:
            raise ValueError(f"every must be a number of steps >= 1, got {every}.")
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds must be positive or None, got {seconds}.")
        self.path, self.every, self.seconds = Path(path), every, seconds
        self._vmc: Any = None
        self._others: Sequence[Callback] = ()
        self._written, self._last = -1, time.monotonic()

    def on_start(self, vmc: Any, state: Any, n_steps: int, callbacks: Sequence[Callback]) -> None:
        """Remember whose state to keep."""
        self._vmc, self._written, self._last = vmc, -1, time.monotonic()
        self._others = _collectors(callbacks)

    def on_step(self, record: StepRecord, state: Any) -> None:
        """Write when it is time."""
        due = self.seconds is not None and time.monotonic() - self._last >= self.seconds
        if due or record.step % self.every == 0:
            self._write(state)

    def on_end(self, state: Any) -> None:
        """Write what came after the last time."""
        if int(state.step) != self._written:
            self._write(state)

    def _write(self, state: Any) -> None:
        """One atomic file; a failure is reported and the run goes on."""
        self._last = time.monotonic()
        collected = [callback.save_state() for callback in self._others]
        shapes = [{name: [list(a.shape), str(a.dtype)] for name, a in saved.items()} for saved in collected]
        kinds = [type(callback).__name__ for callback in self._others]
        header = {"step": int(state.step), "hamiltonian": fingerprint(self._vmc), "callbacks": kinds, "shapes": shapes}
        try:
            store.save(self.path, {"state": state, "callbacks": collected}, header=header)
            self._written = int(state.step)
        except OSError as error:
            warnings.warn(
                f"the checkpoint {self.path.name} could not be written at step {int(state.step)} ({error}); the run "
                "goes on. Free some space or choose another folder.",
                RuntimeWarning,
                stacklevel=2,
            )


def resume(path: str | os.PathLike, vmc: VMC, state: VMCState, *, callbacks: Sequence[Callback] = ()) -> VMCState:
    """The state of a checkpoint, and its callbacks' collections put back; run on from it with `run`.

    - `state`: a fresh `vmc.init(model, key=...)` of the same model and sampler: gives structure and static settings.
    - `callbacks`: those that collect (History, EarlyStop), of the same kinds and in the same order as in the run
      that wrote the file; each gets its state back.
    On the same machine and versions the resumed run equals the uninterrupted one bit for bit.
    Raises FileNotFoundError; ValueError for a damaged or foreign file, another model, Hamiltonian or set of callbacks.
    """
    header = store.read_header(path)["header"]
    if not {"step", "hamiltonian", "callbacks", "shapes"} <= set(header):
        raise ValueError(f"{path} is no checkpoint of a run (its header has {sorted(header)}): give the file that "
                         "nl.Checkpoint wrote.")  # fmt: skip
    if header["hamiltonian"] != fingerprint(vmc):
        raise ValueError(
            f"{path} was written by a run with another Hamiltonian (bonds or couplings differ): build the same one, or "
            "start afresh from its model."
        )
    others = _collectors(callbacks)
    kinds = [type(callback).__name__ for callback in others]
    if others and kinds != header["callbacks"]:
        raise ValueError(
            f"{path} keeps the state of callbacks {header['callbacks']}, got {kinds}: pass the same, in order."
        )
    blank = [
        {name: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in saved.items()}
        for saved in header["shapes"]
    ]
    loaded = store.load(path, {"state": state, "callbacks": blank})
    for callback, saved in zip(others, loaded["callbacks"], strict=False):
        callback.load_state({name: np.asarray(array) for name, array in saved.items()})
    return loaded["state"]


def _collectors(callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks that have something to keep."""
    return [callback for callback in callbacks if callback.save_state()]


def fingerprint(vmc: VMC) -> str:
    """SHA-256 of the bonds and couplings."""
    digest = hashlib.sha256()
    for array in (vmc.ham.bonds, vmc.ham.coupling):
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()
