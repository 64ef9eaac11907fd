"""What the trained states are compared with: exact energies and, where they are known, exact orders."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

import nqs_lab as nl
from nqs_lab.lab.large.setting import Setting, make_lattice
from nqs_lab.spins.known import SIX_BY_SIX_ORDER, known_energy
from nqs_lab.spins.observables import correlations, structure_factor

SOLVABLE = 20  # sites up to which a ground state takes seconds


class Reference(NamedTuple):
    """Exact answers for one magnet, None where they are not known: the energy (total, units of J1), S(q) at the wave
    vectors of `orders`, and C(r) by site number."""

    energy: float | None
    order: dict[str, float | None]
    c: Float[np.ndarray, " N"] | None


def orders(lattice: nl.Lattice) -> dict[str, tuple[str, ...]]:
    """Names of momenta at which S(q) is looked at, the mean being taken: "total spin" is S(0) = <S^2> / N."""
    chain = lattice.shape is not None and lattice.shape[1] == 1
    return {"neel": ("M",), "total spin": ("Gamma",)} | ({} if chain else {"stripe": ("X", "Y")})


def reference(setting: Setting) -> Reference:
    """Exact answers: solved here up to 20 sites, else from formulas and tables (orders of 6x6: schulz1996)."""
    return _reference(setting.lattice, setting.j2)


@functools.lru_cache(maxsize=16)
def _reference(name: str, j2: float) -> Reference:
    """`reference`, computed once a magnet."""
    lattice = make_lattice(name)
    known = known_energy(lattice, j2)
    if lattice.n_sites <= SOLVABLE:
        energy, c = _solve(lattice, j2)
        found = {
            order: float(
                np.mean([structure_factor(c, lattice, lattice.wavevector(lattice.momentum(q))) for q in where])
            )
            for order, where in orders(lattice).items()
        }
        return Reference(energy if known is None else known, dict(found), c)
    unknown = dict.fromkeys(orders(lattice), None)
    if name == "6x6" and j2 in SIX_BY_SIX_ORDER:
        neel, stripe = (float(m2 * (lattice.n_sites + 2)) for m2 in SIX_BY_SIX_ORDER[j2])
        return Reference(known, {"neel": neel, "total spin": 0.0, "stripe": stripe}, None)
    return Reference(known, unknown | {"total spin": 0.0}, None)


def _solve(lattice: nl.Lattice, j2: float) -> tuple[float, Float[np.ndarray, " N"]]:
    """Energy and C(r) of the ground state that the ansatz can reach: invariant under translations up to a sign.

    The ring at J2 = 1/2 has two ground states, of different momenta: the sector says which one is meant.
    """
    momentum = lattice.momentum("Gamma" if lattice.n_sites % 4 == 0 else "M")
    basis = nl.SpinBasis(lattice, sector=nl.Sector(momentum=momentum))
    ground = nl.ground_state(nl.j1j2(lattice, j2), basis)
    return ground.energy, correlations(ground.state, basis)
