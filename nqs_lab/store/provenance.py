"""Where a number came from."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("nqs-lab", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy")


def provenance() -> dict[str, Any]:
    """Package versions, Python, the kind of machine, the commit (None outside a checkout) and the date in UTC.

    It is plain JSON and holds no host name, no user name and no path.
    """
    return dict(_machine()) | {"date": datetime.now(UTC).isoformat(timespec="seconds")}


@functools.cache
def _machine() -> dict[str, Any]:
    """The part that does not change while the process lives."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    machine = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
    }
    return {"versions": versions, "python": platform.python_version(), "machine": machine, "commit": _commit()}


def _cpu_name() -> str:
    """The processor's model name, or an empty string."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        return found.group(1).strip() if found else ""
    return platform.processor()


def _commit() -> str | None:
    """The commit of the checkout that this package lies in (-dirty if it was changed); None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return None
