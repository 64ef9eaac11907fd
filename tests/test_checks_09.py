"""The self-checks of lesson 09 pass on the solutions and fail, at the right property, on the classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.ansatz.dimer_network import dimer_amplitudes, draw_dimer_state, partner_displacement
from nqs_lab.ansatz.transformer import patch_tables
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_09 import EXERCISES
from nqs_lab.lab.potts import fix_gauge

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "09_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "nl": nl, "grade": grade, "print": lambda *_, **__: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if cell.id == "09s-setup" or "solution" in cell.metadata.get("tags", []):
            exec(cell.source.replace("\nsetup()", ""), names)
    return names


RIGHT = solutions()
ANSWERS = {
    "09.1": RIGHT["dimer_amplitude"],
    "09.2": RIGHT["who_hears_whom"],
    "09.3": RIGHT["charge"],
    "09.4": RIGHT["bag_noise"],
    "09.5": RIGHT["zero_sum"],
}


def amplitude(step=(-1, 1), norm=8**0.5, combine=lambda a, b: a - b, wraps=True):
    """The dimer state with planted mistakes."""

    def answer(sigma, side):
        s, value = sigma.reshape(side, side).astype(float), 1.0
        for y in range(0, side, 2):
            for x in range(0, side, 2):
                value *= combine(s[y, x], s[y + 1, x + 1]) / norm
                end = (y + 1 + step[1], x + step[0])
                if wraps:
                    end = (end[0] % side, end[1] % side)
                elif not (0 <= end[0] < side and 0 <= end[1] < side):
                    continue
                value *= combine(s[y + 1, x], s[end]) / norm
        return value

    return answer


def hears(dx, dy, *, transposed=False, clipped=False):
    """An attention map with planted mistakes."""

    def answer(side):
        g = side // 2
        alpha = np.zeros((g * g, g * g))
        for i in range(g * g):
            x, y = i % g + dx, i // g + dy
            x, y = (np.clip([x, y], 0, g - 1)) if clipped else (x % g, y % g)
            alpha[i, x + g * y] = 1.0
        return alpha.T if transposed else alpha

    return answer


relu = lambda t: np.maximum(t, 0.0)


def noise(power=0.5, root=True, weights=lambda c, s: c * np.exp(s), normal=lambda w, c, s: w.sum(-1, keepdims=True)):
    """The noise of a bag with planted mistakes."""

    def answer(counts, logits, values):
        w = weights(counts, logits)
        average = (w / normal(w, counts, logits)) @ values
        spread = average.var(axis=0).sum()
        return counts[0].sum() ** power * (np.sqrt(spread) if root else spread)

    return answer


def gauge(rows=True, columns=True, back=True, half=0.5, swap=(1, 0, 3, 2)):
    """The gauge with planted mistakes."""

    def answer(k):
        out = k.copy()
        out -= k.mean(axis=3, keepdims=True) if rows else 0
        out -= k.mean(axis=2, keepdims=True) if columns else 0
        out += k.mean(axis=(2, 3), keepdims=True) if back else 0
        return half * (out + out.transpose(swap)) if swap else out

    return answer


WRONG = [
    ("09.1", "the second dimer to the upper right", amplitude(step=(1, 1)), 0),
    ("09.1", "the second dimer downwards", amplitude(step=(-1, -1)), 0),
    ("09.1", "no wrapping: dimers over the edge left out", amplitude(wraps=False), 0),
    ("09.1", "a constant", lambda sigma, side: 1.0, 0),
    ("09.1", "not normalised", amplitude(norm=1.0), 1),
    ("09.1", "1/sqrt(2) forgotten", amplitude(norm=2.0), 1),
    ("09.1", "1/2 in place of 1/sqrt(2)", amplitude(norm=4.0), 1),
    ("09.1", "a plus sign: triplets", amplitude(combine=lambda a, b: abs(a - b)), 2),
    ("09.1", "one kind of dimer a triplet", lambda s, n: amplitude()(s, n) * s.reshape(n, n)[::2, ::2].prod(), 2),
    ("09.2", "receiver and sender exchanged", hears(-1, 1, transposed=True), 1),
    ("09.2", "to the upper right", hears(1, 1), 1),
    ("09.2", "to the lower left", hears(-1, -1), 1),
    ("09.2", "the way back", hears(1, -1), 1),
    ("09.2", "itself", hears(0, 0), 1),
    ("09.2", "no wrapping", hears(-1, 1, clipped=True), 0),
    ("09.2", "a mean over all", lambda side: np.full((side**2 // 4,) * 2, 4 / side**2), 0),
    ("09.3", "no threshold", lambda own, a: np.abs(own + a), 0),
    ("09.3", "a threshold too low", lambda own, a: relu(own + a - 0.5) + relu(-own - a - 0.5), 0),
    ("09.3", "both up only", lambda own, a: relu(own + a - 1), 1),
    ("09.3", "a threshold too high", lambda own, a: relu(own + a - 1.5) + relu(-own - a - 1.5), 1),
    ("09.3", "never anything", lambda own, a: 0.0 * own, 1),
    ("09.3", "a product", lambda own, a: relu(own * a), 2),
    ("09.3", "squares", lambda own, a: relu((own + a) ** 2 - 1), 2),
    ("09.4", "counts forgotten in the denominator", noise(normal=lambda w, c, s: np.exp(s).sum()), 0),
    ("09.4", "variance in place of deviation", noise(root=False), 1),
    ("09.4", "no sqrt(n)", noise(power=0.0), 2),
    ("09.4", "n in place of sqrt(n)", noise(power=1.0), 2),
    ("09.4", "counts in the exponent", noise(weights=lambda c, s: np.exp(c * s / 10)), 2),
    ("09.4", "no counts at all", noise(weights=lambda c, s: np.exp(s) + 0.0 * c), 3),
    ("09.4", "logits forgotten", noise(weights=lambda c, s: c + 0.0 * s), 3),
    ("09.5", "as it came", gauge(rows=False, columns=False, back=False, swap=None), 0),
    ("09.5", "centred in one colour only", gauge(columns=False, back=False), 0),
    ("09.5", "the grand mean taken twice", gauge(back=False), 0),
    ("09.5", "one mean for all pairs of sites", lambda k: k - k.mean(), 0),
    ("09.5", "differences to the colour 0", lambda k: k - k[..., :1] - k[..., :1, :] + k[..., :1, :1], 0),
    ("09.5", "divided by the largest sum of its pairs", lambda k: gauge()(k) * np.abs(k).sum(), 1),
    ("09.5", "not symmetrised", gauge(swap=None), 2),
    ("09.5", "sites exchanged, colours not", gauge(swap=(1, 0, 2, 3)), 2),
    ("09.5", "colours exchanged, sites not", gauge(swap=(0, 1, 3, 2)), 2),
    ("09.5", "the sum of both ends", gauge(half=1.0), 2),
    ("09.5", "nothing left", lambda k: 0.0 * k, 2),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(4))
def test_solution_passes_for_any_random_cases(key, seed):
    verdict = grade(key, ANSWERS[key], seed=seed)
    assert verdict.passed, verdict.text
    assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
@pytest.mark.parametrize("seed", range(3))
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
        start = time.perf_counter()
        assert grade(key, answer, seed=0).passed
        assert time.perf_counter() - start < 2.0, key


def test_solutions_agree_with_the_library():
    """Not only with the checks."""
    rng, lattice = np.random.default_rng(5), nl.square(6)
    sigma = np.concatenate([draw_dimer_state(lattice, 4, rng), rng.choice(np.array([-1, 1], np.int8), (4, 36))])
    mine = np.array([ANSWERS["09.1"](s, 6) for s in sigma])
    np.testing.assert_allclose(np.abs(mine), np.abs(dimer_amplitudes(sigma, lattice)), atol=1e-15)
    assert np.ptp(mine[:4] / dimer_amplitudes(sigma[:4], lattice)) < 1e-12
    table = patch_tables(lattice, 2)[1]
    np.testing.assert_array_equal(ANSWERS["09.2"](6), table == partner_displacement(lattice))
    tensor = rng.normal(size=(4, 4, 3, 3))
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(ANSWERS["09.5"](tensor)[off], fix_gauge(tensor)[off], atol=1e-14)
