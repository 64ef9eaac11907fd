"""Accelerated blocks in the wave function: training, symmetry, maps, the constrained control, shipped layouts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.attention import EnergyMixer, HamiltonianMomentum, Nesterov, Residual

TINY = dict(patch=1, width=8, heads=2, depth=1, mlp_ratio=2, dtype=jnp.float64)
CASES = [("residual", "factored"), ("nesterov", "factored"), ("momentum", "factored")]
KINDS = {"residual": Residual, "nesterov": Nesterov, "momentum": HamiltonianMomentum}


@eqx.filter_jit
def evaluate(model, sigma):
    """log psi of many configurations."""
    return jax.vmap(model)(sigma)


@pytest.mark.parametrize("dynamics, attention", CASES)
def test_a_tiny_one_of_each_learns_and_stays_invariant(dynamics, attention, key):
    """Full summation on a ring of 6: the energy falls towards the exact one, never below it."""
    lattice = nl.chain(6)
    ham, basis = nl.j1j2(lattice, 0.3), nl.SpinBasis(lattice)
    vit = nl.ViT(lattice, attention=attention, dynamics=dynamics, key=key, **TINY)
    assert isinstance(vit.blocks[0], KINDS[dynamics])
    vmc = nl.VMC(ham, nl.ExactSampler(basis), nl.SR(diag_shift=1e-3), nl.imaginary_time(0.2, 14, warm_up=4))
    history = nl.History()
    state = nl.run(vmc, vmc.init(nl.MarshallSign(vit, lattice), key=key), 14, callbacks=[history])
    energy, exact = history["energy"], np.linalg.eigvalsh(np.asarray(nl.matrix(ham, basis).todense()))[0]
    assert np.all(energy > exact - 1e-9) and energy[-1] < energy[0]
    assert energy[-1] - exact < 0.1 * (energy[0] - exact), f"{energy[0]:.4f} -> {energy[-1]:.4f}, exact {exact:.4f}"

    group = state.model.ansatz.invariances()
    assert group.n_elements == 6
    configurations = basis.configurations()[[0, 1, 7]]
    images = np.stack([np.roll(configurations, k, axis=1) for k in range(6)], axis=1)
    log_psi = np.asarray(evaluate(state.model.ansatz, jnp.asarray(images.reshape(18, 6)))).reshape(3, 6)
    np.testing.assert_allclose(np.exp(log_psi - log_psi[:, :1]), 1, rtol=0, atol=1e-10)
    assert np.ptp(log_psi[:, 0].real) > 1e-3  # not invariant because constant


def randomised(model, scale=0.5):
    """The model with random parameters."""
    rng = np.random.default_rng(7)
    draw = lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


def test_a_symmetric_table_also_turns_the_patches_around(key):
    """With p_d = p_-d the order of the tokens can be reversed, the patches themselves not: no lattice symmetry.

    On a ring of 8 in patches of 2 that costs 3.6 % of the energy, with inertia or without.
    """
    lattice = nl.chain(8)
    options = TINY | dict(patch=2)
    constrained = {"momentum": dict(dynamics="momentum"), "control": dict(constrained=True), "free": {}}
    models = {name: randomised(nl.ViT(lattice, key=key, **options, **more)) for name, more in constrained.items()}
    rng = np.random.default_rng(1)
    sigma = np.stack([rng.permuted(np.repeat(np.int8([1, -1]), 4)) for _ in range(5)])
    turned = sigma.reshape(5, 4, 2)[:, ::-1].reshape(5, 8)
    run = eqx.filter_jit(
        lambda models: {k: jax.vmap(m)(jnp.asarray(np.stack([*sigma, *turned]))) for k, m in models.items()}
    )
    gap = {k: np.abs(np.exp(np.asarray(z[:5] - z[5:])) - 1).max() for k, z in run(models).items()}
    assert gap["momentum"] < 1e-10 and gap["control"] < 1e-10 and gap["free"] > 1e-3


def floor(lattice, j2, orders):
    """Lowest energy per site among the states that are unchanged when tokens of two sites are put in these orders."""
    basis = nl.SpinBasis(lattice)
    sigma = np.asarray(basis.configurations())
    number = {row.tobytes(): k for k, row in enumerate(sigma)}
    mean = np.zeros((basis.dim, basis.dim))
    for order in orders:
        image = np.ascontiguousarray(sigma.reshape(-1, 4, 2)[:, order].reshape(sigma.shape))
        mean[[number[row.tobytes()] for row in image], np.arange(basis.dim)] += 1 / len(orders)
    values, vectors = np.linalg.eigh((mean + mean.T) / 2)
    kept = vectors[:, values > 1 - 1e-9]
    sign = np.where(sigma[:, ::2] > 0, 1, -1).prod(axis=1)
    matrix = sign[:, None] * np.asarray(nl.matrix(nl.j1j2(lattice, j2), basis).todense()) * sign
    return np.linalg.eigvalsh(kept.T @ matrix @ kept)[0] / lattice.n_sites


def test_the_price_of_the_symmetric_table_is_what_exact_diagonalisation_says():
    """-0.4017 with the right symmetry, -0.3873 with the extra one: what training reaches with momentum blocks."""
    shifts = [np.roll(np.arange(4), k) for k in range(4)]
    exact = floor(nl.chain(8), 0.3, shifts)
    both = floor(nl.chain(8), 0.3, shifts + [order[::-1] for order in shifts])
    np.testing.assert_allclose([exact, both], [-0.4017156, -0.3873162], atol=1e-7)


@eqx.filter_jit
def read(model, sigma):
    """Attention maps, log psi, and log psi of the model frozen at its own maps."""
    maps = nl.attention_maps(model, sigma)
    return maps, model(sigma), nl.freeze(model, maps)(sigma)


def test_maps_and_freezing(key):
    lattice = nl.chain(6)
    sigma = jnp.asarray(np.int8([1, 1, -1, 1, -1, -1]))
    options = TINY | dict(depth=2)
    nesterov = randomised(nl.ViT(lattice, attention="t5", dynamics="nesterov", constrained=True, key=key, **options))
    maps, log_psi, frozen = read(nesterov, sigma)
    assert maps.shape == (2, 2, 6, 6)
    np.testing.assert_allclose(np.sum(maps, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(frozen, log_psi, atol=1e-10)
    momentum = nl.ViT(lattice, attention="t5", dynamics="momentum", key=key, **options)
    shape = eqx.filter_eval_shape(nl.attention_maps, momentum, sigma).shape
    assert shape == (2, 2, 6, 6)
    with pytest.raises(ValueError, match="constants are not"):
        nl.freeze(momentum, jnp.zeros(shape))


def shapes(**options):
    """The arrays of a ViT by place, without making them."""
    model = eqx.filter_eval_shape(lambda key: nl.ViT(nl.chain(8), key=key, **(TINY | options)), jax.random.key(0))
    return model, [(jax.tree_util.keystr(place), leaf.shape) for place, leaf in jax.tree.leaves_with_path(model)]


def test_the_layout_of_shipped_residual_networks_stays():
    """Weights are loaded by flat order."""
    dense = [".weight", ".bias"]
    mixer = [f".mixer.{m}{part}" for m in ("value", "output") for part in dense]
    mixer += [".mixer.positions.table", ".mixer.positions.displacement"]
    block = mixer + [f".mlp.{m}{part}" for m in ("expand", "contract") for part in dense]
    block += [f".{norm}.{part}" for norm in ("norm_mix", "norm_mlp") for part in ("scale", "bias")]
    expected = [".patches", ".embed.weight", ".embed.bias"]
    expected += [f".blocks[{k}]{place}" for k in range(2) for place in block]
    expected += [".head.norm.scale", ".head.norm.bias"]
    expected += [f".head.{m}{part}" for m in ("real", "imag") for part in dense]
    assert [place for place, _ in shapes(depth=2)[1]] == expected


def test_dynamics_of_one_key_share_what_they_have_in_common(key):
    models = [nl.ViT(nl.chain(6), attention="t5", dynamics=d, constrained=True, key=key, **TINY) for d in KINDS]
    parts = lambda m: (m.embed, m.head, m.blocks[0].mlp, m.blocks[0].mixer)
    for model in models[1:]:
        assert isinstance(model.blocks[0].mixer, EnergyMixer)
        for one, other in zip(jax.tree.leaves(parts(model)), jax.tree.leaves(parts(models[0])), strict=True):
            np.testing.assert_array_equal(one, other)


def test_blocks_count_from_zero_and_take_their_options():
    options = dict(step=0.25, norm_momentum=True, c_log=2.0)
    model, places = shapes(depth=3, dynamics="momentum", dynamics_options=options)
    assert [block.time for block in model.blocks] == [1.0, 1.25, 1.5]
    assert all(block.norm_momentum is not None and block.c_log.start == 2.0 for block in model.blocks)
    assert (".blocks[2].step.raw", ()) in places
    with pytest.raises(ValueError, match="options"):
        shapes(dynamics="nesterov", dynamics_options=dict(step=1.0))
    with pytest.raises(ValueError, match="not the gradient of an energy"):
        shapes(dynamics="momentum", attention="decoupled")
