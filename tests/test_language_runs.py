"""The comparison of language models: runs as lists, equal tuning, verdicts, a tiny family trained in two goes."""

import dataclasses
import functools

import numpy as np
import pytest

from nqs_lab.lab.filling import TimeIsUp
from nqs_lab.lab.language_runs import __main__ as command, training
from nqs_lab.lab.language_runs.cost import estimate
from nqs_lab.lab.language_runs.report import (
    RULES,
    claim_word,
    claims,
    compare,
    leak_table,
    loss_table,
    report,
    tuning_table,
)
from nqs_lab.lab.language_runs.setting import (
    ACCELERATED,
    BLOCK,
    HONEST,
    KINDS,
    MARGIN,
    MATCHES,
    RATES,
    RELATIVE_COST,
    VOCABULARY,
    Setting,
    grid_settings,
    matched_ratio,
    parameters_of,
    tuning_settings,
)
from nqs_lab.lab.language_runs.texts import GRAMMAR, kept_things, make_text, whole_stories
from nqs_lab.lab.language_runs.training import train, with_weights
from nqs_lab.lab.language_runs.tuning import choose, extension
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.shelf import Outcome, Shelf
from nqs_lab.language import StoryGrammar, learn_pieces, stories
from nqs_lab.language.causality import LeakError

TUNED = dict.fromkeys(HONEST, 0.003)


# --- what is planned


def test_the_planned_runs_are_paired_and_balanced():
    for corpus, reported, leaking in (("grammar", 5, 3), ("docstrings", 3, 1)):
        found = grid_settings(corpus, TUNED)
        assert len(found) == len(set(found)) == len({s.name for s in found}) == 12 * reported + leaking
        for kind in HONEST:
            matches = MATCHES if kind in ACCELERATED else ("steps",)
            for match in matches:
                mine = [s.seed for s in found if (s.kind, s.match) == (kind, match)]
                assert tuple(mine) == seeds(reported), "every kind on the same seeds"
        assert {s.seed for s in found}.isdisjoint(s.seed for s in tuning_settings(corpus))
        tuning = tuning_settings(corpus)
        assert {(s.kind, s.rate) for s in tuning} == {(k, r) for k in HONEST for r in RATES}
        assert estimate(found + tuning) > 0


@pytest.mark.parametrize("corpus", ["grammar", "docstrings"])
def test_what_is_called_equal_is_equal(corpus):
    found = grid_settings(corpus, TUNED)[:13]
    by = {(s.kind, s.match): s for s in found}
    gpt = by["gpt", "steps"]
    count = lambda s: parameters_of(s, VOCABULARY[corpus])
    for kind in ACCELERATED:
        steps, parameters, time = (by[kind, match] for match in MATCHES)
        assert steps.steps == gpt.steps and steps.oracle_calls == gpt.oracle_calls and steps.ratio == gpt.ratio
        one_less = dataclasses.replace(parameters, ratio=parameters.ratio - 1) if parameters.ratio > 1 else None
        one_more = dataclasses.replace(parameters, ratio=parameters.ratio + 1)
        gap = abs(count(parameters) - count(gpt))
        assert gap <= min(abs(count(s) - count(gpt)) for s in (one_more, one_less) if s is not None)
        assert gap < 0.07 * count(gpt) and parameters.ratio == matched_ratio(corpus, kind)
        assert time.steps * RELATIVE_COST[kind] == pytest.approx(gpt.steps, rel=1e-3) and time.ratio == gpt.ratio
    assert KINDS["leaking"].leaking and "leaking" not in HONEST
    assert count(by["nesterov", "steps"]) - count(gpt) > 64 * VOCABULARY[corpus]  # velocity embeddings are counted


# --- texts


def test_the_text_of_the_headline_fits_into_a_block():
    corpus = stories(GRAMMAR, train=3000, held_out=20)
    tokens = learn_pieces(corpus.train_text, 512)
    assert tokens.size == VOCABULARY["grammar"]
    found = whole_stories(corpus.held_out, tokens, BLOCK, corpus.gap)
    assert found.tokens == 108 < BLOCK and found.batch.inputs.shape == (20, BLOCK)
    for row, story in zip(found.batch.targets, corpus.held_out, strict=True):
        assert tokens.decode(row[:108]) == story
    with pytest.raises(ValueError, match="one length below"):
        whole_stories(("a b", "a b c"), tokens, BLOCK, "\n")
    with pytest.raises(ValueError, match="expected 7 pieces"):
        make_text(corpus, size=300, wanted=7)


def test_what_a_written_text_remembers_is_counted():
    grammar = StoryGrammar(1.0, cast=2, things=4, length=3)
    told = [grammar.tell(p) for p in grammar.draw(np.random.default_rng(0), 30)]
    counts = kept_things(grammar, "the end of one\n" + "\n".join(told) + "\nOnce Ada")
    assert counts["lines"] == counts["readable"] == 30 and counts["known"] == counts["kept"] > 20
    forgetful = StoryGrammar(0.0, cast=2, things=4, length=3)
    told = [forgetful.tell(p) for p in forgetful.draw(np.random.default_rng(0), 300)]
    counts = kept_things(grammar, "\n" + "\n".join(told) + "\n")
    assert 0.15 < counts["kept"] / counts["known"] < 0.35
    assert kept_things(grammar, "\nno story\n" + told[0] + "\n") == {**counts, "lines": 2, "readable": 1} | {
        name: value for name, value in kept_things(grammar, "\n" + told[0] + "\n").items() if name in ("known", "kept")
    }


# --- judging made-up runs


def shelf_of(folder, losses, *, corpus="grammar", **more):
    """A shelf of made-up runs: {(kind, match, rate): losses by seed}."""
    place = Shelf(folder, command="python -m x", kind=Setting)
    for (name, match, rate), values in losses.items():
        for seed, loss in zip(seeds(len(values)), values, strict=True):
            numbers = {"loss": loss, "rejected": 0, "parameters": 1, "oracle_calls": 4, "cpu_seconds": 1.0} | more
            place.add(Setting(corpus, name, seed, rate, match=match), Outcome(numbers, {}, None), arrays=())
    return place


def test_every_kind_gets_the_rates_that_one_of_them_needs(tmp_path):
    best = dict.fromkeys(HONEST, 0.003)
    table = lambda best: {(k, "steps", r): [abs(np.log(r / best[k]))] for k in HONEST for r in RATES}
    rows = shelf_of(tmp_path / "inside", table(best)).rows
    assert choose(rows, "grammar") == best and extension(rows, "grammar") == []
    for edge, new in ((0.01, 0.03), (0.001, 0.0003)):
        rows = shelf_of(tmp_path / str(edge), table(best | {"momentum": edge})).rows
        more = extension(rows, "grammar")
        assert {s.rate for s in more} == {new} and [s.kind for s in more].count("gpt") == 2
        assert {s.kind for s in more} == set(HONEST)
    with pytest.raises(ValueError, match="no tuning runs of gpt on docstrings"):
        choose(rows, "docstrings")
    refused = shelf_of(tmp_path / "nan", {("gpt", "steps", 0.01): [0.5]}, rejected=3).rows
    finite = shelf_of(tmp_path / "fine", {(k, "steps", 0.003): [1.0] for k in HONEST}).rows
    assert choose([*refused, *finite], "grammar")["gpt"] == 0.003, "a run with refused steps does not win"
    assert "0.003: 1.0000*" in tuning_table(finite, "grammar")


BASE = np.array([1.0, 1.2, 0.9, 1.1, 1.3])
NOISE = np.array([1.0, -1.0, 0.5, -0.5, 0.0])


@pytest.mark.parametrize(
    ("shifts", "noise", "word"),
    [
        ((-0.1, -0.1, -0.1), 0.01, "holds"),
        ((-0.1, -0.1, 0.1), 0.01, "holds with limits"),
        ((-0.1, 0.0, -0.1), 0.01, "holds with limits"),
        ((0.1, -0.1, -0.1), 0.01, "fails here"),
        ((0.0, -0.1, -0.1), 0.005, "fails here"),
        ((0.005, -0.1, -0.1), 0.001, "fails here"),
        ((-0.1, -0.1, -0.1), 0.5, "undecided"),
    ],
)
def test_the_word_of_the_claim_follows_the_rules(shifts, noise, word, tmp_path):
    losses = {("gpt", "steps", 0.003): BASE}
    for match, shift in zip(MATCHES, shifts, strict=True):
        losses["nesterov", match, 0.003] = BASE + shift + noise * NOISE
    rows = shelf_of(tmp_path, losses).rows
    found = {match: compare(rows, "nesterov", "gpt", match) for match in MATCHES}
    assert claim_word(found) == word
    assert found["steps"].verdict.difference == pytest.approx(shifts[0]) and found["steps"].seeds == seeds(5)
    told = claims(rows, "grammar")
    assert f"nesterov on grammar: {word.upper()}" in told and "momentum on grammar: UNDECIDED (provisional: 0" in told


def test_pairs_are_pairs_and_a_run_with_refused_steps_is_left_out(tmp_path):
    losses = {("gpt", "steps", 0.003): BASE, ("momentum", "steps", 0.003): BASE[:3] - 0.2 + 0.01 * NOISE[:3]}
    place = shelf_of(tmp_path, losses)
    assert compare(place.rows, "momentum", "gpt").seeds == seeds(3)
    assert f"Margin: {MARGIN}" in RULES
    broken = {"loss": 9.0, "rejected": 1, "parameters": 1, "oracle_calls": 4, "cpu_seconds": 1.0}
    place.add(Setting("grammar", "momentum", seeds(4)[3], 0.003), Outcome(broken, {}, None), arrays=())
    found = compare(place.rows, "momentum", "gpt")
    assert found.seeds == seeds(3) and found.left_out == (seeds(4)[3],) and "left out" in str(found)
    assert compare(place.rows, "momentum", "nesterov").verdict is None
    assert "momentum" in loss_table(place.rows) and "no run of the witness" in leak_table([])


# --- a tiny family, trained


@pytest.fixture(scope="module")
def small():
    grammar = StoryGrammar(0.9, cast=2, things=2, length=2)
    return make_text(
        stories(grammar, train=300, held_out=20, seed=2), size=395, grammar=grammar, block=40, judged=4, last=4, whole=5
    )


def tiny(kind, seed):
    return Setting("grammar", kind, seed, 0.01, steps=6, ratio=1, batch=4, block=40, width=8, depth=1)


def test_a_tiny_family_is_trained_taken_up_again_and_reported(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "samples", functools.partial(training.samples, length=50))
    settings = [tiny(kind, seed) for seed in seeds(2) for kind in ("gpt", "leaking")]
    place = command.shelf("grid", "grammar", tmp_path)
    with pytest.raises(TimeIsUp, match="4 runs to go"):
        command.fill(place, settings, keep=True, deadline=-1.0, given=small)
    command.fill(place, settings[:1], keep=True, deadline=np.inf, given=small)
    again = command.shelf("grid", "grammar", tmp_path)
    command.fill(again, settings, keep=True, deadline=np.inf, given=small)
    assert "1 of 4 runs are there, 3 to go" in capsys.readouterr().out
    reread = command.shelf("grid", "grammar", tmp_path)
    assert [row.setting for row in reread.rows] == settings
    first, leaking = reread.rows[:2]
    assert first["leak"] < 1e-6 < 1e-4 < leaking["leak"] and first["tokens"] == 6 * 4 * 40
    assert first["oracle_calls"] == 6 and first["excess"] > 0 and first["text"]["corpus"] == small.corpus.digest[:16]
    assert len(first["samples"]) == 4 and first["written"]["lines"] >= 0 and first["rejected"] == 0
    arrays = reread.arrays(first)
    assert arrays["curve"].shape == (6,) and np.all(np.isfinite(arrays["judged"]))
    assert arrays["place_loss"].shape == (40,) and arrays["story_loss"].shape == (small.story_tokens,)
    model = with_weights(first.setting, arrays["weights"], small.tokens.size)
    assert model.vocabulary == small.tokens.size
    assert "weights" not in reread.arrays(reread.rows[2]), "of the first seed alone"
    told = report(reread, command.shelf("tune", "grammar", tmp_path), "grammar")
    assert "leaking, seed 11: loss" in told and "no tuning runs" in told and "gpt" in told


def test_the_same_setting_gives_the_same_run_and_a_leak_is_refused(small, monkeypatch):
    one, two = (train(tiny("gpt", 11), look=False, given=small) for _ in range(2))
    np.testing.assert_array_equal(one.arrays["curve"], two.arrays["curve"])
    assert one.numbers["loss"] == two.numbers["loss"]
    claimed = {"leaking": KINDS["leaking"]._replace(leaking=False)}
    monkeypatch.setattr("nqs_lab.lab.language_runs.training.KINDS", claimed)
    with pytest.raises(LeakError):
        train(tiny("leaking", 11), look=False, given=small)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert command.main(["list", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "grammar, grid: 0 of 63 runs" in told and "docstrings, tune: 0 of 18 runs" in told
    assert command.main(["grid", "--corpus", "grammar", "--out", str(tmp_path)]) == 2
    assert "no tuning runs of gpt on grammar" in capsys.readouterr().err
    assert command.main(["report", "--corpus", "grammar", "--out", str(tmp_path)]) == 0
    assert "no reported runs on the shelf yet" in capsys.readouterr().out
