"""What a step will cost, told before anything compiles."""

import os
import sys

import equinox as eqx
import jax
import numpy as np

from nqs_lab.ansatz.base import AbstractAnsatz, count_parameters
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.vmc.batching import count_work
from nqs_lab.vmc.samples import AbstractSampler
from nqs_lab.vmc.solve import SR


class Plan(eqx.Module):
    """Memory (bytes) and floating-point operations of one VMC step; `print` it, or `check` it against the machine."""

    parameters: int
    samples: int
    forwards: float
    chunks: tuple[int, int]
    rows: int
    dual: bool
    flops: dict[str, float]
    memory: dict[str, float]
    available: float

    @property
    def peak(self) -> float:
        """Upper estimate of the bytes alive at once."""
        return sum(self.memory.values())

    def check(self) -> None:
        """Raises ValueError, naming the knob to turn, if the step does not fit into memory."""
        if self.peak <= self.available:
            return
        largest = max(self.memory, key=lambda name: self.memory[name])
        knob = {
            "log-derivatives": "take fewer samples (n_chains) or a smaller network (width, depth)",
            "kernel": "take fewer samples (n_chains, or an ExactSampler with a larger group)",
            "metric": "take a smaller network (width, depth), or SR(form='dual') if samples are few",
            "local energies": "take fewer samples (n_chains)",
            "one chunk": "set chunk_size and chunk_size_backward to smaller numbers",
        }[largest]
        raise ValueError(
            f"this step needs about {_bytes(self.peak)}, the machine has {_bytes(self.available)}; the largest part is "
            f"the {largest} with {_bytes(self.memory[largest])}: {knob}."
        )

    def __str__(self) -> str:
        """The table."""
        total = sum(self.flops.values())
        lines = [
            f"{self.parameters:,} parameters, {self.samples:,} samples, {self.forwards:.0f} forwards per sample and "
            f"step (chunks of {self.chunks[0]:,} forward, {self.chunks[1]:,} backward)",
            f"solve: {'kernel (minSR)' if self.dual else 'metric (SR)'}" if self.rows else "plain gradient, no solve",
        ]
        lines += [f"  {name:<16} {value:9.2e} flop  {value / total:4.0%}" for name, value in self.flops.items()]
        lines += [f"  {name:<16} {_bytes(value):>9}" for name, value in self.memory.items()]
        return "\n".join([*lines, f"  {'peak, at most':<16} {_bytes(self.peak):>9} of {_bytes(self.available)}"])


def make_plan(
    model: AbstractAnsatz,
    ham: Heisenberg,
    sampler: AbstractSampler,
    sr: SR | None,
    components: int,
    chunks: tuple[int, int],
) -> Plan:
    """Count operations and bytes of one step; see codes in `Plan`. Matrix products count two per multiply-add."""
    work, n_parameters = count_work(model), count_parameters(model)
    samples, forwards = sampler.forwards(ham)
    forward, backward = chunks
    backward_cost = 2 * max(1, components) + 1
    rows = components * samples
    item = max(leaf.dtype.itemsize for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    flops = {"forwards": samples * forwards * work.flops, "derivatives": samples * backward_cost * work.flops}
    memory = {
        "one chunk": max(forward * work.widest * 3.0, backward * work.stored * (1.0 + components)),
        "local energies": samples * (ham.n_bonds * 9.0 + 64.0),
    }
    dual = sr is not None and sr.is_dual(rows, n_parameters)
    if sr is not None:
        side = rows if dual else n_parameters
        flops["kernel" if dual else "metric"] = 2 * 0.625 * rows * n_parameters * float(side)
        flops["solve"] = side**3 / 3
        memory["log-derivatives"] = float(item) * rows * n_parameters
        memory["kernel" if dual else "metric"] = 4 * 8.0 * side**2
    return Plan(n_parameters, samples, forwards, chunks, rows, dual, flops, memory, available_memory())


def available_memory() -> float:
    """Bytes of the device that JAX runs on: of the accelerator, or of the machine; infinite where it cannot be told."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return float(statistics["bytes_limit"])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return _windows_memory() if sys.platform == "win32" else np.inf


def _windows_memory() -> float:
    """Physical memory as Windows tells it."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # pyright: ignore[reportAttributeAccessIssue]
    return float(status.total)


def _bytes(value: float) -> str:
    """1234567 -> "1.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
