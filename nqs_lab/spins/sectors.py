"""From the names of a sector to its symmetry group, and the check that a Hamiltonian has that symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.pointgroup import irreps, keeps_momentum, operations
from nqs_lab.spins.symmetry import Group, Sector, spin_flip

if TYPE_CHECKING:
    from nqs_lab.spins.hamiltonian import Heisenberg


def sector_group(lattice: Lattice, sector: Sector) -> Group:
    """The group of the symmetries that a sector names, with their characters.

    Raises: ValueError for an empty sector, a momentum on open edges, or a representation of the point group at a
    momentum that the point group does not keep.
    """
    parts = []
    if sector.momentum is not None:
        parts.append(lattice.translations(momentum=sector.momentum))
    if sector.irrep is not None:
        if sector.momentum is not None and not keeps_momentum(lattice, sector.momentum):
            raise ValueError(
                f"The point group {operations(lattice)[0]} of {lattice.name} does not keep the momentum "
                f"{sector.momentum}; use irrep=None there, or a momentum it keeps ((0, 0) or lattice.momentum('M'))."
            )
        parts.append(lattice.point_group(sector.irrep))
    if sector.flip is not None:
        parts.append(spin_flip(lattice.n_sites, sector.flip))
    if not parts:
        raise ValueError("The sector names no symmetry; pass sector=None for the plain Sz basis.")
    group = parts[0]
    for part in parts[1:]:
        group = group * part
    return group


def coupling_matrix(ham: Heisenberg) -> Float[np.ndarray, "N N"]:
    """The symmetric matrix of total couplings between every two sites."""
    pairs, weights = np.asarray(ham.bonds), np.asarray(ham.coupling, dtype=np.float64)
    table = np.zeros((ham.n_sites, ham.n_sites))
    np.add.at(table, (pairs[:, 0], pairs[:, 1]), weights)
    return table + table.T


def is_symmetry(ham: Heisenberg, group: Group) -> bool:
    """Whether every element maps the weighted bonds of the Hamiltonian onto themselves."""
    table = coupling_matrix(ham)
    small = 1e-6 * np.abs(table).max() if np.asarray(ham.coupling).dtype == np.float32 else 1e-12 * np.abs(table).max()
    return all(np.allclose(table[np.ix_(p, p)], table, rtol=0, atol=small) for p in group.permutations)


def check_symmetry(ham: Heisenberg, group: Group) -> None:
    """Raise ValueError unless every element of the group maps the weighted bonds onto themselves."""
    if group.n_sites != ham.n_sites:
        raise ValueError(f"The group acts on {group.n_sites} sites, the Hamiltonian on {ham.n_sites}.")
    if not is_symmetry(ham, group):
        raise ValueError(
            "The Hamiltonian does not have this symmetry: some element maps its weighted bonds onto different ones. "
            "Use a smaller group (Shastry-Sutherland keeps translations(step=2) only), or the plain Sz basis."
        )


def candidate_sectors(ham: Heisenberg, flips: bool) -> list[Sector]:
    """The sectors in which `ground_state` looks when the plain basis is too large: Gamma, M and X, all flips."""
    lattice = ham.lattice
    if lattice is None:
        return []
    turns = [*irreps(lattice)] if is_symmetry(ham, lattice.point_group()) else []
    momenta: list[tuple[int, int] | None] = []
    if any(lattice.periodic) and is_symmetry(ham, lattice.translations()):
        for name in ("Gamma", "M", "X"):
            try:
                momentum = lattice.momentum(name)
            except ValueError:
                continue
            momenta += [] if momentum in momenta else [momentum]
    found = []
    for momentum in momenta or [None]:
        fits = bool(turns) and (momentum is None or keeps_momentum(lattice, momentum))
        for irrep in turns if fits else [None]:
            for flip in (1, -1) if flips else (None,):
                found.append(Sector(momentum, irrep, flip))
    return [sector for sector in found if sector != Sector()]
