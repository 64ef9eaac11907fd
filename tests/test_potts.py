"""The generalised Potts model, and the factored layer that learns it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.attention.mixers import Factored
from nqs_lab.lab import potts

_logits = eqx.filter_jit(lambda layer, x: jax.vmap(layer)(x))  # compiled once for each shape


def model(seed, n=5, q=3, **options):
    return potts.random_potts(n, q, np.random.default_rng(seed), **({"density": 0.6, "strength": 0.6} | options))


@pytest.mark.parametrize(("n", "q"), [(3, 2), (4, 3), (5, 4)])
def test_conditionals_are_those_of_the_joint_distribution(n, q):
    truth = model(n, n=n, q=q)
    colours, probability = potts.all_colours(truth)
    assert len(colours) == q**n and probability.sum() == pytest.approx(1)
    joint = probability.reshape((q,) * n)
    for s in colours[:: max(1, len(colours) // 17)]:
        for site in range(n):
            line = joint[(*s[:site], slice(None), *s[site + 1 :])]
            np.testing.assert_allclose(truth.conditionals(s[None])[0, site], line / line.sum(), atol=1e-12)


def test_random_models_are_symmetric_and_prefer_no_colour():
    truth = model(1, n=8, q=4)
    np.testing.assert_array_equal(truth.couplings, truth.couplings.T)
    assert np.all(np.diag(truth.couplings) == 0)
    np.testing.assert_allclose(truth.similarity, truth.similarity.T)
    np.testing.assert_allclose(truth.similarity.sum(axis=0), 0, atol=1e-12)
    colours, probability = potts.all_colours(model(1, n=4, q=3))
    assert np.all(probability > 0) and len(colours) == 81


def test_heat_bath_draws_the_exact_distribution():
    truth = model(4)
    colours, probability = potts.all_colours(truth)
    drawn = potts.draw_potts(truth, 8000, np.random.default_rng(4), sweeps=40)
    number = drawn @ 3 ** np.arange(4, -1, -1)
    assert np.array_equal(colours @ 3 ** np.arange(4, -1, -1), np.arange(243))
    counts = np.bincount(number, minlength=243)
    chi = np.sum((counts - 8000 * probability) ** 2 / (8000 * probability)) / 242
    assert 0.6 < chi < 1.5
    uniform = np.sum((counts - 8000 / 243) ** 2 / (8000 / 243)) / 242
    assert uniform > 3  # the test can fail


def test_one_factored_layer_is_the_conditional():
    truth = model(5, n=6, q=4)
    layer = potts.make_predictor(6, 4, key=jax.random.key(0))
    assert isinstance(layer, Factored)
    layer = eqx.tree_at(
        lambda m: (m.positions.table, m.value.weight, m.output.weight),
        layer,
        (jnp.asarray(truth.couplings.reshape(1, -1)), jnp.asarray(truth.similarity), jnp.eye(4)),
    )
    colours = np.random.default_rng(5).integers(4, size=(20, 6))
    logits = np.asarray(_logits(layer, jnp.asarray(np.eye(4)[colours])))
    chance = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(chance, truth.conditionals(colours), atol=1e-12)
    np.testing.assert_allclose(potts.learnt_tensor(layer), truth.tensor(), atol=1e-14)


def test_a_place_does_not_see_its_own_word():
    layer = potts.make_predictor(5, 3, key=jax.random.key(1))
    x = np.eye(3)[[0, 1, 2, 0, 1]]
    hidden = np.stack([x, *(x * (np.arange(5) != place)[:, None] for place in range(5))])
    seen, *answers = np.asarray(_logits(layer, jnp.asarray(hidden)))
    for place, answer in enumerate(answers):
        np.testing.assert_allclose(answer[place], seen[place], atol=1e-14)
        assert np.abs(np.delete(answer - seen, place, axis=0)).max() > 1e-4


@pytest.mark.optimised
@pytest.mark.parametrize("seed", [0, 1])
def test_exact_data_give_exact_couplings(seed):
    """With every colouring at its exact probability, the minimum of the pseudo-likelihood is the truth."""
    truth = model(seed)
    colours, probability = potts.all_colours(truth)
    seen = []
    layer = potts.make_predictor(5, 3, key=jax.random.key(seed))
    learnt = potts.train_predictor(layer, colours, probability, steps=500, watch=seen.append)
    chance = np.take_along_axis(truth.conditionals(colours), colours[:, :, None], axis=2)[:, :, 0]
    floor = -np.sum(probability[:, None] * np.log(chance)) / 5
    assert -1e-12 < learnt.losses[-1] - floor < 1e-9 and np.all(np.diff(learnt.losses) <= 1e-12)
    assert len(seen) == len(learnt.losses)
    found, right = (potts.fix_gauge(k) for k in (potts.learnt_tensor(learnt.predictor), truth.tensor()))
    assert np.abs(found - right).max() < 1e-4 and potts.correlation(found, right) > 0.999999
    assert np.abs(potts.learnt_tensor(learnt.predictor) - truth.tensor()).max() > 1e-2  # the gauge is free


@pytest.mark.optimised
def test_samples_give_the_couplings_up_to_noise():
    truth = model(7, n=7, q=3, density=0.4)
    drawn = potts.draw_potts(truth, 3000, np.random.default_rng(7), sweeps=30)
    right = potts.fix_gauge(truth.tensor())
    layer = potts.make_predictor(7, 3, key=jax.random.key(7))
    agreement = []
    for count in (100, 3000):
        learnt = potts.train_predictor(layer, drawn[:count], steps=40)
        agreement.append(potts.correlation(potts.fix_gauge(potts.learnt_tensor(learnt.predictor)), right))
    assert agreement[1] > 0.98 and agreement[0] < agreement[1]
    pairs = potts.pair_couplings(potts.fix_gauge(potts.learnt_tensor(learnt.predictor)), truth.similarity)
    assert potts.correlation(pairs, truth.couplings) > 0.98


def test_gauge_removes_what_training_cannot_know():
    rng = np.random.default_rng(8)
    tensor = rng.normal(size=(4, 4, 3, 3))
    moved = tensor + rng.normal(size=(4, 4, 1, 3)) + rng.normal(size=(4, 4, 3, 1))
    fixed = potts.fix_gauge(tensor)
    np.testing.assert_allclose(potts.fix_gauge(moved), fixed, atol=1e-12)
    np.testing.assert_allclose(potts.fix_gauge(fixed), fixed, atol=1e-12)
    np.testing.assert_allclose(fixed, fixed.transpose(1, 0, 3, 2), atol=1e-12)
    assert np.abs(fixed.sum(axis=2)).max() < 1e-12 and np.abs(fixed.sum(axis=3)).max() < 1e-12


def test_pair_couplings_invert_the_tensor():
    truth = model(9, n=6, q=4)
    np.testing.assert_allclose(potts.pair_couplings(truth.tensor(), truth.similarity), truth.couplings, atol=1e-12)
    assert potts.correlation(truth.tensor(), -truth.tensor()) == pytest.approx(-1)
