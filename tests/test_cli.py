"""The command nqs-lab: what it prints, its exit codes, and that Ctrl-C keeps what was done."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
import urllib.request
from pathlib import Path

import pytest

import nqs_lab as nl
from nqs_lab import cli, store
from nqs_lab.cli import doctor as doctor_module, notebooks as notebooks_module, train as train_module
from nqs_lab.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("doctor", "demo", "train", "train-lm", "lab", "notebooks", "cite")
TINY = ["train", "6", "--j2", "0.2", "--width", "4", "--heads", "1", "--depth", "1"]


def run(*arguments):
    """The exit code of a command, in this process."""
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code


def test_help_is_written_for_readers(capsys):
    assert run() == 0
    assert all(f"    {name} " in capsys.readouterr().out for name in COMMANDS[:1])
    for command in COMMANDS:
        assert run(command, "--help") == 0
        text = capsys.readouterr().out
        assert "example:\n  nqs-lab " + command in text
        for option in re.findall(r"^  (--[\w-]+)", text, re.M):
            help_text = text[text.index(f"  {option}") :].split("\n  --")[0]
            assert len(help_text.split()) > 2, f"{command} {option} is not explained"


def test_every_example_in_the_help_is_understood(capsys):
    for command in COMMANDS:
        run(command, "--help")
        examples = re.findall(r"^  nqs-lab (.+)$", capsys.readouterr().out, re.M)
        assert examples
        for example in examples:
            args = build_parser().parse_args(example.split(" > ")[0].split())
            assert args.command == command


def test_version(capsys):
    assert run("--version") == 0
    assert nl.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("dance", "invalid choice"),
        ("train 4y4", "expected a lattice like 4x4"),
        ("train 2x4", "larger lattice"),
        ("train 4x4 --attention none", "attention"),
        ("train 4x4 --patch 3", "patch"),
        ("train 4x4 --heads 3", "heads"),
        ("train 4x4 --depth 0", "depth"),
        ("train 4x4 --steps 0", "--steps must be at least 1"),
        ("train 4x4 --every 0", "--every must be at least 1"),
        ("train 4x4 --samples -3", "--samples must be at least 1"),
        ("train 4x4 --samples 8 --full-sum", "not both"),
        ("train 4x4 --rate nan", "--rate must be a positive number"),
        ("train 4x4 --j2 nan", "finite"),
        ("train 4x4 --steps many", "invalid int value"),
        ("train --resume nowhere", "holds no run"),
        ("notebooks --copy occupied", "expected a folder"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, advice, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").write_text("a file")
    assert run(*arguments.split()) == 2
    told = capsys.readouterr().err
    assert advice in told and told.count("\n") == 1 and "Traceback" not in told
    assert [p.name for p in tmp_path.iterdir()] == ["occupied"]


def test_cite(capsys):
    assert run("cite") == 0
    assert "2405.18874" in capsys.readouterr().out
    assert run("cite", "--bibtex") == 0
    text = capsys.readouterr().out
    assert text.count("{") == text.count("}") and f"{{{nl.__version__}}}" in text
    assert re.findall(r"^@\w+\{(\w+),", text, re.M) == ["nqs_lab", "rende2025queries", "stein2026sympformer"]


def test_notebooks_are_listed_and_copied_but_not_overwritten(capsys, tmp_path):
    assert run("notebooks") == 0
    assert "01_heisenberg_model.ipynb" in capsys.readouterr().out
    target = tmp_path / "new" / "mine"
    assert run("notebooks", "--copy", target) == 0
    lessons = sorted(p.relative_to(ROOT / "notebooks") for p in (ROOT / "notebooks").rglob("*.ipynb"))
    lessons = [p for p in lessons if not any(part.startswith(".") for part in p.parts)]
    assert [p for p in lessons if not (target / p).exists()] == []
    (target / "index.ipynb").write_text("my notes")
    (target / "01_heisenberg_model.ipynb").unlink()
    capsys.readouterr()
    assert run("notebooks", "--copy", target) == 0
    assert "1 files copied" in (told := capsys.readouterr().out) and "--force" in told
    assert (target / "index.ipynb").read_text() == "my notes"
    assert run("notebooks", "--copy", target, "--force") == 0
    assert json.loads((target / "index.ipynb").read_text())["cells"]


def test_demo_hands_over(monkeypatch, tmp_path):
    got = {}
    fake = types.ModuleType("nqs_lab.lab.demo")
    fake.run_demo = lambda **options: got.update(options) or 0
    monkeypatch.setitem(sys.modules, "nqs_lab.lab.demo", fake)
    assert run("demo", "--quick", "--out", tmp_path, "--seed", 3) == 0
    assert got == {"quick": True, "out": tmp_path, "seed": 3}


def test_lab_serves_this_computer_only(monkeypatch, tmp_path, capsys):
    from jupyterlab.labapp import LabApp

    got = []
    monkeypatch.setattr(LabApp, "launch_instance", lambda arguments: got.append(arguments))
    assert run("lab", "--no-browser", "--port", 9999) == 0
    assert "--ServerApp.ip=127.0.0.1" in got[0] and "--no-browser" in got[0] and "--ServerApp.port=9999" in got[0]
    assert f"--ServerApp.root_dir={ROOT / 'notebooks'}" in got[0]
    assert "--LabApp.default_url=/lab/tree/index.ipynb" in got[0]
    assert not any("token" in option.lower() or "password" in option.lower() for option in got[0])

    monkeypatch.chdir(tmp_path)  # as from a wheel: own copies are made, and survive the next start
    monkeypatch.setattr(notebooks_module, "in_checkout", lambda: False)
    assert run("lab") == 0
    own = tmp_path / "nqs_lab_notebooks"
    assert f"--ServerApp.root_dir={own}" in got[1] and "--no-browser" not in got[1]
    (own / "index.ipynb").write_text("my notes")
    assert run("lab") == 0
    assert (own / "index.ipynb").read_text() == "my notes"
    monkeypatch.setattr(notebooks_module.importlib.util, "find_spec", lambda name: None)
    assert run("lab") == 2
    assert "pip install" in capsys.readouterr().err


@pytest.mark.slow
def test_lab_asks_for_its_token(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        env[name] = str(tmp_path / name)
    command = [sys.executable, "-m", "nqs_lab", "lab", "--no-browser", "--port", "18888"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=tmp_path)
    try:
        url = _wait(lambda: re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w{20,}", (tmp_path / "log").read_text()))
        address = url.group(0)
        page = _wait(lambda: _answer(address))  # the address is printed a moment before anybody listens
        assert page.status == 200 and "index.ipynb" in address
        api = address.split("/lab")[0] + "/api/contents"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(api, timeout=30)
        token = address.split("token=")[1]
        names = json.load(urllib.request.urlopen(f"{api}?token={token}", timeout=30))["content"]
        assert "01_heisenberg_model.ipynb" in {entry["name"] for entry in names}
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
def test_doctor(capsys, monkeypatch):
    assert run("doctor") == 0
    text = capsys.readouterr().out
    assert "expected -8.457923" in text and "All is well" in text and "!!" not in text
    assert all(f"  {name} " in text for name in (*doctor_module.CORE, "devices", "threads", "numbers"))
    monkeypatch.setattr(doctor_module, "_physics", lambda: [True])
    monkeypatch.setattr(doctor_module, "CORE", ("no-such-package",))
    assert run("doctor") == 1
    assert "!! no-such-package" in (text := capsys.readouterr().out) and "Something is wrong" in text


def test_doctor_knows_the_right_numbers():
    torus, ring = nl.square(4), nl.chain(8)
    exact = nl.ground_state(nl.j1j2(torus, j2=0.5), nl.SpinBasis(torus)).energy
    assert exact == pytest.approx(doctor_module.TORUS, abs=1e-9)
    exact = nl.ground_state(nl.j1j2(ring, j2=0.0), nl.SpinBasis(ring)).energy
    assert exact == pytest.approx(doctor_module.RING, abs=1e-9)


def _answer(address):
    """The page at an address, or None while nobody listens there."""
    try:
        return urllib.request.urlopen(address, timeout=30)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError:
        return None


def _wait(found, seconds=90):
    """The first true value of `found()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("waited too long")


@pytest.mark.slow
def test_ctrl_c_keeps_the_run_and_resume_goes_on(tmp_path, capsys):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "nqs_lab", *TINY, "--steps", "100000", "--every", "1", "--out", str(folder)]
    trainer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait(lambda: (folder / train_module.CHECKPOINT).exists() or trainer.poll() is not None)
    trainer.send_signal(signal.SIGINT)
    _, told = trainer.communicate(timeout=60)
    assert trainer.returncode == 130, told
    assert "Traceback" not in told and f"nqs-lab train --resume {folder}" in told
    done = store.read_header(folder / train_module.CHECKPOINT)["header"]["step"]
    assert f"after step {done} of 100000" in told
    assert len(list(csv.DictReader((folder / train_module.HISTORY).open()))) == done

    assert run(*TINY, "--out", folder) == 2  # a run is never overwritten
    assert "--resume" in capsys.readouterr().err
    assert run("train", "--resume", folder, "--steps", done + 3) == 0
    told = capsys.readouterr().out
    assert f"going on after step {done}" in told and "relative error" in told
    rows = list(csv.DictReader((folder / train_module.HISTORY).open()))
    assert [float(row["step"]) for row in rows] == list(range(1, done + 4))
    result = json.loads((folder / train_module.RESULT).read_text())
    assert result["steps"] == done + 3 and result["error_per_site"] == 0
    exact = nl.ground_state(nl.j1j2(nl.chain(6), j2=0.2), nl.SpinBasis(nl.chain(6))).energy
    assert result["exact_energy"] == pytest.approx(exact, abs=1e-10)
    assert result["energy"] >= exact - 1e-9


@pytest.mark.slow
def test_a_sampled_run_learns(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(*TINY, "--steps", 30, "--samples", 128, "--out", folder, "--seed", 5) == 0
    told = capsys.readouterr().out
    assert "128 samples a step" in told and "from fresh samples" in told
    result = json.loads((folder / train_module.RESULT).read_text())
    rows = list(csv.DictReader((folder / train_module.HISTORY).open()))
    assert result["relative_error"] < abs(float(rows[0]["energy"]) / result["exact_energy"] - 1)
    assert result["error_per_site"] > 0
    settings = json.loads((folder / train_module.SETTINGS).read_text())
    assert settings["samples"] == 128 and settings["seed"] == 5 and "jax" in settings["provenance"]["versions"]


def test_references_of_the_six_by_six_torus():
    """Variational bounds on each: the 4x4 torus lies below, and the classical energies above."""
    for j2, energy in train_module.SIX_BY_SIX.items():
        small = nl.ground_state(nl.j1j2(nl.square(4), j2=j2), nl.SpinBasis(nl.square(4))).energy / 16
        classical = max(-0.5 + 0.5 * j2, -0.5 * j2) if j2 != 0.5 else -0.25
        assert small < energy < min(classical, -0.45)
