"""nqs-lab notebooks and nqs-lab lab."""

import argparse
import importlib.util
import json
import os
import shutil
from importlib import resources
from pathlib import Path

INDEX = "index.ipynb"
OWN_COPY = Path("nqs_lab_notebooks")


def source() -> Path:
    """The folder of the lessons: inside an installed package, or beside the package in a checkout."""
    package = Path(str(resources.files("nqs_lab")))
    for folder in (package / "_notebooks", package.parent / "notebooks"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("the lessons are not in this installation: install nqs-lab again (pip install -U nqs-lab)")


def in_checkout() -> bool:
    """Whether the lessons are those of a checkout, where they may be opened in place."""
    return source().name == "notebooks"


def notebooks(args: argparse.Namespace) -> int:
    """List the lessons, or copy them."""
    if args.copy is None:
        for file in sorted(source().glob("*.ipynb")):
            print(f"{file.name:36}{title(file)}")
        print("\nTo get copies of your own: nqs-lab notebooks --copy DIR")
        return 0
    copied, kept = copy(args.copy, force=args.force)
    print(f"{len(copied)} files copied to {args.copy}")
    if kept:
        print(f"{len(kept)} were already there and were left alone ({', '.join(map(str, kept[:3]))}, ...): --force "
              "overwrites them")  # fmt: skip
    return 0


def copy(target: Path, *, force: bool = False) -> tuple[list[Path], list[Path]]:
    """Copy the lessons; returns (copied, already there and left alone)."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"expected a folder, got the file {target}: choose another name")
    copied, kept = [], []
    for file in sorted(source().rglob("*")):
        relative = file.relative_to(source())
        if file.is_dir() or any(part.startswith((".", "__")) for part in relative.parts):
            continue
        if (target / relative).exists() and not force:
            kept.append(relative)
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / relative)
        copied.append(relative)
    return copied, kept


def title(file: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if line.startswith("#") and cell["cell_type"] == "markdown":
                return line.lstrip("# ").strip()
    return ""


def lab_arguments(root: Path, *, port: int, browser: bool) -> list[str]:
    """What JupyterLab is told: this folder, this computer only, the index first."""
    start = f"/lab/tree/{INDEX}" if (root / INDEX).exists() else "/lab"
    options = [f"--ServerApp.root_dir={root.resolve()}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    options += [f"--LabApp.default_url={start}", "--ServerApp.allow_remote_access=False"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container there is often only root, and Jupyter refuses it
        options.append("--ServerApp.allow_root=True")
    return options if browser else [*options, "--no-browser"]


def lab(args: argparse.Namespace) -> int:
    """Start JupyterLab on the index; Ctrl-C ends it in its own way."""
    if importlib.util.find_spec("jupyterlab") is None or importlib.util.find_spec("ipywidgets") is None:
        raise ValueError("JupyterLab is not installed: pip install 'nqs-lab[lab]'")
    root = source()
    if not in_checkout():
        copied, _ = copy(OWN_COPY)
        root = OWN_COPY
        print(f"The lessons are in {OWN_COPY} ({len(copied)} new files); what you change there is yours.", flush=True)
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(lab_arguments(root, port=args.port, browser=not args.no_browser))
    return 0
