"""Heisenberg Hamiltonians on any weighted list of bonds."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, Int32

from nqs_lab.spins.lattice import Lattice


class Heisenberg(eqx.Module):
    """The Heisenberg Hamiltonian of spins 1/2 on weighted bonds.

        H = sum_b J_b S_i . S_j,       S = sigma / 2

    On a configuration s of +1/-1: diagonal element sum_b J_b s_i s_j / 4, and J_b / 2 to the configuration with the
    two antiparallel spins of bond b exchanged. A bond of zero coupling stays in the list (shapes do not change with
    J2) and is masked. Energies are in units of J1; Pauli-matrix energies are four times larger.

    Arguments: bonds Int[B, 2]; coupling Float[B]; n_sites N; lattice, if there is one, for `ground_state` to use.
    Raises: ValueError for an empty list, sites out of range, i = j, complex, NaN or infinite couplings.
    """

    bonds: Int32[Array, "B 2"]
    coupling: Float[Array, " B"]
    n_sites: int = eqx.field(static=True)
    lattice: Lattice | None = eqx.field(static=True)

    def __init__(self, bonds, coupling, n_sites: int, lattice: Lattice | None = None):
        pairs, weights = np.asarray(bonds), np.asarray(coupling)
        _check_bonds(pairs, weights, n_sites)
        if lattice is not None and lattice.n_sites != n_sites:
            raise ValueError(f"The lattice has {lattice.n_sites} sites, the Hamiltonian {n_sites}; they must agree.")
        self.bonds = jnp.asarray(pairs.astype(np.int32))
        self.coupling = jnp.asarray(weights.astype(np.float64), dtype=jnp.result_type(float))
        self.n_sites = int(n_sites)
        self.lattice = lattice

    @property
    def n_bonds(self) -> int:
        """Number of bonds B, those of zero coupling included."""
        return self.bonds.shape[0]

    def diagonal(self, sigma: Int8[Array, " N"]) -> Float[Array, ""]:
        """The diagonal element <s|H|s> = sum_b J_b s_i s_j / 4 of one configuration."""
        parallel = sigma[self.bonds[:, 0]] == sigma[self.bonds[:, 1]]
        return jnp.sum(jnp.where(parallel, self.coupling, -self.coupling)) / 4

    def flippable(self, sigma: Int8[Array, " N"]) -> Bool[Array, " B"]:
        """Which bonds join antiparallel spins and carry a coupling, so that H exchanges them."""
        return (sigma[self.bonds[:, 0]] != sigma[self.bonds[:, 1]]) & (self.coupling != 0)

    def swap(self, sigma: Int8[Array, " N"], bond: int | Int[Array, ""]) -> Int8[Array, " N"]:
        """The configuration with the two spins of one bond exchanged; the bond number may be traced."""
        pair = self.bonds[bond]
        return sigma.at[pair].set(sigma[pair[::-1]])


def _check_bonds(pairs: np.ndarray, weights: np.ndarray, n_sites: int) -> None:
    """Refuse bond lists and couplings that do not make a Hamiltonian."""
    if pairs.size == 0:
        raise ValueError("The bond list is empty; give at least one pair of sites (lattice.bonds() makes them).")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"bonds must be integers of shape (B, 2); got {pairs.dtype} of shape {pairs.shape}.")
    if weights.shape != (len(pairs),):
        raise ValueError(f"{len(pairs)} bonds need {len(pairs)} couplings; got an array of shape {weights.shape}.")
    if np.iscomplexobj(weights) or not np.issubdtype(weights.dtype, np.number):
        raise ValueError(f"Couplings must be real numbers, or H is not Hermitian; got {weights.dtype}.")
    if not np.all(np.isfinite(weights)):
        raise ValueError("A coupling is NaN or infinite; check how it was computed.")
    if pairs.min() < 0 or pairs.max() >= n_sites:
        raise ValueError(f"Sites run from 0 to {n_sites - 1}; got bonds between {pairs.min()} and {pairs.max()}.")
    if np.any(pairs[:, 0] == pairs[:, 1]):
        raise ValueError("A bond joins a site to itself; S_i . S_i is the constant 3/4, leave it out.")


def j1j2(lattice: Lattice, j2: float | int, *, j1: float | int = 1.0, folded: str = "error") -> Heisenberg:
    """The J1-J2 model: J1 on nearest and J2 on second neighbours, all J1 bonds first.

        H = J1 sum_<ij> S_i . S_j + J2 sum_<<ij>> S_i . S_j

    Second neighbours are diagonal on the square lattice and two steps away on a chain. j2 = 0 keeps its bonds.

    Arguments: lattice; j2, j1 in the same unit (energies are usually quoted in J1); folded as in `Lattice.bonds`.
    Raises: ValueError if a small torus folds two bonds into one and `folded` does not say what is meant.
    """
    first, second = lattice.bonds(1, folded), lattice.bonds(2, folded)
    coupling = np.concatenate([np.full(len(first), float(j1)), np.full(len(second), float(j2))])
    return Heisenberg(np.concatenate([first, second]), coupling, lattice.n_sites, lattice)


def shastry_sutherland(lattice: Lattice, *, j: float | int, j_dimer: float | int) -> Heisenberg:
    """The Shastry-Sutherland model: a square lattice J with orthogonal dimers J' on every other plaquette.

        H = J sum_<ij> S_i . S_j + J' sum_dimers S_i . S_j

    The product of singlets on the dimers is an eigenstate of energy -3/8 J' N for any J, and the ground state for
    small J / J' (shastry1981). One-site translations are broken: translations(step=2) remain.

    Arguments: a periodic rectangle with even sides; j and j_dimer in one unit.
    Raises: ValueError for another lattice.
    """
    if lattice.shape is None or not all(lattice.periodic) or any(length % 2 for length in lattice.shape):
        raise ValueError(f"Shastry-Sutherland needs a periodic rectangle with even sides; got {lattice.name}.")
    square = lattice.bonds(1)
    dimers = []
    for x in range(0, lattice.shape[0], 2):
        for y in range(0, lattice.shape[1], 2):
            dimers.append(sorted((lattice.site(x, y), lattice.site(x + 1, y + 1))))
            dimers.append(sorted((lattice.site(x + 2, y + 1), lattice.site(x + 1, y + 2))))
    coupling = np.concatenate([np.full(len(square), float(j)), np.full(len(dimers), float(j_dimer))])
    return Heisenberg(np.concatenate([square, np.array(sorted(dimers))]), coupling, lattice.n_sites, lattice)
