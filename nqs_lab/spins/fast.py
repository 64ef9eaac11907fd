"""Where the compiled loops are found, if the extra `fast` (numba) is installed."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

_WORTH_IT = 300_000_000


def kernels(work: int = _WORTH_IT) -> ModuleType | None:
    """The module of numba kernels, or None without numba, with NQS_LAB_FAST=0, or for a small amount of work.

    `work` counts look-ups of a few nanoseconds; below about a second of them, loading the kernels costs more than it
    saves.
    NQS_LAB_FAST=always uses them for any amount. The results are the same either way; only the time differs.
    """
    wanted = os.environ.get("NQS_LAB_FAST", "1")
    if wanted == "0" or (work < _WORTH_IT and wanted != "always"):
        return None
    try:
        return importlib.import_module("nqs_lab.spins.numba_kernels")
    except ImportError:
        return None
