"""Local energies and statistics against exact sums and known distributions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM, LogTable
from nqs_lab.spins.exact import matrix
from nqs_lab.vmc import batching, estimate
from nqs_lab.vmc.batching import choose_chunk, count_work
from nqs_lab.vmc.estimate import statistics, with_error

# Called op by op they would compile every operation apart, which takes most of the time of these tests.
local_energy, log_amplitudes = eqx.filter_jit(estimate.local_energy), eqx.filter_jit(batching.log_amplitudes)


def random_hamiltonian(n_sites, seed):
    """Random couplings, some of them zero, on a random connected graph."""
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(n_sites) for j in range(i + 1, n_sites)]
    ring = [tuple(sorted((i, (i + 1) % n_sites))) for i in range(n_sites)]
    extra = [pairs[k] for k in rng.choice(len(pairs), size=n_sites, replace=False)]
    bonds = np.array(sorted(set(ring + extra)))
    coupling = rng.normal(size=len(bonds)) * (rng.random(len(bonds)) > 0.2)
    return nl.Heisenberg(bonds, coupling, n_sites)


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
@pytest.mark.parametrize(("n_sites", "seed"), [(6, 0), (8, 1), (9, 2), (10, 3)])
def test_compact_local_energy_is_h_psi_over_psi(n_sites, seed, chunk, key):
    ham = random_hamiltonian(n_sites, seed)
    basis = nl.SpinBasis(n_sites, total_sz=0.5 * (n_sites % 2))
    model = RBM(nl.chain(n_sites, periodic=False), alpha=2, dtype=jnp.float64, key=jax.random.fold_in(key, seed))
    model = jax.tree.map(lambda x: 5 * x if jnp.issubdtype(x.dtype, jnp.inexact) else x, model)
    sigma = jnp.asarray(basis.configurations())
    log_psi = log_amplitudes(model, sigma, 50)
    psi = np.exp(np.asarray(log_psi))
    e_loc = local_energy(model, ham, sigma, log_psi, chunk_size=chunk)
    np.testing.assert_allclose(e_loc, (matrix(ham, basis) @ psi) / psi, rtol=1e-10, atol=1e-10)


def test_zero_variance_of_an_eigenvector(key):
    """The exact ground state as a table: every local energy is E0, also from a few samples."""
    lattice = nl.square(4)
    ham = nl.j1j2(lattice, j2=0.5)
    ground = nl.ground_state(ham, nl.SpinBasis(lattice))
    model = LogTable(ground.basis, ground.state)
    sampler = nl.ExchangeSampler(ham, n_chains=64)
    samples = sampler.init(model, key=key, chunk_size=64)
    e_loc = eqx.filter_jit(sampler.local_energy)(model, ham, samples, chunk_size=64)
    np.testing.assert_allclose(e_loc, ground.energy, atol=1e-8)


def test_zero_coupling_bonds_cost_nothing_and_change_nothing(key):
    lattice = nl.square(4)
    full, bare = nl.j1j2(lattice, j2=0.0), nl.Heisenberg(lattice.bonds(1), np.ones(32), 16)
    model = RBM(lattice, alpha=1, dtype=jnp.float64, key=key)
    samples = nl.ExchangeSampler(full, n_chains=32).init(model, key=key, chunk_size=64)
    ours = [local_energy(model, ham, samples.sigma, samples.log_psi, chunk_size=64) for ham in (full, bare)]
    np.testing.assert_allclose(ours[0], ours[1], rtol=1e-12)


def test_amplitudes_in_chunks_equal_amplitudes_at_once(key):
    model = RBM(nl.chain(10), alpha=1, dtype=jnp.float64, key=key)
    sigma = jnp.asarray(nl.SpinBasis(10).configurations())
    for chunk in (1, 10, 251, 252, 1000):
        np.testing.assert_allclose(log_amplitudes(model, sigma, chunk), jax.vmap(model)(sigma), rtol=1e-13)


def test_counted_work_of_a_network_of_known_size(key):
    """An RBM is one matrix product of 2 x 2 M N operations (two real weight matrices) and M log cosh."""
    n_sites, alpha = 12, 4
    work = count_work(RBM(nl.chain(n_sites), alpha=alpha, key=key))
    products = 2 * 2 * n_sites * n_sites * alpha
    assert products <= work.flops <= products + 110 * n_sites * alpha + 20 * n_sites
    assert choose_chunk(RBM(nl.chain(n_sites), alpha=alpha, key=key)) == 4096


def test_error_bars_cover_the_truth_for_correlated_chains():
    """AR(1) chains of known mean and autocorrelation: the error must be right to 20 %, the naive one is not."""
    rng = np.random.default_rng(7)
    rho, draws, chains, trials = 0.8, 512, 32, 60
    z = []
    for _ in range(trials):
        x = np.empty((draws, chains))
        x[0] = rng.normal(size=chains)
        for t in range(1, draws):
            x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=chains)
        stats = statistics((x + 3).astype(complex))
        z.append((stats.mean.real - 3) / stats.error)
    assert 0.75 < np.std(z) < 1.3
    assert stats.tau == pytest.approx((1 + rho) / (1 - rho), rel=0.35)
    assert stats.variance == pytest.approx(1.0, rel=0.1) and abs(stats.r_hat - 1) < 0.04


def test_r_hat_sees_chains_that_disagree():
    rng = np.random.default_rng(1)
    agree = statistics(rng.normal(size=(50, 8)).astype(complex))
    disagree = statistics((rng.normal(size=(50, 8)) + np.arange(8)).astype(complex))
    drift = statistics((rng.normal(size=(50, 8)) + np.linspace(0, 5, 50)[:, None]).astype(complex))
    assert agree.r_hat < 1.05 and disagree.r_hat > 1.5 and drift.r_hat > 1.3


def test_constant_values_have_no_error():
    stats = statistics(np.full((8, 4), 2.0 + 0j))
    assert (stats.mean, stats.error, stats.variance, stats.tau, stats.r_hat) == (2.0, 0.0, 0.0, 1.0, 1.0)


def test_statistics_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match="draws x chains"):
        statistics(np.zeros((1, 1), complex))
    with pytest.raises(ValueError, match="1 of 8 local energies are not finite"):
        values = np.ones((4, 2), complex)
        values[1, 1] = np.nan
        statistics(values)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(-1e3, 1e3), st.floats(1e-9, 1e2))
def test_printed_error_bars_say_what_they_mean(value, error):
    text = with_error(value, error)
    number, digits = text[:-1].split("(")
    decimals = len(number.split(".")[1]) if "." in number else 0
    assert abs(float(number) - value) <= 0.51 * 10.0**-decimals + 1e-12 * abs(value)
    assert int(digits) * 10.0**-decimals == pytest.approx(error, rel=0.06, abs=0.51 * 10.0**-decimals)


def test_v_score_of_a_known_state():
    assert nl.v_score(-10.0, 2.0, 16) == pytest.approx(16 * 2 / 100)
