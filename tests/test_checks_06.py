"""The self-checks of lesson 06 pass on the solutions and fail, at the right property, on the classic wrong answers."""

import time
from math import comb
from pathlib import Path

import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.ansatz.transformer import patch_tables
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_06 import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "06_solutions.ipynb"
CONTENT, TABLE = ("t5", "decoupled", "dot-product", "linear"), ("t5", "decoupled", "factored")


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "nl": nl, "grade": grade, "comb": comb, "patch_tables": patch_tables, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "06.1": RIGHT["stable_softmax"],
    "06.2": RIGHT["displacements"],
    "06.3": RIGHT["content_logits"],
    "06.4": RIGHT["copying_row"],
    "06.5": RIGHT["count_small_init"],
    "06.6": RIGHT["count_bags"],
}


def softmax(axis=-1, shift=None, base=np.e, power=1.0):
    """A softmax with planted mistakes."""

    def answer(logits):
        z = np.asarray(logits) - (0 if shift is None else shift(logits))
        weights = base ** (power * z)
        return weights / weights.sum(axis=axis, keepdims=True)

    return answer


def table(number):
    """A displacement table from the coordinates of receiver and sender."""

    def answer(nx, ny):
        x, y = np.arange(nx * ny) % nx, np.arange(nx * ny) // nx
        return number(x[:, None], y[:, None], x[None], y[None], nx, ny)

    return answer


def logits(scale=lambda r, h: np.sqrt(r), order="ihr,jhr->hij", interleaved=False, soft=False):
    """The logits with planted mistakes."""

    def answer(q, k, heads):
        n, d = q.shape
        r = d // heads
        cut = lambda x: x.reshape(n, r, heads).swapaxes(1, 2) if interleaved else x.reshape(n, heads, r)
        z = np.einsum(order, cut(q), cut(k)) / scale(r, heads)
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True) if soft else z

    return answer


def one_hot(number):
    """A row with a single 1."""

    def answer(nx, ny, dx, dy):
        row = np.zeros(nx * ny)
        row[number(nx, ny, dx, dy)] = 1.0
        return row

    return answer


def count(bias=1, controls=False, norms=1, output=True, mlp_bias=True, content=CONTENT):
    """The parameter count with planted mistakes."""

    def answer(n, m, d, h, depth, r, attention):
        linear = d * d + bias * d
        block = (2 if output else 1) * (d * d + d) + 2 * r * d * d + (r + 1) * d * mlp_bias + 4 * d
        block += 2 * linear * (attention in content) + h * n * (attention in TABLE or controls)
        return m * d + d + depth * block + 2 * (d * d + d) + 2 * norms * d

    return answer


def up_counts_only(n, m):
    """Bags of patches told apart by their number of up spins alone."""
    if n * m % 2:
        return 0
    ways = {(0, 0): 1}
    for up in range(m + 1):
        grown = {}
        for (used, total), number in ways.items():
            for more in range(n - used + 1):
                key = (used + more, total + more * up)
                grown[key] = grown.get(key, 0) + number
        ways = grown
    return ways.get((n, n * m // 2), 0)


ring = lambda xi, yi, xj, yj, nx, ny: (xi + nx * yi - xj - nx * yj) % (nx * ny)

WRONG = [
    ("06.1", "no shift: overflow", softmax(), 2),
    ("06.1", "one maximum for the whole array", softmax(shift=np.max), 2),
    ("06.1", "mean instead of maximum", softmax(shift=lambda z: np.mean(z)), 2),
    ("06.1", "sums over the first axis", softmax(axis=0, shift=lambda z: z.max(0, keepdims=True)), 0),
    ("06.1", "sums over everything", softmax(axis=None), 0),
    ("06.1", "no exponential", lambda z: z / np.sum(z, axis=-1, keepdims=True), 0),
    ("06.1", "powers of two", softmax(shift=lambda z: z.max(-1, keepdims=True), base=2.0), 1),
    ("06.1", "the sign of an energy", softmax(shift=lambda z: z.min(-1, keepdims=True), power=-1.0), 1),
    ("06.1", "a hard maximum", lambda z: (z == z.max(-1, keepdims=True)).astype(float), 0),
    ("06.2", "not wrapped", table(lambda xi, yi, xj, yj, nx, ny: xi - xj + nx * (yi - yj)), 0),
    ("06.2", "a ring of n patches", table(ring), 2),
    ("06.2", "from i to j", table(lambda xi, yi, xj, yj, nx, ny: (xj - xi) % nx + nx * ((yj - yi) % ny)), 3),
    ("06.2", "y runs fastest", table(lambda xi, yi, xj, yj, nx, ny: (xi - xj) % nx * ny + (yi - yj) % ny), 3),
    ("06.2", "distances", table(lambda xi, yi, xj, yj, nx, ny: abs(xi - xj) + nx * abs(yi - yj)), 0),
    ("06.2", "the sender's number", table(lambda xi, yi, xj, yj, nx, ny: xj + nx * yj + 0 * xi), 1),
    ("06.2", "nx and ny mixed up", table(lambda xi, yi, xj, yj, nx, ny: (xi - xj) % ny + ny * ((yi - yj) % nx)), 0),
    ("06.2", "one row only", lambda nx, ny: np.arange(nx * ny), 0),
    ("06.3", "no scale", logits(lambda r, h: 1.0), 2),
    ("06.3", "sqrt(d) in place of sqrt(r)", logits(lambda r, h: np.sqrt(r * h)), 2),
    ("06.3", "r in place of sqrt(r)", logits(lambda r, h: float(r)), 2),
    ("06.3", "keys ask", logits(order="ihr,jhr->hji"), 1),
    ("06.3", "channels dealt out like cards", logits(interleaved=True), 0),
    ("06.3", "heads last", logits(order="ihr,jhr->ijh"), 0),
    ("06.3", "softmax already taken", logits(soft=True), 0),
    ("06.3", "summed over heads", lambda q, k, h: np.stack([q @ k.T] * h), 0),
    ("06.4", "from receiver to sender", one_hot(lambda nx, ny, dx, dy: dx % nx + nx * (dy % ny)), 1),
    ("06.4", "only x turned round", one_hot(lambda nx, ny, dx, dy: (-dx) % nx + nx * (dy % ny)), 1),
    ("06.4", "y runs fastest", one_hot(lambda nx, ny, dx, dy: (-dx) % nx * ny + (-dy) % ny), 1),
    ("06.4", "a ring of n patches", one_hot(lambda nx, ny, dx, dy: (-dx - nx * dy) % (nx * ny)), 1),
    ("06.4", "wraps one way", one_hot(lambda nx, ny, dx, dy: (nx - dx) * (dx != 0) + nx * (ny - dy) * (dy != 0)), 2),
    ("06.4", "the mean of all", lambda nx, ny, dx, dy: np.full(nx * ny, 1 / (nx * ny)), 0),
    ("06.4", "always the token itself", one_hot(lambda nx, ny, dx, dy: 0), 1),
    ("06.5", "Q and K without biases", count(bias=0), 0),
    ("06.5", "decoupled without content", count(content=("t5", "dot-product", "linear")), 0),
    ("06.5", "controls with a table", count(controls=True), 1),
    ("06.5", "the published head", count(norms=3), 2),
    ("06.5", "output map forgotten", count(output=False), 2),
    ("06.5", "MLP without biases", count(mlp_bias=False), 2),
    ("06.6", "all configurations", lambda n, m: comb(n * m, n * m // 2) if n * m % 2 == 0 else 0, 0),
    ("06.6", "every Sz", lambda n, m: comb(n + 2**m - 1, n), 0),
    ("06.6", "odd numbers rounded", lambda n, m: up_counts_only(n, m) or 1, 1),
    ("06.6", "only the number of ups per patch", up_counts_only, 2),
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
        grade(key, answer, seed=1)
        start = time.perf_counter()
        assert grade(key, answer, seed=0).passed
        assert time.perf_counter() - start < 2.0, key


def test_solutions_agree_with_the_library():
    """Not only with the checks: the library's table, the library's count, the bags of the 4x4 torus."""
    np.testing.assert_array_equal(ANSWERS["06.2"](3, 2), patch_tables(nl.rectangle(6, 4), 2)[1])
    assert ANSWERS["06.5"](16, 1, 16, 4, 2, 4, "factored") == 6_208  # the 4x4 network of the tests
    assert ANSWERS["06.6"](4, 4) == 720
