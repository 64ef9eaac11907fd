"""The self-checks of lesson 00 pass on the solutions and fail, at the right property, on the classic wrong answers."""

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
from nqs_lab.lab.checks_00 import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "00_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "jnp": jnp, "jax": jax, "eqx": eqx, "grade": grade, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "00.1": RIGHT["relative_error"],
    "00.2": RIGHT["log_psi_batch"],
    "00.3": RIGHT["random_layers"],
    "00.4": RIGHT["parameter_count"],
    "00.5": RIGHT["energy_gradient"],
    "00.6": RIGHT["descend_path"],
}


def error(unit=4.0, sites=True, divide=abs, size=abs, scale=1.0):
    """A relative error with planted mistakes: unit, forgotten sites, what one divides by, a lost sign, per cent."""

    def answer(ours, total, n):
        exact = total / (unit * (n if sites else 1))
        return scale * size(ours - exact) / divide(exact)

    return answer


keep = lambda x: x


def layers(draw):
    """Arrays made one after the other: draw(key, number of the layer, how many, shape)."""
    return lambda key, shapes: [draw(key, k, len(shapes), shape) for k, shape in enumerate(shapes)]


def parent_and_children(key, k, n, shape):
    """The first layer from the key itself, the others from its children."""
    return jax.random.normal(key if k == 0 else jax.random.split(key, n)[k], shape)


child = lambda key, k, n: jax.random.split(key, n)[k]
hidden_state = np.random.default_rng(0)


def total(tree, keep_leaf=lambda leaf: True, size=lambda leaf: leaf.size):
    """A count of the leaves that are kept."""
    return sum(size(leaf) for leaf in jax.tree.leaves(tree) if keep_leaf(leaf))


has_size = lambda leaf: hasattr(leaf, "size")


def gradient(factor=2.0, shift=True, inner=True, outer=True):
    """The gradient with planted mistakes: the factor, E left out, E or the whole without normalisation."""

    def answer(h, psi, slopes):
        norm = psi @ psi
        energy = psi @ h @ psi / (norm if inner else 1.0)
        return factor * slopes @ (h @ psi - shift * energy * psi) / (norm if outer else 1.0)

    return answer


def of_the_variance(h, psi, slopes):
    """It vanishes for eigenvectors, too, but is the slope of nothing asked for."""
    centred = h - psi @ h @ psi / (psi @ psi) * np.eye(len(psi))
    return 2 * slopes @ centred @ centred @ psi / (psi @ psi)


def walk(sign=-1.0, stale=False, skip=False, plain=False, unit=False):
    """A descent with planted mistakes."""

    def answer(energy, theta, rate, n_steps):
        slope, points = jax.grad(energy) if plain else jax.jit(jax.grad(energy)), [theta]
        for _ in range(n_steps):
            g = slope(points[0] if stale else points[-1])
            g = g / jnp.linalg.norm(g) if unit else g
            points.append(points[-1] + sign * rate * g)
        return jnp.stack(points[1:] if skip else points)

    return answer


WRONG = [
    ("00.1", "no factor 4", error(unit=1.0), 0),
    ("00.1", "factor 2", error(unit=2.0), 0),
    ("00.1", "total against per site", error(sites=False), 0),
    ("00.1", "multiplied by 4", error(unit=0.25), 0),
    ("00.1", "divided by a negative energy", error(divide=keep), 1),
    ("00.1", "sign lost", error(size=abs), 2),
    ("00.1", "sign the other way", error(size=lambda x: -x), 1),
    ("00.1", "in per cent", error(size=keep, scale=100.0), 3),
    ("00.1", "difference, not a share", error(size=keep, divide=lambda x: 1.0), 3),
    ("00.2", "all configurations at once", lambda f, p, s: f(p, s), 0),
    ("00.2", "summed", lambda f, p, s: jnp.sum(jax.vmap(f, in_axes=(None, 0))(p, s)), 0),
    ("00.2", "along the sites", lambda f, p, s: jax.vmap(f, in_axes=(None, 1))(p, s), 0),
    ("00.2", "parameters mapped, too", lambda f, p, s: jax.vmap(f)(p, s), 1),
    ("00.2", "the first for all", lambda f, p, s: jnp.full(len(s), f(p, s[0])), 1),
    ("00.2", "a loop", lambda f, p, s: jnp.stack([f(p, row) for row in s]), 2),
    ("00.3", "transposed", layers(lambda key, k, n, s: jax.random.normal(child(key, k, n), s[::-1])), 0),
    ("00.3", "only one array", lambda key, shapes: [jax.random.normal(key, shapes[0])], 0),
    ("00.3", "a fixed key", layers(lambda key, k, n, s: jax.random.normal(jax.random.key(k), s)), 1),
    ("00.3", "NumPy's hidden state", layers(lambda key, k, n, s: hidden_state.normal(size=s)), 1),
    ("00.3", "uniform", layers(lambda key, k, n, s: jax.random.uniform(child(key, k, n), s, None, -1.7, 1.7)), 2),
    ("00.3", "small", layers(lambda key, k, n, s: 0.1 * jax.random.normal(child(key, k, n), s)), 2),
    ("00.3", "one key for all", layers(lambda key, k, n, s: jax.random.normal(key, s)), 3),
    ("00.3", "one child for all", layers(lambda key, k, n, s: jax.random.normal(child(key, 1, n), s)), 3),
    ("00.3", "parent and children", layers(parent_and_children), 4),
    ("00.4", "arrays, not entries", lambda tree: len(jax.tree.leaves(tree)), 0),
    ("00.4", "rows", lambda tree: total(tree, has_size, len), 0),
    ("00.4", "no walk through the tree", lambda tree: sum(leaf.size for leaf in tree.values()), 1),
    ("00.4", "scalars left out", lambda tree: total(tree, lambda leaf: has_size(leaf) and leaf.ndim > 0), 1),
    ("00.4", "tables and masks as well", lambda tree: total(tree, has_size), 2),
    ("00.4", "float64 only", lambda tree: total(tree, lambda leaf: getattr(leaf, "dtype", None) == jnp.float64), 3),
    ("00.5", "E left out", gradient(shift=False), 0),
    ("00.5", "E without normalisation", gradient(inner=False), 0),
    ("00.5", "nothing normalised", gradient(inner=False, outer=False), 0),
    ("00.5", "slope of the variance", of_the_variance, 1),
    ("00.5", "no division by psi.psi", gradient(outer=False), 2),
    ("00.5", "no factor 2", gradient(factor=1.0), 3),
    ("00.5", "downhill", gradient(factor=-2.0), 3),
    ("00.6", "start left out", walk(skip=True), 0),
    ("00.6", "the last point only", lambda f, t, r, n: walk()(f, t, r, n)[-1], 0),
    ("00.6", "uphill", walk(sign=1.0), 1),
    ("00.6", "the slope of the start", walk(stale=True), 1),
    ("00.6", "steps of equal length", walk(unit=True), 1),
    ("00.6", "never compiled", walk(plain=True), 2),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(4))
def test_solution_passes_for_any_random_cases(key, seed):
    verdict = grade(key, ANSWERS[key], seed=seed)
    assert verdict.passed, verdict.text
    assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
@pytest.mark.parametrize("seed", range(2))
def test_wrong_answer_fails_at_its_property(key, name, answer, held, seed):
    verdict = grade(key, answer, seed=seed)
    assert not verdict.passed
    assert verdict.held == held, verdict.text
    prop = EXERCISES[key].properties[held]
    assert prop.says in verdict.text and prop.hint in verdict.text


def test_every_exercise_has_two_planted_wrong_answers_and_no_property_is_idle():
    for key, task in EXERCISES.items():
        assert sum(w[0] == key for w in WRONG) >= 2
        assert {w[3] for w in WRONG if w[0] == key} == set(range(len(task.properties))), key


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


def test_nothing_of_a_solution_is_printed():
    for task in EXERCISES.values():
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 110


@pytest.mark.parametrize("key", EXERCISES)
def test_checks_are_fast(key):
    grade(key, ANSWERS[key], seed=1)
    start = time.process_time()
    assert grade(key, ANSWERS[key], seed=0).passed
    assert time.process_time() - start < 2.0, key


def scanned(energy, theta, rate, n_steps):
    """Another right answer to 00.6: the loop is part of the compiled program."""

    def step(point, _):
        new = point - rate * jax.grad(energy)(point)
        return new, new

    return jnp.concatenate([theta[None], jax.lax.scan(step, theta, length=n_steps)[1]])


def folded(key, shapes):
    """Another right answer to 00.3."""
    return [jax.random.normal(jax.random.fold_in(key, k), shape) for k, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("00.2", lambda f, p, s: jax.vmap(f, in_axes=(None, 0))(p, s)),
        ("00.2", lambda f, p, s: jax.lax.map(lambda row: f(p, row), s)),
        ("00.3", folded),
        ("00.4", nl.count_parameters),
        ("00.6", scanned),
    ],
    ids=["in_axes", "lax.map", "fold_in", "library", "scan"],
)
def test_other_right_answers_pass(key, answer):
    verdict = grade(key, answer, seed=3)
    assert verdict.passed, verdict.text


def test_gradient_of_the_solution_is_that_of_autodiff():
    """Not only the check says so: JAX differentiates the fraction itself."""
    rng = np.random.default_rng(2)
    h, psi, slopes = rng.normal(size=(6, 6)), rng.normal(size=6), rng.normal(size=(3, 6))
    h = h + h.T

    def energy(theta):
        v = jnp.asarray(psi) + theta @ jnp.asarray(slopes)
        return v @ jnp.asarray(h) @ v / (v @ v)

    np.testing.assert_allclose(ANSWERS["00.5"](h, psi, slopes), jax.grad(energy)(jnp.zeros(3)), rtol=1e-12)
