"""Shipped: the lowest levels of every symmetry sector of small clusters; load them, or rebuild them.

python -m nqs_lab.lab.sector_results 4x4    # seconds; 4x6: half an hour; writes nqs_lab/lab/data/sectors_4x4.json
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy.sparse.linalg import eigsh
from tqdm import tqdm

import nqs_lab
from nqs_lab.spins import Lattice, Sector, SpinBasis, chain, j1j2, matrix, rectangle, sector_dimension, square, tilted
from nqs_lab.spins.operator import shared_matvec, weighted_pairs
from nqs_lab.spins.pointgroup import irreps, keeps_momentum, operations
from nqs_lab.spins.sectors import sector_group
from nqs_lab.store import provenance

FORMAT = "nqs_lab-sectors-1"
FOLDER = Path(__file__).resolve().parent / "data"
CLUSTERS: dict[str, Callable[[], Lattice]] = {
    "4x4": lambda: square(4),
    "18": lambda: tilted(18),
    "20": lambda: tilted(20),
    "4x6": lambda: rectangle(4, 6),
    "ring16": lambda: chain(16),
}
J2_GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0)
KEPT = 4  # different levels of each sector
NAMES = {"Gamma": "\u0393", "M": "M", "X": "X", "Y": "Y"}
DENSE_LIMIT = 700


class Column(NamedTuple):
    """One sector: its names, how many momenta are like it by symmetry, and its number of states.

    place: "Gamma", "M", "X", "Y" or "other"; momentum: one member (k1, k2) of its star; irrep: None where the point
    group does not keep the momentum, or where its representations are left together; flip: +1 or -1.
    """

    place: str
    momentum: tuple[int, int]
    star: int
    irrep: str | None
    flip: int
    dim: int


@dataclass(frozen=True)
class SectorLevels:
    """Lowest levels (totals, units of J1, spins S) of every sector of a cluster on a grid of J2.

    levels[j][c] holds up to four different energies of columns[c] at j2[j], ascending, NaN where there are fewer.
    """

    name: str
    lattice: Lattice
    columns: tuple[Column, ...]
    j2: tuple[float, ...]
    levels: Float[np.ndarray, "J C K"]
    provenance: dict[str, Any]

    def index(self, j2: float) -> int:
        """Row of a computed J2; ValueError for a value between them: nothing is interpolated."""
        found = [k for k, value in enumerate(self.j2) if abs(value - j2) < 1e-9]
        if not found:
            raise ValueError(f"J2 = {j2} was not computed for {self.name}; take one of {', '.join(map(str, self.j2))}.")
        return found[0]

    def ground(self, j2: float) -> tuple[Column, float]:
        """The finest sector that holds the lowest level, and that level."""
        lowest = self.levels[self.index(j2), :, 0]
        equal = np.flatnonzero(lowest - np.nanmin(lowest) < 1e-7)
        finest = min(equal, key=lambda c: (self.columns[c].irrep is None, c))
        return self.columns[int(finest)], float(np.nanmin(lowest))


def sector_columns(lattice: Lattice) -> tuple[Column, ...]:
    """Every sector at Sz = 0 up to symmetry: one momentum of each star, both flips, each 1D representation there."""
    found = []
    for star in momentum_stars(lattice):
        place = place_name(lattice, star)
        kept = irreps(lattice) if keeps_momentum(lattice, star[0]) else ()
        for irrep in (None, *kept):
            for flip in (1, -1):
                sector = Sector(star[0], irrep, flip)
                dim = sector_dimension(sector_group(lattice, sector), lattice.n_sites // 2)
                found.append(Column(place, star[0], len(star), irrep, flip, dim))
    order = [*NAMES, "other"]
    return tuple(sorted(found, key=lambda column: order.index(column.place)))


def momentum_stars(lattice: Lattice) -> list[tuple[tuple[int, int], ...]]:
    """The momenta, gathered into sets that the point group maps onto each other."""
    momenta = lattice.momenta()
    waves = np.exp(1j * np.array([lattice.wavevector(k) for k in momenta]))
    stars, seen = [], set()
    for k in momenta:
        if k in seen:
            continue
        turned = [np.array(op).T @ np.array(lattice.wavevector(k)) for op in operations(lattice)[1]]
        hits = [np.flatnonzero(np.all(np.abs(waves - np.exp(1j * q)) < 1e-9, axis=1)) for q in turned]
        star = tuple(sorted({momenta[int(hit[0])] for hit in hits}))
        seen.update(star)
        stars.append((k, *(other for other in star if other != k)))
    return stars


def place_name(lattice: Lattice, star: Sequence[tuple[int, int]]) -> str:
    """Gamma, M, X or Y if the star holds that point, else "other"."""
    for name in NAMES:
        try:
            if lattice.momentum(name) in star:
                return name
        except ValueError:
            continue
    return "other"


def lowest_levels(lattice: Lattice, column: Column, j2_values: Sequence[float]) -> list[list[float]]:
    """Up to four different energies of one sector at each J2, from H = H1 + J2 H2 built once."""
    if column.dim == 0:
        return [[] for _ in j2_values]
    basis = SpinBasis(lattice, sector=Sector(column.momentum, column.irrep, column.flip))
    first, second = (matrix(j1j2(lattice, j2, j1=j1), basis) for j1, j2 in ((1.0, 0.0), (0.0, 1.0)))
    start = np.random.default_rng(1).standard_normal(basis.dim).astype(first.dtype)
    found = []
    for j2 in j2_values:
        h = first + j2 * second
        if basis.dim <= DENSE_LIMIT:
            values = scipy.linalg.eigvalsh(h.toarray())
        else:
            values = np.sort(eigsh(shared_matvec(h), k=2 * KEPT, which="SA", v0=start, return_eigenvectors=False))
        found.append([round(float(v), 10) for v in different(values)[:KEPT]])
    return found


def different(values: Float[np.ndarray, " K"]) -> Float[np.ndarray, " M"]:
    """Ascending values without repetitions (closer than 1e-7)."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], np.diff(ordered) > 1e-7])]


def content(name: str, columns: Sequence[Column], j2_values: Sequence[float], levels: Sequence[Any]) -> dict[str, Any]:
    """The content of a shipped file; levels[c] as `lowest_levels` returns them."""
    return {
        "format": FORMAT,
        "command": f"python -m nqs_lab.lab.sector_results {name}",
        "configuration": {
            "cluster": name,
            "hamiltonian": "H = sum_<ij> S_i.S_j + J2 sum_<<ij>> S_i.S_j, J1 = 1, spins 1/2, totals in units of J1",
            "method": f"Sz = 0, one momentum of each star; the {KEPT} lowest different levels, copies counted once",
        },
        "provenance": provenance(),
        "j2": list(j2_values),
        "columns": [list(column) for column in columns],
        "levels": list(levels),
    }


def build(name: str, j2_values: Sequence[float] = J2_GRID, *, progress: bool = False) -> dict[str, Any]:
    """Compute what a file holds, sector by sector; ValueError for an unknown cluster."""
    if name not in CLUSTERS:
        raise ValueError(f"the clusters are {', '.join(CLUSTERS)}; got {name!r}")
    lattice = CLUSTERS[name]()
    columns = sector_columns(lattice)
    steps = tqdm(columns, desc=lattice.name, disable=not progress)
    return content(name, columns, j2_values, [lowest_levels(lattice, column, j2_values) for column in steps])


def read(found: dict[str, Any]) -> SectorLevels:
    """The object behind a file's content; ValueError for another format."""
    if found.get("format") != FORMAT:
        raise ValueError(f"expected a file of format {FORMAT}, got {found.get('format')}; rebuild it with the command")
    name = found["configuration"]["cluster"]
    columns = tuple(
        Column(p, (k[0], k[1]), star, irrep, flip, dim) for p, k, star, irrep, flip, dim in found["columns"]
    )
    table = np.full((len(found["j2"]), len(columns), KEPT), np.nan)
    for c, rows in enumerate(found["levels"]):
        for j, row in enumerate(rows):
            table[j, c, : len(row)] = row
    rest = {key: value for key, value in found.items() if key not in ("columns", "levels", "j2")}
    return SectorLevels(name, CLUSTERS[name](), columns, tuple(found["j2"]), table, rest)


def load_sector_levels(name: str) -> SectorLevels:
    """The shipped levels of "4x4", "18", "20", "4x6" or "ring16"; ValueError for another name."""
    if name not in CLUSTERS:
        raise ValueError(f"levels are shipped for {', '.join(CLUSTERS)}; got {name!r}")
    return read(json.loads((FOLDER / f"sectors_{name}.json").read_text(encoding="utf-8")))


def write(found: dict[str, Any], path: Path) -> None:
    """Write a file with one sector per line."""
    head = json.dumps({k: v for k, v in found.items() if k not in ("columns", "levels")}, indent=1)[:-2]
    parts = (",\n".join("  " + json.dumps(row) for row in found[key]) for key in ("columns", "levels"))
    columns, levels = parts
    path.write_text(f'{head},\n "columns": [\n{columns}\n ],\n "levels": [\n{levels}\n ]\n}}\n', encoding="utf-8")


def memory(dim: int, lattice: Lattice) -> tuple[float, float, float]:
    """Bytes of one vector, of H stored sparse (8 + 4 per element, an upper estimate) and of H stored dense."""
    n = lattice.n_sites
    opposite = n / (2 * (n - 1))  # how often two given spins of a configuration with Sz = 0 are opposite
    return 8.0 * dim, 12.0 * dim * (1 + _pairs(lattice) * opposite), 8.0 * dim * dim


@functools.cache
def _pairs(lattice: Lattice) -> int:
    """How many pairs of sites the J1-J2 model couples."""
    return len(weighted_pairs(j1j2(lattice, 0.5))[0])


def size_text(n_bytes: float) -> str:
    """Bytes with a unit that a reader can picture."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB", "EB"):
        if n_bytes < 999.5 or unit == "EB":
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 99.5 or unit == "B" else f"{n_bytes:.2g} {unit}"
        n_bytes /= 1000
    raise AssertionError


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild a shipped result from the command line."""
    parser = argparse.ArgumentParser(prog="python -m nqs_lab.lab.sector_results", description="Rebuild sector levels.")
    parser.add_argument("cluster", choices=list(CLUSTERS))
    parser.add_argument("--out", type=Path, help="the file to write (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    path = chosen.out or FOLDER / f"sectors_{chosen.cluster}.json"
    write(build(chosen.cluster, progress=True), path)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
