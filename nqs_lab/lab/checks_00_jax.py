"""Tests of notebook 00's exercises on JAX: vmap (00.2), keys (00.3), pytrees (00.4) and one trace (00.6).

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from nqs_lab.ansatz import RBM, Jastrow, MarshallSign, count_parameters
from nqs_lab.lab.checks import asked, differs
from nqs_lab.spins import square

MOST_TRACES = 5  # a compiled gradient, with a scan round it at most
_SIZES = ((5, 3), (6, 4), (7, 3))  # JAX compiles for each new shape: few of them keep the checks fast


def _key(rng: np.random.Generator) -> Any:
    """A random key."""
    return jax.random.key(int(rng.integers(2**31)))


# --- 00.2 vmap


class _Counted:
    """log psi of one configuration under W, b; remembers how often it was called, and with which shapes."""

    def __init__(self):
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, parameters: Any, sigma: Any) -> Any:
        weight, bias = parameters
        self.calls.append(tuple(sigma.shape))
        if sigma.ndim != 1:
            raise ValueError(f"log_psi reads one configuration (N,), it was given an array of shape {sigma.shape}")
        return jnp.sum(jnp.log(jnp.cosh(weight @ sigma + bias)))


def _batch(rng: np.random.Generator) -> tuple[tuple[Any, Any], np.ndarray]:
    """Parameters (M, N), (M,) and configurations (S, N) with S = M, so that mapping over all of them fits, too."""
    rows, sites = (int(n) for n in rng.choice(_SIZES))
    parameters = (jnp.asarray(rng.normal(size=(rows, sites))), jnp.asarray(rng.normal(size=rows)))
    return parameters, rng.choice([-1.0, 1.0], size=(rows, sites))


def _rows(answer: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, _Counted]:
    """The reader's batch, the truth from NumPy, and the function that counted."""
    (weight, bias), sigmas = _batch(rng)
    counted = _Counted()
    got = np.asarray(asked(answer, counted, (weight, bias), jnp.asarray(sigmas)))
    want = np.log(np.cosh(sigmas @ np.asarray(weight).T + np.asarray(bias)[None])).sum(axis=1)
    return got, want, counted


def one_each(answer: Any, rng: np.random.Generator) -> str | None:
    """one number for each configuration"""
    got, want, _ = _rows(answer, rng)
    return f"{len(want)} configurations give an array of shape {got.shape}" if got.shape != want.shape else None


def as_row_by_row(answer: Any, rng: np.random.Generator) -> str | None:
    """the numbers that one configuration after the other gives"""
    got, want, _ = _rows(answer, rng)
    if differs(got, want):
        k = int(np.argmax(np.abs(got - want)))
        return f"configuration {k}: yours {got[k]:.6f}, alone {want[k]:.6f}"
    return None


def called_once(answer: Any, rng: np.random.Generator) -> str | None:
    """log_psi is called once for all configurations"""
    _, want, counted = _rows(answer, rng)
    calls = len(counted.calls)
    return f"{len(want)} configurations, log_psi was called {calls} times" if calls != 1 else None


# --- 00.3 keys


def _layers(answer: Any, key: Any, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The reader's arrays."""
    got = asked(answer, key, shapes)
    if len(got) != len(shapes):
        raise ValueError(f"{len(shapes)} shapes need {len(shapes)} arrays, got {len(got)}")
    return [np.asarray(array) for array in got]


def _random_shapes(rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Three layers: two of the same shape, one larger."""
    a, b = (int(n) for n in rng.choice(_SIZES))
    return [(a, b), (a, b), (a + 1, b + 2)]


def shapes_fit(answer: Any, rng: np.random.Generator) -> str | None:
    """one array of each shape, in that order"""
    for shapes in (_random_shapes(rng), [(int(rng.choice([4, 7])),), (3, 2, 2)]):
        got = [array.shape for array in _layers(answer, _key(rng), shapes)]
        if got != shapes:
            return f"asked for {shapes}, got {got}"
    return None


def repeatable(answer: Any, rng: np.random.Generator) -> str | None:
    """the same key gives the same numbers, another key gives others"""
    key, shapes = _key(rng), _random_shapes(rng)
    one, two, other = (_layers(answer, k, shapes) for k in (key, key, _key(rng)))
    for k in range(len(shapes)):
        if not np.array_equal(one[k], two[k]):
            return f"array {k}: the same key gave {one[k].flat[0]:.6f} and then {two[k].flat[0]:.6f}"
        if np.any(one[k] == other[k]):
            return f"array {k}: two different keys gave the same number {one[k].flat[0]:.6f}"
    return None


def standard_normal(answer: Any, rng: np.random.Generator) -> str | None:
    """normal numbers with mean 0 and variance 1"""
    for array in _layers(answer, _key(rng), [(60, 100), (60, 100)]):
        mean, deviation, beyond = array.mean(), array.std(), np.mean(np.abs(array) > 2)
        if abs(mean) > 0.09 or abs(deviation - 1) > 0.07 or not 0.03 < beyond < 0.065:
            return (
                f"6000 numbers: mean {mean:.3f}, deviation {deviation:.3f}, {100 * beyond:.1f} % beyond 2 (normal: 4.6)"
            )
    return None


def no_twins(answer: Any, rng: np.random.Generator) -> str | None:
    """no number appears in two layers, not even in layers of different shape"""
    layers = _layers(answer, _key(rng), _random_shapes(rng))
    for a in range(len(layers)):
        for b in range(a):
            common = np.intersect1d(layers[a], layers[b])
            if len(common):
                return f"arrays {b} and {a} have {len(common)} numbers in common, for example {common[0]:.6f}"
    return None


def parent_unused(answer: Any, rng: np.random.Generator) -> str | None:
    """the key that was handed in draws none of the numbers itself"""
    key, shapes = _key(rng), _random_shapes(rng)
    for k, (array, shape) in enumerate(zip(_layers(answer, key, shapes), shapes, strict=True)):
        if np.any(np.isin(array, np.asarray(jax.random.normal(key, shape)))):
            return f"array {k} is what jax.random.normal(key, {shape}) gives with the key that you split"
    return None


# --- 00.4 pytrees


def _counts(answer: Any, tree: Any) -> int:
    """The reader's count as a whole number."""
    got = asked(answer, tree)
    if int(got) != got:
        raise ValueError(f"a count should be a whole number, got {got}")
    return int(got)


def _floats(rng: np.random.Generator, *shape: int) -> Any:
    """A random float array."""
    return jnp.asarray(rng.normal(size=shape))


class _Part(eqx.Module):
    """A module with a weight, a scale of shape (), a table of whole numbers and a setting."""

    weight: jax.Array
    scale: jax.Array
    table: jax.Array
    rate: float
    name: str = eqx.field(static=True)


def _part(rng: np.random.Generator) -> tuple[_Part, int]:
    """A random one and its true count."""
    a, b = (int(n) for n in rng.integers(2, 6, 2))
    part = _Part(_floats(rng, a, b), _floats(rng), jnp.arange(int(rng.integers(3, 9))), 0.1, "part")
    return part, a * b + 1


def entries(answer: Any, rng: np.random.Generator) -> str | None:
    """a dictionary of float arrays: their entries"""
    a, b, c = (int(n) for n in rng.integers(2, 7, 3))
    got = _counts(answer, {"weight": _floats(rng, a, b), "bias": _floats(rng, c)})
    return f"a weight {a} x {b} and a bias of {c}: yours {got}, not {a * b + c}" if got != a * b + c else None


def nested(answer: Any, rng: np.random.Generator) -> str | None:
    """lists in tuples in dictionaries, and single numbers of shape ()"""
    a, b = (int(n) for n in rng.integers(2, 7, 2))
    tree = {"layers": [(_floats(rng, a, b), _floats(rng, b)), (_floats(rng, b, 1), _floats(rng))], "shift": None}
    got, want = _counts(answer, tree), a * b + b + b + 1
    return f"layers {a} x {b} and {b} x 1 with biases: yours {got}, not {want}" if got != want else None


def no_tables(answer: Any, rng: np.random.Generator) -> str | None:
    """tables of whole numbers, Python numbers and static settings are no parameters"""
    (part, one), (other, two) = _part(rng), _part(rng)
    got, want = _counts(answer, (part, {"more": other, "mask": jnp.ones(4, bool)})), one + two
    return f"two modules with {want} float entries, each with a table: yours {got}" if got != want else None


def as_the_library(answer: Any, rng: np.random.Generator) -> str | None:
    """what nqs_lab.count_parameters says of a Jastrow state and of an RBM, with a sign rule in front"""
    lattice = square(4)
    for model in (Jastrow(lattice, key=_key(rng)), RBM(lattice, alpha=int(rng.integers(1, 4)), key=_key(rng))):
        signed = MarshallSign(model, lattice)
        got, want = _counts(answer, signed), count_parameters(signed)
        if got != want:
            return f"{type(model).__name__}: yours {got}, the library's {want}"
    return None


# --- 00.6 descent


def _bowl(rng: np.random.Generator) -> tuple[Callable, Callable, np.ndarray, list[int]]:
    """An energy, its gradient in NumPy, a start, and a list that grows with each call of the energy."""
    count = int(rng.integers(2, 5))
    q = np.linalg.qr(rng.normal(size=(count, count)))[0]
    matrix, best = q @ np.diag(rng.uniform(0.5, 1.5, count)) @ q.T, rng.normal(size=count)
    jax_matrix, jax_best, calls = jnp.asarray(matrix), jnp.asarray(best), []

    def energy(theta):
        calls.append(1)
        d = theta - jax_best
        return 0.5 * d @ jax_matrix @ d + jnp.sum(jnp.cos(d))

    return energy, lambda theta: matrix @ (theta - best) - np.sin(theta - best), best + rng.normal(size=count), calls


def _path(answer: Any, rng: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The reader's path, its start, the moves that it should have made, and the calls of the energy."""
    energy, gradient, start, calls = _bowl(rng)
    rate = float(rng.uniform(0.02, 0.2))
    path = np.asarray(asked(answer, energy, jnp.asarray(start), rate, steps))
    if path.shape != (steps + 1, len(start)):
        raise ValueError(f"{steps} steps from a start of shape {start.shape}: expected {(steps + 1, len(start))}, "
                         f"got {path.shape}")  # fmt: skip
    return path, start, np.array([-rate * gradient(theta) for theta in path[:-1]]), len(calls)


def starts_there(answer: Any, rng: np.random.Generator) -> str | None:
    """n_steps + 1 points, the first one is the start"""
    path, start, _, _ = _path(answer, rng, int(rng.integers(1, 6)))
    return f"the start is {start[0]:.5f}..., your first point {path[0, 0]:.5f}..." if differs(path[0], start) else None


def every_step(answer: Any, rng: np.random.Generator) -> str | None:
    """each step is -rate times the gradient at the point where it begins"""
    path, _, moves, _ = _path(answer, rng, 6)
    wrong = np.flatnonzero(np.abs(np.diff(path, axis=0) - moves).max(axis=1) > 1e-9)
    if len(wrong):
        k = int(wrong[0])
        seen, want = path[k + 1] - path[k], moves[k]
        ratio = float(seen @ want / (want @ want))
        return f"step {k + 1} moves the first parameter by {seen[0]:.5f}, not {want[0]:.5f} (overlap {ratio:.3g})"
    return None


def traced_once(answer: Any, rng: np.random.Generator) -> str | None:
    """the energy is traced once, however many steps there are"""
    calls = _path(answer, rng, 15)[3]
    return f"15 steps, and your energy function ran {calls} times in Python" if calls > MOST_TRACES else None
