"""The exchange sampler: exact transition matrix, conservation laws, statistics, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM
from nqs_lab.spins import bits
from nqs_lab.vmc.batching import log_amplitudes
from nqs_lab.vmc.sampler import acceptance


def transition_matrix(sampler, model, basis):
    """P[i, j] put together from the sampler's own propose and acceptance, every proposal listed once.

    Of A(s) flippable bonds the k-th is proposed for a uniform number in [k/A, (k+1)/A): the midpoints list them all.
    """
    sigma = jnp.asarray(basis.configurations())
    log_psi = log_amplitudes(model, sigma, 512)
    counts = np.asarray(jnp.sum(sampler._flippable(sigma), axis=1))
    i = np.repeat(np.arange(basis.dim), counts)
    rank = np.concatenate([np.arange(count) for count in counts])
    proposed, log_hastings = sampler.propose(sigma[i], jnp.asarray((rank + 0.5) / counts[i], jnp.float32))
    j = basis.index(bits.from_configurations(np.asarray(proposed)))
    assert np.all(j >= 0), "a proposal left the sector"
    matrix = np.zeros((basis.dim, basis.dim))
    exchange = 1 - sampler.flip_probability
    np.add.at(matrix, (i, j), exchange * np.asarray(acceptance(log_psi[i], log_psi[j], log_hastings)) / counts[i])
    if sampler.flip_probability:
        j = basis.index(bits.from_configurations(-np.asarray(sigma)))
        flip = acceptance(log_psi, log_psi[j], jnp.zeros(basis.dim))
        np.add.at(matrix, (np.arange(basis.dim), j), sampler.flip_probability * np.asarray(flip))
    matrix += np.diag(1 - matrix.sum(1))
    return matrix, np.exp(2 * np.asarray(log_psi.real))


@pytest.mark.parametrize("flip", [0.0, 0.1])
@pytest.mark.parametrize("lattice", [nl.chain(6), nl.chain(8)], ids=["20 states", "70 states"])
def test_exact_transition_matrix_is_in_detailed_balance_and_irreducible(lattice, flip, key):
    ham = nl.j1j2(lattice, j2=0.4)
    sampler = nl.ExchangeSampler(ham, n_chains=4, flip_probability=flip)
    model = RBM(lattice, alpha=2, dtype=jnp.float64, key=key)
    model = jax.tree.map(lambda x: 3 * x if jnp.issubdtype(x.dtype, jnp.inexact) else x, model)
    basis = nl.SpinBasis(lattice)
    matrix, probability = transition_matrix(sampler, model, basis)
    probability /= probability.sum()
    assert basis.dim in (20, 70) and probability.max() / probability.min() > 3, "a flat state would test nothing"
    assert matrix.min() > -1e-15
    flow = probability[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-12 * flow.max())
    reachable = np.linalg.matrix_power((matrix > 0).astype(float) + np.eye(basis.dim), basis.dim)
    assert np.all(reachable > 0)


def test_without_the_hastings_factor_detailed_balance_fails(key):
    """The control: the numbers of flippable bonds do differ, so the test above can fail."""
    lattice = nl.chain(8)
    sampler = nl.ExchangeSampler(nl.j1j2(lattice, j2=0.0), n_chains=2)
    sigma = jnp.asarray(nl.SpinBasis(lattice).configurations())
    _, log_hastings = sampler.propose(sigma, jnp.full((len(sigma),), 0.5, jnp.float32))
    assert float(jnp.max(jnp.abs(log_hastings))) > 0.5


@pytest.mark.parametrize(("lattice", "total_sz"), [(nl.square(4), 0), (nl.chain(7), 0.5), (nl.rectangle(4, 6), -2)])
def test_magnetisation_and_amplitudes_stay_true(lattice, total_sz, key):
    bonds = lattice.bonds(1)
    ham = nl.Heisenberg(bonds, np.ones(len(bonds)), lattice.n_sites)
    sampler = nl.ExchangeSampler(ham, n_chains=37, total_sz=total_sz)
    model = RBM(lattice, alpha=1, dtype=jnp.float64, key=key)
    samples = sampler.init(model, key=key, chunk_size=16)
    for _ in range(3):
        samples = sampler.step(model, samples, chunk_size=16)
        assert np.all(np.asarray(samples.sigma, int).sum(1) == 2 * total_sz)
        np.testing.assert_allclose(samples.log_psi, jax.vmap(model)(samples.sigma), rtol=1e-12)
    assert 0 < float(samples.acceptance) <= 1
    assert len(np.unique(np.asarray(samples.sigma), axis=0)) > 10


def test_samples_follow_psi_squared(key):
    """A seeded chi-square with the effective sample size: draws are thinned by their autocorrelation time."""
    lattice = nl.chain(8)
    ham = nl.j1j2(lattice, j2=0.3)
    sampler = nl.ExchangeSampler(ham, n_chains=256, sweep_size=32)
    model = RBM(lattice, alpha=2, dtype=jnp.float64, key=key)
    model = jax.tree.map(lambda x: 4 * x if jnp.issubdtype(x.dtype, jnp.inexact) else x, model)
    basis = nl.SpinBasis(lattice)
    log_psi = np.asarray(log_amplitudes(model, jnp.asarray(basis.configurations()), 128))
    probability = np.exp(2 * (log_psi.real - log_psi.real.max()))
    probability /= probability.sum()
    samples, draws = sampler.init(model, key=key, chunk_size=256), []
    for _ in range(60):
        samples = sampler.step(model, samples, chunk_size=256)
        draws.append(basis.index(bits.from_configurations(np.asarray(samples.sigma))))
    draws = np.array(draws)
    tau = max(nl.vmc.estimate.statistics(log_psi[draws].real.astype(complex)).tau, 1.0)
    assert tau < 4, "sweeps are long enough to decorrelate"
    counts = np.bincount(draws.ravel(), minlength=basis.dim)
    expected = probability * counts.sum()
    statistic = ((counts - expected) ** 2 / expected).sum() / tau
    low, high = chi2.ppf([1e-4, 1 - 1e-4], basis.dim - 1)
    assert low / 4 < statistic < high, "samples do not follow |psi|^2"
    uniform = counts.sum() / basis.dim
    assert ((counts - uniform) ** 2 / uniform).sum() / tau > 3 * high, "the control: another law is rejected"


def test_a_configuration_of_zero_amplitude_is_left_and_never_entered():
    zero, one = jnp.asarray([-jnp.inf + 0j]), jnp.asarray([0.0 + 0j])
    none = jnp.zeros(1)
    assert acceptance(zero, one, none)[0] == 1 and acceptance(zero, zero, none)[0] == 1
    assert acceptance(one, zero, none)[0] == 0 and acceptance(one, jnp.asarray([jnp.nan + 0j]), none)[0] == 0


def test_refusals(key):
    ham = nl.j1j2(nl.square(4), j2=0.5)
    for arguments, message in [
        ({"n_chains": -1}, "n_chains must be an integer >= 1, got -1"),
        ({"n_chains": 0}, "n_chains"),
        ({"sweep_size": 0}, "sweep_size"),
        ({"thermal_sweeps": -2}, "thermal_sweeps"),
        ({"total_sz": 0.5}, "total_sz=0.5 is impossible"),
        ({"total_sz": 8}, "frozen"),
        ({"total_sz": 1, "flip_probability": 0.1}, "flip_probability"),
        ({"flip_probability": 1.0}, "flip_probability"),
    ]:
        with pytest.raises(ValueError, match=message):
            nl.ExchangeSampler(ham, **arguments)
    with pytest.raises(ValueError, match="an odd number of sites needs total_sz=0.5"):
        nl.ExchangeSampler(nl.Heisenberg(np.array([[0, 1], [1, 2]]), np.ones(2), 3))
    with pytest.raises(ValueError, match="2 pieces"):
        nl.ExchangeSampler(nl.Heisenberg(np.array([[0, 1], [2, 3]]), np.ones(2), 4))
    with pytest.raises(ValueError, match="16 sites, the Hamiltonian 8"):
        nl.ExchangeSampler(ham).prepare(nl.j1j2(nl.chain(8), j2=0.0))


def test_zero_couplings_keep_their_bonds_as_moves():
    """Two decoupled sublattices (J1 = 0) are still connected by the bonds of zero coupling."""
    ham = nl.j1j2(nl.square(4), j2=1.0, j1=0.0)
    assert nl.ExchangeSampler(ham).bonds.shape == (64, 2)
