"""Imports run downwards only, and pictures and widgets stay in the lab."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each room may import of ours. vmc knows trial states only through their base class.
MAY_IMPORT = {
    "store": set(),
    "spins": set(),
    "flows": set(),
    "attention": {"flows"},
    "ansatz": {"spins", "attention"},
    "vmc": {"spins", "ansatz.base", "store"},
    "language": {"attention", "store", "vmc.cores"},  # of vmc only how work is shared among cores
    "lab": {"store", "spins", "flows", "attention", "ansatz", "vmc", "language", "nqs_lab"},
    "cli": {"store", "spins", "flows", "attention", "ansatz", "vmc", "language", "lab", "nqs_lab"},
}
DRAWING = {"matplotlib", "ipywidgets", "IPython"}


def imports(file: Path, package: Path):
    """Every module that a file imports, as (absolute dotted name, line), also inside functions."""
    here = (package.name, *file.relative_to(package).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) - node.level], *([node.module] if node.module else [])])
            base = base if node.level else node.module
            names = [alias.name for alias in node.names]
            # `from nqs_lab import vmc` imports a room, `from nqs_lab import VMC` the public face
            yield from ((f"{base}.{name}" if base == package.name else base, node.lineno) for name in names)


def climbing(package: Path) -> list[str]:
    """All imports of a package that are not allowed, as text."""
    found = []
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        if room not in MAY_IMPORT:
            found.append(f"{room}: a new room; say in MAY_IMPORT what it may import")
            continue
        for name, line in imports(file, package):
            parts = name.split(".")
            where = f"{file.relative_to(package)}:{line} imports {name}"
            if parts[0] in DRAWING and room not in ("lab", "cli"):
                found.append(where)
            if parts[0] != package.name:
                continue
            face = len(parts) == 1 or not _is_module(package, parts[1])
            target = {package.name} if face else {parts[1], ".".join(parts[1:3])}
            if not face and parts[1] == room:
                continue
            if not target & MAY_IMPORT[room]:
                found.append(where)
    return found


def _is_module(package: Path, name: str) -> bool:
    return (package / name).is_dir() or (package / f"{name}.py").exists()


def test_imports_run_downwards():
    assert climbing(ROOT / "nqs_lab") == []


def test_every_room_exists():
    assert {room for room in MAY_IMPORT if not _is_module(ROOT / "nqs_lab", room)} == set()


@pytest.mark.parametrize(
    ("file", "line", "caught"),
    [
        ("spins/exact.py", "from nqs_lab.ansatz.base import AbstractAnsatz", True),
        ("spins/exact.py", "def f():\n    import nqs_lab.vmc", True),
        ("spins/exact.py", "from ..ansatz import base", True),
        ("spins/deep/exact.py", "from ...vmc.driver import run", True),
        ("store/files.py", "from .. import spins", True),
        ("vmc/driver.py", "from nqs_lab.ansatz.transformer import ViT", True),
        ("vmc/driver.py", "import nqs_lab", True),
        ("vmc/driver.py", "from nqs_lab import ViT", True),
        ("vmc/driver.py", "import matplotlib.pyplot as plt", True),
        ("vmc/driver.py", "from nqs_lab.ansatz.base import AbstractAnsatz\nfrom nqs_lab import store", False),
        ("attention/mixers.py", "from nqs_lab.spins import Lattice", True),
        ("flows/dynamics.py", "from nqs_lab.attention import softmax", True),
        ("attention/blocks.py", "from nqs_lab.flows.integrators import Euler", False),
        ("language/gpt.py", "from nqs_lab.vmc import run", True),
        ("language/gpt.py", "from nqs_lab.attention import Residual\nfrom nqs_lab import store", False),
        ("attic/old.py", "import numpy", True),
        ("spins/exact.py", "import numpy\nfrom . import basis\nfrom .basis import SpinBasis", False),
        ("lab/plots.py", "import matplotlib, nqs_lab\nfrom nqs_lab import ViT\nfrom ..vmc import run", False),
        ("__init__.py", "from .lab import plots", False),
    ],
)
def test_a_planted_import_is_caught(tmp_path, file, line, caught):
    package = tmp_path / "nqs_lab"
    for room in MAY_IMPORT:
        (package / room).mkdir(parents=True)
    (package / file).parent.mkdir(parents=True, exist_ok=True)
    (package / file).write_text(line)
    assert bool(climbing(package)) is caught
