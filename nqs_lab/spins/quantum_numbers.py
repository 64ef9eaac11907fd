"""Momentum, point-group representation, flip and spin of an exact vector, read off as <psi|g|psi>."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from nqs_lab.spins import bits
from nqs_lab.spins.basis import SpinBasis
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.orbits import OrbitTables
from nqs_lab.spins.pointgroup import irreps
from nqs_lab.spins.sectors import is_symmetry
from nqs_lab.spins.symmetry import Group, spin_flip

_SHARP = 1e-6


def group_expectations(
    group: Group,
    basis: SpinBasis,
    state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"],
    elements: list[int] | None = None,
) -> Complex[np.ndarray, " K"]:
    """<psi|g|psi> for chosen elements g of a group (default all), in the plain basis: (g psi)(s) = psi(g s)."""
    chosen = list(range(group.n_elements)) if elements is None else elements
    tables, values = OrbitTables(group), np.zeros(len(chosen), dtype=np.complex128)
    lin = bits.LinTable(basis.n_sites, basis.n_up)
    for start in range(0, basis.dim, 1 << 18):
        states, part = basis.states[start : start + (1 << 18)], state[start : start + (1 << 18)]
        for slot, element in enumerate(chosen):
            values[slot] += np.vdot(part, state[lin.position(tables.image(element, states))])
    return values


def total_spin(basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]) -> float:
    """Total spin S of a vector, from <S^2> = |S+ psi|^2 + Sz (Sz + 1) = S (S + 1).

    Arguments: basis and state as `ground_state` returns them (a sector vector is expanded first).
    A value that is not a multiple of 1/2 means that the vector mixes spins.
    """
    if basis.group is not None:
        plain = SpinBasis(basis.n_sites, basis.total_sz)
        return total_spin(plain, basis.expand(state))
    raised_norm, n_up = 0.0, basis.n_up
    if n_up < basis.n_sites:
        lin = bits.LinTable(basis.n_sites, n_up + 1)
        raised = np.zeros(lin.dim, dtype=state.dtype)
        for site in range(basis.n_sites):
            bit = np.uint64(1) << np.uint64(site)
            down = np.flatnonzero((basis.states & bit) == 0)
            raised[lin.position(basis.states[down] | bit)] += state[down]
        raised_norm = float(np.vdot(raised, raised).real)
    sz = basis.total_sz
    return float(np.sqrt(max(0.0, raised_norm + sz * (sz + 1) + 0.25)) - 0.5)


def _momentum(
    lattice: Lattice, basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]
) -> tuple[int, int] | None:
    """The momentum whose phases the one-site translations show, or None if they are not sharp."""
    points = np.array(lattice.coordinates)
    steps = [step for step, on in zip(((1, 0), (0, 1)), lattice.periodic, strict=True) if on]
    rows = np.stack([lattice.sites(points - np.array(step)) for step in steps])
    group = lattice.translations()
    elements = [int(np.flatnonzero(np.all(group.permutations == row, axis=1))[0]) for row in rows]
    values = group_expectations(group, basis, state, elements)
    for momentum in lattice.momenta():
        phases = np.exp(1j * np.array([np.dot(lattice.wavevector(momentum), step) for step in steps]))
        if np.allclose(values, phases, rtol=0, atol=_SHARP):
            return momentum
    return None


def _irrep(
    lattice: Lattice, basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]
) -> str | None:
    """The one-dimensional point-group representation of a vector, or None."""
    values = group_expectations(lattice.point_group(), basis, state)
    for name in irreps(lattice):
        try:
            characters = lattice.point_group(name).characters
        except ValueError:
            continue
        if np.allclose(values, characters, rtol=0, atol=_SHARP):
            return name
    return None


def read_quantum_numbers(
    ham: Heisenberg, basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]
) -> dict[str, Any]:
    """Momentum, irrep, flip and spin of a vector; None where H has the symmetry but the vector no sharp value."""
    if basis.group is not None:
        names = basis.sector
        if names is None:
            return {}
        given = {"momentum": names.momentum, "irrep": names.irrep, "flip": names.flip}
        return {key: value for key, value in given.items() if value is not None}
    found = _space_numbers(ham, basis, state)
    spin = total_spin(basis, state)
    found["spin"] = round(2 * spin) / 2 if abs(2 * spin - round(2 * spin)) < 1e-5 else None
    return found


def _space_numbers(
    ham: Heisenberg, basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]
) -> dict[str, Any]:
    """Momentum, irrep and flip in the plain basis, as far as H has these symmetries."""
    found: dict[str, Any] = {}
    lattice = basis.lattice
    if lattice is not None and any(lattice.periodic) and is_symmetry(ham, lattice.translations()):
        found["momentum"] = _momentum(lattice, basis, state)
    if lattice is not None and is_symmetry(ham, lattice.point_group()):
        found["irrep"] = _irrep(lattice, basis, state)
    if basis.total_sz == 0:
        value = group_expectations(spin_flip(basis.n_sites), basis, state, [1])[0].real
        found["flip"] = round(value) if abs(abs(value) - 1) < _SHARP else None
    return found


def unsharp(ham: Heisenberg, basis: SpinBasis, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]) -> bool:
    """Whether a symmetry of H has no sharp value in a plain-basis vector, which is how degenerate levels show."""
    return basis.group is None and None in _space_numbers(ham, basis, state).values()
