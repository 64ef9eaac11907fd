"""Ground states against published energies: rings, chains, ladders, tori, exactly solvable points, quantum numbers."""

import numpy as np
import pytest
from oracles import LADDERS, OPEN_CHAINS, RING_GAPS, RINGS, RINGS_02411, TORI, TORUS_GAPS, kronecker_hamiltonian

from nqs_lab.spins import (
    Group,
    Heisenberg,
    Sector,
    SpinBasis,
    chain,
    ground_state,
    j1j2,
    ladder,
    matrix,
    rectangle,
    shastry_sutherland,
    spin_flip,
    square,
    tilted,
    total_spin,
    triplet_gap,
)
from nqs_lab.spins.pointgroup import irreps, keeps_momentum


@pytest.mark.parametrize("n", [n for n in RINGS if n <= 18])
def test_rings(n):
    ham = j1j2(chain(n), 0.0, folded="twice")
    assert abs(ground_state(ham).energy - RINGS[n]) < 1e-10


def test_larger_rings_in_their_sector():
    for n, flip, momentum in ((18, -1, "M"), (20, 1, "Gamma")):
        lattice = chain(n)
        basis = SpinBasis(lattice, 0, Sector(lattice.momentum(momentum), "A", flip))
        assert abs(ground_state(j1j2(lattice, 0.0), basis).energy - RINGS[n]) < 1e-10


@pytest.mark.parametrize("n", RINGS_02411)
def test_rings_with_second_neighbours(n):
    assert abs(ground_state(j1j2(chain(n), 0.2411)).energy / n - RINGS_02411[n]) < 1e-11


@pytest.mark.parametrize(("n", "j2"), RING_GAPS)
def test_triplet_gaps_of_rings(n, j2):
    assert abs(triplet_gap(j1j2(chain(n), j2)) - RING_GAPS[n, j2]) < 1e-8


@pytest.mark.parametrize("n", [6, 8, 10, 12, 16])
def test_majumdar_ghosh_rings_have_two_ground_states(n):
    ground = ground_state(j1j2(chain(n), 0.5))
    assert abs(ground.energy + 0.375 * n) < 1e-10
    assert ground.degeneracy == 2 and len(ground.energies) == 2
    assert np.allclose(ground.states @ ground.states.T, np.eye(2), atol=1e-10)
    assert ground.quantum_numbers["momentum"] is None and ground.quantum_numbers["spin"] == 0
    momenta = [ground_state(j1j2(chain(n), 0.5), SpinBasis(chain(n), 0, Sector((k, 0)))).energy for k in (0, n // 2)]
    assert np.allclose(momenta, -0.375 * n, atol=1e-10)


def test_majumdar_ghosh_on_four_sites_depends_on_how_bonds_fold():
    assert abs(ground_state(j1j2(chain(4), 0.5, folded="twice")).energy + 1.5) < 1e-12  # each bond on its own
    assert abs(ground_state(j1j2(chain(4), 0.5, folded="once")).energy + 1.75) < 1e-12


@pytest.mark.parametrize("n", [n for n in OPEN_CHAINS if n < 20])
def test_open_chains(n):
    assert abs(ground_state(j1j2(chain(n, periodic=False), 0.0)).energy - OPEN_CHAINS[n]) < 1e-9


def test_an_open_chain_of_20_in_its_sector():
    lattice = chain(20, periodic=False)
    energy = ground_state(j1j2(lattice, 0.0), SpinBasis(lattice, 0, Sector(None, "A", 1))).energy
    assert abs(energy - OPEN_CHAINS[20]) < 1e-10


@pytest.mark.parametrize(("rungs", "periodic"), LADDERS)
def test_ladders(rungs, periodic):
    ham = j1j2(ladder(rungs, periodic), 0.0)
    energy, gap = LADDERS[rungs, periodic]
    ground = ground_state(ham)
    assert abs(ground.energy - energy) < 1e-9
    assert abs(triplet_gap(ham, ground.energy) - gap) < 6e-4


@pytest.mark.parametrize(("kind", "j2"), TORI)
def test_tori_in_their_sector(kind, j2):
    lattice, momentum, irrep, flip = {
        "tilted18": (tilted(18), "M", "A1", -1),
        "tilted20": (tilted(20), "Gamma", "A", 1),
        "4x6": (rectangle(4, 6), "Gamma", "A1", 1),
    }[kind]
    ham, energies = j1j2(lattice, j2), []
    names = irreps(lattice) if j2 == 1.0 else (irrep,)
    for name in names:  # at J2 = 1 the lowest representation is not the trivial one everywhere: take the lowest
        for z in (flip, -flip) if j2 == 1.0 else (flip,):
            for point in ("Gamma", "M", "X") if j2 == 1.0 else (momentum,):
                k = lattice.momentum(point)
                sector = Sector(k, name if keeps_momentum(lattice, k) else None, z)
                energies.append(ground_state(ham, SpinBasis(lattice, 0, sector)).energy)
    assert abs(min(energies) / lattice.n_sites - TORI[kind, j2]) < 1e-10


def test_the_plain_basis_reads_off_the_sector():
    for lattice, j2 in ((tilted(18), 0.0), (tilted(18), 0.5)):
        ham = j1j2(lattice, j2)
        ground = ground_state(ham)
        assert abs(ground.energy / 18 - TORI["tilted18", j2]) < 1e-10
        numbers = ground.quantum_numbers
        assert np.allclose(lattice.wavevector(numbers["momentum"]), np.pi)  # N/2 odd: (pi, pi) and flip -1
        assert (numbers["irrep"], numbers["flip"], numbers["spin"]) == ("A1", -1, 0)
        assert abs(triplet_gap(ham, ground.energy) - TORUS_GAPS["tilted18", j2]) < 1e-8
    numbers = ground_state(j1j2(square(4), 0.5)).quantum_numbers
    assert numbers == {"momentum": (0, 0), "irrep": "A1", "flip": 1, "spin": 0}
    assert ground_state(j1j2(chain(9), 0.1)).quantum_numbers["spin"] == 0.5


@pytest.mark.parametrize("lattice", [square(4), rectangle(4, 4)], ids=["square", "rectangle"])
def test_shastry_sutherland_dimer_state(lattice):
    ham = shastry_sutherland(lattice, j=0.4, j_dimer=1.0)
    ground = ground_state(ham)
    assert abs(ground.energy + 0.375 * lattice.n_sites) < 1e-10
    even = Group(lattice.translations(step=2).permutations) * spin_flip(lattice.n_sites, 1)
    assert abs(ground_state(ham, SpinBasis(lattice, group=even)).energy - ground.energy) < 1e-10
    with pytest.raises(ValueError, match="does not have this symmetry"):
        matrix(ham, SpinBasis(lattice, 0, Sector((0, 0))))
    assert "momentum" not in ground.quantum_numbers


def test_degenerate_levels_of_a_lattice_without_symmetry_are_counted():
    triangle_pair = Heisenberg(np.array([[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5]]), np.ones(6), 6)
    ground = ground_state(triangle_pair, method="sparse")
    dense = kronecker_hamiltonian(triangle_pair.bonds, triangle_pair.coupling, 6)
    basis = SpinBasis(6)
    levels = np.linalg.eigvalsh(dense[np.ix_(basis.states, basis.states)])
    copies = int(np.sum(levels - levels[0] < 1e-9))
    assert copies == 8 and ground.degeneracy == copies
    assert ground_state(triangle_pair, method="dense").degeneracy == copies


def test_zero_hamiltonian_and_one_state():
    nothing = Heisenberg(np.array([[0, 1], [1, 2]]), np.zeros(2), 4)
    assert ground_state(nothing).energy == 0 and ground_state(nothing).degeneracy == 6
    large = ground_state(j1j2(square(4), 0.0, j1=0.0))
    assert large.energy == 0 and large.degeneracy == 12870 and large.method == "sparse Lanczos"
    one = ground_state(Heisenberg(np.array([[0, 1]]), np.ones(1), 2), SpinBasis(2, 1), method="sparse")
    assert one.energy == 0.25 and one.method == "dense"
    full = ground_state(j1j2(square(4), 0.5), SpinBasis(square(4), 8))
    assert abs(full.energy - (32 + 16) / 4) < 1e-12 and total_spin(full.basis, full.state) == pytest.approx(8)


def test_total_spin_of_known_states():
    ham = j1j2(square(4), 0.5)
    for total_sz in (0, 1, 2):
        ground = ground_state(ham, total_sz=total_sz)
        assert total_spin(ground.basis, ground.state) == pytest.approx(total_sz, abs=1e-6)
    sector = SpinBasis(square(4), 0, Sector((2, 2), None, -1))
    assert total_spin(sector, ground_state(ham, sector).state) == pytest.approx(1, abs=1e-6)
