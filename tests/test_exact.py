"""Exact diagonalisation: matrices, spectra by sector, methods, sizes, refusals."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from oracles import RINGS, kronecker_hamiltonian

from nqs_lab.spins import (
    Heisenberg,
    Sector,
    SpinBasis,
    chain,
    exact,
    fast,
    ground_state,
    j1j2,
    ladder,
    linear_operator,
    matrix,
    rectangle,
    sector_dimension,
    spectrum,
    spin_flip,
    square,
    tilted,
    triplet_gap,
)
from nqs_lab.spins.operator import Rows
from nqs_lab.spins.pointgroup import irreps, keeps_momentum


def random_ham(n, n_bonds, seed):
    """A Hamiltonian on random pairs, some of them repeated."""
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(n, 2, replace=False) for _ in range(n_bonds)])
    return Heisenberg(pairs, rng.normal(size=n_bonds), n)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(n=st.integers(2, 8), n_bonds=st.integers(1, 14), seed=st.integers(0, 10**6))
def test_every_sz_block_is_the_kronecker_hamiltonian(n, n_bonds, seed):
    ham = random_ham(n, n_bonds, seed)
    dense = kronecker_hamiltonian(ham.bonds, ham.coupling, n)
    assert np.abs(dense.imag).max() < 1e-14
    covered = 0
    for n_up in range(n + 1):
        basis = SpinBasis(n, n_up - n / 2)
        block = matrix(ham, basis).toarray()
        assert np.allclose(block, dense.real[np.ix_(basis.states, basis.states)], atol=1e-12)
        outside = np.setdiff1d(np.arange(2**n), basis.states)
        assert np.abs(dense[np.ix_(outside, basis.states)]).max(initial=0) < 1e-14  # [H, Sz] = 0
        assert np.array_equal(block, block.T)
        covered += basis.dim
    assert covered == 2**n


@pytest.mark.parametrize("fast", ["0", "always"])
def test_matrix_and_matrix_free_agree_in_every_layer(fast, monkeypatch):
    if fast == "always":
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    rng = np.random.default_rng(4)
    for lattice, sector in (
        (square(4), None),
        (square(4), Sector((1, 3), None, -1)),
        (square(4), Sector((2, 2), "B2", 1)),
        (tilted(18), Sector((0, 3), "A1", -1)),
        (ladder(5), Sector((2, 0), None, 1)),
    ):
        ham = j1j2(lattice, 0.4)
        monkeypatch.setenv("NQS_LAB_FAST", "0")
        reference = matrix(ham, SpinBasis(lattice, 0, sector)).tocsr()
        monkeypatch.setenv("NQS_LAB_FAST", fast)
        basis = SpinBasis(lattice, 0, sector)
        found = matrix(ham, basis)
        assert abs(found - reference).max() < 1e-13
        assert abs(found - found.conj().T).max() < 1e-13
        vector = rng.standard_normal(basis.dim) + (0 if basis.is_real else 1j * rng.standard_normal(basis.dim))
        assert np.allclose(linear_operator(ham, basis) @ vector, reference @ vector, atol=1e-12)
        assert np.allclose(exact.shared_matvec(found) @ vector, reference @ vector, atol=1e-12)


@pytest.mark.parametrize("lattice", [square(4), chain(8), rectangle(4, 3), ladder(4)], ids=lambda lat: lat.name)
def test_the_number_of_stored_elements_is_known_beforehand(lattice):
    ham = j1j2(lattice, 0.3, folded="once")
    rows = Rows(ham, SpinBasis(lattice))
    assert matrix(ham, SpinBasis(lattice)).nnz == rows.nonzeros()


def momentum_spectra(ham, lattice, total_sz):
    """All levels of one Sz, from the sectors of momentum and flip."""
    levels = []
    for momentum in lattice.momenta():
        for flip in (1, -1) if total_sz == 0 else (None,):
            try:
                basis = SpinBasis(lattice, total_sz, Sector(momentum, None, flip))
            except ValueError:
                continue
            levels.append(spectrum(ham, basis))
    return np.sort(np.concatenate(levels))


@pytest.mark.parametrize("j2", [0.0, 0.37])
def test_sectors_of_the_ring_make_the_full_spectrum(j2):
    lattice, levels = chain(8), []
    ham = j1j2(lattice, j2)
    for total_sz in range(-4, 5):
        levels.append(momentum_spectra(ham, lattice, total_sz))
    full = np.linalg.eigvalsh(kronecker_hamiltonian(ham.bonds, ham.coupling, 8))
    assert np.allclose(np.sort(np.concatenate(levels)), full, atol=1e-10)


def test_sectors_of_an_odd_ring_make_the_full_spectrum():
    lattice, ham = chain(7), j1j2(chain(7), 0.2)
    levels = [momentum_spectra(ham, lattice, n_up - 3.5) for n_up in range(8)]
    full = np.linalg.eigvalsh(kronecker_hamiltonian(ham.bonds, ham.coupling, 7))
    assert np.allclose(np.sort(np.concatenate(levels)), full, atol=1e-10)


def test_sectors_of_the_4x4_torus_make_the_full_spectrum():
    lattice = square(4)
    ham = j1j2(lattice, 0.5)
    for total_sz, dim in ((4, 1820), (5, 560), (-6, 120)):
        levels = momentum_spectra(ham, lattice, total_sz)
        assert len(levels) == dim
        assert np.allclose(levels, spectrum(ham, SpinBasis(lattice, total_sz)), atol=1e-9)


@pytest.mark.slow
def test_sectors_of_4x4_at_sz_0_have_the_moments_of_the_whole_block():
    lattice = square(4)
    ham = j1j2(lattice, 0.5)
    whole = matrix(ham, SpinBasis(lattice))
    levels = momentum_spectra(ham, lattice, 0)
    assert len(levels) == 12870
    power = whole @ whole
    assert abs(levels.sum() - whole.diagonal().sum()) < 1e-7
    assert abs((levels**2).sum() - power.diagonal().sum()) < 1e-6
    assert abs((levels**3).sum() - power.multiply(whole.T).sum()) < 1e-5
    assert abs((levels**4).sum() - power.multiply(power.T).sum()) < 1e-4
    lowest = ground_state(ham, SpinBasis(lattice), k=6).energies
    assert np.allclose(levels[: len(lowest)], lowest, atol=1e-9)


@pytest.mark.parametrize("lattice", [square(4), chain(10), rectangle(4, 3), ladder(4)], ids=lambda lat: lat.name)
def test_point_group_spectra_are_part_of_their_momentum(lattice):
    ham, total_sz = j1j2(lattice, 0.6, folded="twice"), 0
    for momentum in lattice.momenta():
        if not keeps_momentum(lattice, momentum):
            continue
        whole = spectrum(ham, SpinBasis(lattice, total_sz, Sector(momentum)))
        parts, counted = [], 0
        for irrep in irreps(lattice):
            try:
                basis = SpinBasis(lattice, total_sz, Sector(momentum, irrep))
            except ValueError:
                continue
            parts.append(spectrum(ham, basis))
            counted += basis.dim
        for part in parts:
            position = np.searchsorted(whole, part - 1e-9)
            assert np.allclose(whole[np.minimum(position, len(whole) - 1)], part, atol=1e-8)
        # What is missing sits in pairs: the two-dimensional representation, which is not built.
        rest = list(whole)
        for level in np.concatenate(parts):
            rest.pop(int(np.argmin(np.abs(np.array(rest) - level))))
        assert len(rest) == len(whole) - counted and np.allclose(rest[0::2], rest[1::2], atol=1e-8)


@pytest.mark.parametrize("sector", [None, Sector((0, 0), "A1", 1), Sector((1, 0), None, -1)])
def test_all_methods_give_the_same_levels(sector):
    lattice = rectangle(4, 3)
    ham, basis = j1j2(lattice, 0.45), SpinBasis(rectangle(4, 3), 0, sector)
    dense, stored, free = (ground_state(ham, basis, k=3, method=m) for m in ("dense", "sparse", "matrix-free"))
    for other in (stored, free):
        n = min(len(dense.energies), len(other.energies))
        assert np.allclose(dense.energies[:n], other.energies[:n], atol=1e-10)
        assert dense.degeneracy == other.degeneracy and other.residual < 1e-10
        projected = dense.states[: dense.degeneracy].conj() @ other.state
        assert abs(np.linalg.norm(projected) - 1) < 1e-9
    assert (dense.method, stored.method, free.method) == ("dense", "sparse Lanczos", "matrix-free Lanczos")


def test_the_method_follows_the_size(monkeypatch):
    ham = j1j2(square(4), 0.5)
    small = ground_state(ham, SpinBasis(square(4), 0, Sector((0, 0), "A1", 1)))
    assert small.method == "dense" and small.sector == Sector((0, 0), "A1", 1)
    assert ground_state(ham).method == "sparse Lanczos"
    monkeypatch.setattr(exact, "STORED_BYTES", 1_000_000)
    free = ground_state(ham)
    assert free.method == "matrix-free Lanczos" and abs(free.energy - small.energy) < 1e-10


def test_two_runs_give_the_same_vector():
    first, second = (ground_state(j1j2(rectangle(4, 3), 0.2)) for _ in range(2))
    assert first.energy == second.energy and np.array_equal(first.state, second.state)


@pytest.mark.parametrize(("lattice", "expected"), [(tilted(18), ((0, 3), "A1", -1)), (square(4), ((0, 0), "A1", 1))])
def test_above_the_limit_sectors_are_searched_and_listed(lattice, expected, monkeypatch):
    ham = j1j2(lattice, 0.5)
    monkeypatch.setattr(exact, "PLAIN_LIMIT", 2000)
    found = ground_state(ham)
    monkeypatch.undo()
    assert found.sector == Sector(*expected)
    assert abs(found.energy - ground_state(ham).energy) < 1e-9
    assert len(found.searched) >= 8 and min(e for _, _, e in found.searched) == found.energy
    for sector, dim, _ in found.searched:
        assert dim <= 2000 and dim == SpinBasis(lattice, 0, sector).dim
    assert all(dim > 2000 for _, dim in found.skipped)


def test_search_refuses_what_it_cannot_do(monkeypatch):
    monkeypatch.setattr(exact, "PLAIN_LIMIT", 100)
    ham = j1j2(chain(12), 0.0)
    with pytest.raises(ValueError, match="knows no lattice"):
        ground_state(Heisenberg(ham.bonds, ham.coupling, 12))
    monkeypatch.setattr(exact, "PLAIN_LIMIT", 3)
    with pytest.raises(ValueError, match="choose a basis yourself"):
        ground_state(ham)


def test_sector_dimension_of_a_group_without_lattice():
    group = spin_flip(6, -1)
    assert SpinBasis(6, group=group).dim == sector_dimension(group, 3) == 10


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpinBasis(chain(5)),
        lambda: SpinBasis(chain(6), 0.5),
        lambda: SpinBasis(chain(6), 4),
        lambda: SpinBasis(chain(6), 0.25),
        lambda: SpinBasis(chain(6), 1, Sector(flip=1)),
        lambda: SpinBasis(6, 0, Sector((0, 0))),
        lambda: SpinBasis(chain(6), 0, Sector((0, 0)), group=spin_flip(6)),
        lambda: SpinBasis(chain(6), group=spin_flip(8)),
        lambda: ground_state(j1j2(chain(6), 0.0), SpinBasis(chain(8))),
        lambda: ground_state(j1j2(chain(6), 0.0), k=0),
        lambda: ground_state(j1j2(chain(6), 0.0), k=21),
        lambda: ground_state(j1j2(chain(6), 0.0), method="magic"),
        lambda: ground_state(j1j2(chain(6), 0.0), SpinBasis(chain(6)), total_sz=1),
        lambda: matrix(j1j2(chain(8, periodic=False), 0.0), SpinBasis(chain(8), 0, Sector((0, 0)))),
        lambda: matrix(
            Heisenberg(np.array([[0, 1], [2, 3]]), np.array([1.0, 2.0]), 4), SpinBasis(chain(4), 0, Sector((0, 0)))
        ),
        lambda: spectrum(j1j2(chain(18), 0.0), SpinBasis(chain(18))),
        lambda: triplet_gap(j1j2(chain(7), 0.0)),
        lambda: SpinBasis(chain(6)).expand(np.ones(3)),
    ],
)
def test_refusals(make):
    with pytest.raises(ValueError):
        make()


def test_compiled_loops_are_used_only_where_they_pay(monkeypatch):
    monkeypatch.setenv("NQS_LAB_FAST", "0")
    assert fast.kernels(10**12) is None
    monkeypatch.setenv("NQS_LAB_FAST", "1")
    assert fast.kernels(10**6) is None
    monkeypatch.setitem(sys.modules, "nqs_lab.spins.numba_kernels", None)  # as if numba were not installed
    assert fast.kernels(10**12) is None
    monkeypatch.setenv("NQS_LAB_FAST", "always")
    assert abs(ground_state(j1j2(chain(12), 0.0)).energy - RINGS[12]) < 1e-10


def test_lanczos_that_does_not_converge_is_an_error(monkeypatch):
    def gives_up(*args, **kwargs):
        raise exact.ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(exact, "eigsh", gives_up)
    with pytest.raises(RuntimeError, match="did not converge"):
        ground_state(j1j2(square(4), 0.5))
    monkeypatch.setattr(exact, "eigsh", lambda op, **kw: (np.array([-8.0]), np.full((op.shape[0], 1), 0.01)))
    monkeypatch.setattr(exact, "COPY_CHECK_LIMIT", 0)
    with pytest.raises(RuntimeError, match="residual"):
        ground_state(j1j2(square(4), 0.5))
