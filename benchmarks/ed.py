"""Time and memory of exact diagonalisation: ours in NumPy, ours with numba, and QuSpin beside them if it is installed.

    python benchmarks/ed.py [--quick] [--json FILE]

Every line is a process of its own, so that its peak memory is its own. Times are wall-clock seconds after the imports;
"cpu" adds up all cores and is what to compare on a busy machine.
"numba, first" starts with an empty kernel cache and so contains the compilation, which is paid once per machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# name -> (lattice, sector or None, in the quick run, goal in seconds for NumPy and for numba)
CASES: dict[str, tuple[str, bool, bool, float | None, float | None]] = {
    "4x4 symmetric": ("4x4", True, True, 0.2, 0.2),
    "4x4 Sz=0": ("4x4", False, True, None, None),
    "4x6 symmetric": ("4x6", True, True, 8.0, 2.0),
    "26 symmetric": ("26", True, False, None, 60.0),
    "4x6 Sz=0": ("4x6", False, False, 60.0, 60.0),
}
ENGINES = ("numpy", "numba, first", "numba", "quspin")


def make(kind: str):
    """Lattice, ground-state sector and Hamiltonian of a case."""
    from nqs_lab import spins

    lattice = {"4x4": spins.square(4), "4x6": spins.rectangle(4, 6), "26": spins.tilted(26)}[kind]
    point, irrep, flip = ("M", "A", -1) if kind == "26" else ("Gamma", "A1", 1)
    return lattice, spins.Sector(lattice.momentum(point), irrep, flip), spins.j1j2(lattice, 0.5)


def run_ours(kind: str, symmetric: bool) -> dict[str, Any]:
    """Basis, matrix and ground state with nqs_lab; `ground_state` builds the matrix itself, so it is timed as one."""
    from nqs_lab import spins

    lattice, sector, ham = make(kind)
    start, cpu = time.perf_counter(), time.process_time()
    basis = spins.SpinBasis(lattice, 0, sector if symmetric else None)
    built = time.perf_counter()
    ground = spins.ground_state(ham, basis)
    end = time.perf_counter()
    return {
        "dim": basis.dim,
        "basis_s": built - start,
        "solve_s": end - built,
        "total_s": end - start,
        "cpu_s": time.process_time() - cpu,
        "energy": ground.energy / lattice.n_sites,
        "residual": ground.residual,
        "method": ground.method,
    }


def run_quspin(kind: str, symmetric: bool) -> dict[str, Any]:
    """The same problem with QuSpin: its basis, its stored matrix, its eigsh."""
    import numpy as np
    from quspin.basis import spin_basis_general  # pyright: ignore[reportMissingImports]
    from quspin.operators import hamiltonian  # pyright: ignore[reportMissingImports]

    lattice, sector, ham = make(kind)
    n, blocks = lattice.n_sites, {}
    if symmetric:
        blocks = quspin_blocks(lattice, sector)
    pairs = zip(np.asarray(ham.bonds).tolist(), np.asarray(ham.coupling).tolist(), strict=True)
    zz = [[weight, i, j] for (i, j), weight in pairs]
    flips = [[weight / 2, i, j] for weight, i, j in zz]
    start, cpu = time.perf_counter(), time.process_time()
    basis = spin_basis_general(n, Nup=n // 2, pauli=False, **blocks)
    built = time.perf_counter()
    checks = {"check_symm": False, "check_pcon": False, "check_herm": False}
    terms = [["zz", zz], ["+-", flips], ["-+", flips]]
    operator = hamiltonian(terms, [], basis=basis, dtype=np.float64, **checks)
    stored = time.perf_counter()
    energy, _ = operator.eigsh(k=1, which="SA")
    end = time.perf_counter()
    return {
        "dim": basis.Ns,
        "basis_s": built - start,
        "matrix_s": stored - built,
        "solve_s": end - built,
        "total_s": end - start,
        "cpu_s": time.process_time() - cpu,
        "energy": float(energy[0]) / n,
        "method": "stored, eigsh",
    }


def quspin_blocks(lattice, sector) -> dict[str, Any]:
    """Generators of the sector as QuSpin wants them: site permutations with the integer of their eigenvalue."""
    import numpy as np

    points = np.array(lattice.coordinates)
    half = sector.momentum != (0, 0)
    # On the 26-site cluster one step generates all translations; a generator needs its own integer momentum.
    steps = [(1, 0)] if lattice.shape is None else [(1, 0), (0, 1)]
    blocks: dict[str, Any] = {}
    for name, step in zip("xy", steps, strict=False):
        row = lattice.sites(points + np.array(step))
        period = lattice.n_sites if lattice.shape is None else lattice.shape["xy".index(name)]
        blocks[f"k{name}"] = (row, period // 2 if half else 0)
    turns = {"r": ((0, -1), (1, 0))} if not (lattice.shape and lattice.shape[0] != lattice.shape[1]) else {}
    if lattice.shape is not None:
        turns |= {"px": ((-1, 0), (0, 1))} | ({"py": ((1, 0), (0, -1))} if not turns else {})
    for name, turn in turns.items():
        blocks[name] = (lattice.sites(points @ np.array(turn).T), 0)
    blocks["z"] = (-(np.arange(lattice.n_sites) + 1), 0 if sector.flip == 1 else 1)
    return blocks


def child(case: str, engine: str) -> None:
    """One measurement, printed as JSON (runs in a process of its own)."""
    kind, symmetric, *_ = CASES[case]
    import nqs_lab

    nqs_lab.enable_x64()
    row = (run_quspin if engine == "quspin" else run_ours)(kind, symmetric)
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(row))


def measure(case: str, engine: str, cache: str) -> dict[str, Any]:
    """Run one child process and collect what it printed."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), NQS_LAB_FAST="0" if engine == "numpy" else "1")
    if engine.startswith("numba"):
        env["NUMBA_CACHE_DIR"] = cache
    command = [sys.executable, str(Path(__file__).resolve()), "--child", case, engine]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        return {"case": case, "engine": engine, "error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return {"case": case, "engine": engine, **json.loads(lines[0][7:])}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """All measurements, printed as they come; returns one dictionary per line of the table."""
    have = {name: importlib.util.find_spec(name) is not None for name in ("numba", "quspin")}
    head = f"{'basis s':>9}{'solve s':>9}{'total s':>9}{'cpu s':>9}{'MB':>7}{'goal s':>8}"
    print(f"{'case':<15}{'engine':<14}{'states':>10}{head}  E/N")
    rows = []
    for case, (_, _, in_quick, goal_numpy, goal_numba) in CASES.items():
        if quick and not in_quick:
            continue
        with tempfile.TemporaryDirectory() as cache:
            for engine in ENGINES:
                if not have.get(engine.split(",")[0], True):
                    continue
                row = measure(case, engine, cache)
                goal = {"numpy": goal_numpy, "numba": goal_numba}.get(engine)
                rows.append(row | {"goal_s": goal})
                show(row, goal)
    return rows


def show(row: dict[str, Any], goal: float | None) -> None:
    """One line of the table."""
    if "error" in row:
        print(f"{row['case']:<15}{row['engine']:<14}  failed: {row['error']}", flush=True)
        return
    seconds = "".join(f"{row[key]:9.2f}" for key in ("basis_s", "solve_s", "total_s", "cpu_s"))
    numbers = f"{seconds}{row['peak_mb']:7.0f}"
    wanted = f"{goal:8.1f}" if goal else " " * 8
    print(f"{row['case']:<15}{row['engine']:<14}{row['dim']:>10,}{numbers}{wanted}  {row['energy']:.12f}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Exact diagonalisation: time and memory, beside QuSpin.")
    parser.add_argument("--quick", action="store_true", help="only the cases of a few seconds")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    rows = run(options.quick)
    if options.json:
        options.json.write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1))


def versions() -> dict[str, str]:
    """Of the interpreter that measured, which need not be the one that started it."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "numba", "quspin"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


if __name__ == "__main__":
    main()
