"""Set up nqs_lab in this folder and start it: python start.py lab (or test, demo, bench, doctor, check).

The first call makes `.venv` here and installs the package into it; later calls only start. Nothing outside this folder
is touched, and deleting the folder undoes everything. On Windows: py start.py lab. More words after the command are
passed on: python start.py test -k store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 13)
PINNED_FOR = (3, 11)  # the one version that requirements/py311.txt was tested with
COMMANDS = {
    # command: (the extras that it needs, what is run with the environment's Python, what it does)
    "lab": ("lab fast", ["-m", "nqs_lab", "lab"], "open JupyterLab on the index of the lessons"),
    "test": (
        "lab fast test",
        ["-m", "pytest", "-n2", "--dist=worksteal"],
        "run all tests (under 15 minutes on two cores)",
    ),
    "demo": ("lab fast", ["-m", "nqs_lab", "demo"], "train four small Transformers against the exact answer"),
    "bench": ("lab fast", ["-m", "benchmarks"], "measure the speed and write down the machine"),
    "doctor": ("lab fast", ["-m", "nqs_lab", "doctor"], "check this installation, in about ten seconds"),
    "check": ("lab fast test dev", ["-c", "import start; start.check()"], "ruff and pyright (for developers)"),
}
CHECKS = (["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "pyright"])


class Advice(Exception):
    """A failure that the reader can mend; its text says how."""


def venv_python(venv: Path, windows: bool = os.name == "nt") -> Path:
    """The interpreter inside a virtual environment."""
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"


def supported(version: tuple[int, int]) -> bool:
    """Whether nqs_lab runs on this version of Python."""
    return OLDEST <= version <= NEWEST


def choose_python(running: tuple[int, int] | None = None) -> str:
    """The interpreter that makes the environment: this one, or a supported one that is found on the path."""
    running = running or sys.version_info[:2]
    if supported(running):
        return sys.executable
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    raise Advice(
        f"nqs_lab needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}, this is {running[0]}.{running[1]}.\n"
        f"Install one of them (python.org, or your package manager) and name it: python3.{NEWEST[1]} start.py lab\n"
        f"(on Windows: py -3.{NEWEST[1]} start.py lab)"
    )


def fingerprint(root: Path, version: tuple[int, int]) -> str:
    """A text that changes when what must be installed changes."""
    parts = [root / "pyproject.toml", *sorted((root / "requirements").glob("*.txt"))]
    content = b"".join(path.name.encode() + path.read_bytes() for path in parts if path.exists())
    # the folder is part of it: an environment does not survive being moved
    return hashlib.sha256(content + repr((str(root), version)).encode()).hexdigest()


def missing_extras(stamp: Path, key: str, wanted: list[str]) -> list[str]:
    """The extras to install: none if the stamp says that all are there, else the wanted and the earlier ones."""
    try:
        old = json.loads(stamp.read_text(encoding="utf-8"))
        earlier = [str(extra) for extra in old["extras"]]
        fresh = old["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        earlier, fresh = [], False
    if fresh and set(wanted) <= set(earlier):
        return []
    return sorted({*wanted, *earlier})


def install_command(python: Path, root: Path, version: tuple[int, int], extras: list[str]) -> list[str]:
    """The pip call; on the tested version of Python with the tested versions of everything else."""
    command = [str(python), "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check"]
    pins = root / "requirements" / "py311.txt"
    if version == PINNED_FOR and pins.exists():
        command += ["--constraint", str(pins)]
    return [*command, "--editable", f"{root}[{','.join(extras)}]"]


def environment(venv: Path) -> dict[str, str]:
    """The variables for what is started: settings and caches stay in this folder unless the reader says otherwise."""
    home = venv / "home"
    folders = {
        "JUPYTER_CONFIG_DIR": "jupyter",
        "JUPYTER_DATA_DIR": "jupyter-data",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
        "PYRIGHT_PYTHON_CACHE_DIR": "pyright",
    }
    env = {**{name: str(home / folder) for name, folder in folders.items()}, **os.environ}
    env.pop("PYTHONHOME", None)
    return {**env, "VIRTUAL_ENV": str(venv), "PIP_USER": "0"}


def make_venv(venv: Path) -> None:
    """Make the virtual environment, or say what is missing."""
    python = choose_python()
    print(f"Making a virtual environment in {venv.name} ...", flush=True)
    done = subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=False, env=environment(venv))
    if done.returncode != 0 or not venv_python(venv).exists():
        shutil.rmtree(venv, ignore_errors=True)
        raise Advice(
            "Python could not make a virtual environment (its own message is above).\n"
            "On Debian and Ubuntu the module is a package of its own: sudo apt install python3-venv\n"
            "Elsewhere, install Python from python.org or conda, and try again."
        )


def venv_version(venv: Path) -> tuple[int, int] | None:
    """The version of the environment's Python; None if there is no working environment with pip."""
    code = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(venv_python(venv)), "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def prepare(root: Path, extras: list[str]) -> Path:
    """The environment's Python, with everything installed that the command needs."""
    venv = root / ".venv"
    version = venv_version(venv)
    if version is None or not supported(version):
        make_venv(venv)
        version = venv_version(venv)
        if version is None:
            raise Advice(f"The new environment {venv} does not start. Delete the folder .venv and try again.")
    stamp, key = venv / "nqs_lab_stamp.json", fingerprint(root, version)
    to_install = missing_extras(stamp, key, extras)
    if to_install:
        print(f"Installing nqs_lab with {', '.join(to_install)} (once, a few minutes) ...", flush=True)
        stamp.unlink(missing_ok=True)
        command = install_command(venv_python(venv), root, version, to_install)
        if subprocess.run(command, check=False, env=environment(venv)).returncode != 0:
            raise Advice(
                "pip could not install the packages (its own message is above).\n"
                "The first start needs the network and about 2 GB of free disk. Then try the same command again."
            )
        stamp.write_text(json.dumps({"key": key, "extras": to_install}), encoding="utf-8")
    return venv_python(venv)


def hand_over(command: list[str], env: dict[str, str]) -> int:
    """Run the command in place of this process; its exit code and its Ctrl-C are ours."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, env)
    child = subprocess.Popen(command, env=env)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the child got it too, and ends in its own way


def check() -> None:
    """Run the style and type checks with this Python; exit with 1 if one of them fails."""
    failed = [" ".join(c[1:]) for c in CHECKS if subprocess.run([sys.executable, *c], cwd=ROOT, check=False).returncode]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def usage() -> str:
    """The help text."""
    rows = [f"  {name:8}{what}" for name, (_, _, what) in COMMANDS.items()]
    return "\n".join([__doc__ or "", *rows])


def main(arguments: list[str]) -> int:
    """Set up what the command needs, then become the command."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] not in COMMANDS:
        print(f"start.py: expected one of {', '.join(COMMANDS)}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    extras, run, _ = COMMANDS[arguments[0]]
    try:
        python = prepare(ROOT, extras.split())
    except Advice as advice:
        print(f"\n{advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    os.chdir(ROOT)
    return hand_over([str(python), *run, *arguments[1:]], environment(ROOT / ".venv"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
