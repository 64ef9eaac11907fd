"""The basis of a sector: all configurations of fixed Sz, or one representative of each symmetry orbit."""

from __future__ import annotations

from math import comb

import equinox as eqx
import numpy as np
from jaxtyping import Complex, Float, Int, Int8, UInt64

from nqs_lab.spins import bits
from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.orbits import OrbitTables, amplitude_phases
from nqs_lab.spins.sectors import sector_group
from nqs_lab.spins.symmetry import Group, Sector


class SpinBasis(eqx.Module):
    """Configurations of fixed total Sz, as sorted bit patterns (bit i set: spin i up).

    With a `sector` the basis holds the smallest member r of each symmetry orbit. A vector c in it stands for the
    wave function psi(r) = c_r / norms_r, psi(g r) = chi(g) psi(r), with norms_r = sqrt(orbit size), so |c| = |psi| = 1.
    The number of states is the character count (1/G) sum_g conj(chi(g)) tr g (`sector_dimension`).

    Arguments: lattice, or just a number of sites for the plain basis; total_sz (half-integer for odd N); sector;
    group: your own `Group` with characters in place of a named sector.
    Raises: ValueError if N spins cannot have total_sz, for a flip at total_sz != 0, for a sector without states.
    """

    states: UInt64[np.ndarray, " D"]
    norms: Float[np.ndarray, " D"]
    lattice: Lattice | None = eqx.field(static=True)
    n_sites: int = eqx.field(static=True)
    total_sz: float = eqx.field(static=True)
    sector: Sector | None = eqx.field(static=True)
    group: Group | None

    def __init__(
        self,
        lattice: Lattice | int,
        total_sz: float | int = 0,
        sector: Sector | None = None,
        *,
        group: Group | None = None,
    ):
        self.lattice = None if isinstance(lattice, int) else lattice
        self.n_sites = lattice if isinstance(lattice, int) else lattice.n_sites
        n_up = up_spins(self.n_sites, total_sz)
        self.total_sz, self.sector = float(total_sz), sector
        self.group = _choose_group(self.lattice, sector, group)
        table = bits.LinTable(self.n_sites, n_up)
        if self.group is None:
            self.states = table.states()
            self.norms = np.broadcast_to(np.float64(1), self.states.shape)
            return
        if self.group.n_sites != self.n_sites:
            raise ValueError(f"The group acts on {self.group.n_sites} sites, the lattice has {self.n_sites}.")
        if np.any(self.group.flips < 0) and total_sz != 0:
            raise ValueError(f"The spin flip maps total_sz to -total_sz; it needs total_sz=0, got {total_sz}.")
        # Most states fall out after a few elements, hence a share of the work only.
        tables = OrbitTables(self.group, table.dim * 16 // self.group.n_elements)
        found = [tables.representatives(block) for block in table.blocks(1 << 18)]
        self.states = np.concatenate([states for states, _ in found])
        self.norms = np.sqrt(np.concatenate([sizes for _, sizes in found]).astype(np.float64))
        if not len(self.states):
            raise ValueError(f"The sector {sector} of {self.n_sites} spins at total_sz={total_sz} holds no state.")

    @property
    def dim(self) -> int:
        """Number of basis states D."""
        return len(self.states)

    @property
    def n_up(self) -> int:
        """Number of up spins."""
        return up_spins(self.n_sites, self.total_sz)

    @property
    def is_real(self) -> bool:
        """Whether H is a real matrix in this basis (always, unless a momentum has complex phases)."""
        return self.group is None or self.group.is_real

    def configurations(self) -> Int8[np.ndarray, "D N"]:
        """The basis states as rows of +1 and -1."""
        return bits.to_configurations(self.states, self.n_sites)

    def index(self, states: UInt64[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
        """Positions of bit patterns in the basis; -1 where one is absent (in a sector: not a representative)."""
        if self.group is None:
            inside = (states >> np.uint64(self.n_sites)) == 0
            valid = inside & (np.bitwise_count(states) == self.n_up)
            position = bits.LinTable(self.n_sites, self.n_up).position(np.where(valid, states, self.states[0]))
            return np.where(valid, position, -1)
        position = np.minimum(np.searchsorted(self.states, states), self.dim - 1)
        return np.where(self.states[position] == states, position, -1)

    def locate(
        self, states: UInt64[np.ndarray, " K"], tables: OrbitTables | None = None
    ) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, " K"] | Complex[np.ndarray, " K"]]:
        """Position of each state's orbit and factor f with psi(s) = f c[position]; position -1 where psi(s) = 0."""
        if self.group is None:
            return self.index(states), np.ones(len(states))
        smallest, element = (tables or OrbitTables(self.group)).minimum(states)
        position = self.index(smallest)
        phase = amplitude_phases(self.group, element)
        factor = (np.real(phase) if self.is_real else phase) / self.norms[position]
        return position, np.where(position >= 0, factor, 0)

    def expand(
        self, state: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]
    ) -> Float[np.ndarray, " E"] | Complex[np.ndarray, " E"]:
        """The amplitudes of a sector vector on all configurations of that Sz, in the order of the plain basis."""
        if len(state) != self.dim:
            raise ValueError(f"The vector has {len(state)} entries, the basis {self.dim} states.")
        if self.group is None:
            return state
        tables, parts = OrbitTables(self.group, plain_dimension(self.n_sites, self.total_sz)), []
        for block in bits.LinTable(self.n_sites, self.n_up).blocks(1 << 18):
            position, factor = self.locate(block, tables)
            parts.append(factor * state[position])
        return np.concatenate(parts)


def _choose_group(lattice: Lattice | None, sector: Sector | None, group: Group | None) -> Group | None:
    """The group of a basis: the caller's own, the one a sector names, or none."""
    if sector is None:
        return group
    if group is not None:
        raise ValueError("Give either sector= (names) or group= (your own), not both.")
    if lattice is None:
        raise ValueError("A sector needs a lattice to know its translations; pass the lattice instead of a number.")
    return sector_group(lattice, sector)


def up_spins(n_sites: int, total_sz: float | int) -> int:
    """Number of up spins, refusing a total Sz that the number of sites cannot have."""
    doubled = 2 * total_sz
    if doubled != int(doubled) or (n_sites + int(doubled)) % 2 or abs(doubled) > n_sites:
        kind = "an integer" if n_sites % 2 == 0 else "a half-integer (0.5, -0.5, ...)"
        raise ValueError(f"{n_sites} spins 1/2 need total_sz {kind} of at most {n_sites / 2}; got {total_sz}.")
    return (n_sites + int(doubled)) // 2


def plain_dimension(n_sites: int, total_sz: float | int) -> int:
    """Number of configurations with that total Sz."""
    return comb(n_sites, up_spins(n_sites, total_sz))
