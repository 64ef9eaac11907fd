"""Lesson 09b: the languages against brute force, the reader, one small run, the shelf, and the shipped results."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.ansatz import count_parameters
from nqs_lab.lab.filling import TimeIsUp
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.sentences import training
from nqs_lab.lab.sentences.__main__ import fill, main, shelf
from nqs_lab.lab.sentences.languages import LANGUAGES, Batch, Chain, Copy, ring
from nqs_lab.lab.sentences.models import Reader, displacements, freeze_reader, lengthen, reader_maps
from nqs_lab.lab.sentences.setting import (
    RATES,
    TYPES,
    Setting,
    control_settings,
    grid_settings,
    make_reader,
    tuning_settings,
)
from nqs_lab.lab.sentences.training import learn, map_ratio, map_statistics, rate_at, score, with_weights
from nqs_lab.lab.sentences.tuning import choose, extension, scores
from nqs_lab.lab.shelf import Row

RNG = lambda seed=0: np.random.default_rng(seed)


def transition(q, seed):
    """A random transition matrix with positive entries."""
    t = RNG(seed).exponential(size=(q, q)) + 0.05
    return t / t.sum(axis=1, keepdims=True)


def probability(chain, letters):
    """P(s_1 ... s_n), a product."""
    p = chain.stationary[letters[0]]
    for a, b in itertools.pairwise(letters):
        p *= chain.transition[a, b]
    return p


# --- the languages


@pytest.mark.parametrize(("q", "n", "share", "seed"), [(2, 5, 0.3, 1), (3, 4, 0.15, 2), (3, 5, 0.6, 3), (4, 1, 0.2, 4)])
def test_floor_of_the_chain_is_the_sum_over_all_sentences_and_all_hidings(q, n, share, seed):
    chain = Chain(transition(q, seed), share)
    sentences = list(itertools.product(range(q), repeat=n))
    p = np.array([probability(chain, s) for s in sentences])
    assert np.isclose(p.sum(), 1.0)
    total = 0.0
    for hidden in itertools.product((False, True), repeat=n):
        weight = math.prod(share if h else 1 - share for h in hidden)
        for i in np.flatnonzero(hidden):
            seen = {}
            for s, ps in zip(sentences, p, strict=True):
                key = tuple(a for a, h in zip(s, hidden, strict=True) if not h)
                seen.setdefault(key, np.zeros(q))[s[i]] += ps
            total -= weight * sum(float(np.sum(v * np.log(v / v.sum()))) for v in seen.values())
    assert np.isclose(chain.floor(n), total / (n * share), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_best_reader_of_the_chain_is_the_conditional_by_enumeration(seed):
    chain = Chain(transition(3, seed), 0.4)
    batch = chain.sample(RNG(seed), 6, 4)
    best = chain.best(batch)
    for words, answers, hidden, found in zip(*batch, best, strict=True):
        options = [range(3) if h else [int(w)] for w, h in zip(words[:, 0], hidden, strict=True)]
        joint = {s: probability(chain, s) for s in itertools.product(*options)}
        for i in range(6):
            if not hidden[i]:
                assert found[i] == 0
                continue
            right = sum(p for s, p in joint.items() if s[i] == answers[i])
            assert np.isclose(found[i], -np.log(right / sum(joint.values())))


def test_sampled_best_loss_agrees_with_the_floor_and_statistics_with_the_matrix():
    chain, n = LANGUAGES["chain"], 24
    batch = chain.sample(RNG(5), n, 3000)
    best = chain.best(batch)[batch.hidden]
    assert abs(best.mean() - chain.floor(n)) < 4 * best.std() / np.sqrt(len(best))
    assert abs(batch.hidden.mean() - chain.share) < 0.005
    letters = np.where(batch.hidden, batch.answers, batch.words[..., 0])
    steps = np.bincount((np.diff(letters, axis=1) % 8).ravel(), minlength=8) / (3000 * (n - 1))
    np.testing.assert_allclose(steps, chain.transition[0], atol=0.01)
    assert np.all(batch.words[..., 0][batch.hidden] == 8) and np.all(batch.answers[~batch.hidden] == 0)


def test_floor_lies_below_the_level_and_falls_with_length():
    chain, copy = LANGUAGES["chain"], LANGUAGES["copy"]
    floors = [chain.floor(n) for n in (1, 2, 4, 16, 64, 512)]
    assert np.isclose(floors[0], chain.level(1)) and np.all(np.diff(floors) < 0)
    levels = [copy.level(n) for n in (8, 16, 64, 512)]
    assert levels[0] == 0 and np.isclose(levels[1], 7 / 8 * np.log(2)) and np.all(np.diff(levels) > 0)
    assert levels[-1] < np.log(8) and copy.floor(64) == 0


@pytest.mark.parametrize("n", [16, 40])
def test_level_of_the_copy_language_is_the_entropy_of_the_histogram(n):
    """By sampling: the reader guesses with the frequencies of the endings that were told."""
    copy = Copy(names=16, fillers=4, endings=3)
    batch = copy.sample(RNG(1), n, 4000)
    counts = np.stack([np.sum((batch.answers == v) & batch.hidden, axis=1) for v in range(3)], axis=1)
    p = counts / copy.pairs(n)
    loss = -np.log(np.take_along_axis(p, batch.answers, axis=1)[batch.hidden])
    assert abs(loss.mean() - copy.level(n)) < 4 * loss.std() / np.sqrt(len(loss) / copy.pairs(n))


@pytest.mark.parametrize("n", [16, 64, 512])
def test_every_hidden_ending_was_told_before_exactly_once(n):
    copy = LANGUAGES["copy"]
    words, answers, hidden = copy.sample(RNG(n), n, 20)
    assert np.all(hidden.sum(axis=1) == n // 8) and not hidden[:, : n // 2].any()
    for sentence, right, mask in zip(words, answers, hidden, strict=True):
        for place in np.flatnonzero(mask):
            told = copy.told(sentence, int(place))
            assert told < n // 2 and sentence[told, 1] == right[place]
            assert np.sum(sentence[:, 0] == sentence[place, 0]) == 2
    distance = [int(i) - copy.told(s, int(i)) for s, m in zip(words, hidden, strict=True) for i in np.flatnonzero(m)]
    assert np.ptp(distance) > n / 3  # no fixed lag


def test_sentences_can_be_read():
    chain, copy = LANGUAGES["chain"], LANGUAGES["copy"]
    assert chain.spell(np.array([[0], [7], [8]])) == ["a", "h", "_"]
    assert copy.spell(np.array([[0, 0], [17, 8], [64, 7]])) == ["Ba1", "Di?", "wa8"]
    every = copy.spell(np.array([[stem, 0] for stem in range(72)]))
    assert len(set(every)) == 72


def test_wrong_languages_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        Chain(np.ones((3, 3)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Chain(share=1.0)
    for n in (7, 4, 1024):
        with pytest.raises(ValueError, match="even number of words"):
            LANGUAGES["copy"].pairs(n)
    with pytest.raises(ValueError, match="not hidden"):
        LANGUAGES["copy"].told(LANGUAGES["copy"].sample(RNG(), 16, 1).words[0], 0)
    np.testing.assert_allclose(ring((0.5, 0.5, 0.0)) @ np.ones(3), 1.0)


# --- the reader


COPY = LANGUAGES["copy"]


def reader(kind, n=16, reach=3, seed=0, dtype=jnp.float64):
    """A small reader of the copy language."""
    return Reader(
        COPY.sizes, 8, n, attention=kind, width=8, heads=2, reach=reach, dtype=dtype, key=jax.random.key(seed)
    )


@eqx.filter_jit
def read(model, words):
    """One compiled program instead of many small ones."""
    return model(words)


def test_displacements_of_an_open_sentence():
    table = displacements(6, 2)
    for i, j in itertools.product(range(6), repeat=2):
        assert table[i, j] == max(-2, min(2, i - j)) + 2
    full = displacements(6)
    assert len(np.unique(full)) == 11 and full[0, 5] == 0 and full[5, 0] == 10
    for n, reach in ((0, 1), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            displacements(n, reach)


def test_parameters_do_not_depend_on_the_length_and_a_reader_can_be_lengthened_and_back():
    short, long = reader("t5", 16), lengthen(reader("t5", 16), 40)
    assert count_parameters(short) == count_parameters(long) == count_parameters(reader("t5", 64))
    content = reader("dot-product", 16)
    assert lengthen(content, 40) is content
    words = jnp.asarray(COPY.sample(RNG(1), 40, 1).words[0], jnp.int32)
    assert read(long, words).shape == (40, 8)
    back = lengthen(long, 16)
    np.testing.assert_array_equal(read(back, words[:16]), read(short, words[:16]))
    with pytest.raises(ValueError, match="depth"):
        Reader(COPY.sizes, 8, 16, attention="t5", depth=0, key=jax.random.key(0))


@pytest.mark.parametrize("kind", TYPES)
def test_content_alone_does_not_know_the_order_and_positions_do(kind):
    """Shuffle the words: a reader with content alone shuffles its answers, the others change them."""
    model, rng = reader(kind, 24), RNG(2)
    words = jnp.asarray(COPY.sample(rng, 24, 1).words[0])
    order = rng.permutation(24)
    mixed = np.abs(read(model, words[order]) - read(model, words)[order]).max()
    assert mixed < 1e-12 if kind == "dot-product" else mixed > 1e-3


def test_maps_and_frozen_maps_reproduce_the_reader():
    model = reader("t5", 16)
    words = jnp.asarray(COPY.sample(RNG(3), 16, 1).words[0], jnp.int32)
    maps = eqx.filter_jit(reader_maps)(model, words)
    assert maps.shape == (2, 2, 16, 16)
    np.testing.assert_allclose(maps.sum(axis=-1), 1.0, atol=1e-12)
    frozen = freeze_reader(model, maps)
    np.testing.assert_allclose(read(frozen, words), read(model, words), atol=1e-12)
    assert count_parameters(frozen) < count_parameters(model)
    with pytest.raises(ValueError, match="2 blocks"):
        freeze_reader(model, maps[:1])


# --- training and judging


@pytest.fixture
def adam():
    """optax.adam promotes int32 and float32 by itself: strictness is lifted for the tests that use it."""
    with jax.numpy_dtype_promotion("standard"):
        yield


class Told(eqx.Module):
    """A reader that is right by construction: it looks the ending up (fake, to test the judge)."""

    strength: float = eqx.field(static=True)

    def __call__(self, words):
        same = words[:, None, 0] == words[None, :, 0]
        visible = words[:, 1] < 8
        weights = jnp.where(same & visible[None], 1.0, 0.0)
        return self.strength * weights @ jnp.where(words[:, 1:] == jnp.arange(8, dtype=words.dtype)[None], 1.0, 0.0)


def test_the_judge_knows_the_floor_and_a_uniform_guess():
    batch = COPY.sample(RNG(4), 16, 256)
    perfect, ignorant = score(Told(50.0), COPY, batch), score(Told(0.0), COPY, batch)
    assert perfect.excess < 1e-12 and perfect.accuracy == 1.0
    assert np.isclose(ignorant.loss, np.log(8)) and ignorant.best == 0 and ignorant.error < 1e-12
    empty = Batch(batch.words, batch.answers, np.zeros_like(batch.hidden))
    with pytest.raises(ValueError, match="nothing is hidden"):
        score(Told(1.0), COPY, empty)
    with pytest.raises(ValueError, match="whole number of chunks"):
        score(Told(1.0), COPY, Batch(*(part[:-1] for part in batch)))


def test_rates_rise_and_fall():
    rates = [rate_at(step, 100, 0.01) for step in range(100)]
    assert np.isclose(rates[0], 0.01 / 20) and np.argmax(rates) in range(18, 24)
    assert 0.001 <= rates[-1] < 0.0011 and np.all(np.diff(rates[25:]) < 0)


def test_statistics_of_maps_are_those_of_a_loop():
    model = reader("t5", 16, dtype=jnp.float32)
    words = COPY.sample(RNG(5), 16, 7).words
    one = eqx.filter_jit(reader_maps)
    maps = np.stack([np.asarray(one(model, jnp.asarray(s, jnp.int32))) for s in words])
    mean, deviation = map_statistics(model, words)
    np.testing.assert_allclose(mean, maps.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation, maps.std(axis=0), atol=1e-3)
    spread = np.sqrt(np.sum((maps.mean(axis=0) - 1 / 16) ** 2, axis=(-1, -2)))
    inputs = np.sqrt(np.sum(maps.std(axis=0) ** 2, axis=(-1, -2)))
    np.testing.assert_allclose(map_ratio(mean, deviation), inputs / spread, rtol=2e-2)
    assert np.all(map_ratio(mean, np.zeros_like(deviation)) == 0)


def test_a_few_steps_learn_and_repeat(monkeypatch, adam):
    """Losses fall, a run repeats itself, and it can be cut short."""
    monkeypatch.setattr(training, "WORDS", 512)
    chain = LANGUAGES["chain"]
    setting = Setting("chain", "factored", 3, 0.03)
    runs = []
    for _ in range(2):
        model, curve = learn(make_reader(setting, 16), chain, 16, 40, 0.03, RNG(8))
        runs.append(curve)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert abs(runs[0][0] - np.log(8)) < 0.05 and runs[0][-5:].mean() < 1.6
    part = learn(make_reader(setting, 16), chain, 16, 40, 0.03, RNG(8), until=3)[1]
    np.testing.assert_array_equal(part, runs[0][:3])
    found = score(model, chain, chain.sample(RNG(9), 16, 128))
    assert 0 < found.excess < 0.8 and np.isclose(found.loss - found.best, found.excess)


def test_one_run_from_start_to_shelf_and_back(monkeypatch, tmp_path, adam):
    """Few steps; kept, found again, not trained twice, and its weights give the same answers."""
    for name, value in {"WORDS": 64, "TEST_WORDS": 128, "MAP_SENTENCES": 4, "SHIPPED_LENGTH": 32}.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr("nqs_lab.lab.sentences.setting.FIRST", 3)
    setting = Setting("copy", "t5", 11, 0.01, start=32, stop=32)
    place = shelf("grid", tmp_path)
    fill(place, [setting], keep=True, deadline=math.inf)
    row = shelf("grid", tmp_path).find(setting)
    (stage,) = row["stages"]
    assert stage["n"] == 32 and {"frozen_mean", "frozen_uniform", "ratio"} <= set(stage)
    arrays = place.arrays(row)
    assert arrays["rows_32"].shape == (4, 2, 4, 32) and arrays["curve_32"].shape == (3,)
    assert np.allclose(arrays["p_32"].sum(axis=-1), 1.0, atol=1e-5)
    model = with_weights(setting, arrays["weights"])
    again = score(model, COPY, training.test_batch(COPY, 32, 11))
    assert np.isclose(again.loss, stage["loss"], atol=1e-5)
    fill(place, [setting], keep=True, deadline=-math.inf)  # nothing to do, so no time is needed
    with pytest.raises(TimeIsUp, match="1 runs to go"):
        fill(place, [Setting("copy", "t5", 12, 0.01)], keep=True, deadline=-math.inf)
    with pytest.raises(ValueError, match="weights"):
        with_weights(setting, arrays["weights"][:-1])


def test_a_run_grows_and_goes_on_with_what_it_has_learnt(monkeypatch, adam):
    """Twice the length, then judged there; the second length starts with the parameters of the first."""
    for name, value in {"WORDS": 64, "TEST_WORDS": 128}.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr("nqs_lab.lab.sentences.setting.FIRST", 2)
    monkeypatch.setattr("nqs_lab.lab.sentences.setting.LATER", 0)
    monkeypatch.setattr(training, "learn", lambda model, *rest: (model, np.zeros(1, np.float32)))
    setting = Setting("chain", "factored", 11, 0.01, stop=32, patience=3)
    assert setting.lengths == (16, 32) and [setting.steps(n) for n in setting.lengths] == [6, 0]
    outcome = training.train(setting, look=False)
    assert [stage["n"] for stage in outcome.numbers["stages"]] == [16, 32]
    start = make_reader(setting, 16)
    np.testing.assert_array_equal(outcome.model.blocks[0].mixer.positions.table, start.blocks[0].mixer.positions.table)
    assert outcome.model.blocks[0].mixer.positions.displacement.shape == (32, 32)
    assert abs(outcome.numbers["stages"][1]["loss"] - np.log(8)) < 0.1


# --- tuning


def test_every_type_gets_the_same_effort_and_finished_prefixes_are_balanced():
    settings = tuning_settings()
    for language, kind in itertools.product(LANGUAGES, TYPES):
        mine = [s for s in settings if (s.language, s.attention) == (language, kind)]
        assert len(mine) == 2 * len(RATES) and {s.rate for s in mine} == set(RATES)
    tuned = {(language, kind): 0.01 for language in LANGUAGES for kind in TYPES}
    grid = grid_settings(tuned)
    assert len(grid) == 18 and {s.seed for s in grid} == set(seeds(3))
    assert not {s.seed for s in grid} & {s.seed for s in settings}
    for k in (6, 12):
        assert {(s.language, s.attention) for s in grid[k - 6 : k]} == set(tuned)
    names = [s.name for s in grid + control_settings(tuned)]
    assert len(set(names)) == len(names)


def tuned_rows(best):
    """Rows in which the given rate of each (language, type) is best."""
    rows = []
    for s in tuning_settings():
        excess = 0.1 + abs(np.log(s.rate / best.get((s.language, s.attention), 0.01)))
        rows.append(Row(s, {"stages": [{"excess": 9.0}, {"excess": float(excess)}]}, {}))
    return rows


def test_the_best_rate_is_chosen_and_an_edge_prolongs_the_grid_for_all():
    rows = tuned_rows({("copy", "t5"): 0.003})
    assert choose(rows)["copy", "t5"] == 0.003 and choose(rows)["chain", "factored"] == 0.01
    more = extension(rows)
    assert {s.rate for s in more} == {0.001} and len(more) == 12
    assert extension(tuned_rows({})) == []
    assert extension(tuned_rows({("chain", "dot-product"): 0.03})) == []
    with pytest.raises(ValueError, match="no tuning runs"):
        choose([])
    lost = [Row(r.setting, {"stages": [{"excess": float("nan")}]}, {}) for r in rows]
    assert scores(lost, "copy", "t5")[0.01] == 10.0


# --- the command


def test_the_command_says_when_time_is_over_or_it_was_stopped(monkeypatch, tmp_path, capsys):
    assert main(["tune", "--minutes", "0", "--out", str(tmp_path)]) == 3
    assert "36 runs to go" in capsys.readouterr().out

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("nqs_lab.lab.sentences.__main__.train", stopped)
    assert main(["all", "--out", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert main(["grid", "--out", str(tmp_path)]) == 2
    assert "no tuning runs" in capsys.readouterr().err
