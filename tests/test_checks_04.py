"""Notebook 04: every self-check passes on the solution and fails, at the right property, on classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_04 import EXERCISES
from nqs_lab.lab.checks_04_cases import peak_memory
from nqs_lab.lab.landscape import evaluate, make_landscape, minimum, rate_limits

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "04_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    lesson = {"evaluate": evaluate, "make_landscape": make_landscape, "minimum": minimum, "rate_limits": rate_limits}
    names = {"np": np, "grade": grade, "print": lambda *_: None} | lesson
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "04.1": RIGHT["energy_gradient"],
    "04.2": RIGHT["geometric_tensor"],
    "04.3": RIGHT["direction"],
    "04.4": RIGHT["our_rate"],
    "04.5": RIGHT["limited_step"],
    "04.6": RIGHT["largest_rates"],
}


def gradient(factor=2.0, centre=True, conjugate=True, part=np.real, weigh=True):
    """factor Re sum_s w_s conj(E_loc - E) O with planted mistakes."""

    def answer(o, e_loc, weight):
        w = weight if weigh else np.full(len(weight), 1 / len(weight))
        deviation = e_loc - np.sum(w * e_loc) if centre else e_loc
        return part(factor * (w * (deviation.conj() if conjugate else deviation)) @ o)

    return answer


def force_without_covariance(o, e_loc, weight):
    """The product of the means in place of the mean of the product."""
    return 2 * np.real(np.sum(weight * e_loc).conj() * (weight @ (o - weight @ o)))


def preconditioned(o, e_loc, weight):
    """The SR direction where the gradient was asked."""
    return np.linalg.solve(ANSWERS["04.2"](o, weight) + 1e-6 * np.eye(o.shape[1]), ANSWERS["04.1"](o, e_loc, weight))


def metric(factor=1.0, centre=True, conjugate=True, part=np.real, weigh=lambda w: np.sqrt(w)):
    """factor Re dO^+ w dO with planted mistakes; `weigh`: what multiplies each of the two factors."""

    def answer(o, weight):
        rows = weigh(weight)[:, None] * (o - weight @ o if centre else o)
        return factor * part((rows.conj() if conjugate else rows).T @ rows)

    return answer


def plain_centre(o, weight):
    """The mean over the list in place of the mean over |psi|^2."""
    rows = np.sqrt(weight)[:, None] * (o - o.mean(axis=0))
    return np.real(rows.conj().T @ rows)


def dual(shift_of=lambda shift, x: shift, sign=1.0, last=True):
    """X^T (X X^T + shift)^-1 eps with planted mistakes."""

    def answer(x, eps, shift):
        a = np.linalg.solve(x @ x.T + shift_of(shift, x) * np.eye(len(eps)), eps)
        return sign * x.T @ a if last else a

    return answer


def primal(x, eps, shift):
    """SR as it stands in the textbook, whatever the shape."""
    return np.linalg.solve(x.T @ x + shift * np.eye(x.shape[1]), x.T @ eps)


def switched(x, eps, shift):
    """Right numbers by the larger of the two matrices."""
    return primal(x, eps, shift) if x.shape[0] < x.shape[1] else dual()(x, eps, shift)


def shift_everywhere(x, eps, shift):
    """A number added to a matrix is added to all its elements, not to the diagonal."""
    return x.T @ np.linalg.solve(x @ x.T + shift, eps)


def shift_after(x, eps, shift):
    """The shift outside the inverse."""
    return x.T @ (np.linalg.pinv(x @ x.T) @ eps + shift * eps)


def step(order="rate first", sign=-1.0, cut=lambda s, limit: s * min(1.0, limit / max(np.linalg.norm(s), 1e-300))):
    """-rate x, cut to the limit, with planted mistakes."""

    def answer(direction, rate, limit):
        direction = np.asarray(direction)
        if order == "rate first":
            return cut(sign * rate * direction, limit)
        return sign * rate * cut(direction, limit)

    return answer


def clip_and_stretch(s, limit):
    """Each component is clipped, then the vector is brought to the right length."""
    if np.linalg.norm(s) <= limit:
        return s
    clipped = np.clip(s, -0.5 * limit, 0.5 * limit)
    return clipped * limit / np.linalg.norm(clipped)


def edges(matrix_of=lambda h, s: np.linalg.solve(s, h / 2), plain=2.0, natural=2.0, pick=np.max):
    """(plain / largest of H, natural / largest of a matrix) with planted mistakes."""

    def answer(hessian, metric):
        values = np.linalg.eigvals(matrix_of(hessian, metric)).real
        return plain / pick(np.linalg.eigvalsh(hessian)), natural / pick(values)

    return answer


def other_way_round(hessian, metric):
    """SR first, gradient descent second."""
    return ANSWERS["04.6"](hessian, metric)[::-1]


def of_the_determinant(hessian, metric):
    """Invariant, and no eigenvalue."""
    n = len(hessian)
    ratio = np.linalg.det(hessian) / np.linalg.det(metric)
    return ANSWERS["04.6"](hessian, metric)[0], 4 / ratio ** (1 / n)


WRONG = [
    ("04.1", "complex", gradient(part=lambda x: x), 0),
    ("04.1", "E not subtracted", gradient(centre=False), 1),
    ("04.1", "sign of the force", gradient(factor=-2.0), 2),
    ("04.1", "factor 2 forgotten", gradient(factor=1.0), 2),
    ("04.1", "Pauli matrices: factor 4", gradient(factor=8.0), 2),
    ("04.1", "average over the list", gradient(weigh=False), 2),
    ("04.1", "product of the means", force_without_covariance, 2),
    ("04.1", "SR direction, not the gradient", preconditioned, 2),
    ("04.1", "no complex conjugate", gradient(conjugate=False), 3),
    ("04.1", "real parts multiplied", lambda o, e, w: gradient()(o.real, e.real + 0j, w), 3),
    ("04.1", "modulus in place of the real part", gradient(part=np.abs), 2),
    ("04.2", "complex", metric(part=lambda x: x), 0),
    ("04.2", "the antisymmetric imaginary part", metric(part=np.imag), 0),
    ("04.2", "O not centred", metric(centre=False), 1),
    ("04.2", "quantum Fisher information: factor 4", metric(factor=4.0), 2),
    ("04.2", "factor 2", metric(factor=2.0), 2),
    ("04.2", "sign", metric(factor=-1.0), 2),
    ("04.2", "weight on both sides", metric(weigh=lambda w: w), 2),
    ("04.2", "average over the list", metric(weigh=lambda w: np.full(len(w), len(w) ** -0.5)), 2),
    ("04.2", "centred by the mean over the list", plain_centre, 2),
    ("04.2", "no complex conjugate", metric(conjugate=False), 3),
    ("04.2", "moduli", lambda o, w: metric()(np.abs(o - w @ o), w), 2),
    ("04.2", "real parts", lambda o, w: metric()(o.real, w), 3),
    ("04.3", "numbers of rows, not of parameters", dual(last=False), 0),
    ("04.3", "gradient, not preconditioned", lambda x, eps, shift: x.T @ eps, 0),
    ("04.3", "gradient over the shift", lambda x, eps, shift: x.T @ eps / shift, 0),
    ("04.3", "sign", dual(sign=-1.0), 0),
    ("04.3", "twice the force", dual(sign=2.0), 0),
    ("04.3", "no shift", lambda x, eps, shift: np.linalg.pinv(x) @ eps, 0),
    ("04.3", "shift squared", dual(shift_of=lambda shift, x: shift**2), 0),
    ("04.3", "shift on the wrong side of the inverse", shift_after, 0),
    ("04.3", "shift relative to the trace", dual(shift_of=lambda shift, x: shift * np.trace(x @ x.T)), 0),
    ("04.3", "shift times the number of rows", dual(shift_of=lambda shift, x: shift * len(x)), 1),
    ("04.3", "shift divided by the rows", dual(shift_of=lambda shift, x: shift / len(x)), 1),
    ("04.3", "shift on every element", shift_everywhere, 1),
    ("04.3", "always parameters x parameters", primal, 2),
    ("04.3", "always rows x rows", dual(), 2),
    ("04.3", "the larger matrix", switched, 2),
    ("04.4", "always NetKet's 8", lambda rate, pauli, doubled: 8 * rate, 0),
    ("04.4", "factors added", lambda rate, pauli, doubled: rate * (4 * pauli + 2 * doubled), 0),
    ("04.4", "upside down", lambda rate, pauli, doubled: rate / ((4 if pauli else 1) * (2 if doubled else 1)), 1),
    ("04.4", "the 2 forgotten", lambda rate, pauli, doubled: rate * (4 if pauli else 1), 1),
    ("04.4", "a factor 2 for S = sigma/2", lambda rate, pauli, doubled: rate * (2 if pauli else 1) * (1 + doubled), 2),
    ("04.4", "the metric scaled as well", lambda rate, pauli, doubled: rate * (1 + doubled), 2),
    ("04.4", "one or the other", lambda rate, pauli, doubled: rate * (4 if pauli else 2 if doubled else 1), 3),
    ("04.4", "4 + 2 in place of 4 x 2", lambda rate, pauli, doubled: rate * (1 + 3 * pauli + doubled), 3),
    ("04.5", "uphill", step(sign=1.0), 0),
    ("04.5", "the direction is limited, not the step", step(order="limit first"), 0),
    ("04.5", "always as long as allowed", step(cut=lambda s, limit: s * limit / max(np.linalg.norm(s), 1e-300)), 0),
    ("04.5", "no limit", step(cut=lambda s, limit: s), 1),
    ("04.5", "components clipped", step(cut=lambda s, limit: np.clip(s, -limit, limit)), 1),
    ("04.5", "the largest component limited", step(cut=lambda s, c: s * min(1.0, c / max(np.abs(s).max(), 1e-300))), 1),
    ("04.5", "sum of moduli limited", step(cut=lambda s, c: s * min(1.0, c / max(np.abs(s).sum(), 1e-300))), 0),
    ("04.5", "too long a step is dropped", step(cut=lambda s, c: s if np.linalg.norm(s) <= c else 0 * s), 1),
    ("04.5", "clipped and stretched", step(cut=clip_and_stretch), 2),
    ("04.5", "0 / 0", step(cut=lambda s, limit: s / np.linalg.norm(s) * min(np.linalg.norm(s), limit)), 3),
    ("04.6", "signs", edges(plain=-2.0, natural=-2.0), 0),
    ("04.6", "1 / lambda", edges(plain=1.0), 1),
    ("04.6", "the smallest eigenvalue", edges(pick=np.min), 1),
    ("04.6", "S H in place of H / S", edges(matrix_of=lambda h, s: s @ h / 2), 2),
    ("04.6", "no metric at all", edges(matrix_of=lambda h, s: h / 2), 2),
    ("04.6", "metric added, not divided by", edges(matrix_of=lambda h, s: h / 2 + s), 2),
    ("04.6", "the half forgotten", edges(matrix_of=lambda h, s: np.linalg.solve(s, h)), 3),
    ("04.6", "1 / omega", edges(natural=1.0), 3),
    ("04.6", "determinants", of_the_determinant, 3),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
def test_solution_passes_for_any_random_cases(key):
    for seed in range(12):
        verdict = grade(key, ANSWERS[key], seed=seed)
        assert verdict.passed, f"seed {seed}: {verdict.text}"
        assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
def test_wrong_answer_fails_at_its_property(key, name, answer, held):
    for seed in range(2 if (key, held) == ("04.3", 2) else 4):  # large matrices are slow
        verdict = grade(key, answer, seed=seed)
        assert not verdict.passed
        assert verdict.held == held, f"seed {seed}: {verdict.text}"
        prop = EXERCISES[key].properties[held]
        assert prop.says in verdict.text and prop.hint in verdict.text


@pytest.mark.parametrize("seed", range(6))
def test_rates_in_the_wrong_order_fail(seed):
    """At one of two properties, whichever sees it first: the random bowl may hide it from the first one only."""
    verdict = grade("04.6", other_way_round, seed=seed)
    assert not verdict.passed and verdict.held >= 1


def test_every_property_catches_something():
    caught = {(w[0], w[3]) for w in WRONG}
    for key, task in EXERCISES.items():
        assert sum(w[0] == key for w in WRONG) >= 2
        assert [p.says for k, p in enumerate(task.properties) if (key, k) not in caught] == []


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


@pytest.mark.parametrize("key", EXERCISES)
def test_a_wrong_shape_is_said_in_words(key):
    verdict = grade(key, lambda *arguments: np.zeros((7, 7, 7)), seed=1)
    assert not verdict.passed and "FAILS" in verdict.text and "hint" in verdict.text


def test_nothing_of_a_solution_is_printed():
    for task in EXERCISES.values():
        assert task.title
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 115


def test_peak_memory_sees_what_is_built():
    """8 MiB inside a function count, what was there before does not."""
    there = np.ones(2**20)
    assert peak_memory(lambda x: np.ones(2**20).sum() + x[0], there) == pytest.approx(8.0, abs=0.1)
    assert peak_memory(lambda x: x[0], there) < 0.1


def test_checks_are_fast():
    for key, answer in ANSWERS.items():
        seconds = []
        for seed in range(3):
            start = time.perf_counter()
            assert grade(key, answer, seed=seed).passed
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.5, (key, seconds)
