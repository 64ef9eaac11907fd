"""Observables: the 4x4 table to six digits, sectors against the plain basis, brute force on small systems, refusals."""

import numpy as np
import pytest
from oracles import SQUARE_4X4, kronecker_hamiltonian

from nqs_lab.spins import (
    Heisenberg,
    Sector,
    SpinBasis,
    chain,
    correlations,
    dimer_correlations,
    entanglement_entropy,
    expectation,
    fidelity,
    ground_state,
    j1j2,
    ladder,
    pair_correlations,
    rectangle,
    sign_weight,
    square,
    structure_factor,
    tilted,
    triplet_gap,
)

GAMMA_A1 = Sector((0, 0), "A1", 1)


@pytest.mark.parametrize("j2", SQUARE_4X4)
def test_the_whole_4x4_table(j2):
    energy, gap, neel_peak, stripe_peak, c10, c11, neel, stripe, entropy = SQUARE_4X4[j2]
    lattice = square(4)
    ham, basis = j1j2(lattice, j2), SpinBasis(square(4), 0, GAMMA_A1)
    ground = ground_state(ham, basis)
    assert abs(ground.energy / 16 - energy) < 1e-11
    triplets = [ground_state(ham, SpinBasis(lattice, 1, Sector(k))).energy for k in ((2, 2), (2, 0), (0, 0))]
    assert abs(min(triplets) - ground.energy - gap) < 2e-9
    c = correlations(ground.state, basis)
    assert abs(c[lattice.site(1, 0)] - c10) < 6e-7 and abs(c[lattice.site(1, 1)] - c11) < 6e-7
    assert abs(structure_factor(c, lattice, (np.pi, np.pi)) - neel_peak) < 6e-7
    assert abs(structure_factor(c, lattice, (np.pi, 0)) - stripe_peak) < 6e-7
    assert abs(structure_factor(c, lattice, (0, 0))) < 1e-9  # total spin 0
    assert abs(16 * (2 * c[1] + 2 * j2 * c[5]) - ground.energy) < 1e-9
    assert abs(sign_weight(ground.state, basis) - neel) < 6e-7
    assert abs(sign_weight(ground.state, basis, "stripe") - stripe) < 6e-7
    assert abs(entanglement_entropy(ground.state, basis, list(range(8))) - entropy) < 6e-7


@pytest.mark.parametrize("j2", [0.2, 0.8])
def test_the_triplet_gap_from_plain_bases(j2):
    assert abs(triplet_gap(j1j2(square(4), j2)) - SQUARE_4X4[j2][1]) < 2e-9


CASES = [
    (square(4), GAMMA_A1, 0.5),
    (square(4), Sector((2, 2), "A1", -1), 0.3),
    (square(4), Sector((1, 0), None, 1), 0.5),
    (chain(10), Sector((5, 0), None, -1), 0.2),
    (chain(10), Sector((3, 0), None, None), 0.2),
    (rectangle(4, 3), Sector((0, 0), "B1", None), 0.4),
    (tilted(18), Sector((0, 3), "A1", -1), 0.5),
]


@pytest.mark.parametrize(("lattice", "sector", "j2"), CASES)
def test_sector_observables_equal_those_of_the_expanded_vector(lattice, sector, j2):
    basis, plain = SpinBasis(lattice, 0, sector), SpinBasis(lattice)
    ground = ground_state(j1j2(lattice, j2), basis)
    psi = basis.expand(ground.state)
    near, order = lattice.bonds(1), "neel" if sector.momentum != (0, 0) or lattice.n_sites == 16 else None
    if lattice.n_sites <= 16:
        assert np.allclose(pair_correlations(ground.state, basis), pair_correlations(psi, plain), atol=1e-10)
        assert np.allclose(
            dimer_correlations(ground.state, basis, near), dimer_correlations(psi, plain, near), atol=1e-10
        )
    energy = expectation(j1j2(lattice, j2), psi, plain)
    assert abs(energy - ground.energy) < 1e-9
    if order and basis.is_real:
        assert abs(sign_weight(ground.state, basis) - sign_weight(psi, plain)) < 1e-12
    half = list(range(lattice.n_sites // 2))
    assert abs(entanglement_entropy(ground.state, basis, half) - entanglement_entropy(psi, plain, half)) < 1e-10


def test_an_unsymmetrised_operator_is_refused_in_a_sector():
    # One bond alone does not commute with the projector (QuSpin issue 448): refused, not answered wrongly.
    lattice, basis = square(4), SpinBasis(square(4), 0, GAMMA_A1)
    ground = ground_state(j1j2(lattice, 0.5), basis)
    one_bond = Heisenberg(lattice.bonds(1)[:1], np.ones(1), 16)
    with pytest.raises(ValueError, match="does not have this symmetry"):
        expectation(one_bond, ground.state, basis)
    direct = expectation(one_bond, basis.expand(ground.state), SpinBasis(lattice))
    assert abs(direct - SQUARE_4X4[0.5][4]) < 6e-7


def random_vector(basis, seed, complex_valued=False):
    """A normalised random vector."""
    rng = np.random.default_rng(seed)
    psi = rng.standard_normal(basis.dim) + (1j * rng.standard_normal(basis.dim) if complex_valued else 0)
    return psi / np.linalg.norm(psi)


@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize(("n", "total_sz"), [(6, 0), (7, 0.5), (8, -1)])
def test_correlations_against_kronecker_products(n, total_sz, complex_valued):
    basis = SpinBasis(n, total_sz)
    psi = random_vector(basis, n, complex_valued)
    table = pair_correlations(psi, basis)
    bonds = np.array([[0, 1], [2, 4], [1, 4], [3, 5]])
    whole = np.zeros(2**n, dtype=complex)
    whole[basis.states] = psi
    operators = [kronecker_hamiltonian([b], [1.0], n) for b in bonds]
    means = [np.vdot(whole, op @ whole).real for op in operators]
    assert np.allclose([table[i, j] for i, j in bonds], means, atol=1e-12)
    assert np.allclose(table, table.T) and np.allclose(np.diag(table), 0.75)
    for reference in range(4):
        products = [np.vdot(whole, operators[reference] @ op @ whole).real for op in operators]
        loose = dimer_correlations(psi, basis, bonds, reference, connected=False)
        assert np.allclose(loose, products, atol=1e-12)
        tied = dimer_correlations(psi, basis, bonds, reference)
        assert np.allclose(tied, np.array(products) - means[reference] * np.array(means), atol=1e-12)


@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize("sites", [[0], [1, 4], [0, 2, 5], [0, 1, 2, 3, 4, 5, 6]])
def test_entropy_against_the_reduced_density_matrix(sites, complex_valued):
    n = 8
    basis = SpinBasis(n, 1)
    psi = random_vector(basis, 3, complex_valued)
    whole = np.zeros(2**n, dtype=complex)
    whole[basis.states] = psi
    # axis k of the reshaped vector is site n - 1 - k
    tensor = whole.reshape((2,) * n)
    axes = [n - 1 - s for s in sites]
    rest = [k for k in range(n) if k not in axes]
    rows = tensor.transpose(axes + rest).reshape(2 ** len(sites), -1)
    p = np.linalg.eigvalsh(rows @ rows.conj().T)
    p = p[p > 1e-14]
    assert abs(entanglement_entropy(psi, basis, sites) + np.sum(p * np.log(p))) < 1e-10


def test_entropy_of_a_singlet_pair_is_log_2():
    ham = Heisenberg(np.array([[0, 1], [2, 3]]), np.ones(2), 4)
    ground = ground_state(ham)
    assert abs(entanglement_entropy(ground.state, ground.basis, [0, 2]) - 2 * np.log(2)) < 1e-12
    assert abs(entanglement_entropy(ground.state, ground.basis, [0, 1])) < 1e-12


def test_marshall_sign_is_exact_without_frustration():
    for lattice in (chain(10), square(4), tilted(18), ladder(5, periodic=False), rectangle(3, 4, periodic=False)):
        ground = ground_state(j1j2(lattice, 0.0))
        assert abs(sign_weight(ground.state, ground.basis) - 1) < 1e-12
    flipped = ground_state(j1j2(chain(8), 0.0))
    assert sign_weight(-flipped.state, flipped.basis) == pytest.approx(1)
    assert sign_weight(np.exp(0.7j) * flipped.state, flipped.basis) == pytest.approx(1)


def test_sign_weight_against_its_definition():
    lattice = square(4)
    basis = SpinBasis(lattice)
    psi = random_vector(basis, 1)
    sigma = basis.configurations()
    for order in ("neel", "stripe"):
        second = lattice.order(order) < 0
        rule = np.where(np.sum(sigma[:, second] > 0, axis=1) % 2, -1, 1)
        weight = np.sum(psi[psi * rule > 0] ** 2)
        assert abs(sign_weight(psi, basis, order) - max(weight, 1 - weight)) < 1e-12


def test_correlations_are_those_of_a_translation_average():
    lattice = chain(8)
    basis = SpinBasis(lattice)
    psi = random_vector(basis, 2)
    table, c = pair_correlations(psi, basis), correlations(psi, basis)
    for r in range(8):
        assert abs(c[r] - np.mean([table[x, (x + r) % 8] for x in range(8)])) < 1e-12
    for k in range(8):
        q = 2 * np.pi * k / 8
        direct = np.sum(table * np.cos(q * np.subtract.outer(np.arange(8), np.arange(8)))) / 8
        assert abs(structure_factor(c, lattice, (q, 0)) - direct) < 1e-12


def test_fidelity():
    a, b = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    assert fidelity(a, b) == pytest.approx(0.5) and fidelity(3 * a, np.exp(0.3j) * a) == pytest.approx(1)
    first, second = (ground_state(j1j2(square(4), j2)) for j2 in (0.5, 0.55))
    assert 0.9 < fidelity(first.state, second.state) < 1


@pytest.mark.parametrize(
    "make",
    [
        lambda b, v: fidelity(v, v[:-1]),
        lambda b, v: fidelity(v, 0 * v),
        lambda b, v: correlations(v, SpinBasis(8)),
        lambda b, v: correlations(v, SpinBasis(ladder(4))),
        lambda b, v: correlations(v[:-1], b),
        lambda b, v: sign_weight(v, SpinBasis(8)),
        lambda b, v: sign_weight(v, b, "ferro"),
        lambda b, v: sign_weight(np.ones(10), SpinBasis(chain(5), 0.5)),
        lambda b, v: entanglement_entropy(v, b, []),
        lambda b, v: entanglement_entropy(v, b, [0, 0]),
        lambda b, v: entanglement_entropy(v, b, [0, 8]),
        lambda b, v: entanglement_entropy(v[:-1], b, [0]),
        lambda b, v: dimer_correlations(v[:-1], b, chain(8).bonds()),
        lambda b, v: structure_factor(np.ones(7), chain(8), (0, 0)),
        lambda b, v: structure_factor(np.ones(8), chain(8), (0.3, 0)),
        lambda b, v: expectation(j1j2(chain(6), 0.0), v, b),
    ],
)
def test_refusals(make):
    basis = SpinBasis(chain(8))
    with pytest.raises(ValueError):
        make(basis, np.full(70, 70**-0.5))
