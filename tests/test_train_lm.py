"""nqs-lab train-lm: what it prints and keeps, Ctrl-C and --resume, and what it refuses."""

import csv
import json

import numpy as np
import pytest

from nqs_lab import cli
from nqs_lab.cli import train_lm as module
from nqs_lab.language import StoryGrammar

SMALL = "--vocabulary 256 --stories 40 --block 16 --width 8 --heads 2 --depth 1 --steps 8 --batch 2 --rate 0.01"


def run(*arguments):
    """The exit code of the command, in this process."""
    words = [str(word) for a in arguments for word in (a.split() if isinstance(a, str) else [a])]
    try:
        return cli.main(["train-lm", *words])
    except SystemExit as end:
        return end.code


def test_a_run_is_stopped_taken_up_again_and_equals_a_whole_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "WRITTEN", 12)
    monkeypatch.chdir(tmp_path)
    assert run(SMALL, "--out whole --seed 3") == 0
    told = capsys.readouterr().out
    assert "causality probe" in told and "held out" in told and "it writes:" in told and "sha256" in told
    floor = StoryGrammar(0.9, cast=4, things=8).floor()
    result = json.loads((tmp_path / "whole" / module.RESULT).read_text())
    assert result["floor"] == pytest.approx(floor, rel=1e-9) and f"better than {floor:.3f} nats per token" in told
    assert result["steps"] == 8 and result["rejected"] == 0 and result["loss"] > result["floor"]

    real = module.Progress.__call__

    def interrupt(self, state, info):
        real(self, state, info)
        if int(state.step) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.Progress, "__call__", interrupt)
    assert run(SMALL, "--out parts --seed 3") == 130
    assert "nqs-lab train-lm --resume parts" in capsys.readouterr().err
    assert run(SMALL, "--out parts") == 2 and "holds a run already" in capsys.readouterr().err
    monkeypatch.setattr(module.Progress, "__call__", real)
    assert run("--resume parts --until 5") == 0
    told = capsys.readouterr().out
    assert "going on after step 3" in told and "stopped at step 5 of 8" in told
    assert run("--resume parts") == 0
    curves = [list(csv.DictReader((tmp_path / name / module.CURVE).open())) for name in ("whole", "parts")]
    assert curves[0] == curves[1] and len(curves[0]) == 8 and np.isfinite(float(curves[0][-1]["held_out"]))
    assert (tmp_path / "whole" / module.SAMPLE).read_bytes() == (tmp_path / "parts" / module.SAMPLE).read_bytes()


def test_the_witness_has_to_be_allowed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(SMALL, "--dynamics momentum --leaking") == 2
    told = capsys.readouterr().err
    assert "sees the tokens that it is to predict" in told and told.count("\n") == 1
    assert not (tmp_path / "runs").exists(), "nothing is left of a run that was refused"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("--corpus bible", "--corpus must be one of"),
        ("--steps 0", "--steps must be at least 1"),
        ("--rate nan", "--rate must be a positive number"),
        ("--leaking", "add --dynamics momentum"),
        ("--memory 2", "memory is a probability"),
        ("--vocabulary 100 --stories 5", "expected a vocabulary of 257 to 1024"),
        ("--vocabulary 256 --stories 5 --dynamics momentum --attention decoupled", "gradient of an energy"),
        ("--vocabulary 256 --stories 5 --dynamics newton", "dynamics must be one of"),
        ("--resume nowhere", "holds no run"),
        ("--until 0", "--until must be at least 1"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, advice, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert advice in told and told.count("\n") == 1 and "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
