"""Full summation over orbit representatives against the whole basis and exact diagonalisation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM, Jastrow, LogTable
from nqs_lab.spins.exact import matrix
from nqs_lab.vmc import batching, estimate

log_amplitudes, local_energy = eqx.filter_jit(batching.log_amplitudes), eqx.filter_jit(estimate.local_energy)


def wild(model, key, scale=0.5):
    """The same model with random parameters of order one."""
    leaves, structure = jax.tree.flatten(model)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        scale * jax.random.normal(k, leaf.shape, leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def cases():
    """(lattice, group, ansatz): symmetric ones, with and without a sign rule, on clusters with N/2 even and odd."""
    chain, small, wide = nl.chain(10), nl.chain(6), nl.rectangle(4, 2, periodic=True)
    yield (
        chain,
        chain.translations(step=1),
        lambda key: nl.ViT(chain, patch=1, width=8, heads=2, dtype=jnp.float64, key=key),
    )
    yield (
        chain,
        chain.translations(step=1),
        lambda key: nl.MarshallSign(Jastrow(chain, dtype=jnp.float64, key=key), chain),
    )
    yield (
        chain,
        chain.translations(step=2),
        lambda key: nl.MarshallSign(
            nl.ViT(chain, patch=2, width=8, heads=2, attention="t5", dtype=jnp.float64, key=key), chain
        ),
    )
    yield small, small.translations(step=1) * nl.spin_flip(6), lambda key: Jastrow(small, dtype=jnp.float64, key=key)
    yield wide, None, lambda key: RBM(wide, alpha=1, dtype=jnp.float64, key=key)


@pytest.mark.parametrize("case", range(5))
def test_orbit_sum_equals_the_sum_over_the_basis(case, key):
    lattice, group, build = list(cases())[case]
    bonds = np.concatenate([lattice.bonds(1, folded="once"), lattice.bonds(2, folded="once")])
    rng = np.random.default_rng(case)
    couplings = np.repeat(
        rng.normal(size=2), [len(lattice.bonds(1, folded="once")), len(lattice.bonds(2, folded="once"))]
    )
    ham = nl.Heisenberg(bonds, couplings if group is not None else rng.normal(size=len(bonds)), lattice.n_sites)
    basis = nl.SpinBasis(lattice)
    model = wild(build(key), key)
    sampler = nl.ExactSampler(basis, group).prepare(ham)
    samples = sampler.init(model, key=key, chunk_size=64)
    if group is not None:
        assert samples.sigma.shape[0] < basis.dim
    psi = np.exp(np.asarray(log_amplitudes(model, jnp.asarray(basis.configurations()), 64)))
    h_psi = matrix(ham, basis) @ psi
    energy = np.vdot(psi, h_psi) / np.vdot(psi, psi)
    variance = np.vdot(h_psi, h_psi).real / np.vdot(psi, psi).real - abs(energy) ** 2
    e_loc = np.asarray(sampler.local_energy(model, ham, samples, chunk_size=64))
    weight = np.asarray(samples.weight)
    assert weight.sum() == pytest.approx(1, abs=1e-14)
    assert weight @ e_loc == pytest.approx(energy, abs=1e-10)
    assert weight @ np.abs(e_loc - weight @ e_loc) ** 2 == pytest.approx(variance, abs=1e-9)
    direct = local_energy(model, ham, samples.sigma, samples.log_psi, chunk_size=64)
    np.testing.assert_allclose(e_loc, direct, atol=1e-9)


@pytest.mark.parametrize("n_sites", [4, 6, 8, 10])
def test_marshall_sign_changes_under_translation_when_half_the_sites_are_odd(n_sites, key):
    """psi(T s) / psi(s) = (-1)^(N/2): measured on the ansatz, not read from the group."""
    lattice = nl.chain(n_sites)
    model = nl.MarshallSign(Jastrow(lattice, dtype=jnp.float64, key=key), lattice)
    sampler = nl.ExactSampler(nl.SpinBasis(lattice), lattice.translations(step=1))
    phases = np.asarray(sampler.init(model, key=key, chunk_size=64).phases)
    assert sorted(set(np.round(phases.real).astype(int))) == ([1] if n_sites % 4 == 0 else [-1, 1])
    np.testing.assert_allclose(np.abs(phases), 1)


def test_an_ansatz_without_the_symmetry_is_refused(key):
    lattice = nl.square(4)
    basis, group = nl.SpinBasis(lattice), lattice.translations(step=1)
    patches = nl.ViT(lattice, patch=2, width=8, heads=2, key=key)
    for model in (RBM(lattice, alpha=1, key=key), patches):
        with pytest.raises(ValueError, match="lacks the symmetry"):
            nl.ExactSampler(basis, group).init(model, key=key, chunk_size=64)
    nl.ExactSampler(basis, lattice.translations(step=2)).init(patches, key=key, chunk_size=64)


def test_refusals():
    lattice = nl.square(4)
    basis = nl.SpinBasis(lattice)
    with pytest.raises(ValueError, match="plain basis"):
        nl.ExactSampler(nl.SpinBasis(lattice, sector=nl.Sector(flip=1)))
    with pytest.raises(ValueError, match="acts on 8 sites, the basis has 16"):
        nl.ExactSampler(basis, nl.chain(8).translations(step=1))
    with pytest.raises(ValueError, match="total_sz=0"):
        nl.ExactSampler(nl.SpinBasis(lattice, total_sz=1), nl.spin_flip(16))
    with pytest.raises(ValueError, match="16 sites, the Hamiltonian 8"):
        nl.ExactSampler(basis).prepare(nl.j1j2(nl.chain(8), j2=0.0))
    dimers = nl.shastry_sutherland(lattice, j=0.5, j_dimer=1.0)
    with pytest.raises(ValueError, match="onto themselves"):
        nl.ExactSampler(basis, lattice.translations(step=1)).prepare(dimers)
    nl.ExactSampler(basis, lattice.translations(step=2)).prepare(dimers)


def test_a_table_with_zeros_has_no_nan_and_its_exact_energy(key):
    """psi = 0 on part of the basis: weight zero, no local energy, no log-derivative, energy still exact."""
    lattice = nl.chain(8)
    ham, basis = nl.j1j2(lattice, j2=0.3), nl.SpinBasis(lattice)
    state = np.random.default_rng(0).normal(size=basis.dim)
    state[::3] = 0
    model = LogTable(basis, state)
    vmc = nl.VMC(ham, nl.ExactSampler(basis), nl.SR(1e-3), optax.sgd(0.01))
    _, info = eqx.filter_jit(vmc.step)(vmc.init(model, key=key))
    assert bool(info.finite)
    h = matrix(ham, basis)
    nonzero = state != 0  # <psi|H|psi> over the support: H psi elsewhere is weighted with psi = 0
    assert float(info.energy.real) == pytest.approx(state[nonzero] @ (h @ state)[nonzero] / (state @ state), abs=1e-10)


def test_full_summation_on_the_whole_basis_finds_the_ground_state_of_a_ring(key):
    """A free table, imaginary time: the exact ground state to 1e-10, by the same driver."""
    lattice = nl.chain(8)
    ham, basis = nl.j1j2(lattice, j2=0.2), nl.SpinBasis(lattice)
    ground = nl.ground_state(ham, basis)
    start = ground.state * np.exp(0.5 * np.random.default_rng(1).normal(size=basis.dim))
    vmc = nl.VMC(ham, nl.ExactSampler(basis), nl.SR(1e-10), optax.sgd(0.1))
    state = nl.run(vmc, vmc.init(LogTable(basis, start), key=key), 200)
    stats = nl.measure(vmc, state)
    assert stats.error == 0 and stats.mean.real == pytest.approx(ground.energy, abs=1e-8)
    assert stats.variance < 1e-6
