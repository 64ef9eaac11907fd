"""The self-checks of lesson 09b pass on the solutions and fail, at the right property, on the classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_09b import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "09b_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if cell.id == "09bs-setup":
            exec(cell.source.replace("setup()", ""), names)
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "09b.1": RIGHT["displacements"],
    "09b.2": RIGHT["conditional"],
    "09b.3": RIGHT["gap"],
    "09b.4": RIGHT["copy_by_content"],
}


def table(number):
    """A displacement table from receiver and sender."""
    return lambda n, reach: number(np.arange(n)[:, None], np.arange(n)[None], n, reach)


def path(left, right, normal=True):
    """A conditional with planted mistakes."""

    def answer(t, x, a, y, c):
        p = left(t, x, a) * right(t, y, c)
        return p / p.sum() if normal else p

    return answer


power = np.linalg.matrix_power
to = lambda t, x, a: power(t, a)[x]
fro = lambda t, y, c: power(t, c)[:, y]


def votes(logit, visible_only=True, normal=True):
    """Copying with planted mistakes: logit(stems, endings, place_i, place_j, strength, n_endings)."""

    def answer(stems, endings, n_endings, strength):
        place = np.arange(len(stems))
        z = logit(stems, endings, place[:, None], place[None], strength, n_endings) * 1.0
        weights = np.exp(z - z.max(axis=1, keepdims=True))
        visible = endings < n_endings
        if visible_only:
            weights = weights * visible
        if normal:
            weights = weights / weights.sum(axis=1, keepdims=True)
        return weights @ (np.arange(n_endings) == endings[:, None])

    return answer


def added(t, x, a, y, c):
    """The two sides added instead of multiplied."""
    both = to(t, x, a) + fro(t, y, c)
    return both / both.sum()


same = lambda stems: stems[:, None] == stems[None]
recency = lambda i, j, n: np.abs(i - j) / n


def hidden_vote_evenly(stems, endings, n_endings, strength):
    """Hidden words vote, too, for every ending alike."""
    weights = np.exp(strength * same(stems))
    weights = weights / weights.sum(axis=1, keepdims=True)
    one_hot = (np.arange(n_endings) == endings[:, None]) * 1.0
    one_hot[endings == n_endings] = 1 / n_endings
    return weights @ one_hot


WRONG = [
    ("09b.1", "a ring", table(lambda i, j, n, r: (i - j) % n), 0),
    ("09b.1", "no cut", table(lambda i, j, n, r: i - j + n - 1), 0),
    ("09b.1", "negative numbers", table(lambda i, j, n, r: np.clip(i - j, -r, r)), 0),
    ("09b.1", "distances", table(lambda i, j, n, r: np.minimum(np.abs(i - j), r)), 0),
    ("09b.1", "the place of the sender", table(lambda i, j, n, r: np.clip(j + 0 * i, 0, 2 * r)), 1),
    ("09b.1", "from i to j", table(lambda i, j, n, r: np.clip(j - i, -r, r) + r), 2),
    ("09b.1", "wrapped at the reach", table(lambda i, j, n, r: (i - j + r) % (2 * r + 1)), 3),
    ("09b.2", "not normalised", path(to, fro, normal=False), 0),
    ("09b.2", "rows for columns", path(to, lambda t, y, c: power(t, c)[y]), 1),
    ("09b.2", "only the past", path(to, lambda t, y, c: 1.0), 1),
    ("09b.2", "a sum in place of a product", added, 1),
    ("09b.2", "one step whatever the distance", path(lambda t, x, a: t[x], lambda t, y, c: t[:, y]), 2),
    ("09b.2", "powers of the numbers", path(lambda t, x, a: t[x] ** a, lambda t, y, c: t[:, y] ** c), 2),
    ("09b.2", "one step too many behind a gap", path(to, lambda t, y, c: power(t, c + (c > 1))[:, y]), 2),
    ("09b.2", "far letters left out", path(lambda t, x, a: power(t, a)[x] if a < 9 else np.ones(len(t)), fro), 3),
    ("09b.3", "n others", lambda n, w: np.log(w / (1 - w)) + np.log(n), 0),
    ("09b.3", "no crowd", lambda n, w: np.log(w / (1 - w)), 0),
    ("09b.3", "decimal logarithms", lambda n, w: np.log10(w / (1 - w)) + np.log10(n - 1), 1),
    ("09b.3", "ratio to the mean", lambda n, w: np.log(n * w), 1),
    ("09b.3", "a linear law", lambda n, w: (w * n - 1) * 4 / n, 1),
    ("09b.3", "right for short texts only", lambda n, w: np.log(w / (1 - w)) + np.log(min(n, 50_000) - 1), 2),
    ("09b.4", "no softmax", votes(lambda s, e, i, j, x, q: x * same(s), normal=False), 0),
    ("09b.4", "hidden words take weight away", votes(lambda s, e, i, j, x, q: x * same(s), visible_only=False), 0),
    ("09b.4", "hidden words vote evenly", hidden_vote_evenly, 1),
    ("09b.4", "only words before", votes(lambda s, e, i, j, x, q: np.where(j > i, -99.0, x * same(s))), 1),
    ("09b.4", "near words count more", votes(lambda s, e, i, j, x, q: x * (same(s) - recency(i, j, len(s)))), 2),
    ("09b.4", "no content", votes(lambda s, e, i, j, x, q: 0.0 * same(s)), 3),
    ("09b.4", "the other stems", votes(lambda s, e, i, j, x, q: -x * same(s)), 3),
    ("09b.4", "endings agree, not stems", votes(lambda s, e, i, j, x, q: x * same(e)), 3),
    ("09b.4", "scaled by a root", votes(lambda s, e, i, j, x, q: x * same(s) / np.sqrt(2)), 4),
    ("09b.4", "a penalty for others as well", votes(lambda s, e, i, j, x, q: x * (2 * same(s) - 1)), 4),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(8))
def test_solution_passes_for_any_random_cases(key, seed):
    verdict = grade(key, ANSWERS[key], seed=seed)
    assert verdict.passed, verdict.text
    assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
@pytest.mark.parametrize("seed", range(4))
def test_wrong_answer_fails_at_its_property(key, name, answer, held, seed):
    verdict = grade(key, answer, seed=seed)
    assert not verdict.passed
    assert verdict.held == held, verdict.text
    prop = EXERCISES[key].properties[held]
    assert prop.says in verdict.text and prop.hint in verdict.text


def test_every_exercise_has_two_planted_wrong_answers_and_no_property_is_idle():
    for key, task in EXERCISES.items():
        assert sum(w[0] == key for w in WRONG) >= 2
        caught = {w[3] for w in WRONG if w[0] == key}
        assert caught == set(range(len(task.properties))), key


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


def test_nothing_of_a_solution_is_printed():
    for task in EXERCISES.values():
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 110


def test_checks_are_fast():
    for key, answer in ANSWERS.items():
        start = time.process_time()
        assert grade(key, answer, seed=0).passed
        assert time.process_time() - start < 2.0, key


@pytest.mark.parametrize("key", ["9b.1", "09bb.1", "b09.1", "09b", "09b.x", "099.1"])
def test_keys_of_no_lesson_are_refused(key):
    with pytest.raises(ValueError, match="no lesson with checks"):
        grade(key, None)
    with pytest.raises(ValueError, match="09b.1, 09b.2"):
        grade("09b.7", None)
