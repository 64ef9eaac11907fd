"""Generated stories: probabilities, entropies and long-range information against enumeration and against samples."""

import itertools
import math

import numpy as np
import pytest

from nqs_lab.language import Bytes, StoryGrammar, fixed_blocks, information_at, measured_information, stories
from nqs_lab.language.grammar import CHOICES, NAMES, OPENERS, PLACES, THINGS, VERBS
from nqs_lab.language.information import channel_information, noisy_entropy

RNG = lambda seed=0: np.random.default_rng(seed)
ALWAYS = math.log(len(VERBS) * CHOICES)


def entropy(p):
    """-sum p ln p over positive entries."""
    p = np.asarray(p)[np.asarray(p) > 0]
    return -float(np.sum(p * np.log(p)))


def sequences(grammar, length):
    """Probability of every sequence of (name, thing), by a hidden table of what everybody owns: another derivation.

    The table starts uniform; whoever is named keeps the thing with probability m, or draws one.
    """
    q, v, m = grammar.cast, grammar.things, grammar.memory
    tables = list(itertools.product(range(v), repeat=q))
    number = {table: i for i, table in enumerate(tables)}
    step = np.zeros((q, v, len(tables), len(tables)))
    for name, thing, table in itertools.product(range(q), range(v), tables):
        p = m * (table[name] == thing) + (1 - m) / v
        after = table[:name] + (thing,) + table[name + 1 :]
        step[name, thing, number[table], number[after]] = p / q
    start = np.full(len(tables), 1 / len(tables))
    found = {(): start}
    for _ in range(length):
        found = {
            (*s, (name, thing)): p @ step[name, thing]
            for s, p in found.items()
            for name in range(q)
            for thing in range(v)
        }
    return {s: float(p.sum()) for s, p in found.items()}


def joint(p, places):
    """Marginal distribution of some places of the sequences."""
    out = {}
    for s, value in p.items():
        key = tuple(s[i] for i in places)
        out[key] = out.get(key, 0.0) + value
    return list(out.values())


# --- information


@pytest.mark.parametrize(("kept", "q"), [(0.3, 2), (0.9, 5), (0.05, 16), (0.5, 1)])
def test_the_channel_against_its_table(kept, q):
    table = (kept * np.eye(q) + (1 - kept) / q) / q
    assert np.isclose(channel_information(kept, q), 2 * math.log(q) - entropy(table), atol=1e-14)
    assert np.isclose(noisy_entropy(kept, q), entropy(table) - math.log(q), atol=1e-14)


def test_the_ends_of_the_channel_are_exact():
    assert channel_information(0.0, 7) == 0 and channel_information(1.0, 7) == math.log(7)
    for kept, q in ((-0.1, 3), (1.1, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="probability from 0 to 1"):
            noisy_entropy(kept, q)


def test_measured_information_has_no_bias_where_there_is_none():
    rng = RNG(1)
    draws = [measured_information(*rng.integers(0, 12, size=(2, 2000))) for _ in range(200)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(200)
    assert 11 * 11 / 4000 > 20 * np.std(draws) / np.sqrt(200)  # what the correction takes out is far more than that
    symbols = rng.integers(0, 4, size=50_000)
    kept = np.where(rng.random(50_000) < 0.6, symbols, rng.integers(0, 4, size=50_000))
    assert abs(measured_information(symbols, kept) - channel_information(0.6, 4)) < 0.01
    assert np.isclose(measured_information(symbols, symbols), math.log(4), atol=1e-3)
    walk = np.cumsum(rng.integers(0, 2, size=20_000)) % 3
    assert abs(information_at(walk, 1) - (math.log(3) - math.log(2))) < 0.01 and information_at(walk, 8) < 0.005
    for bad in (np.zeros(0, np.int32), np.array([-1, 0])):
        with pytest.raises(ValueError, match="whole numbers from 0"):
            measured_information(bad, bad)
    for distance in (0, 20_000):
        with pytest.raises(ValueError, match="distance from 1"):
            information_at(walk, distance)


# --- the grammar against enumeration


@pytest.mark.parametrize(
    ("cast", "things", "memory"), [(2, 2, 0.7), (2, 3, 0.35), (3, 2, 0.9), (1, 3, 0.6), (2, 2, 0.0)]
)
def test_information_between_sentences_is_that_of_the_enumerated_process(cast, things, memory):
    grammar = StoryGrammar(memory, cast, things, length=4)
    p = sequences(grammar, 4)
    assert np.isclose(sum(p.values()), 1)
    alone = math.log(cast * things)
    for distance, start in ((1, 0), (1, 2), (2, 1), (3, 0)):
        both = joint(p, (start, start + distance))
        assert np.isclose(grammar.information(distance), 2 * alone - entropy(both), atol=1e-13)
        owners = {tuple((n, t) for n, t in s): value for s, value in p.items()}
        pairs = {}
        for s, value in owners.items():
            key = s[start][1], s[start + distance][1]
            pairs[key] = pairs.get(key, 0.0) + value
        seen = 2 * math.log(things) - entropy(list(pairs.values()))
        assert np.isclose(grammar.thing_information(distance), seen, atol=1e-13)


@pytest.mark.parametrize(("cast", "things", "memory"), [(2, 2, 0.7), (3, 2, 0.4), (2, 3, 1.0)])
def test_entropies_are_those_of_the_enumerated_process(cast, things, memory):
    grammar = StoryGrammar(memory, cast, things, length=4)
    p = sequences(grammar, 4)
    openers = 3 * math.log(len(OPENERS))
    assert np.isclose(grammar.story_entropy(), entropy(list(p.values())) + 4 * ALWAYS + openers)
    for seen in (0, 1, 2, 3, 9):
        for place in range(4):
            view = tuple(range(max(0, place - seen), place))
            given = entropy(joint(p, (*view, place))) - entropy(joint(p, view))
            told = grammar.sentence_entropy(place, seen) - ALWAYS - (math.log(len(OPENERS)) if place else 0)
            assert np.isclose(told, given, atol=1e-12)
    assert grammar.story_entropy(seen=3) == grammar.story_entropy()


@pytest.mark.parametrize("memory", [0.0, 0.45, 0.8])
def test_the_best_reader_gives_every_story_its_probability(memory):
    grammar = StoryGrammar(memory, cast=2, things=2, length=3)
    total = 0.0
    for s, p in sequences(grammar, 3).items():
        parts = np.array([[0, name, 1, thing, 2] for name, thing in s])
        mine = math.exp(-grammar.best(grammar.tell(parts)).sum())
        repeats = len(OPENERS) ** 2 * (len(VERBS) * CHOICES) ** 3
        assert np.isclose(mine * repeats, p, rtol=1e-12)
        total += mine * repeats
    assert np.isclose(total, 1)


@pytest.mark.parametrize("length", [1, 2])
def test_mean_length_is_that_of_all_stories(length):
    grammar = StoryGrammar(0.0, cast=2, things=2, length=length)
    first = list(itertools.product([0], range(2), range(len(VERBS)), range(2), range(CHOICES)))
    later = list(itertools.product(range(len(OPENERS)), range(2), range(len(VERBS)), range(2), range(CHOICES)))
    every = itertools.product(first, *[later] * (length - 1))
    lengths = [len(grammar.tell(np.array(parts))) + 1 for parts in every]
    assert np.isclose(grammar.story_characters(), np.mean(lengths), rtol=1e-12)


# --- the grammar against its samples


def pairs_at(parts, distance):
    """(name, thing) as one number, of all pairs of sentences that far apart, and the things alone."""
    words = parts[..., 1] * len(THINGS) + parts[..., 3]
    both = words[:, :-distance].ravel(), words[:, distance:].ravel()
    return both, (both[0] % len(THINGS), both[1] % len(THINGS))


def test_the_dial_moves_the_information_between_far_places():
    """Measured on stories, as a function of the distance, against the exact curve: no dial agrees with another's."""
    dials, distances = (0.0, 0.5, 0.9, 1.0), (1, 4, 10)
    exact, seen, things = (np.zeros((4, 3)) for _ in range(3))
    for i, memory in enumerate(dials):
        grammar = StoryGrammar(memory, cast=4, things=6, length=20)
        parts = grammar.draw(RNG(7), 10_000)
        for j, distance in enumerate(distances):
            exact[i, j] = grammar.information(distance)
            both, alone = pairs_at(parts, distance)
            seen[i, j] = measured_information(*both)
            things[i, j] = measured_information(*alone) - grammar.thing_information(distance)
    np.testing.assert_allclose(seen, exact, atol=0.012)
    np.testing.assert_allclose(things, 0, atol=0.005)
    assert np.all(exact[0] == 0) and np.all(np.abs(seen[0]) < 0.002)
    assert np.all(np.diff(seen, axis=0) > 0.009)  # more at every distance
    assert np.all(np.diff(seen[1:3], axis=1) < -0.03)  # decay for dials between
    np.testing.assert_allclose(exact[3], math.log(6) / 4)  # and none at the end of the dial


def test_reach_is_the_length_of_the_decay():
    for memory in (0.2, 0.9, 0.99):
        grammar = StoryGrammar(memory)
        ratio = grammar.survival(51) / grammar.survival(1)
        assert np.isclose(grammar.reach, -50 / math.log(ratio))
    assert StoryGrammar(1.0).reach == math.inf and StoryGrammar(0.0, cast=1).reach == 0


@pytest.mark.parametrize("memory", [0.0, 0.6, 1.0])
def test_the_dial_leaves_every_single_word_as_it_is(memory):
    parts = StoryGrammar(memory, length=8).draw(RNG(3), 8000)
    for slot, size in ((1, 8), (2, len(VERBS)), (3, 16), (4, CHOICES)):
        for t in (0, 7):
            counts = np.bincount(parts[:, t, slot], minlength=size)
            assert len(counts) == size
            assert np.sum((counts - 8000 / size) ** 2) / (8000 / size) < 4 * size + 12  # chi squared


@pytest.mark.parametrize("memory", [0.3, 0.95])
def test_samples_cost_the_best_reader_their_entropy(memory):
    grammar = StoryGrammar(memory, cast=5, things=9, length=10)
    told = [grammar.tell(parts) for parts in grammar.draw(RNG(11), 1500)]
    cost = np.array([grammar.best(story) for story in told])
    error = cost.sum(axis=1).std() / np.sqrt(len(cost))
    assert abs(cost.sum(axis=1).mean() - grammar.story_entropy()) < 4 * error
    expected = [grammar.sentence_entropy(t) for t in range(10)]
    assert np.all(np.abs(cost.mean(axis=0) - expected) < 5 * cost.std(axis=0) / np.sqrt(len(cost)) + 1e-9)
    wrong = StoryGrammar(0.6, cast=5, things=9, length=10)  # a reader with another dial pays more
    assert np.mean([wrong.best(story).sum() for story in told]) > grammar.story_entropy() + 0.2
    lengths = np.array([len(story) + 1 for story in told])
    assert abs(lengths.mean() - grammar.story_characters()) < 4 * lengths.std() / np.sqrt(len(lengths))
    assert np.isclose(grammar.floor(), grammar.story_entropy() / grammar.story_characters())


def test_a_longer_view_and_more_memory_lower_the_floor():
    floors = [StoryGrammar(0.9).floor(seen) for seen in (0, 1, 2, 4, 8, None)]
    assert np.all(np.diff(floors) < 0)
    assert np.all(np.diff([StoryGrammar(m).floor() for m in (0.0, 0.3, 0.6, 0.9, 1.0)]) < 0)
    assert StoryGrammar(0.0).floor(0) == StoryGrammar(0.0).floor() == pytest.approx(StoryGrammar(1.0).floor(0))


# --- the text


def test_a_story_can_be_read_again():
    grammar = StoryGrammar(0.5, cast=len(NAMES), things=len(THINGS), length=6)
    for parts in grammar.draw(RNG(5), 200):
        story = grammar.tell(parts)
        np.testing.assert_array_equal(grammar.read(story), parts)
        assert story.isascii() and "\n" not in story and len(story.split()) == 8 * 6
    text = "Once Mia hid the kite in the barn. Soon Tom saw the kite on the hill."
    for bad in (text, text.replace("Tom", "Leo"), "", "Once Mia hid the kite in the barn."):
        with pytest.raises(ValueError, match="expected a story of"):
            grammar.read(bad)
    two = StoryGrammar(1.0, cast=16, things=24, length=2)
    good = text.replace("Tom", "Leo")
    assert two.read(good).shape == (2, 5)
    for bad in (good[:-1], good.replace("Once", "Soon"), good.replace("hid", "ate"), good.replace("Soon", "Once")):
        with pytest.raises(ValueError, match="expected a story of"):
            two.read(bad)
    with pytest.raises(ValueError, match="expected a story of"):
        StoryGrammar(1.0, cast=3, things=24, length=2).read(good)
    with pytest.raises(ValueError, match="nobody exchanges"):
        two.best(good.replace("Leo", "Mia").replace("kite on", "map on"))
    assert np.all(np.isfinite(two.best(good.replace("Leo", "Mia"))))
    assert all(len(set(places)) == CHOICES for places in PLACES.values())
    assert len(set(NAMES)) == len(NAMES) and len(set(THINGS)) == len(THINGS)


def test_stories_come_from_the_seed_alone_and_no_split_knows_the_other():
    make = lambda seed=0, memory=0.8: stories(StoryGrammar(memory), train=400, held_out=50, seed=seed)
    corpus = make()
    assert corpus.digest == make().digest
    assert len({corpus.digest, make(1).digest, make(memory=0.7).digest}) == 3
    assert len(corpus.train) == 400 and len(corpus.held_out) == 50 and corpus.train_text.count("\n") == 400
    assert not set(corpus.train) & set(corpus.held_out)
    assert stories(StoryGrammar(0.8), train=100, held_out=50).held_out == corpus.held_out  # independent of the other
    stories(StoryGrammar(0.8), train=30, held_out=30)  # as many of both: one stream would give the same, and be refused
    blocks = fixed_blocks(Bytes().encode(corpus.held_out_text), 128, 30).inputs
    assert not any(Bytes().decode(block) in corpus.train_text for block in blocks)
    with pytest.raises(ValueError, match="without a common document"):
        stories(StoryGrammar(0.5, cast=1, things=1, length=1), train=500, held_out=50)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"memory": 1.1}, "memory is a probability"),
        ({"memory": -0.1}, "memory is a probability"),
        ({"memory": float("nan")}, "memory is a probability"),
        ({"memory": 0.5, "cast": 0}, "cast from 1 to 16"),
        ({"memory": 0.5, "things": 25}, "things from 1 to 24"),
        ({"memory": 0.5, "length": 0}, "length from 1"),
    ],
)
def test_wrong_grammars_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        StoryGrammar(**wrong)


def test_wrong_questions_are_refused():
    grammar = StoryGrammar(0.5)
    for place, seen in ((12, None), (-1, None), (3, -1)):
        with pytest.raises(ValueError, match="place from 0 to 11"):
            grammar.sentence_entropy(place, seen)
    with pytest.raises(ValueError, match="at least one sentence"):
        grammar.information(0)
    for wrong in ({"train": 0}, {"held_out": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="seed from 0"):
            stories(grammar, **wrong)
