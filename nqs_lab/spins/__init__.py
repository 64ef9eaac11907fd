"""The quantum problem, exactly: lattices, symmetries, Hamiltonians, exact diagonalisation."""

from nqs_lab.spins.basis import SpinBasis as SpinBasis
from nqs_lab.spins.exact import GroundState as GroundState, ground_state as ground_state, spectrum as spectrum
from nqs_lab.spins.hamiltonian import Heisenberg as Heisenberg, j1j2 as j1j2, shastry_sutherland as shastry_sutherland
from nqs_lab.spins.known import bethe_energy as bethe_energy, known_energy as known_energy
from nqs_lab.spins.lattice import (
    Lattice as Lattice,
    chain as chain,
    ladder as ladder,
    rectangle as rectangle,
    square as square,
    tilted as tilted,
)
from nqs_lab.spins.observables import (
    correlations as correlations,
    dimer_correlations as dimer_correlations,
    entanglement_entropy as entanglement_entropy,
    expectation as expectation,
    fidelity as fidelity,
    pair_correlations as pair_correlations,
    sign_weight as sign_weight,
    structure_factor as structure_factor,
    triplet_gap as triplet_gap,
)
from nqs_lab.spins.operator import linear_operator as linear_operator, matrix as matrix
from nqs_lab.spins.orbits import sector_dimension as sector_dimension
from nqs_lab.spins.quantum_numbers import total_spin as total_spin
from nqs_lab.spins.symmetry import Group as Group, Sector as Sector, spin_flip as spin_flip
