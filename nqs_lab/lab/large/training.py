"""One training run that can be stopped at any moment and goes on bit for bit."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import nqs_lab as nl
from nqs_lab.lab.filling import TimeIsUp
from nqs_lab.lab.large.clock import Clock, progress
from nqs_lab.lab.large.setting import Setting, make_model, make_vmc
from nqs_lab.lab.recorder import MapRecorder
from nqs_lab.vmc.driver import MAX_REJECTED

LOOKS = 10
"""How often the attention maps are looked at, besides before the first step."""
CHECKPOINT, SETTING = "checkpoint.npz", "setting.json"
KEEP_EVERY = 40.0
"""Seconds between two checkpoints."""


class Trained(NamedTuple):
    """What a training run leaves: its last state, every step's numbers, and the attention maps along it."""

    vmc: nl.VMC
    state: nl.VMCState
    history: nl.History
    recorder: MapRecorder


def look_steps(steps: int) -> tuple[int, ...]:
    """0 and about ten steps up to the last, evenly on a logarithmic scale."""
    chosen = np.geomspace(min(5, steps), steps, LOOKS).round().astype(int)
    return (0, *sorted({int(step) for step in chosen}))


def train(setting: Setting, folder: Path, clock: Clock, *, reference: float | None = None) -> Trained:
    """Train one network to the end of its schedule, from the checkpoint in `folder` if there is one.

    `reference`: exact total energy (units of J1), for the progress bar. Raises TimeIsUp when the clock ends the run,
    KeyboardInterrupt on Ctrl-C, both with a checkpoint written; ValueError for a folder with another run in it.
    """
    claim(folder, setting)
    vmc, file = make_vmc(setting), folder / CHECKPOINT
    history, recorder = nl.History(), MapRecorder(look_steps(setting.steps))
    state = vmc.init(make_model(setting), key=jax.random.key(setting.seed))
    if file.exists():
        state = nl.resume(file, vmc, state, callbacks=[history, recorder])
    todo = setting.steps - int(state.step)
    if todo > 0 and int(state.rejected) < MAX_REJECTED:  # else the run had ended before its time: it diverged
        kept = nl.Checkpoint(file, every=setting.steps, seconds=KEEP_EVERY)
        seen = progress(setting.name, setting.steps, reference)
        state = nl.run(vmc, state, todo, callbacks=[history, recorder, kept, clock, seen], on_interrupt="raise")
        if int(state.step) < setting.steps and clock.over:
            raise TimeIsUp(f"{setting.name}: stopped after step {int(state.step)} of {setting.steps}")
    return Trained(vmc, state, history, recorder)


def claim(folder: Path, setting: Setting) -> None:
    """Write down whose folder this is. Raises ValueError if it holds a run with another setting, or no setting."""
    file = folder / SETTING
    if not file.exists():
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise ValueError(f"{folder} is not empty and holds no run (no {SETTING}): choose another one with --work.")
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{SETTING}.partial"
        partial.write_text(json.dumps(setting.as_dict(), indent=1), encoding="utf-8")
        os.replace(partial, file)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): delete the folder to start this run anew.") from error
    if found != json.loads(json.dumps(setting.as_dict())):
        raise ValueError(
            f"{folder} holds a run with other settings than {setting.name} has now: {found}. Delete the folder to "
            "start anew, or choose another one with --work."
        )


def steps_done(folder: Path) -> int:
    """Steps in the checkpoint of a folder, 0 without one. Raises ValueError for a damaged or foreign file."""
    file = folder / CHECKPOINT
    if not file.exists():
        return 0
    header = nl.store.read_header(file)["header"]
    if "step" not in header:
        raise ValueError(f"{file} is no checkpoint of a run.")
    return int(header["step"])
