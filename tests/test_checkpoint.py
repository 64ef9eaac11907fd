"""Runs that are killed go on bit for bit; files that are no checkpoints are refused."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import nqs_lab as nl
from nqs_lab import store
from nqs_lab.ansatz.classic import RBM

SETUP = """
import jax, optax
import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM
nl.enable_x64()
lattice = nl.chain(8)
ham = nl.j1j2(lattice, j2=0.2)
key = jax.random.key(3)
model = nl.MarshallSign(RBM(lattice, alpha=1, key=key), lattice)
vmc = nl.VMC(ham, nl.ExchangeSampler(ham, n_chains=32), nl.SR(1e-3, momentum=0.8), optax.sgd(0.05, momentum=0.5))
history = nl.History()
state = vmc.init(model, key=key)
"""


def build():
    """The same objects as in SETUP, in this process."""
    space = {}
    exec(SETUP, space)
    return space["vmc"], space["state"], space["model"]


def bits(state):
    """All arrays of a state as bytes."""
    leaves = [x for x in jax.tree.leaves(state) if isinstance(x, jax.Array)]
    raw = [jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]
    return [np.asarray(x).tobytes() for x in raw]


def python(code, *arguments):
    """A child process running SETUP and more."""
    command = [sys.executable, "-c", SETUP + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_resumes_bit_for_bit(tmp_path):
    """Two kill -9 at different moments of one run; the end equals that of a run nobody disturbed."""
    code = """
    import sys
    from pathlib import Path
    path, steps = Path(sys.argv[1]), 60
    if path.exists():
        state = nl.resume(path, vmc, state, callbacks=[history])
    class Tell(nl.Callback):
        def on_step(self, record, state):
            print(record.step, flush=True)
    callbacks = [nl.Checkpoint(path, every=7), history, Tell()]
    state = nl.run(vmc, state, steps - int(state.step), callbacks=callbacks)
    print("end", history["energy"].tobytes().hex(), flush=True)
    """

    def watch(path, kill_at):
        child = python(code, path)
        last = ""
        for line in child.stdout:
            last = line
            if line.strip() == str(kill_at):
                child.send_signal(signal.SIGKILL)
        child.wait()
        return last

    undisturbed, killed = tmp_path / "undisturbed.nqs", tmp_path / "killed.nqs"
    reference = watch(undisturbed, None)
    for kill_at in (10, 45):
        assert not watch(killed, kill_at).startswith("end")
    assert watch(killed, None) == reference and reference.startswith("end")
    vmc, blank, _ = build()
    states = [nl.resume(path, vmc, blank) for path in (undisturbed, killed)]
    assert bits(states[0]) == bits(states[1]) and int(states[0].step) == 60


@pytest.mark.slow
def test_killed_while_writing_leaves_a_complete_checkpoint(tmp_path):
    """The child does nothing but write; whenever it dies, the file is the old or the new state, complete."""
    code = """
    import sys
    from nqs_lab.vmc.checkpoint import Checkpoint
    writer = Checkpoint(sys.argv[1], every=1)
    writer.on_start(vmc, state, 0, [writer, history])
    state = nl.run(vmc, state, 2, callbacks=[history])
    print("writing", flush=True)
    while True:
        writer._write(state)
    """
    path = tmp_path / "run.nqs"
    vmc, blank, _ = build()
    reference = bits(nl.run(vmc, blank, 2))
    for delay in (0.0, 0.03):
        child = python(code, path)
        assert child.stdout.readline().strip() == "writing"
        while not path.exists():
            time.sleep(0.005)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        history = nl.History()
        assert bits(nl.resume(path, vmc, blank, callbacks=[history])) == reference and len(history) == 2
    nl.run(vmc, nl.resume(path, vmc, blank), 1)


def test_resume_restores_state_and_callbacks(tmp_path):
    vmc, state, _ = build()
    path = tmp_path / "a" / "run.nqs"
    whole = nl.History()
    end = nl.run(vmc, state, 6, callbacks=[whole])
    first, stop = nl.History(), nl.EarlyStop(patience=100)
    nl.run(vmc, state, 4, callbacks=[nl.Checkpoint(path, every=3), first, stop])
    again, stop_again = nl.History(), nl.EarlyStop(patience=100)
    resumed = nl.resume(path, vmc, build()[1], callbacks=[again, stop_again])
    assert int(resumed.step) == 4 and (stop_again.best, stop_again.since) == (stop.best, stop.since)
    assert bits(nl.run(vmc, resumed, 2, callbacks=[again])) == bits(end)
    np.testing.assert_array_equal(again["energy"], whole["energy"])


def test_a_full_disk_is_a_warning_and_the_run_goes_on(tmp_path, monkeypatch):
    vmc, state, _ = build()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "save", full)
    with pytest.warns(RuntimeWarning, match="could not be written at step 2.*Free some space"):
        assert int(nl.run(vmc, state, 3, callbacks=[nl.Checkpoint(tmp_path / "run.nqs", every=2)]).step) == 3


class Bomb:
    """A pickle that would create a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_files_that_are_no_checkpoints_give_a_clear_error_and_execute_nothing(tmp_path):
    vmc, state, model = build()
    path = tmp_path / "run.nqs"
    nl.run(vmc, state, 1, callbacks=[nl.Checkpoint(path)])
    whole = path.read_bytes()
    mark = tmp_path / "executed"
    bad = tmp_path / "bad.nqs"
    rng = np.random.default_rng(0)
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-7], pickle.dumps(Bomb(mark)), rng.bytes(3000)):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or was not written by nqs_lab"):
            nl.resume(bad, vmc, state)
    np.save(tmp_path / "object.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            target.writestr(name, (tmp_path / "object.npy").read_bytes() if name == "leaf_0.npy" else source.read(name))
    with pytest.raises(ValueError):
        nl.resume(bad, vmc, state)
    assert not mark.exists()
    with pytest.raises(FileNotFoundError):
        nl.resume(tmp_path / "nothing.nqs", vmc, state)
    store.save(bad, {"state": state}, header={"step": 1})
    with pytest.raises(ValueError, match="no checkpoint of a run"):
        nl.resume(bad, vmc, state)


def test_a_checkpoint_of_another_run_is_refused(tmp_path, key):
    vmc, state, model = build()
    path = tmp_path / "run.nqs"
    nl.run(vmc, state, 1, callbacks=[nl.Checkpoint(path), nl.History()])
    other = nl.VMC(nl.j1j2(nl.chain(8), j2=0.3), vmc.sampler, vmc.preconditioner, vmc.optimiser)
    with pytest.raises(ValueError, match="another Hamiltonian"):
        nl.resume(path, other, state)
    bigger = nl.MarshallSign(RBM(nl.chain(8), alpha=2, key=key), nl.chain(8))
    with pytest.raises(ValueError, match="expected"):
        nl.resume(path, vmc, vmc.init(bigger, key=key))
    with pytest.raises(ValueError, match=r"callbacks \['History'\], got \['EarlyStop'\]"):
        nl.resume(path, vmc, state, callbacks=[nl.EarlyStop(patience=3)])
    with pytest.raises(ValueError, match="every must be a number of steps >= 1"):
        nl.Checkpoint(path, every=0)
    adam = nl.VMC(vmc.ham, vmc.sampler, None, optax.sgd(0.1))
    with pytest.raises(ValueError, match="another kind of tree"):
        nl.resume(path, adam, adam.init(model, key=key))
