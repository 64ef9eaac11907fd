"""Training: the optimiser against NumPy, the schedule, runs that stop and go on bit for bit, and Ctrl-C."""

import json
import os
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab import store
from nqs_lab.language import (
    Batch,
    LanguageModel,
    LeakError,
    Material,
    Recipe,
    fit,
    fixed_blocks,
    judge,
    start,
    train_step,
    training_key,
)
from nqs_lab.language.batches import batch_at
from nqs_lab.language.running import checkpoint_step
from nqs_lab.language.training import gradients, losses_of

V, N = 7, 6
RECIPE = Recipe(rate=0.03, steps=9, batch=4, warm_up=3, look=4)
TEXT = np.tile(np.array([0, 3, 1, 5, 2, 6, 4], np.int32), 60)
MATERIAL = Material(TEXT, fixed_blocks(TEXT, N, 5))


@pytest.fixture(scope="module")
def model():
    return LanguageModel(V, N, width=8, heads=2, depth=1, mlp_ratio=2, dynamics="nesterov", key=jax.random.key(0))


@pytest.fixture(scope="module")
def fresh(model):
    return start(model, RECIPE)


def same(one, other):
    """Bit for bit."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_rate_warms_up_and_falls_by_half_a_cosine():
    recipe = Recipe()
    share = lambda step: float(recipe.share(jnp.asarray(step, jnp.int32)))
    assert (recipe.rate, recipe.steps, recipe.batch, recipe.warm_up, recipe.last) == (3e-4, 1001, 72, 150, 0.4)
    assert [share(s) for s in (0, 74, 149, 150)] == pytest.approx([1 / 150, 0.5, 1, 1], rel=1e-6)
    for step in (300, 575, 900, 1001):
        expected = 0.4 + 0.6 * (1 + np.cos(np.pi * (step - 150) / 851)) / 2
        assert share(step) == pytest.approx(expected, rel=1e-5)
    assert recipe.looks == (*range(0, 1001, 100), 1001)
    for bad in (dict(rate=0.0), dict(steps=10), dict(last=1.5), dict(decay=-1.0), dict(batch=0), dict(clip=np.inf)):
        with pytest.raises(ValueError, match="expected"):
            Recipe(**bad)


def numpy_adamw(recipe, params, gradients):
    """AdamW as the recipe says, written out: {name: array}, one dict of gradients a step."""
    first = {k: np.zeros_like(p) for k, p in params.items()}
    second = {k: np.zeros_like(p) for k, p in params.items()}
    for step, raw in enumerate(gradients):
        size = np.sqrt(sum((g**2).sum() for g in raw.values() if g.ndim))
        g = {k: v * min(1, recipe.clip / size) if v.ndim else v for k, v in raw.items()}
        share = float(recipe.share(jnp.asarray(step, jnp.int32)))
        for k in params:
            first[k] = 0.9 * first[k] + 0.1 * g[k]
            second[k] = 0.95 * second[k] + 0.05 * g[k] ** 2
            move = first[k] / (1 - 0.9 ** (step + 1)) / (np.sqrt(second[k] / (1 - 0.95 ** (step + 1))) + 1e-8)
            decay = recipe.decay if k in ("embed", "places", "embed_velocity", "places_velocity") else 0
            rate = recipe.rate if params[k].ndim else recipe.scalar_rate
            params[k] = params[k] - share * rate * (move + decay * params[k])
    return params


class Parts(eqx.Module):
    """Parameters with the names that a model has."""

    embed: jax.Array
    places_velocity: jax.Array
    weight: jax.Array
    raw: jax.Array


def test_the_optimiser_is_adamw_with_exceptions():
    """Only matrices are clipped, only embeddings decay, scalars have a rate of their own."""
    rng = np.random.default_rng(0)
    shapes = {"embed": (3, 2), "places_velocity": (2, 2), "weight": (2, 3), "raw": ()}
    draw = lambda size: {k: size * np.asarray(rng.normal(size=s)) for k, s in shapes.items()}
    params, slopes = draw(1.0), [draw(size) for size in (0.05, 3.0, 0.4)]
    recipe = Recipe(rate=0.01, steps=4, warm_up=2, look=2)
    with jax.numpy_dtype_promotion("standard"):
        module = Parts(**{k: jnp.asarray(v) for k, v in params.items()})
        optimiser = recipe.optimiser()
        state = optimiser.init(module)
        for slope in slopes:
            update, state = optimiser.update(Parts(**{k: jnp.asarray(v) for k, v in slope.items()}), state, module)
            module = eqx.apply_updates(module, update)
    for name, value in numpy_adamw(recipe, dict(params), slopes).items():
        np.testing.assert_allclose(getattr(module, name), value, rtol=1e-6, atol=1e-7)


def test_a_gradient_taken_few_pieces_at_a_time_is_the_gradient(model):
    batch = [jnp.asarray(a) for a in batch_at(TEXT, N, 6, jax.random.key(1), 0)]
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    whole = jax.value_and_grad(lambda p: jnp.sum(losses_of(eqx.combine(p, rest), *batch)))
    run = jax.jit(lambda p: (gradients(p, rest, *batch), whole(p), losses_of(eqx.combine(p, rest), *batch)))
    (sums, slopes), expected, losses = run(params)
    np.testing.assert_allclose(sums, expected[0], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(expected[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(judge(model, Batch(*map(np.asarray, batch))), losses, rtol=1e-5)


def test_a_run_goes_on_bit_for_bit_after_a_stop_and_after_ctrl_c(fresh, tmp_path):
    whole = fit(fresh, RECIPE, MATERIAL, training_key(0)).state
    assert int(whole.step) == 9 and int(whole.rejected) == 0 and whole.leak < 1e-6
    assert np.all(np.isfinite(whole.losses)) and np.all(np.isfinite(whole.judged)) and len(whole.judged) == 4
    assert whole.losses[-1] < whole.losses[0]

    file = tmp_path / "run.npz"
    fit(fresh, RECIPE, MATERIAL, training_key(0), until=2, keep=file)

    def interrupt(state, info):
        if int(state.step) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(fresh, RECIPE, MATERIAL, training_key(0), keep=file, on_step=interrupt)
    assert checkpoint_step(file) == 5
    resumed = fit(fresh, RECIPE, MATERIAL, training_key(0), keep=file)
    same(resumed.state, whole)
    assert resumed.seconds > 0
    again = fit(fresh, RECIPE, MATERIAL, training_key(0), keep=file).state  # a finished run stays what it is
    same(again, whole)

    other = fit(fresh, RECIPE, MATERIAL, training_key(1), until=3).state
    assert np.any(np.asarray(other.losses[:3]) != np.asarray(whole.losses[:3]))
    others = [
        (RECIPE, MATERIAL, 1, "batches"),
        (Recipe(rate=0.02, steps=9, batch=4, warm_up=3, look=4), MATERIAL, 0, "recipe"),
    ]
    others.append((RECIPE, Material(TEXT[1:], MATERIAL.held_out), 0, "text"))
    for recipe, material, seed, told in others:
        with pytest.raises(ValueError, match=f"another run.*{told}"):
            fit(fresh, recipe, material, training_key(seed), keep=file)
    store.save(tmp_path / "foreign.npz", {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="no checkpoint"):
        checkpoint_step(tmp_path / "foreign.npz")


def test_a_step_that_is_not_finite_is_not_taken(fresh):
    bad = eqx.tree_at(lambda s: s.model.norm.scale, fresh, replace_fn=lambda a: a.at[0].set(jnp.nan))
    state, info = train_step(bad, RECIPE, batch_at(TEXT, N, 4, jax.random.key(0), 0))
    assert not info.finite and int(state.rejected) == 1 and int(state.step) == 1
    same((state.model, state.moments), (bad.model, bad.moments))


def test_a_leaking_model_is_not_trained():
    leaking = {"force": "leaking"}
    bad = LanguageModel(
        V, N, width=4, heads=1, depth=1, dynamics="momentum", dynamics_options=leaking, key=jax.random.key(0)
    )
    with pytest.raises(LeakError, match="sees the tokens"):
        start(bad, RECIPE)
    assert start(bad, RECIPE, allow_leak=True).leak > 1e-4


@pytest.mark.slow
@pytest.mark.optimised
def test_a_small_model_learns_a_text_by_heart(fresh):
    """A cycle of seven tokens: the loss falls from ln 7 to nearly nothing."""
    recipe = Recipe(rate=0.03, steps=100, batch=4, warm_up=10, look=50)
    state = fit(start(fresh.model, recipe), recipe, MATERIAL, training_key(0)).state
    assert abs(float(state.judged[0]) - np.log(V)) < 0.3 and float(state.judged[-1]) < 0.05


PROGRAM = textwrap.dedent(
    """
    import json, sys
    import nqs_lab as nl
    nl.enable_x64()
    seen = nl.use_cores(int(sys.argv[1]))
    import jax, numpy as np
    from nqs_lab.language import LanguageModel, Material, Recipe, fit, fixed_blocks, start, training_key
    from nqs_lab.language import training
    text = np.random.default_rng(0).integers(7, size=300).astype(np.int32)
    model = LanguageModel(7, 6, width=8, heads=2, depth=1, mlp_ratio=2, key=jax.random.key(0))
    recipe = Recipe(rate=0.01, steps=4, batch=6, warm_up=2, look=2)
    material = Material(text, fixed_blocks(text, 6, 4))
    state = fit(start(model, recipe), recipe, material, training_key(0)).state
    found = {"seen": seen, "losses": state.losses.tolist(), "judged": state.judged.tolist(),
             "embed": state.model.embed.tolist(), "traced": training._train_step._cached._cache_size()}
    print("RESULT" + json.dumps(found))
    """
)


@pytest.mark.slow
def test_a_run_on_two_cores_is_the_run_on_one():
    """Up to rounding in float32; and the step is compiled once."""
    found = []
    for cores in (1, 2):
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", PROGRAM, str(cores)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout.split("RESULT")[1]))
    one, two = found
    assert (one["seen"], two["seen"]) == (1, 2) and one["traced"] == two["traced"] == 1
    for name in ("losses", "judged"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4)
    np.testing.assert_allclose(one["embed"], two["embed"], atol=1e-3)
