"""The causal model against a second implementation, its parameters counted, the causality probe, and written text."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.language import (
    Bytes,
    LanguageModel,
    LeakError,
    check_causal,
    leak,
    text_maps,
    write,
    write_text,
)
from nqs_lab.language.causality import ALLOWED, shaken
from nqs_lab.language.model import AbstractLanguageModel

TINY = dict(width=8, heads=2, depth=1, mlp_ratio=2)


def tiny(vocabulary=11, block=6, seed=0, **options):
    """A tiny model."""
    return LanguageModel(vocabulary, block, key=jax.random.key(seed), **(TINY | options))


def norm(x, p):
    """LayerNorm, again."""
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + 1e-6) * np.asarray(p.scale) + np.asarray(p.bias)


def numpy_gpt(model, tokens):
    """A GPT in NumPy, head by head and token by token; returns logits (n, V)."""
    dense = lambda x, p: x @ np.asarray(p.weight, np.float64) + np.asarray(p.bias)
    embed = np.asarray(model.embed, np.float64)
    x = embed[tokens] + np.asarray(model.places)[: len(tokens)]
    for block in model.blocks:
        mixer, y = block.mixer, norm(x, block.norm_mix)
        q, k, v = dense(y, mixer.content.queries), dense(y, mixer.content.keys), dense(y, mixer.value)
        out, r = np.zeros_like(x), x.shape[1] // mixer.heads
        for head in range(mixer.heads):
            own = slice(head * r, (head + 1) * r)
            for i in range(len(tokens)):
                logits = k[: i + 1, own] @ q[i, own] / np.sqrt(r)
                p = np.exp(logits - logits.max())
                out[i, own] = p / p.sum() @ v[: i + 1, own]
        x = x + dense(out, mixer.output)
        h = dense(norm(x, block.norm_mlp), block.mlp.expand)
        h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
        x = x + dense(h, block.mlp.contract)
    return norm(x, model.norm) @ embed.T


@pytest.mark.parametrize(("block", "depth", "seed"), [(5, 2, 0)])
def test_the_residual_model_is_a_gpt(block, depth, seed):
    rng = np.random.default_rng(seed)
    model = shaken(tiny(block=block, depth=depth, seed=seed), rng)
    tokens = rng.integers(11, size=block)
    logits, maps = eqx.filter_jit(lambda m, t: (m(t), text_maps(m, t)))(model, jnp.asarray(tokens, jnp.int32))
    np.testing.assert_allclose(logits, numpy_gpt(model, tokens), rtol=2e-4, atol=2e-4)
    for length in range(1, block):  # and a prefix alone gives the same logits: nothing later comes in
        np.testing.assert_allclose(logits[:length], numpy_gpt(model, tokens[:length]), rtol=2e-4, atol=2e-4)
    assert maps.shape == (depth, 2, block, block) and np.all(np.triu(maps, 1) == 0)
    np.testing.assert_allclose(np.sum(maps, axis=-1), 1, atol=1e-5)


HONEST = [
    ("residual", "dot-product"),
    ("residual", "t5"),
    ("nesterov", "linear"),
    ("momentum", "dot-product"),
    ("momentum", "linear"),
]


@pytest.mark.parametrize(("dynamics", "attention"), HONEST)
def test_no_model_sees_its_future(dynamics, attention):
    model = tiny(dynamics=dynamics, attention=attention)
    assert check_causal(model) < ALLOWED == 1e-6
    assert (model.places is None) is (attention in ("t5", "factored"))


def test_the_witness_is_caught():
    model = tiny(dynamics="momentum", dynamics_options={"force": "leaking"})
    assert leak(model) > 1e-4
    with pytest.raises(LeakError, match="sees the tokens that it is to predict.*allow_leak"):
        check_causal(model)
    assert check_causal(model, allow_leak=True) > 1e-4


def test_leaks_that_hide_are_caught():
    """One token that sees one later token; and a leak behind a weight that starts at zero."""
    model = tiny()
    mask = model.blocks[0].mixer.mask
    place = lambda m: m.blocks[0].mixer.mask
    for i, j in ((0, 1), (4, 5), (0, 5)):
        assert leak(eqx.tree_at(place, model, mask.at[i, j].set(True))) > 1e-4
    bent = eqx.tree_at(place, model, mask.at[2, 3].set(True))
    output = lambda m: (m.blocks[0].mixer.output.weight, m.blocks[0].mixer.output.bias)
    assert leak(eqx.tree_at(output, bent, replace_fn=jnp.zeros_like)) > 1e-4
    with pytest.raises(ValueError, match="not finite"):
        check_causal(eqx.tree_at(lambda m: m.embed, model, replace_fn=lambda e: e.at[0].set(jnp.inf)), allow_leak=True)


@pytest.mark.parametrize(
    ("options", "tables"),
    [
        (dict(), 1),
        (dict(dynamics="nesterov"), 2),
        (dict(dynamics="nesterov", velocity=False), 1),
        (dict(dynamics="momentum"), 1),
        (dict(dynamics="momentum", attention="linear"), 2),
        (dict(dynamics="momentum", velocity=True), 2),
    ],
)
def test_velocity_embeddings_are_counted(options, tables):
    """Each set of embeddings has (V + n) d numbers; a block without them has what its parts have."""
    counts = []
    for vocabulary, block in ((11, 6), (29, 9)):
        model = eqx.filter_eval_shape(
            lambda k, v=vocabulary, n=block: LanguageModel(v, n, key=k, **(TINY | options)), jax.random.key(0)
        )
        leaves = [leaf for leaf in jax.tree.leaves(model) if jnp.issubdtype(getattr(leaf, "dtype", int), jnp.inexact)]
        counts.append(sum(int(np.prod(leaf.shape)) for leaf in leaves))
    assert counts[1] - counts[0] == tables * (18 + 3) * 8


def test_a_gpt_has_the_parameters_that_one_counts_by_hand():
    v, n, d, depth, ratio = 11, 6, 8, 1, 2
    each = 4 * (d * d + d) + (2 * ratio * d * d + ratio * d + d) + 4 * d
    assert nl.count_parameters(tiny()) == (v + n) * d + depth * each + 2 * d


def test_kinds_of_one_seed_share_what_they_have_in_common():
    models = [tiny(dynamics=d, constrained=True, seed=3) for d in ("residual", "momentum")]
    parts = lambda m: (m.embed, m.places, m.norm, m.blocks[0].mixer, m.blocks[0].mlp)
    for a, b in zip(*(jax.tree.leaves(parts(m)) for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert models[1].blocks[0].norm_momentum is not None and models[1].blocks[0].step.start == 0.3
    with pytest.raises(ValueError, match="expected 6 tokens"):
        models[0](jnp.zeros(5, jnp.int32))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (dict(vocabulary=0), "at least 1"),
        (dict(depth=0), "at least 1"),
        (dict(dynamics="newton"), "dynamics must be one of"),
        (dict(attention="none"), "attention must be one of"),
        (dict(dynamics="momentum", attention="decoupled"), "gradient of an energy"),
        (dict(constrained=True, attention="decoupled"), "gradient of an energy"),
        (dict(velocity=True), "no velocity"),
        (dict(heads=3), "heads must divide"),
        (dict(dynamics="nesterov", dynamics_options={"step": 1.0}), "have the options"),
    ],
)
def test_what_cannot_be_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        vocabulary = arguments.pop("vocabulary", 5)
        eqx.filter_eval_shape(lambda k: LanguageModel(vocabulary, 4, key=k, **(TINY | arguments)), jax.random.key(0))


class Successor(AbstractLanguageModel):
    """A model that is sure of the token after the last one in the order of their numbers."""

    vocabulary: int = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __call__(self, tokens):
        return 50 * jax.nn.one_hot((tokens + 1) % self.vocabulary, self.vocabulary, dtype=jnp.float32)


def test_writing_goes_on_from_the_last_token_and_moves_the_window(key):
    model = Successor(7, 4)
    assert leak(model) == 0
    for prompt in ([3], [0, 1], [6, 5, 4, 3], [1] * 9 + [2]):
        found = write(model, np.array(prompt), 11, key)
        np.testing.assert_array_equal(found, (prompt[-1] + 1 + np.arange(11)) % 7)


def test_written_tokens_follow_the_probabilities_of_the_model(key):
    """The first token after a prompt, many times: frequencies against softmax(logits / temperature)."""
    model = shaken(tiny(vocabulary=5, block=4), np.random.default_rng(2))
    prompt = np.array([1, 2])
    logits = np.asarray(model(jnp.asarray([1, 2, 0, 0], jnp.int32)))[1]
    for temperature in (1.0, 0.5):
        p = np.exp(logits / temperature)
        p /= p.sum()
        draws = [write(model, prompt, 1, k, temperature=temperature)[0] for k in jax.random.split(key, 100)]
        seen = np.bincount(draws, minlength=5) / 100
        assert np.abs(seen - p).max() < 4 * np.sqrt(0.25 / 100), (seen, p)


def test_written_text_is_text_and_bad_prompts_are_refused(key):
    model = tiny(vocabulary=256, block=5)
    assert isinstance(write_text(model, Bytes(), "ab", 3, key), str)
    for prompt, count, heat, told in (([], 1, 1.0, "prompt"), ([256], 1, 1.0, "prompt"), ([1], 0, 1.0, "at least one")):
        with pytest.raises(ValueError, match=told):
            write(model, np.array(prompt, int), count, key, temperature=heat)
    with pytest.raises(ValueError, match="temperature > 0"):
        write(model, np.array([1]), 1, key, temperature=0.0)
