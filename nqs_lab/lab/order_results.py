"""Shipped: correlations, sign weights and entanglement of the 4x4 and 4x6 ground states; load them, or rebuild them.

python -m nqs_lab.lab.order_results 4x6    # about two minutes on two cores; writes nqs_lab/lab/data/orders_4x6.json
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

import nqs_lab
from nqs_lab.lab.sector_results import CLUSTERS, FOLDER, J2_GRID, load_sector_levels
from nqs_lab.spins import (
    Lattice,
    Sector,
    SpinBasis,
    correlations,
    entanglement_entropy,
    ground_state,
    j1j2,
    sign_weight,
    structure_factor,
)
from nqs_lab.store import provenance

FORMAT = "nqs_lab-orders-1"
SHAPES = ("4x4", "4x6")
COLUMNS = ("j2", "energy", "neel_weight", "stripe_weight", "entropy", "ring_weight")
_RING = {0b0101: 2.0, 0b1010: 2.0, 0b0011: -1.0, 0b0110: -1.0, 0b1100: -1.0, 0b1001: -1.0}


@dataclass(frozen=True)
class OrderPoint:
    """The ground state of one torus at one J2; the energy is a total in units of J1, spins S.

    correlations: C(r) by site; two sign weights; entropy (nats) of the lower half y < Ly/2; ring_weight: probability of
    the state in the space of products of 4-site ring ground states, along x, and on 4x4 also along y.
    """

    lattice: Lattice
    j2: float
    energy: float
    neel_weight: float
    stripe_weight: float
    entropy: float
    ring_weight: float
    correlations: Float[np.ndarray, " N"]

    def structure_factor(self, qx: float, qy: float) -> float:
        """S(q) = sum_r C(r) exp(i q.r) at a wave vector of the cluster, q in radians per site."""
        return structure_factor(self.correlations, self.lattice, (qx, qy))


def ring_product(basis: SpinBasis, axis: str = "x") -> Float[np.ndarray, " D"]:
    """The product of 4-site ring ground states on every closed line of four sites along "x" (or "y"), in a plain basis.

        |ring> = (2 |udud> + 2 |dudu> - |uudd> - |uddu> - |dduu> - |duud>) / sqrt(12),    energy -2

    Raises: ValueError unless the basis is plain, on a rectangle that is periodic and four sites long along the axis.
    """
    lattice = basis.lattice
    if basis.group is not None or lattice is None or lattice.shape is None:
        raise ValueError("a product of rings is written in the plain basis of a rectangle: SpinBasis(rectangle(4, Ly))")
    along = {"x": 0, "y": 1}[axis]
    if lattice.shape[along] != 4 or not lattice.periodic[along]:
        raise ValueError(f"the rings along {axis} must be closed and have four sites; {lattice.name} has other ones")
    table = np.zeros(16)
    for pattern, weight in _RING.items():
        table[pattern] = weight / np.sqrt(12.0)
    amplitude = np.ones(basis.dim)
    for line in range(lattice.shape[1 - along]):
        number = np.zeros(basis.dim, dtype=np.int64)
        for step in range(4):
            site = lattice.site(step, line) if along == 0 else lattice.site(line, step)
            number |= ((basis.states >> np.uint64(site)) & np.uint64(1)).astype(np.int64) << step
        amplitude *= table[number]
    return amplitude


def ring_weight(state: Float[np.ndarray, " D"], basis: SpinBasis) -> float:
    """Probability of a plain-basis state in the space of its torus' ring products (one, or both directions on 4x4)."""
    assert basis.lattice is not None and basis.lattice.shape is not None
    axes = [axis for axis, length in zip("xy", basis.lattice.shape, strict=True) if length == 4]
    span = np.linalg.qr(np.stack([ring_product(basis, axis) for axis in axes], axis=1))[0]
    return float(np.sum((span.T @ state) ** 2) / (state @ state))


def compute_order(lattice: Lattice, j2: float, sector: Sector) -> OrderPoint:
    """Everything that an OrderPoint holds, for the lowest state of one sector."""
    basis = SpinBasis(lattice, sector=sector)
    ground = ground_state(j1j2(lattice, j2), basis)
    plain = SpinBasis(lattice)
    psi = basis.expand(ground.state)
    return OrderPoint(
        lattice=lattice,
        j2=float(j2),
        energy=ground.energy,
        neel_weight=sign_weight(psi, plain, "neel"),
        stripe_weight=sign_weight(psi, plain, "stripe"),
        entropy=entanglement_entropy(psi, plain, list(range(lattice.n_sites // 2))),
        ring_weight=ring_weight(psi, plain),
        correlations=correlations(ground.state, basis),
    )


def build_orders(name: str, j2_values: Sequence[float] = J2_GRID, *, progress: bool = False) -> dict[str, Any]:
    """The content of a shipped file, each J2 in the sector that the shipped levels name as the lowest."""
    if name not in SHAPES:
        raise ValueError(f"the shapes are {', '.join(SHAPES)}; got {name!r}")
    levels, rows, found = load_sector_levels(name), [], []
    for j2 in tqdm(j2_values, desc=name, disable=not progress):
        column, energy = levels.ground(j2)
        point = compute_order(levels.lattice, j2, Sector(column.momentum, column.irrep, column.flip))
        assert abs(point.energy - energy) < 1e-7, "the two shipped files disagree"
        rows.append([round(float(getattr(point, entry)), 10) for entry in COLUMNS])
        found.append([round(float(c), 10) for c in point.correlations])
    return {
        "format": FORMAT,
        "command": f"python -m nqs_lab.lab.order_results {name}",
        "configuration": {
            "cluster": name,
            "hamiltonian": "H = sum_<ij> S_i.S_j + J2 sum_<<ij>> S_i.S_j, J1 = 1, spins 1/2, totals in units of J1",
            "entropy": "natural logarithm, sites with y < Ly/2 against the rest",
        },
        "provenance": provenance(),
        "data": {"names": list(COLUMNS), "rows": rows, "correlations": found},
    }


def load_orders(name: str) -> tuple[OrderPoint, ...]:
    """The shipped points of "4x4" or "4x6", J2 ascending; ValueError for another name or format."""
    if name not in SHAPES:
        raise ValueError(f"orders are shipped for {', '.join(SHAPES)}; got {name!r}")
    found = json.loads((FOLDER / f"orders_{name}.json").read_text(encoding="utf-8"))
    if found.get("format") != FORMAT:
        raise ValueError(f"expected a file of format {FORMAT}, got {found.get('format')}; rebuild it with the command")
    data = found["data"]
    return tuple(
        OrderPoint(lattice=CLUSTERS[name](), correlations=np.array(c), **dict(zip(data["names"], row, strict=True)))
        for row, c in zip(data["rows"], data["correlations"], strict=True)
    )


def write_orders(content: dict[str, Any], path: Path) -> None:
    """Write a file with one computed point per line."""
    data = content["data"]
    head = json.dumps({k: v for k, v in content.items() if k != "data"}, indent=1)[:-2]
    rows, found = (",\n".join("  " + json.dumps(row) for row in data[key]) for key in ("rows", "correlations"))
    body = f'"names": {json.dumps(data["names"])},\n "rows": [\n{rows}\n ],\n "correlations": [\n{found}\n ]'
    path.write_text(f'{head},\n "data": {{\n {body}\n }}\n}}\n', encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild a shipped result from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m nqs_lab.lab.order_results", description="Rebuild a shipped result."
    )
    parser.add_argument("cluster", choices=list(SHAPES))
    parser.add_argument("--out", type=Path, help="the file to write (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    path: Path = chosen.out or FOLDER / f"orders_{chosen.cluster}.json"
    write_orders(build_orders(chosen.cluster, progress=True), path)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
