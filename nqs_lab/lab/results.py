"""Results that are shipped because they take longer than a reader should wait: load them, or rebuild them.

python -m nqs_lab.lab.results j2-scan        # about four minutes on two cores; writes nqs_lab/lab/data/j2_scan_4x4.json
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import eigsh
from tqdm import tqdm

import nqs_lab
from nqs_lab.spins import (
    Heisenberg,
    Lattice,
    SpinBasis,
    correlations,
    ground_state,
    j1j2,
    matrix,
    sign_weight,
    square,
    structure_factor,
    triplet_gap,
)
from nqs_lab.store import provenance

FORMAT = "nqs_lab-result-1"
COMMAND = "python -m nqs_lab.lab.results j2-scan"
COLUMNS = ("j2", "energy", "gap", "triplet_gap", "neel_weight", "stripe_weight")
DATA = Path(__file__).resolve().parent / "data" / "j2_scan_4x4.json"


@dataclass(frozen=True)
class J2Point:
    """Exact properties of one cluster at one J2; energies are totals in units of J1, spins S.

    `gap` is to the first excited level with Sz = 0, `triplet_gap` to the lowest level with Sz = 1; `correlations` is
    C(r) = <S_0 . S_r> by site; the two weights are the probability of configurations with the Neel and stripe sign.
    """

    lattice: Lattice
    j2: float
    energy: float
    gap: float
    triplet_gap: float
    correlations: Float[np.ndarray, " N"]
    neel_weight: float
    stripe_weight: float

    @property
    def energy_per_site(self) -> float:
        """E0 / N in units of J1."""
        return self.energy / self.lattice.n_sites

    def structure_factor(self, qx: float, qy: float) -> float:
        """S(q) = sum_r C(r) exp(i q.r) at a wave vector of the cluster, q in radians per site."""
        return structure_factor(self.correlations, self.lattice, (qx, qy))


@dataclass(frozen=True)
class J2Scan:
    """Exact properties of one cluster on a grid of J2, and where the numbers come from."""

    points: tuple[J2Point, ...]
    provenance: dict[str, Any]

    @property
    def j2(self) -> Float[np.ndarray, " J"]:
        """The grid."""
        return self.column("j2")

    def column(self, name: str) -> Float[np.ndarray, " J"]:
        """One number of every point: "energy_per_site", "gap", "triplet_gap", "neel_weight", ..."""
        return np.array([getattr(point, name) for point in self.points])

    def at(self, j2: float) -> J2Point:
        """The point computed at that J2; ValueError for a value between the points: nothing is interpolated."""
        nearest = int(np.argmin(np.abs(self.j2 - j2))) if np.isfinite(j2) else 0
        if not np.isfinite(j2) or abs(self.j2[nearest] - j2) > 1e-9:
            raise ValueError(
                f"J2 = {j2} was not computed; the grid runs from {self.j2[0]:g} to {self.j2[-1]:g} in steps of "
                f"{self.j2[1] - self.j2[0]:.3g}. Take {self.j2[nearest]:g}, or compute that value with Run"
            )
        return self.points[nearest]


def load_j2_scan() -> J2Scan:
    """The shipped scan of the 4x4 torus: J2 from 0 to 1 in steps of 0.01."""
    return _from_json(json.loads(DATA.read_text(encoding="utf-8")), square(4))


def _from_json(content: dict[str, Any], lattice: Lattice) -> J2Scan:
    """A scan from its file's content; ValueError for a file of another format."""
    if content.get("format") != FORMAT:
        raise ValueError(f"expected a file of format {FORMAT}, got {content.get('format')}; rebuild it with: {COMMAND}")
    columns = content["data"]
    points = tuple(
        J2Point(lattice=lattice, correlations=np.array(c), **dict(zip(columns["names"], row, strict=True)))
        for row, c in zip(columns["rows"], columns["correlations"], strict=True)
    )
    return J2Scan(points, {k: v for k, v in content.items() if k != "data"})


class Levels(NamedTuple):
    """The lowest levels of a cluster at one J2, in units of J1, spins S; the gaps are those of J2Point."""

    j2: float
    energy: float
    gap: float
    triplet_gap: float


def compute_levels(lattice: Lattice, j2: float) -> Levels:
    """E0 (total), the gap to the next level with Sz = 0, and the gap to the lowest level with Sz = 1."""
    ham = j1j2(lattice, j2)
    levels = _lowest(ham, SpinBasis(lattice), 2)
    triplet = float(_lowest(ham, SpinBasis(lattice, total_sz=1), 1)[0] - levels[0])
    return Levels(float(j2), float(levels[0]), float(levels[1] - levels[0]), triplet)


def _lowest(ham: Heisenberg, basis: SpinBasis, k: int) -> Float[np.ndarray, " k"]:
    """The k lowest energies without their vectors: no time is spent on completing a degenerate level."""
    h = matrix(ham, basis)
    if basis.dim <= 500:
        return np.linalg.eigvalsh(h.toarray())[:k]
    start = np.random.default_rng(0).normal(size=basis.dim)
    return np.sort(eigsh(h, k=k, which="SA", v0=start, return_eigenvectors=False))


def compute_point(lattice: Lattice, j2: float) -> J2Point:
    """Everything that a J2Point holds, for a lattice that carries Neel and stripe order."""
    ham, basis = j1j2(lattice, j2), SpinBasis(lattice)
    ground = ground_state(ham, basis, k=2)
    if ground.degeneracy > 1:
        raise ValueError(f"J2 = {j2}: the ground state is {ground.degeneracy}-fold degenerate, C(r) would be arbitrary")
    return J2Point(
        lattice=lattice,
        j2=float(j2),
        energy=ground.energy,
        gap=float(ground.energies[1] - ground.energies[0]),
        triplet_gap=triplet_gap(ham, ground.energy),
        correlations=correlations(ground.state, basis),
        neel_weight=sign_weight(ground.state, basis, "neel"),
        stripe_weight=sign_weight(ground.state, basis, "stripe"),
    )


def build_j2_scan(lattice: Lattice, j2_values: Sequence[float], *, progress: bool = False) -> dict[str, Any]:
    """The content of the shipped file: configuration, provenance and the numbers, rounded to 12 digits."""
    rows, found = [], []
    for j2 in tqdm(j2_values, desc=lattice.name, disable=not progress):
        point = compute_point(lattice, float(j2))
        rows.append([round(float(getattr(point, name)), 12) for name in COLUMNS])
        found.append([round(float(c), 12) for c in point.correlations])
    return {
        "format": FORMAT,
        "command": COMMAND,
        "configuration": {
            "hamiltonian": "H = sum_<ij> S_i.S_j + J2 sum_<<ij>> S_i.S_j, J1 = 1, spins 1/2, totals in units of J1",
            "lattice": lattice.name,
            "sites": "site = x + 4 y; correlations[k][site] = C(r = site)",
            "method": "plain Sz = 0 and Sz = 1 sectors, sparse Lanczos, fixed start vector",
        },
        "provenance": provenance(),
        "data": {"names": list(COLUMNS), "rows": rows, "correlations": found},
    }


def write_j2_scan(content: dict[str, Any], path: Path) -> None:
    """Write a scan with one computed point per line, so that a change of one number is a change of one line."""
    data = content["data"]
    lines = {name: ",\n".join("  " + json.dumps(row) for row in data[name]) for name in ("rows", "correlations")}
    head = json.dumps({k: v for k, v in content.items() if k != "data"}, indent=1)[:-2]
    names = json.dumps(data["names"])
    body = f'"names": {names},\n "rows": [\n{lines["rows"]}\n ],\n "correlations": [\n{lines["correlations"]}\n ]'
    path.write_text(f'{head},\n "data": {{\n {body}\n }}\n}}\n', encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild a shipped result from the command line."""
    parser = argparse.ArgumentParser(prog="python -m nqs_lab.lab.results", description="Rebuild a shipped result.")
    parser.add_argument("result", choices=["j2-scan"], help="j2-scan: the 4x4 torus, J2 = 0, 0.01, ..., 1")
    parser.add_argument("--out", type=Path, default=DATA, help="the file to write (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    content = build_j2_scan(square(4), [k / 100 for k in range(101)], progress=True)
    write_j2_scan(content, chosen.out)
    print(f"wrote {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
