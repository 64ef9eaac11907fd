"""The package from outside: import time, wheel, environments, start.py, citation, and the example of the README."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import nqs_lab
import start
from nqs_lab.cli import cite

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENV = os.environ | {"JAX_PLATFORMS": "cpu"}


def python(code, **options):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=True, **options)
    return done.stdout.strip()


# Import -------------------------------------------------------------------------------------------


def test_import_is_quick():
    """In processor time, which other programs on the machine hardly change; and mostly that of JAX itself."""
    clock = "; import time; print(time.process_time())"
    ours = min(float(python("import nqs_lab" + clock)) for _ in range(3))
    theirs = min(float(python("import jax, equinox, optax, scipy.sparse.linalg" + clock)) for _ in range(3))
    assert ours - theirs < 0.5
    assert ours < max(2.0, 1.5 * theirs)


def test_import_brings_no_pictures_and_no_widgets():
    code = "import nqs_lab, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(ast.literal_eval(python(code)))
    assert {"nqs_lab", "jax", "equinox"} <= loaded
    assert not loaded & {"matplotlib", "ipywidgets", "IPython", "jupyterlab", "pytest", "numba"}


def test_import_changes_no_setting():
    code = "import jax; a = dict(jax.config.values); import nqs_lab; print(a == dict(jax.config.values))"
    assert python(code) == "True"
    on = "import nqs_lab, jax.numpy as jnp; nqs_lab.enable_x64(); print(jnp.zeros(()).dtype)"
    assert python(on) == "float64"


def test_public_names():
    wanted = """square chain rectangle ladder tilted j1j2 shastry_sutherland Heisenberg SpinBasis ground_state ViT
    MarshallSign Symmetrized VMC ExchangeSampler ExactSampler SR run History ProgressBar EarlyStop Checkpoint resume
    LogTable MeanField Jastrow RBM attention_maps freeze enable_x64 store __version__""".split()
    assert [name for name in wanted if not hasattr(nqs_lab, name)] == []


# What is installed --------------------------------------------------------------------------------


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    *conda, last = environment["dependencies"]
    assert {re.split("[=<>]", line)[0] for line in conda} == {"python", "pip"}
    version = next(line.split("=")[1] for line in conda if line.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")
    ((extras,),) = [re.fullmatch(r"-e \.\[(.+)\]", line).groups() for line in last["pip"]]
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_pinned_versions_satisfy_pyproject():
    lines = (ROOT / "requirements" / "py311.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {pin.name.lower().replace("_", "-"): str(pin.specifier) for pin in pins}
    assert all(version.startswith("==") for version in versions.values())
    wanted = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[requirement.name].removeprefix("==")), requirement


def test_supported_versions_are_told_alike():
    spec = SpecifierSet(PROJECT["requires-python"])
    supported = [minor for minor in range(5, 30) if spec.contains(f"3.{minor}.1")]
    assert supported == [minor for minor in range(5, 30) if start.supported((3, minor))]
    told = re.findall(r"Python 3.11, 3.12 or 3.13", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert supported == [11, 12, 13] and told
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in supported} <= set(PROJECT["classifiers"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built here."""
    from hatchling.builders.wheel import WheelBuilder

    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))))


def test_the_wheel_holds_the_package_and_the_lessons(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    lessons = [p.relative_to(ROOT / "notebooks").as_posix() for p in (ROOT / "notebooks").rglob("*.ipynb")]
    lessons = [name for name in lessons if "checkpoints" not in name]
    assert {f"nqs_lab/_notebooks/{name}" for name in lessons} <= set(names)
    modules = [p.relative_to(ROOT).as_posix() for p in (ROOT / "nqs_lab").rglob("*.py")]
    assert set(modules) <= set(names)
    data = [p.relative_to(ROOT).as_posix() for p in (ROOT / "nqs_lab" / "lab" / "data").glob("*.json")]
    assert set(data) <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"nqs_lab", f"nqs_lab-{nqs_lab.__version__}.dist-info"}
    assert {"LICENSE", "LICENSE-TEXT"} <= {Path(name).name for name in names}


def test_the_lessons_are_copied_from_a_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from nqs_lab.cli import main; sys.exit(main(sys.argv[2:]))"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "site"), "notebooks", "--copy", str(tmp_path / "mine")]
    subprocess.run(command, check=True, env=ENV, cwd=tmp_path)
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        assert (tmp_path / "mine" / file.name).read_bytes() == file.read_bytes()


# start.py -----------------------------------------------------------------------------------------


def test_start_uses_only_the_standard_library_and_old_syntax():
    tree = ast.parse((ROOT / "start.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    found = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    found |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert found <= sys.stdlib_module_names


def test_makefile_only_calls_start():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = [line for line in text.splitlines() if line.startswith("\t")]
    assert recipes == ["\t@$(PYTHON) start.py $@ $(ARGS)"]
    targets = re.search(r"^(\w[\w ]*):$", text, re.M).group(1).split()
    assert set(targets) == set(start.COMMANDS)


def test_the_python_of_the_environment():
    venv = Path("a") / ".venv"
    assert start.venv_python(venv, windows=False) == venv / "bin" / "python"
    assert start.venv_python(venv, windows=True) == venv / "Scripts" / "python.exe"


def test_another_python_is_looked_for_and_missing_ones_are_told_kindly(monkeypatch):
    assert start.choose_python((3, 12)) == sys.executable
    monkeypatch.setattr(start.shutil, "which", lambda name: f"found/{name}" if name == "python3.12" else None)
    assert start.choose_python((3, 9)) == "found/python3.12"
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    with pytest.raises(start.Advice, match=r"needs Python 3.11 to 3.13, this is 3.14"):
        start.choose_python((3, 14))


def test_the_stamp_installs_when_needed_and_only_then(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text("a")
    stamp, key = tmp_path / "stamp", start.fingerprint(tmp_path, (3, 11))
    assert start.missing_extras(stamp, key, ["lab", "fast"]) == ["fast", "lab"]
    stamp.write_text(json.dumps({"key": key, "extras": ["fast", "lab"]}))
    assert start.missing_extras(stamp, key, ["lab"]) == []
    assert start.missing_extras(stamp, key, ["lab", "test"]) == ["fast", "lab", "test"]
    keys = {key, start.fingerprint(tmp_path, (3, 12))}
    (tmp_path / "requirements" / "py311.txt").write_text("jax==1")
    keys.add(start.fingerprint(tmp_path, (3, 11)))
    (tmp_path / "pyproject.toml").write_text("b")
    keys.add(start.fingerprint(tmp_path, (3, 11)))
    assert len(keys) == 4
    assert start.missing_extras(stamp, start.fingerprint(tmp_path, (3, 11)), ["test"]) == ["fast", "lab", "test"]
    stamp.write_text("not json")
    assert start.missing_extras(stamp, key, ["test"]) == ["test"]


def test_the_install_command(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "py311.txt").touch()
    pinned = start.install_command(Path("py"), tmp_path, (3, 11), ["lab", "test"])
    bounds = start.install_command(Path("py"), tmp_path, (3, 13), ["lab"])
    assert pinned[:4] == ["py", "-m", "pip", "install"] and pinned[-2:] == ["--editable", f"{tmp_path}[lab,test]"]
    assert "--constraint" in pinned and "--constraint" not in bounds


def test_what_is_started_keeps_its_settings_in_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", "mine")
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    monkeypatch.delenv("JUPYTER_CONFIG_DIR", raising=False)
    env = start.environment(tmp_path)
    assert env["IPYTHONDIR"] == "mine" and env["JUPYTER_CONFIG_DIR"].startswith(str(tmp_path))
    assert "PYTHONHOME" not in env


def test_extras_of_start_exist():
    for extras, _, _ in start.COMMANDS.values():
        assert set(extras.split()) <= set(PROJECT["optional-dependencies"])


def prepared(monkeypatch, tmp_path, codes):
    """start.prepare with pip and venv replaced; returns what they were asked to do."""
    calls = []

    def run(command, **_):
        calls.append(command)
        code = codes.pop(0) if codes else 0
        if "venv" in command and code == 0:
            start.venv_python(tmp_path / ".venv").parent.mkdir(parents=True)
            start.venv_python(tmp_path / ".venv").touch()
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(start.subprocess, "run", run)
    monkeypatch.setattr(start, "venv_version", lambda venv: (3, 11) if venv.exists() else None)
    return calls


def test_prepare_installs_once(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    calls = prepared(monkeypatch, tmp_path, [])
    python_ = start.prepare(tmp_path, ["lab"])
    assert python_ == start.venv_python(tmp_path / ".venv")
    assert [c[2] for c in calls] == ["venv", "pip"]
    start.prepare(tmp_path, ["lab"])
    assert len(calls) == 2
    start.prepare(tmp_path, ["test"])
    assert calls[-1][-1].endswith("[lab,test]")


def test_prepare_gives_advice(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    prepared(monkeypatch, tmp_path, [1])
    with pytest.raises(start.Advice, match="python3-venv"):
        start.prepare(tmp_path, ["lab"])
    assert not (tmp_path / ".venv").exists()
    calls = prepared(monkeypatch, tmp_path, [0, 1])
    with pytest.raises(start.Advice, match="needs the network"):
        start.prepare(tmp_path, ["lab"])
    start.prepare(tmp_path, ["lab"])  # a failed installation leaves no stamp: the next call tries again
    assert [c[2] for c in calls] == ["venv", "pip", "pip"]


def test_start_tells_its_commands(capsys):
    assert start.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in start.COMMANDS)
    assert start.main(["dance"]) == 2
    assert "expected one of lab" in capsys.readouterr().err


def test_exit_codes_pass_through():
    code = "import start, os, sys; start.hand_over([sys.executable, '-c', 'raise SystemExit(7)'], dict(os.environ))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 7


# Licence, citation, README ------------------------------------------------------------------------


def test_licences_are_complete():
    apache = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in apache and "END OF TERMS AND CONDITIONS" in apache and len(apache) > 10_000
    text = (ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    assert all(f"Section {n} -- " in text for n in range(1, 9)) and "creativecommons.org/licenses/by/4.0" in text


def bibliography():
    """The entries of the book's bibliography: key -> text without braces."""
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"@\w+\{([^,]+),(.*?)\n\}", text, re.S)
    return {key: re.sub(r"[{}]|\s+(?=\s)", "", body).lower() for key, body in entries}


def test_citation_file():
    record = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert record["cff-version"] == "1.2.0" and record["version"] == nqs_lab.__version__
    assert "doi" not in record and "identifiers" not in record  # we have no DOI, and invent none
    entries = bibliography()
    for reference, key in zip(record["references"], ("rende2025queries", "stein2026sympformer"), strict=True):
        assert reference["title"].lower() in entries[key]
        assert reference["identifiers"][0]["value"].removeprefix("arXiv:") in entries[key]


def test_the_printed_bibtex_agrees_with_the_book():
    entries = bibliography()
    for key, body in re.findall(r"@\w+\{([^,]+),(.*?)\n\}", cite.PAPERS, re.S):
        title = re.search(r"title\s*=\s*\{(.+)\},\n", body).group(1)
        assert re.sub("[{}]", "", title).lower() in entries[key]


def test_readme_starts_with_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```\n(.*?)```", text, re.S).group(1)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make lab", "make test"]
    for file in re.findall(r"`([\w./-]+\.(?:md|yml|txt|cff|py))`", text):
        assert (ROOT / file).exists(), file


@pytest.mark.slow
def test_the_example_of_the_readme_runs(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    assert "n_chains=512" in code and ", 100, callbacks" in code
    names = {}
    exec(code.replace("n_chains=512", "n_chains=32").replace(", 100, callbacks", ", 2, callbacks"), names)
    assert int(names["state"].step) == 2
    assert "samples]" in capsys.readouterr().out
