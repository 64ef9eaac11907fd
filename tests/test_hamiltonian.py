"""Hamiltonians: the jax methods against Kronecker products, conventions, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from oracles import kronecker_hamiltonian

from nqs_lab.spins import Heisenberg, chain, j1j2, ladder, rectangle, shastry_sutherland, square, tilted
from nqs_lab.spins.bits import to_configurations


def random_bonds(n_sites, n_bonds, seed):
    """Random pairs (some repeated) with random couplings, one of them zero."""
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(n_sites, 2, replace=False) for _ in range(n_bonds)])
    weights = rng.normal(size=n_bonds)
    weights[rng.integers(n_bonds)] = 0.0
    return pairs, weights


def dense_from_methods(ham):
    """H on all 2^N states, element by element from diagonal, flippable and swap."""
    n = ham.n_sites
    sigma = jnp.asarray(to_configurations(np.arange(2**n, dtype=np.uint64), n))
    bits = 2 ** np.arange(n)
    every = jnp.arange(ham.n_bonds)

    @jax.jit
    def elements(sigma):
        swaps = jax.vmap(lambda s: jax.vmap(lambda b: ham.swap(s, b))(every))(sigma)
        return jax.vmap(ham.diagonal)(sigma), jax.vmap(ham.flippable)(sigma), swaps

    diagonal, flippable, swapped = (np.asarray(x) for x in elements(sigma))
    dense = np.diag(diagonal)
    for state, bond in zip(*np.nonzero(flippable), strict=True):
        dense[((swapped[state, bond] > 0) @ bits), state] += float(ham.coupling[bond]) / 2
    return dense


@settings(derandomize=True, deadline=None, max_examples=10)
@given(n=st.integers(4, 8), n_bonds=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_methods_give_the_kronecker_hamiltonian(n, n_bonds, seed):
    pairs, weights = random_bonds(n, n_bonds, seed)
    dense = dense_from_methods(Heisenberg(pairs, weights, n))
    assert np.allclose(dense, kronecker_hamiltonian(pairs, weights, n), atol=1e-12)


def test_the_methods_are_pure_and_take_a_traced_bond():
    ham = j1j2(square(4), 0.5)
    sigma = jnp.asarray(np.where(np.arange(16) % 3 == 0, 1, -1).astype(np.int8))

    @jax.jit
    def all_at_once(ham, sigma, bond):
        return ham.diagonal(sigma), ham.flippable(sigma), ham.swap(sigma, bond)

    energy, flippable, swapped = all_at_once(ham, sigma, jnp.asarray(5))
    assert energy.dtype == jnp.float64 and energy.shape == ()
    assert flippable.dtype == jnp.bool_ and flippable.shape == (64,)
    assert swapped.dtype == jnp.int8
    i, j = np.asarray(ham.bonds[5])
    expected = np.asarray(sigma).copy()
    expected[[i, j]] = expected[[j, i]]
    assert np.array_equal(swapped, expected)
    assert np.array_equal(ham.swap(sigma, 5), expected)
    traces = all_at_once._cache_size()
    all_at_once(j1j2(square(4), 0.7), sigma, jnp.asarray(9))
    assert all_at_once._cache_size() == traces  # couplings are data: one compilation serves every J2


def test_single_precision_couplings_without_64_bit():
    with jax.enable_x64(False):
        ham = j1j2(square(4), 0.5)
        assert ham.coupling.dtype == jnp.float32
        energy = jax.jit(lambda h, s: h.diagonal(s))(ham, jnp.ones(16, jnp.int8))
        assert energy.dtype == jnp.float32 and abs(float(energy) - 12) < 1e-6


def test_j1j2_lists_first_neighbours_first_and_keeps_zero_bonds():
    for lattice in (square(4), rectangle(4, 6), chain(8), ladder(5), tilted(18), square(3, periodic=False)):
        first, second = lattice.bonds(1), lattice.bonds(2)
        ham = j1j2(lattice, 0.0, j1=2.0)
        assert ham.lattice == lattice
        assert np.array_equal(ham.bonds, np.concatenate([first, second]))
        assert np.array_equal(ham.coupling, [2.0] * len(first) + [0.0] * len(second))
        neel = jnp.asarray(np.resize([1, -1], lattice.n_sites).astype(np.int8))
        assert not np.any(ham.flippable(neel)[len(first) :])


def test_shastry_sutherland_has_one_dimer_per_site():
    for lattice in (square(4), rectangle(4, 6), square(6)):
        ham = shastry_sutherland(lattice, j=0.4, j_dimer=1.0)
        pairs, weights = np.asarray(ham.bonds), np.asarray(ham.coupling)
        dimers = pairs[weights == 1.0]
        assert sorted(dimers.ravel().tolist()) == list(range(lattice.n_sites))
        second = {tuple(b) for b in lattice.bonds(2).tolist()}
        assert all(tuple(d) in second for d in dimers.tolist())
        assert np.array_equal(pairs[weights == 0.4], lattice.bonds(1))
        # orthogonal dimers: half of them along each diagonal
        points = np.array(lattice.coordinates)
        along = [lattice.site(*points[a] + 1) == b or lattice.site(*points[b] + 1) == a for a, b in dimers]
        assert sum(along) == len(dimers) // 2


@pytest.mark.parametrize(
    ("bonds", "coupling", "n_sites", "message"),
    [
        (np.empty((0, 2), int), np.empty(0), 4, "empty"),
        (np.array([[0, 1]]), np.array([np.nan]), 4, "NaN"),
        (np.array([[0, 1]]), np.array([np.inf]), 4, "infinite"),
        (np.array([[0, 1]]), np.array([1j]), 4, "real"),
        (np.array([[0, 0]]), np.array([1.0]), 4, "itself"),
        (np.array([[0, 4]]), np.array([1.0]), 4, "run from 0 to 3"),
        (np.array([[-1, 2]]), np.array([1.0]), 4, "run from 0 to 3"),
        (np.array([[0, 1], [1, 2]]), np.array([1.0]), 4, "couplings"),
        (np.array([[0.0, 1.0]]), np.array([1.0]), 4, "integers"),
        (np.array([0, 1]), np.array([1.0]), 4, "shape"),
    ],
)
def test_refusals(bonds, coupling, n_sites, message):
    with pytest.raises(ValueError, match=message):
        Heisenberg(bonds, coupling, n_sites)


def test_more_refusals():
    with pytest.raises(ValueError, match="agree"):
        Heisenberg(np.array([[0, 1]]), np.array([1.0]), 4, lattice=chain(6))
    with pytest.raises(ValueError, match="folded"):
        j1j2(chain(4), 0.5)
    assert j1j2(chain(4), 0.5, folded="once").n_bonds == 6
    with pytest.raises(ValueError, match="even sides"):
        shastry_sutherland(square(4, periodic=False), j=0.5, j_dimer=1.0)
    with pytest.raises(ValueError, match="same two sites"):
        shastry_sutherland(square(2), j=0.5, j_dimer=1.0)
