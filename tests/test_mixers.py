"""Mixers and blocks against plain loops, their identities, masks, symmetries and refusals."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.ansatz import count_parameters
from nqs_lab.attention import (
    BLOCKS,
    MIXERS,
    MLP,
    Dense,
    Frozen,
    LayerNorm,
    Residual,
    gelu,
    make_block,
    make_mixer,
)

POSITIONAL, CONTROLS = ("t5", "decoupled", "factored"), ("dot-product", "linear")


def ring(n):
    """Displacement table of n tokens on a ring."""
    return (np.arange(n)[:, None] - np.arange(n)[None]) % n


def random_mixer(name, n, d, h, key, *, mask=None, dtype=jnp.float64):
    """A mixer with every parameter, biases too, drawn from a unit normal."""
    mixer = make_mixer(name, d, h, ring(n), mask=mask, dtype=dtype, key=key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, mixer)


def normal(key, shape, dtype=jnp.float64):
    """Unit normal numbers."""
    return jnp.asarray(np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=shape), dtype)


def loop_weights(mixer, name, x, mask):
    """alpha^mu_ij by loops over heads and tokens, straight from the formulas."""
    n, d = x.shape
    h, r = mixer.heads, d // mixer.heads
    out = np.zeros((h, n, n))
    table = np.asarray(mixer.positions.table) if name in POSITIONAL else None
    for mu, i in itertools.product(range(h), range(n)):
        seen = [j for j in range(n) if mask is None or mask[i, j]]
        p = np.zeros(n)
        if name in POSITIONAL:
            p = np.array([table[mu, (i - j) % n] for j in range(n)])
        content = np.zeros(n)
        if name != "factored":
            q = x @ np.asarray(mixer.content.queries.weight) + np.asarray(mixer.content.queries.bias)
            k = x @ np.asarray(mixer.content.keys.weight) + np.asarray(mixer.content.keys.bias)
            cut = slice(mu * r, (mu + 1) * r)
            content = np.array([q[i, cut] @ k[j, cut] / np.sqrt(r) for j in range(n)])
        logits = content + p if name == "t5" else content
        total = sum(np.exp(logits[j]) for j in seen)
        for j in seen:
            soft = np.exp(logits[j]) / total
            out[mu, i, j] = {
                "t5": soft,
                "decoupled": soft + p[j],
                "factored": p[j],
                "dot-product": soft,
                "linear": content[j] / len(seen),
            }[name]
    return out


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("n, d, h, causal", [(4, 6, 2, False), (9, 8, 4, False), (5, 6, 3, True), (3, 2, 1, True)])
def test_weights_and_mix_equal_the_loops(name, n, d, h, causal, getkey):
    mask = np.tril(np.ones((n, n), bool)) if causal else None
    mixer = random_mixer(name, n, d, h, getkey(), mask=mask)
    x = normal(getkey(), (n, d))
    weights = np.asarray(eqx.filter_jit(mixer.weights)(x))
    np.testing.assert_allclose(weights, loop_weights(mixer, name, np.asarray(x), mask), atol=1e-12)

    values = np.asarray(x) @ np.asarray(mixer.value.weight) + np.asarray(mixer.value.bias)
    r = d // h
    mixed = np.zeros((n, d))
    for i, c in itertools.product(range(n), range(d)):
        mixed[i, c] = sum(weights[c // r, i, j] * values[j, c] for j in range(n))
    expected = mixed @ np.asarray(mixer.output.weight) + np.asarray(mixer.output.bias)
    np.testing.assert_allclose(eqx.filter_jit(mixer)(x), expected, atol=1e-11)


def without_content(mixer):
    """The same mixer with Q = K = 0, biases included."""
    return eqx.tree_at(lambda m: m.content, mixer, jax.tree.map(jnp.zeros_like, mixer.content))


def test_without_queries_and_keys_the_standard_mixers_are_factored(getkey):
    n, d, h = 6, 8, 2
    x = normal(getkey(), (n, d))
    key = getkey()
    t5, decoupled, factored = (random_mixer(name, n, d, h, key) for name in POSITIONAL)
    factored = eqx.tree_at(lambda m: m.positions.table, factored, decoupled.positions.table + 1 / n)
    np.testing.assert_allclose(without_content(decoupled).weights(x), factored.weights(x), atol=1e-14)
    table = np.asarray(t5.positions.table)[:, ring(n)]
    expected = np.exp(table) / np.exp(table).sum(-1, keepdims=True)
    np.testing.assert_allclose(without_content(t5).weights(x), expected, atol=1e-14)


def test_mixers_of_one_key_share_what_they_have_in_common(key):
    made = {name: make_mixer(name, 8, 2, ring(5), key=key) for name in MIXERS}
    for name, mixer in made.items():
        np.testing.assert_array_equal(mixer.value.weight, made["factored"].value.weight)
        np.testing.assert_array_equal(mixer.output.weight, made["factored"].output.weight)
        if name in POSITIONAL:
            scale = np.sqrt(5) if name == "t5" else 1  # T5's table is inside a softmax
            np.testing.assert_allclose(
                mixer.positions.table, scale * np.asarray(made["factored"].positions.table), rtol=1e-6
            )
        if name != "factored":
            np.testing.assert_array_equal(mixer.content.keys.weight, made["linear"].content.keys.weight)
    saved = 2 * (8 * 8 + 8)
    assert count_parameters(made["t5"]) - count_parameters(made["factored"]) == saved
    assert count_parameters(made["factored"]) == 2 * (8 * 8 + 8) + 2 * 5


@pytest.mark.parametrize("name", MIXERS)
def test_equivariance_under_shifts_and_permutations(name, getkey):
    n, d, h = 7, 6, 3
    mixer = random_mixer(name, n, d, h, getkey())
    x = normal(getkey(), (n, d))
    apply = eqx.filter_jit(mixer)
    shift, shuffle = np.roll(np.arange(n), 3), np.array([3, 0, 6, 1, 2, 5, 4])
    np.testing.assert_allclose(apply(x[shift]), apply(x)[shift], atol=1e-11)
    difference = np.max(np.abs(apply(x[shuffle]) - apply(x)[shuffle]))
    if name in CONTROLS:
        assert difference < 1e-11
    else:
        assert difference > 1e-2


@pytest.mark.parametrize("name", MIXERS)
def test_a_causal_mask_hides_the_future_and_has_finite_gradients(name, getkey):
    n, d = 6, 4
    mixer = random_mixer(name, n, d, 2, getkey(), mask=np.tril(np.ones((n, n), bool)))
    x = normal(getkey(), (n, d))
    changed = x.at[4:].set(normal(getkey(), (2, d)))
    apply = eqx.filter_jit(mixer)
    np.testing.assert_allclose(apply(x)[:4], apply(changed)[:4], atol=1e-13)
    assert np.max(np.abs(apply(x)[4:] - apply(changed)[4:])) > 1e-3
    params, static = eqx.partition(mixer, eqx.is_inexact_array)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(eqx.combine(p, static)(x) ** 2)))(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_frozen_weights_are_constants_and_no_parameters(dtype, getkey):
    n, d = 5, 6
    mixer = random_mixer("t5", n, d, 2, getkey(), dtype=dtype)
    x, other = (normal(getkey(), (n, d), dtype) for _ in range(2))
    frozen = Frozen(mixer, mixer.weights(x))
    np.testing.assert_array_equal(frozen.weights(other), mixer.weights(x))
    np.testing.assert_allclose(frozen(x), mixer(x), rtol=1e-6)
    assert count_parameters(frozen) == 2 * (d * d + d)
    assert eqx.filter_jit(frozen)(x).dtype == dtype
    with pytest.raises(ValueError, match="heads"):
        Frozen(mixer, jnp.zeros((3, n, n), dtype))


def test_the_residual_block_is_its_formula_and_leaves_v_alone(getkey):
    n, d = 5, 6
    block = make_block("residual", random_mixer("t5", n, d, 2, getkey()), d, 3, dtype=jnp.float64, key=getkey())
    x, v = (normal(getkey(), (n, d)) for _ in range(2))

    def norm(z):
        return (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-6)

    middle = np.asarray(x) + np.asarray(block.mixer(jnp.asarray(norm(np.asarray(x)))))
    inner = norm(middle) @ np.asarray(block.mlp.expand.weight)
    inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
    after, v_after = block(x, v)
    np.testing.assert_allclose(after, middle + inner @ np.asarray(block.mlp.contract.weight), atol=1e-12)
    np.testing.assert_array_equal(v_after, v)
    np.testing.assert_allclose(block.weights(x, v), block.mixer.weights(jnp.asarray(norm(np.asarray(x)))), atol=1e-12)


def test_layer_norm_dense_and_gelu_against_their_formulas(getkey):
    x = 1e4 + normal(getkey(), (3, 16))
    norm = eqx.tree_at(
        lambda m: (m.scale, m.bias), LayerNorm(16, dtype=jnp.float64), (normal(getkey(), 16), normal(getkey(), 16))
    )
    unit = (x - x.mean(1, keepdims=True)) / np.sqrt(np.var(x, 1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(norm(x), unit * norm.scale[None] + norm.bias[None], atol=1e-9)
    assert np.all(np.isfinite(norm(jnp.full((2, 16), 3.0))))  # zero variance
    z = jnp.linspace(-40, 40, 1001)
    np.testing.assert_allclose(gelu(z), jax.nn.gelu(z, approximate=True), atol=1e-13)
    dense = Dense(16, 4, dtype=jnp.float64, key=getkey())
    assert np.all(dense.bias == 0) and 0.9 < np.max(np.abs(dense.weight)) / np.sqrt(6 / 20) <= 1
    assert count_parameters(MLP(8, 4, key=getkey())) == 2 * 4 * 8 * 8 + 5 * 8


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(name="softmax"), "t5, decoupled, factored, dot-product, linear"),
        (dict(heads=3), "width=8, heads=3"),
        (dict(heads=0), "heads"),
        (dict(width=0), "width"),
        (dict(mask=np.zeros((4, 4), bool)), "at least one"),
        (dict(mask=np.ones((3, 3), bool)), "shape"),
        (dict(displacement=ring(4) - 1), "from 0"),
    ],
)
def test_mixers_refuse(change, message, key):
    options = dict(name="t5", width=8, heads=2, displacement=ring(4), mask=None, key=key) | change
    with pytest.raises(ValueError, match=message):
        make_mixer(**options)


def test_blocks_refuse(key):
    mixer = make_mixer("t5", 8, 2, ring(4), key=key)
    with pytest.raises(ValueError, match=", ".join(BLOCKS)):
        make_block("second-order", mixer, 8, 4, key=key)
    with pytest.raises(ValueError, match="mlp_ratio"):
        make_block("residual", mixer, 8, 0, key=key)
    assert isinstance(make_block("residual", mixer, 8, 1, key=key), Residual)
