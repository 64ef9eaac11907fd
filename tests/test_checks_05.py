"""The self-checks of lesson 05 pass on the solutions and fail, at the right property, on the classic wrong answers."""

import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_05 import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "05_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "grade": grade, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "05.1": RIGHT["log_sum_over_hidden"],
    "05.2": RIGHT["sign_rule"],
    "05.3": RIGHT["sign_accuracy"],
    "05.4": RIGHT["project"],
    "05.5": RIGHT["seen_and_unseen"],
}


LOG_2 = float(np.log(2))


def machine(log_cosh, visible=True, constant=LOG_2):
    """The hidden sum with planted mistakes."""

    def answer(a, b, w, sigma):
        theta = b + w @ sigma
        return (a @ sigma if visible else 0) + np.sum(log_cosh(theta) + constant)

    return answer


plain = lambda t: np.log(np.cosh(t))
one_sided = lambda t: t + np.log1p(np.exp(-2 * t)) - np.log(2)
absolute = lambda t: np.abs(t) + np.log1p(np.exp(-2 * np.abs(t))) - np.log(2)


def rule(number, count=lambda sigma, a: np.sum((sigma > 0) & a, axis=(1, 2))):
    """A sign rule from a function of (x, y, L, order) whose even values are the sublattice."""

    def answer(sigma, order):
        y, x = np.indices(sigma.shape[1:])
        return (-1) ** np.abs(count(sigma, number(x, y, sigma.shape[1], order) % 2 == 0))

    return answer


def in_place(sigma, order):
    """The right signs, and the configurations turned over."""
    signs = RIGHT["sign_rule"](sigma, order)
    sigma *= -1
    return signs


right_board = lambda x, y, n, order: x + y if order == "neel" else x


def accuracy(turn=True, weight=lambda psi, exact: exact**2, compare=lambda a, b: np.real(a) * b > 0, share=False):
    """The sign accuracy with planted mistakes."""

    def answer(psi, exact):
        overlap = np.vdot(psi, exact) if turn else 1.0
        w = weight(psi, exact)
        found = np.sum(w[compare(psi * overlap / abs(overlap), exact)])
        return float(found / np.sum(w)) if share else float(found)

    return answer


def projected(conj=np.conj, mean=np.mean, top=True, after=np.log):
    """The projection with planted mistakes."""

    def answer(log_psi, characters):
        shift = np.max(np.real(log_psi)) if top else 0.0
        return complex(shift + after(mean(conj(characters) * np.exp(log_psi - shift))))

    return answer


def log_with_floor(z):
    """A logarithm that is afraid of zero."""
    return np.log(np.abs(z) + 1e-300) + 1j * np.angle(z)


def nan_at_zero(log_psi, characters):
    """Divides by the first amplitude."""
    ratio = np.exp(log_psi - log_psi[0])
    total = np.mean(np.conj(characters) * ratio)
    return complex(np.log(total / abs(total)) + np.log(abs(total)) + log_psi[0])


def variances(normalise=True, sign=-1, energy="exact", drop=True, distinct=False, unseen_of="residual"):
    """The two variances with planted mistakes."""

    def answer(h, psi, drawn):
        psi = psi / np.linalg.norm(psi) if normalise else psi
        h_psi = h @ psi
        local = h_psi[drawn] / psi[drawn]
        e = np.vdot(psi, h_psi).real if energy == "exact" else np.mean(local).real
        residual = np.abs(h_psi + sign * e * psi) ** 2
        kept = residual.copy()
        if drop:
            kept[drawn] = 0
        seen = np.var(h_psi[np.unique(drawn)] / psi[np.unique(drawn)]) if distinct else np.var(local)
        return seen, kept.sum() - (np.var(local) if unseen_of == "difference" else 0)

    return answer


WRONG = [
    ("05.1", "log 2 forgotten", machine(plain, constant=0.0), 0),
    ("05.1", "no visible spins", machine(plain, visible=False), 0),
    ("05.1", "tanh", machine(np.tanh), 0),
    ("05.1", "real part only", lambda *a: np.real(machine(plain)(*a)), 1),
    ("05.1", "|theta| in place of theta", machine(absolute), 1),
    ("05.1", "the logarithm of the modulus", machine(lambda t: np.log(np.abs(np.cosh(t)))), 1),
    ("05.1", "overflow", machine(plain), 2),
    ("05.1", "stable for one sign only", machine(one_sided), 2),
    ("05.2", "no sign at all", lambda sigma, order: np.ones(len(sigma), int), 0),
    ("05.2", "sum of spins, not a count", rule(right_board, lambda s, a: np.sum(s * a, axis=(1, 2)) // 2 * 2), 0),
    ("05.2", "all up spins", rule(right_board, lambda s, a: np.sum(s > 0, axis=(1, 2))), 0),
    ("05.2", "the site number", rule(lambda x, y, n, order: x + n * y), 1),
    ("05.2", "stripes for both", rule(lambda x, y, n, order: x), 1),
    ("05.2", "rows for Neel", rule(lambda x, y, n, order: y if order == "neel" else x), 1),
    ("05.2", "a wrong colour", rule(lambda x, y, n, order: x + y + (x == 0) * (y == 0)), 1),
    ("05.2", "Neel for both", rule(lambda x, y, n, order: x + y), 3),
    ("05.2", "rows, not columns", rule(lambda x, y, n, order: x + y if order == "neel" else y), 3),
    ("05.2", "works in place", in_place, 4),
    ("05.3", "fidelity", lambda psi, exact: float(abs(np.vdot(psi, exact)) ** 2), 0),
    ("05.3", "share of equal amplitudes", accuracy(compare=lambda a, b: np.isclose(a, b)), 0),
    ("05.3", "no global phase", accuracy(turn=False), 1),
    ("05.3", "a phase of the wrong sign", lambda p, e: accuracy(turn=False)(p * np.vdot(e, p), e), 1),
    ("05.3", "counts configurations", accuracy(weight=lambda p, e: np.ones(len(e)), share=True), 2),
    ("05.3", "weighs with psi", accuracy(weight=lambda p, e: np.abs(p) ** 2), 2),
    ("05.3", "weighs with |exact|", accuracy(weight=lambda p, e: np.abs(e), share=True), 2),
    ("05.3", "phase within an eighth", accuracy(compare=lambda a, b: np.abs(np.angle(a * b)) < np.pi / 4), 3),
    ("05.4", "sum, not mean", projected(mean=np.sum), 0),
    ("05.4", "averages the logarithms", lambda z, c: complex(np.mean(z)), 0),
    ("05.4", "no characters", projected(conj=np.ones_like), 1),
    ("05.4", "characters not conjugated", projected(conj=lambda c: c), 1),
    ("05.4", "real part of the characters", projected(conj=np.real), 1),
    ("05.4", "no log-sum-exp", projected(top=False), 2),
    ("05.4", "afraid of zero", projected(after=log_with_floor), 3),
    ("05.4", "NaN at zero", nan_at_zero, 3),
    ("05.5", "energy of the wrong sign", variances(sign=+1), 0),
    ("05.5", "not normalised", variances(normalise=False), 0),
    ("05.5", "standard deviation in place of variance", lambda h, p, d: [np.sqrt(variances()(h, p, d)[0]), 0.0], 1),
    ("05.5", "only the drawn ones", lambda h, p, d: (variances()(h, p, d)[0], 0.0), 1),
    ("05.5", "the whole residual", variances(drop=False), 2),
    ("05.5", "true minus seen", variances(drop=False, unseen_of="difference"), 2),
    ("05.5", "energy of the draws", variances(energy="draws"), 3),
    ("05.5", "every draw counts once", variances(distinct=True), 3),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(8))
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
        assert len(caught) >= len(task.properties) - 1, (key, caught)


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


def test_solutions_agree_with_the_library():
    """Not only with the checks: RBM, sign rules and projection are those of the library."""
    lattice, rng = nl.square(4), np.random.default_rng(5)
    sigma = rng.permutation(np.repeat([1, -1], 8)).astype(np.int8)
    rbm = nl.RBM(lattice, dtype=jnp.float64, key=jax.random.key(1))
    rbm = jax.tree.map(lambda leaf: 20 * leaf if eqx.is_inexact_array(leaf) else leaf, rbm)
    a, b, w = (np.asarray(part)[0] + 1j * np.asarray(part)[1] for part in (rbm.visible, rbm.hidden, rbm.weight))
    value = eqx.filter_jit(lambda s: rbm(s))
    ours = ANSWERS["05.1"](a, b, w, sigma) - 16 * np.log(2)
    assert np.exp(ours - complex(value(jnp.asarray(sigma)))) == pytest.approx(1, abs=1e-9)
    for order in ("neel", "stripe"):
        on_a = np.asarray(lattice.order(order)) > 0
        assert ANSWERS["05.2"](sigma.reshape(1, 4, 4), order)[0] == (-1) ** np.sum(sigma[on_a] > 0)
    group = lattice.translations(momentum=(1, 0))
    images = np.array([complex(value(s)) for s in group.apply(jnp.asarray(sigma))])
    projected_by_library = complex(nl.Symmetrized(rbm, group)(jnp.asarray(sigma)))
    assert np.exp(ANSWERS["05.4"](images, group.characters) - projected_by_library) == pytest.approx(1, abs=1e-9)
