"""The loop around the steps: batches, looks at a fixed held-out set, checkpoints, and Ctrl-C that loses nothing."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from nqs_lab import store
from nqs_lab.language.batches import Batch, batch_at
from nqs_lab.language.training import Recipe, StepInfo, TrainState, judge, train_step


class Material(NamedTuple):
    """What is read: tokens to learn from, and fixed pieces of the held-out text, the same for every model and seed."""

    tokens: Int[np.ndarray, " length"]
    held_out: Batch

    def digest(self) -> str:
        """SHA-256 of all of it."""
        arrays = (self.tokens, *self.held_out)
        return hashlib.sha256(b"".join(np.ascontiguousarray(a, np.int32).tobytes() for a in arrays)).hexdigest()


class Fitted(NamedTuple):
    """A run as far as it went: its state, seconds in steps and evaluations so far, and the median second of a step."""

    state: TrainState
    seconds: float
    step_seconds: float


OnStep = Callable[[TrainState, StepInfo], Any]


def fit(
    state: TrainState,
    recipe: Recipe,
    material: Material,
    key: PRNGKeyArray,
    *,
    until: int | None = None,
    keep: str | os.PathLike | None = None,
    every: float | int = 30.0,
    on_step: OnStep | None = None,
) -> Fitted:
    """Train from a state to the end of the recipe, or until step `until`.

    Batches are a function of key and step (`batches.batch_at`), so that a run that was stopped sees what it would have
    seen. Arguments: `keep`: a file for checkpoints, written every `every` seconds, at the end and on Ctrl-C; if it is
    there, the run goes on from it. `on_step(state, info)`: after every step; True ends the run there.

    **Raises** ValueError for a checkpoint of another run; KeyboardInterrupt on Ctrl-C, after the checkpoint.
    """
    sign, spent, times = _sign(recipe, material, key), 0.0, []
    if keep is not None and Path(keep).exists():
        state, spent = load_checkpoint(keep, state, sign)
    last = recipe.steps if until is None else min(until, recipe.steps)
    begin = told = time.perf_counter()
    try:
        state = _look(state, recipe, material)
        while int(state.step) < last:
            begun = time.perf_counter()
            batch = batch_at(material.tokens, material.held_out.inputs.shape[1], recipe.batch, key, int(state.step))
            state, info = train_step(state, recipe, batch)
            info.loss.block_until_ready()
            times.append(time.perf_counter() - begun)
            state = _look(state, recipe, material)
            if keep is not None and time.perf_counter() - told > every:
                _try_to_save(keep, state, sign, spent + time.perf_counter() - begin)
                told = time.perf_counter()
            if on_step is not None and on_step(state, info):
                break
    finally:  # also on Ctrl-C: `state` is always a state between two steps
        spent += time.perf_counter() - begin
        if keep is not None:
            _try_to_save(keep, state, sign, spent)
    return Fitted(state, spent, float(np.median(times[2:])) if len(times) > 2 else float("nan"))


def _look(state: TrainState, recipe: Recipe, material: Material) -> TrainState:
    """Judge the model if it is time and was not done."""
    step = int(state.step)
    if step not in recipe.looks:
        return state
    place = recipe.looks.index(step)
    if not np.isnan(state.judged[place]):
        return state
    value = float(np.mean(judge(state.model, material.held_out), dtype=np.float64))
    judged = state.judged.at[place].set(jnp.asarray(value, jnp.float32))
    return eqx.tree_at(lambda s: s.judged, state, judged)


def save_checkpoint(path: str | os.PathLike, state: TrainState, sign: dict[str, Any], seconds: float) -> None:
    """The state in one file, atomically, with what it belongs to."""
    store.save(path, state, header={"step": int(state.step), "seconds": seconds, "run": sign})


def load_checkpoint(path: str | os.PathLike, like: TrainState, sign: dict[str, Any]) -> tuple[TrainState, float]:
    """The state in a file and the seconds it took; `like`: a fresh `start` of the same model and recipe.

    **Raises** ValueError for a damaged file, another model, recipe, text or seed.
    """
    header = store.read_header(path)["header"]
    if header.get("run") != sign:
        found = header.get("run") or {}
        other = [name for name in sign if found.get(name) != sign[name]]
        raise ValueError(
            f"{path} is the checkpoint of another run (its {', '.join(other)} differ): give the same settings, or "
            "another file."
        )
    return store.load(path, like), float(header["seconds"])


def checkpoint_step(path: str | os.PathLike) -> int:
    """Steps done in a checkpoint. **Raises** ValueError for a file that is none."""
    header = store.read_header(path)["header"]
    if "run" not in header:
        raise ValueError(f"{path} is no checkpoint of a language model.")
    return int(header["step"])


def _sign(recipe: Recipe, material: Material, key: PRNGKeyArray) -> dict[str, Any]:
    """What makes a run this one, as plain JSON."""
    data = np.asarray(jax.random.key_data(key)).tolist()
    return json.loads(json.dumps({"recipe": asdict(recipe), "text": material.digest(), "batches": data}))


def _try_to_save(path: str | os.PathLike, state: TrainState, sign: dict[str, Any], seconds: float) -> None:
    """A disk that is full must not end a run."""
    try:
        save_checkpoint(path, state, sign, seconds)
    except OSError as error:
        warnings.warn(
            f"the checkpoint {Path(path).name} could not be written at step {int(state.step)} ({error}); the run "
            "goes on. Free some space or choose another folder.",
            RuntimeWarning,
            stacklevel=3,
        )
