"""Walkers on a small basis: the moves, the exact laws, and the trial states of notebook 03."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab.signs import rule
from nqs_lab.lab.walker_states import (
    COUPLINGS,
    all_states,
    all_walks,
    jastrow_exponent,
    trap_state,
    trial_state,
)
from nqs_lab.lab.walkers import autocorrelation, exchanges, transition_matrix, walk
from nqs_lab.vmc.batching import log_amplitudes
from nqs_lab.vmc.sampler import acceptance


@pytest.fixture(scope="module")
def ring():
    """An 8-ring with J2 bonds, its moves, and a state without symmetry."""
    lattice = nl.chain(8)
    basis, ham = nl.SpinBasis(lattice), nl.j1j2(lattice, j2=0.3)
    log_psi = 0.7 * np.random.default_rng(4).normal(size=basis.dim)
    return basis, ham, exchanges(basis, np.asarray(ham.bonds)), log_psi


def test_exchanges_are_the_off_diagonal_elements_of_h(ring):
    basis, ham, moves, _ = ring
    h = nl.matrix(ham, basis).toarray()
    for s in range(basis.dim):
        targets = moves.target[s, : moves.count[s]]
        assert np.all(targets >= 0) and np.all(moves.target[s, moves.count[s] :] == -1)
        np.testing.assert_array_equal(np.unique(targets), np.flatnonzero((h[s] != 0) & (np.arange(basis.dim) != s)))


def test_transition_matrix_is_the_sampler_of_the_library(ring):
    basis, ham, moves, log_psi = ring
    sampler = nl.ExchangeSampler(ham, n_chains=1)
    start = np.repeat(np.arange(basis.dim), moves.count)
    rank = np.concatenate([(np.arange(a) + 0.5) / a for a in moves.count])
    proposed, factor = sampler.propose(jnp.asarray(basis.configurations()[start]), jnp.asarray(rank.astype(np.float32)))
    end = basis.index(nl.spins.bits.from_configurations(np.asarray(proposed)))
    take = acceptance(jnp.asarray(log_psi[start] + 0j), jnp.asarray(log_psi[end] + 0j), factor)
    library = np.zeros((basis.dim, basis.dim))
    np.add.at(library, (start, end), np.asarray(take) / moves.count[start])
    library += np.diag(1 - library.sum(axis=1))
    np.testing.assert_allclose(transition_matrix(moves, log_psi).toarray(), library, atol=1e-13)


def test_laws_with_and_without_the_hastings_factor(ring):
    _, _, moves, log_psi = ring
    law = np.exp(2 * log_psi)
    right, wrong = transition_matrix(moves, log_psi), transition_matrix(moves, log_psi, hastings=False)
    for matrix, kept in ((right, law), (wrong, law * moves.count)):
        flow = (kept / kept.sum())[:, None] * matrix.toarray()
        np.testing.assert_allclose(flow, flow.T, atol=1e-16)
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-14)
    assert np.abs(law @ wrong - law).max() > 1e-3 * law.max()


@pytest.mark.parametrize("hastings", [True, False])
def test_walkers_follow_the_matrix(ring, hastings):
    """Frequencies of the steps s -> t of many walkers against P(s, t)."""
    basis, _, moves, log_psi = ring
    matrix = transition_matrix(moves, log_psi, hastings=hastings).toarray()
    start = np.repeat(np.arange(basis.dim), 400)
    where = walk(moves, log_psi, start, 1, rng=np.random.default_rng(0), hastings=hastings)
    seen = np.zeros_like(matrix)
    np.add.at(seen, (where[0], where[1]), 1 / 400)
    assert np.all(seen[matrix == 0] == 0)
    assert np.abs(seen - matrix).max() < 5 * np.sqrt(0.25 / 400)
    assert np.mean((seen - matrix)[matrix > 0] ** 2 / (matrix[matrix > 0] / 400)) < 1.3


def test_a_zero_is_never_entered_and_never_a_start(ring):
    basis, _, moves, log_psi = ring
    holes = log_psi.copy()
    holes[:10] = -np.inf
    where = walk(moves, holes, np.arange(20, 40), 300, rng=np.random.default_rng(1))
    assert where.shape == (301, 20) and np.all(where >= 10) and len(np.unique(where)) > 30
    with pytest.raises(ValueError, match="psi = 0"):
        walk(moves, holes, np.array([3]), 5, rng=np.random.default_rng(1))
    with pytest.raises(ValueError, match="plain basis"):
        exchanges(nl.SpinBasis(nl.chain(8), sector=nl.Sector(flip=1)), np.asarray(nl.chain(8).bonds()))
    assert basis.dim == 70


def test_autocorrelation_is_that_of_the_dense_matrix(ring):
    _, _, moves, log_psi = ring
    matrix = transition_matrix(moves, log_psi)
    p = np.exp(2 * log_psi) / np.exp(2 * log_psi).sum()
    values = np.random.default_rng(2).normal(size=len(p))
    rho = autocorrelation(matrix, p, values, 5)
    f = values - p @ values
    for t in range(6):
        want = p @ (f * (np.linalg.matrix_power(matrix.toarray(), t) @ f)) / (p @ f**2)
        assert rho[t] == pytest.approx(want, abs=1e-12)
    assert rho[0] == 1.0


def test_jastrow_and_sign_are_those_of_the_library():
    lattice = nl.square(4)
    basis = nl.SpinBasis(lattice)
    model = nl.MarshallSign(nl.Jastrow(lattice, dtype=jnp.float64, key=jax.random.key(0)), lattice)
    couplings = tuple(float(v) for v in np.asarray(model.ansatz.coupling))
    log_psi = np.asarray(log_amplitudes(model, jnp.asarray(basis.configurations()), 512))
    np.testing.assert_allclose(log_psi.real, jastrow_exponent(basis, couplings), atol=1e-12)
    np.testing.assert_allclose(np.exp(1j * log_psi.imag), rule(basis, "neel"), atol=1e-12)
    with pytest.raises(ValueError, match="sublattices"):
        rule(nl.SpinBasis(16), "neel")


def test_states_are_what_they_say():
    jastrow, exact, flat, trap = all_states()
    assert exact.energy / 16 == pytest.approx(-0.528620209462, abs=1e-9) and abs(exact.variance) < 1e-12
    assert flat.energy / 16 == pytest.approx(-19 / 60, abs=1e-9)  # <s_i s_j> = -1/15 on each bond, exchange 8/15
    assert trap.variance > 0.5 and np.nanmax(trap.local_energy) - np.nanmin(trap.local_energy) < 1e-9
    assert np.sum(np.isfinite(trap.log_psi)) == 6**4
    p = np.exp(2 * jastrow.log_psi)
    assert np.sum(p * jastrow.local_energy) == pytest.approx(jastrow.energy, abs=1e-10)
    assert jastrow.variance == pytest.approx(np.sum(p * (jastrow.local_energy - jastrow.energy) ** 2), abs=1e-10)
    assert trap.energy < jastrow.energy < flat.energy


def test_shipped_couplings_are_a_minimum():
    """No coupling lowers the energy of the Jastrow state: the gradient vanishes."""
    basis = nl.SpinBasis(nl.square(4))
    h, sign = nl.matrix(nl.j1j2(nl.square(4), 0.5), basis), rule(basis, "neel")
    energy = lambda v: trial_state("", sign * np.exp(jastrow_exponent(basis, tuple(v))), h).energy
    middle = energy(COUPLINGS)
    for k in range(5):
        step = 0.001 * np.eye(5)[k]
        up, down = energy(COUPLINGS + step), energy(COUPLINGS - step)
        assert min(up, down) > middle - 1e-9 and abs(up - down) / 0.002 < 5e-3  # they are shipped with few digits


def test_trap_lives_on_its_rows_and_is_the_same_each_time():
    basis = nl.SpinBasis(nl.square(4))
    h = nl.matrix(nl.j1j2(nl.square(4), 0.5), basis)
    psi = trap_state(basis, h)
    rows = basis.configurations().reshape(-1, 4, 4).sum(axis=2)
    assert np.all(psi[np.any(rows != 0, axis=1)] == 0) and np.linalg.norm(psi) == pytest.approx(1.0)
    np.testing.assert_allclose(psi, trap_state(basis, h), atol=1e-12)


def test_walks_carry_the_error_bars_of_the_library():
    walks = all_walks(n_walkers=2, longest=64)
    assert [w.positions.shape for w in walks] == [(65, 2)] * 4
    one = walks[0]
    assert one.draws.tolist() == [16, 23, 32, 45, 64]
    energies = one.state.local_energy[one.positions[1:, 1]]
    stats = nl.vmc.estimate.statistics(energies[:, None].astype(complex))
    assert one.mean[-1, 1] == pytest.approx(stats.mean.real) and one.binned[-1, 1] == pytest.approx(stats.error)
    assert one.naive[-1, 1] == pytest.approx(energies.std() / 8)
