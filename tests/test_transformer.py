"""The ViT: published sizes, exact symmetries, controls and their floor, attention maps, gradients, refusals."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from nqs_lab.ansatz import RBM, ViT, attention_maps, count_parameters, freeze
from nqs_lab.ansatz.transformer import patch_tables
from nqs_lab.attention import MIXERS
from nqs_lab.spins import SpinBasis, chain, j1j2, ladder, rectangle, square, tilted

SMALL = dict(width=8, heads=2, depth=2, mlp_ratio=2)


def randomised(model, seed=0, scale=1.0):
    """The model with every parameter drawn from a normal of deviation `scale`."""
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


def balanced(n_sites, count, seed=0):
    """Random configurations of total Sz = 0."""
    row = np.where(np.arange(n_sites) < n_sites // 2, 1, -1).astype(np.int8)
    return jnp.asarray(np.random.default_rng(seed).permuted(np.tile(row, (count, 1)), axis=1))


@eqx.filter_jit
def evaluate(model, sigma):
    """log psi of many configurations."""
    return jax.vmap(model)(sigma)


def psi(model, sigma):
    """Amplitudes relative to the largest modulus."""
    log_psi = np.asarray(evaluate(model, sigma))
    return np.exp(log_psi - log_psi.real.max())


@pytest.mark.parametrize(
    "side, options, parameters",
    [
        (10, dict(width=60, heads=10, depth=4, head="layernorm"), 155_620),
        (10, dict(width=72, heads=12, depth=8, head="layernorm"), 434_760),
        (10, dict(width=72, heads=12, depth=8, mlp_ratio=2, head="layernorm"), 267_720),
        (10, dict(width=60, heads=10, depth=4, head="layernorm", attention="t5"), 184_900),
        (4, dict(width=16, heads=4, depth=2, patch=1), 6_208),
    ],
)
def test_published_parameter_counts(side, options, parameters):
    model = eqx.filter_eval_shape(lambda key: ViT(square(side), key=key, **options), jax.random.key(0))
    leaves = jax.tree.leaves(model)
    assert sum(leaf.size for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)) == parameters
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in leaves)


def test_count_parameters_of_a_built_model(key):
    assert count_parameters(ViT(square(4), patch=1, width=16, heads=4, key=key)) == 6_208


def test_patches_and_displacements_of_a_small_rectangle():
    patches, table = patch_tables(rectangle(4, 6), 2)
    assert patches[0].tolist() == [0, 1, 4, 5] and patches[1].tolist() == [2, 3, 6, 7]
    assert patches[5].tolist() == [18, 19, 22, 23] and sorted(patches.ravel()) == list(range(24))
    for i, j in itertools.product(range(6), range(6)):
        assert table[i, j] == (i % 2 - j % 2) % 2 + 2 * ((i // 2 - j // 2) % 3)
    patches, table = patch_tables(chain(6), 3)
    assert patches.tolist() == [[0, 1, 2], [3, 4, 5]] and table.tolist() == [[0, 1], [1, 0]]
    patches, table = patch_tables(tilted(18), 1)
    assert patches.shape == (18, 1) and all(sorted(row) == list(range(18)) for row in table)


CASES = [
    (square(4), 1, "t5"),
    (square(4), 1, "decoupled"),
    (square(6), 2, "t5"),
    (square(6), 2, "factored"),
    (rectangle(4, 6), 2, "decoupled"),
    (chain(12), 3, "t5"),
    (tilted(18), 1, "factored"),
]


@pytest.mark.parametrize("lattice, patch, attention", CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_exactly_invariant_under_patch_translations(lattice, patch, attention, key):
    model = randomised(ViT(lattice, patch=patch, attention=attention, dtype=jnp.float64, key=key, **SMALL), scale=0.6)
    group = model.invariances()
    cells = lattice.n_sites // patch ** sum(lattice.active)
    assert group.n_elements == cells and np.all(group.characters == 1)
    sigma = balanced(lattice.n_sites, 3)
    images = jax.vmap(group.apply)(sigma)
    log_psi = np.asarray(evaluate(model, images.reshape(-1, lattice.n_sites))).reshape(3, cells)
    np.testing.assert_allclose(log_psi.real, log_psi.real[:, :1] * np.ones(cells), rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.exp(1j * log_psi.imag), np.exp(1j * log_psi.imag[:, :1]) * np.ones(cells), atol=1e-10)
    assert np.std(log_psi.real[:, 0]) > 1e-5  # not invariant because constant
    if patch > 1:
        step = lattice.translations().apply(sigma[0])[1]
        assert np.abs(evaluate(model, step[None])[0] - log_psi[0, 0]) > 1e-4


@pytest.mark.parametrize("attention", ["dot-product", "linear"])
def test_controls_are_constant_with_single_site_patches(attention, key):
    model = ViT(square(4), patch=1, attention=attention, dtype=jnp.float64, key=key, **SMALL)
    states = jnp.asarray(SpinBasis(square(4)).configurations()[::13])
    log_psi = np.asarray(evaluate(randomised(model, scale=0.6), states))
    assert np.ptp(log_psi.real) < 1e-10 and np.max(np.abs(np.exp(1j * (log_psi.imag - log_psi.imag[0])) - 1)) < 1e-10
    positional = ViT(square(4), patch=1, attention="t5", dtype=jnp.float64, key=key, **SMALL)
    assert np.std(evaluate(randomised(positional, scale=0.6), states)) > 1e-4


def content_floor(lattice, basis, j2):
    """H in the Sz basis, and its lowest energy among the states that see only which patches occur, not where."""
    ham = j1j2(lattice, j2)
    sigma, states = basis.configurations(), basis.states
    diagonal, rows, columns, values = np.zeros(basis.dim), [], [], []
    for (i, j), coupling in zip(np.asarray(ham.bonds), np.asarray(ham.coupling), strict=True):
        diagonal += coupling * sigma[:, i] * sigma[:, j] / 4
        (flips,) = np.nonzero(sigma[:, i] != sigma[:, j])
        rows.append(flips)
        columns.append(basis.index(states[flips] ^ np.uint64(2**i + 2**j)))
        values.append(np.full(len(flips), coupling / 2))
    shape = (basis.dim, basis.dim)
    matrix = sp.coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)
    matrix = (matrix + sp.diags(diagonal)).tocsr()
    patches, _ = patch_tables(lattice, 2)
    occurring = np.sort((sigma[:, patches] > 0) @ np.array([1, 2, 4, 8]), axis=1)
    _, label, count = np.unique(occurring, axis=0, return_inverse=True, return_counts=True)
    projector = sp.csr_matrix((1 / np.sqrt(count[label]), (np.arange(basis.dim), label)))
    return matrix, eigsh(projector.T @ matrix @ projector, k=1, which="SA")[0][0]


def test_controls_never_go_below_their_floor_with_two_by_two_patches(key):
    lattice = square(4)
    basis = SpinBasis(lattice)
    matrix, floor = content_floor(lattice, basis, 0.5)
    np.testing.assert_allclose(floor / 16, -0.45450, atol=5e-6)
    states = jnp.asarray(basis.configurations())
    for seed, attention in enumerate(("dot-product", "linear")):
        model = ViT(lattice, attention=attention, dtype=jnp.float64, key=key, **SMALL)
        amplitude = psi(randomised(model, seed), states)
        energy = np.vdot(amplitude, matrix @ amplitude).real / np.vdot(amplitude, amplitude).real
        assert energy > floor - 1e-9
        patches = np.asarray(model.patches)
        shuffled = np.asarray(states[5:205]).copy()
        shuffled[:, patches[[0, 1]]] = shuffled[:, patches[[1, 0]]]
        np.testing.assert_allclose(
            psi(randomised(model, seed), jnp.asarray(shuffled)), psi(randomised(model, seed), states[5:205]), atol=1e-9
        )


@pytest.mark.parametrize("attention", MIXERS)
def test_extreme_weights_stay_finite(attention, key):
    head = "layernorm" if attention in ("t5", "factored") else "small-init"
    model = randomised(ViT(square(4), attention=attention, head=head, key=key, **SMALL), scale=1e3)
    log_psi = evaluate(model, balanced(16, 30))
    assert log_psi.dtype == jnp.complex64 and np.all(np.isfinite(log_psi))


def test_float32_and_float64_agree_and_batches_equal_single_calls(key):
    wide = randomised(ViT(square(4), dtype=jnp.float64, key=key, **SMALL), scale=0.5)
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, wide)
    sigma = balanced(16, 5)
    batch = evaluate(wide, sigma)
    assert batch.dtype == jnp.complex128
    np.testing.assert_allclose(batch, [eqx.filter_jit(wide)(row) for row in sigma], atol=1e-11)
    np.testing.assert_allclose(psi(narrow, sigma), psi(wide, sigma), atol=1e-4)


def test_one_trace_for_new_parameters_and_new_configurations(key):
    model = ViT(square(4), key=key, **SMALL)
    compiled = eqx.filter_jit(eqx.debug.assert_max_traces(lambda m, s: jax.vmap(m)(s), max_traces=1))
    for seed in range(3):
        compiled(randomised(model, seed), balanced(16, 4, seed))


@pytest.mark.parametrize("attention", MIXERS)
def test_gradients_equal_finite_differences(attention, key):
    options = SMALL | dict(depth=1)
    model = randomised(ViT(square(4), attention=attention, dtype=jnp.float64, key=key, **options), scale=0.4)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    direction = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(5).normal(size=leaf.shape)), params)
    sigma = balanced(16, 1)[0]

    @jax.jit
    def value_and_slope(t):
        def components(p):
            z = eqx.combine(p, static)(sigma)
            return jnp.stack([z.real, z.imag])

        value, pull = jax.vjp(components, jax.tree.map(lambda p, d: p + t * d, params, direction))
        (rows,) = jax.vmap(pull)(jnp.eye(2))
        dots = jax.tree.map(lambda g, d: jnp.tensordot(g, d, d.ndim), rows, direction)
        return value, sum(jax.tree.leaves(dots))

    h = 1e-5
    expected = (value_and_slope(h)[0] - value_and_slope(-h)[0]) / (2 * h)
    np.testing.assert_allclose(value_and_slope(0.0)[1], expected, rtol=1e-6, atol=1e-6)


def test_the_small_head_starts_nearly_constant_with_useful_gradients(key):
    model = ViT(square(4), patch=1, width=16, heads=4, key=key)
    sigma = balanced(16, 50)
    log_psi = np.asarray(evaluate(model, sigma))
    assert np.std(log_psi) < 0.2
    params, static = eqx.partition(model, eqx.is_inexact_array)
    slopes = jax.jit(jax.vmap(jax.grad(lambda p, s: eqx.combine(p, static)(s).real), (None, 0)))(params, sigma)
    squares = sum(np.sum(np.asarray(leaf) ** 2) for leaf in jax.tree.leaves(slopes))
    assert 0.1 < np.sqrt(squares / len(sigma)) < 100


@eqx.filter_jit
def read_and_freeze(model, sigma, other):
    """Maps of two configurations; the model frozen at the first; log psi of both, before and after; maps after."""
    first, second = attention_maps(model, sigma), attention_maps(model, other)
    frozen = freeze(model, first)
    pairs = [(model(s), frozen(s)) for s in (sigma, other)]
    return first, second, frozen, pairs, attention_maps(frozen, other)


@pytest.mark.parametrize("attention", ["t5", "factored", "linear"])
def test_attention_maps_and_freezing(attention, key):
    sigma, other = balanced(16, 2)
    model = randomised(ViT(square(4), attention=attention, dtype=jnp.float64, key=key, **SMALL), scale=0.5)
    first, second, frozen, pairs, after = read_and_freeze(model, sigma, other)
    assert first.shape == (2, 2, 4, 4)
    if attention == "t5":
        np.testing.assert_allclose(np.sum(first, axis=-1), 1, atol=1e-12)
    depends = attention != "factored"
    assert (np.max(np.abs(first - second)) > 1e-6) == depends
    np.testing.assert_array_equal(after, first)
    np.testing.assert_allclose(pairs[0][0], pairs[0][1], atol=1e-10)
    assert (np.abs(pairs[1][0] - pairs[1][1]) > 1e-6) == depends
    mixing = count_parameters(model.blocks[0].mixer) - 2 * (8 * 8 + 8)
    assert count_parameters(model) - count_parameters(frozen) == 2 * mixing
    assert frozen.invariances() is None  # constant maps need not respect translations


@pytest.mark.parametrize(
    "lattice, change, message",
    [
        (square(4, periodic=False), {}, "periodic"),
        (ladder(4), {}, "periodic"),
        (square(6), dict(patch=4), "tile"),
        (rectangle(4, 3), {}, "tile"),
        (square(4), dict(patch=0), "tile"),
        (chain(7), {}, "tile"),
        (tilted(20), {}, "tilted"),
        (square(4), dict(heads=3), "heads"),
        (square(4), dict(depth=0), "depth"),
        (square(4), dict(mlp_ratio=0), "mlp_ratio"),
        (square(4), dict(attention="softmax"), "t5, decoupled, factored, dot-product, linear"),
        (square(4), dict(dynamics="leapfrog"), "residual"),
        (square(4), dict(head="real"), "small-init, layernorm"),
        (square(4), dict(dtype=jnp.complex64), "float32 or float64"),
        (square(4), dict(dtype=jnp.float16), "float32 or float64"),
    ],
)
def test_refusals(lattice, change, message, key):
    with pytest.raises(ValueError, match=message):
        ViT(lattice, key=key, **(SMALL | change))


def test_maps_refuse_other_models_and_other_shapes(key):
    model = ViT(square(4), key=key, **SMALL)
    sigma = balanced(16, 1)[0]
    with pytest.raises(ValueError, match="RBM"):
        attention_maps.__wrapped__(RBM(square(4), key=key), sigma)
    with pytest.raises(ValueError, match=r"\(2, 2, 4, 4\)"):
        freeze(model, jnp.zeros((1, 2, 4, 4)))
    with pytest.raises(ValueError, match="enable_x64"), jax.enable_x64(False):
        ViT(square(4), key=jax.random.key(0), dtype=jnp.float64)
