"""Rotations and reflections of a lattice, and their one-dimensional representations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nqs_lab.spins.symmetry import Group

if TYPE_CHECKING:
    from nqs_lab.spins.lattice import Lattice

Matrix = tuple[tuple[int, int], tuple[int, int]]

_STRAIGHT: tuple[Matrix, ...] = tuple(((a, 0), (0, b)) for a in (1, -1) for b in (1, -1))
_SWAPPED: tuple[Matrix, ...] = tuple(((0, a), (b, 0)) for a in (1, -1) for b in (1, -1))


def _determinant(op: Matrix) -> int:
    """+1 for a rotation, -1 for a reflection."""
    return op[0][0] * op[1][1] - op[0][1] * op[1][0]


def _straight(op: Matrix) -> int:
    """+1 if the operation keeps the two axes, -1 if it exchanges them."""
    return 1 if op[0][1] == 0 else -1


_IRREPS: dict[str, dict[str, Callable[[Matrix], int]]] = {
    "C4v": {
        "A1": lambda op: 1,
        "A2": _determinant,
        "B1": _straight,
        "B2": lambda op: _straight(op) * _determinant(op),
    },
    "C4": {"A": lambda op: 1, "B": _straight},
    "C2v": {"A1": lambda op: 1, "A2": _determinant, "B1": lambda op: op[0][0], "B2": lambda op: op[1][1]},
    "Cs": {"A": lambda op: 1, "B": _determinant},
}


def _is_symmetry(lattice: Lattice, op: Matrix) -> bool:
    """Whether the rotation or reflection maps the cluster onto itself."""
    if lattice.shape is not None and op not in _STRAIGHT:
        return lattice.shape[0] == lattice.shape[1] and lattice.periodic[0] == lattice.periodic[1]
    if lattice.shape is not None:
        return all(active or op[axis][axis] == 1 for axis, active in enumerate(lattice.active))
    turned = np.array(lattice.cluster) @ np.array(op).T
    return bool(np.all(lattice.sites(turned) == lattice.sites(np.zeros((2, 2), dtype=np.int64))))


def operations(lattice: Lattice) -> tuple[str, tuple[Matrix, ...]]:
    """Name of the point group and its operations as 2x2 integer matrices."""
    ops = tuple(op for op in _STRAIGHT + _SWAPPED if _is_symmetry(lattice, op))
    names = {8: "C4v", 4: "C2v" if all(op in _STRAIGHT for op in ops) else "C4", 2: "Cs", 1: "Cs"}
    return names[len(ops)], ops


def irreps(lattice: Lattice) -> tuple[str, ...]:
    """Names of the one-dimensional representations of the lattice's point group."""
    return tuple(_IRREPS[operations(lattice)[0]])


def permutation(lattice: Lattice, op: Matrix) -> np.ndarray:
    """Where the operation carries each site: about site 0 along periodic directions, the middle of open ones."""
    shift = np.zeros(2, dtype=np.int64)
    for axis in range(2):
        if lattice.shape is not None and not lattice.periodic[axis] and sum(op[axis]) == -1:
            shift[axis] = lattice.shape[axis] - 1
    return lattice.sites(np.array(lattice.coordinates) @ np.array(op).T + shift)


def keeps_momentum(lattice: Lattice, momentum: tuple[int, int]) -> bool:
    """Whether every operation maps the momentum onto itself (up to a reciprocal vector)."""
    q = np.array(lattice.wavevector(momentum))
    for op in operations(lattice)[1]:
        if not np.allclose(np.exp(1j * (np.array(op).T @ q)), np.exp(1j * q)):
            return False
    return True


def point_group(lattice: Lattice, irrep: str) -> Group:
    """The point group of the lattice with the characters of one representation; see `Lattice.point_group`."""
    name, ops = operations(lattice)
    table = _IRREPS[name]
    label = next(iter(table)) if irrep in ("A", "A1") else irrep
    if label not in table:
        raise ValueError(f"{lattice.name} has the point group {name} with {', '.join(table)}; got {irrep!r}.")
    found: dict[tuple[int, ...], int] = {}
    for op in ops:
        row, character = tuple(permutation(lattice, op).tolist()), table[label](op)
        if found.setdefault(row, character) != character:
            raise ValueError(
                f"{lattice.name} is too small for {irrep}: two operations with opposite characters coincide."
            )
    return Group(np.array(list(found)), characters=np.array(list(found.values()), dtype=np.complex128))
