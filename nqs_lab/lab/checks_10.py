"""The checks of notebook 10, What would attention minimise?

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_10_sphere import (
    a_lonely_token,
    chains_of_tokens,
    in_any_order,
    lifted_from_the_library,
    stays_on_the_sphere,
    two_tokens_meet,
    well_apart,
)


def random_symmetric(rng: np.random.Generator, d: int) -> np.ndarray:
    """A symmetric matrix of norm of order one, with eigenvalues of both signs."""
    m = rng.normal(size=(d, d)) / np.sqrt(d)
    return (m + m.T) / 2


def random_positive(rng: np.random.Generator, d: int) -> np.ndarray:
    """A symmetric positive definite matrix, far from the identity."""
    m = rng.normal(size=(d, d)) / np.sqrt(d)
    return m @ m.T + np.diag(rng.uniform(0.3, 2.0, d))


def interaction(x: np.ndarray, a: np.ndarray) -> float:
    """U(x) = -(1/2n) sum_ij exp(x_i . A x_j), token by token: slow, and written apart from the library."""
    return -sum(float(np.exp(p @ a @ q)) for p in x for q in x) / (2 * len(x))


def slope(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a function of a cloud by central differences."""
    out = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        out[place] = (f(up) - f(down)) / (2 * step)
    return out


def _array(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The reader's array, of the shape asked for."""
    found = np.asarray(value, dtype=float)
    if found.shape != shape:
        raise ValueError(f"expected an array of shape {shape}, got {found.shape}")
    return found


# --- 10.1 the force


def _force_of_one(answer: Any, rng: np.random.Generator) -> str | None:
    """a single token: U = -exp(x.Ax)/2, so the force is exp(x.Ax) A x"""
    d = int(rng.integers(2, 5))
    x, a = rng.uniform(-1, 1, (1, d)), random_symmetric(rng, d)
    force, want = _array(asked(answer, x.copy(), a.copy()), (1, d)), np.exp(x @ a @ x.T) * (x @ a)
    return (
        f"you have {force[0].round(4).tolist()}, expected {want[0].round(4).tolist()}" if differs(force, want) else None
    )


def _force_is_a_slope(answer: Any, rng: np.random.Generator) -> str | None:
    """for any cloud it is minus the slope of U, in every coordinate of every token"""
    for n, d in ((2, 3), (5, 2)):
        x, a = rng.uniform(-1, 1, (n, d)), random_symmetric(rng, d)
        force, want = _array(asked(answer, x.copy(), a.copy()), (n, d)), -slope(lambda y, a=a: interaction(y, a), x)
        if differs(force, want, 1e-6):
            worst = np.unravel_index(np.abs(force - want).argmax(), force.shape)
            return f"{n} tokens: token {worst[0]}, coordinate {worst[1]}: {force[worst]:.5f}, -dU/dx {want[worst]:.5f}"
    return None


# --- 10.2 how fast the energy falls


def _loss(answer: Any, rng: np.random.Generator, n: int, d: int) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """The reader's dU/dt for a random cloud, and the case."""
    x, a, b = rng.uniform(-1, 1, (n, d)), random_symmetric(rng, d), random_positive(rng, d)
    return float(_array(asked(answer, x.copy(), a.copy(), b.copy()), ())), x, a, b


def _never_rises(answer: Any, rng: np.random.Generator) -> str | None:
    """it is negative for every random cloud: attention cannot raise U"""
    for _ in range(8):
        value, x, _, _ = _loss(answer, rng, int(rng.integers(2, 7)), int(rng.integers(1, 4)))
        if not value < 0:
            return f"{len(x)} tokens of width {x.shape[1]}: dU/dt = {value:.4g}"
    return None


def _loss_is_what_is_lost(answer: Any, rng: np.random.Generator) -> str | None:
    """it is the change of U over a short step of attention with V = BA, divided by the step"""
    for n, d in ((1, 2), (3, 2), (6, 3)):
        value, x, a, b = _loss(answer, rng, n, d)
        m = np.exp(x @ a @ x.T)
        move = m @ x @ (b @ a).T / m.sum(axis=1, keepdims=True)
        step = 1e-5
        want = (interaction(x + step * move, a) - interaction(x - step * move, a)) / (2 * step)
        if differs(value, want, 1e-6):
            return f"{n} tokens: you have {value:.6f}, a step of attention gives {want:.6f}"
    return None


# --- 10.3 is it a gradient?


def _smooth(rng: np.random.Generator, n: int, d: int) -> Callable[[np.ndarray], np.ndarray]:
    """Minus the gradient of a random function of all tokens, which tie them together."""
    waves, shifts = rng.normal(size=(6, n, d)), rng.uniform(0, 6, 6)
    return lambda x: np.einsum("k,knd->nd", np.cos(np.einsum("knd,nd->k", waves, x) + shifts), waves)


def _judged(answer: Any, field: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> bool:
    """The reader's yes or no."""
    value = asked(answer, field, x.copy())
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"expected True or False, got a {type(value).__name__}")
    return bool(value)


def _accepts_gradients(answer: Any, rng: np.random.Generator) -> str | None:
    """it says True for the slopes of random functions, for very small and for very large ones"""
    for size in (1.0, 1e-3, 1e3):
        n, d = int(rng.integers(2, 5)), int(rng.integers(1, 4))
        field = _smooth(rng, n, d)
        if not _judged(answer, lambda x, f=field, s=size: s * f(x), rng.normal(size=(n, d))):
            return f"{n} tokens of width {d}, a gradient times {size:g}: you say it is none"
    return None


def _refuses_turning(answer: Any, rng: np.random.Generator) -> str | None:
    """it says False where every token turns about the origin, fast or slowly"""
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for rate in (1.0, 1e-3, 1e3):
        n = int(rng.integers(2, 5))
        if _judged(answer, lambda x, rate=rate: rate * (x @ turn), rng.normal(size=(n, 2))):
            return f"x' = {rate:g} (y, -x), {n} tokens: you say it is a gradient"
    return None


def _refuses_one_way_pulls(answer: Any, rng: np.random.Generator) -> str | None:
    """it says False where j pulls i otherwise than i pulls j, x_i' = sum_j c_ij x_j with c not symmetric"""
    n, d = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    c = rng.normal(size=(n, n))
    if _judged(answer, lambda x: c @ x, rng.normal(size=(n, d))):
        return f"{n} tokens of width {d}, c_01 = {c[0, 1]:.3f}, c_10 = {c[1, 0]:.3f}: you say it is a gradient"
    if not _judged(answer, lambda x: (c + c.T) @ x, rng.normal(size=(n, d))):
        return f"{n} tokens of width {d}, c symmetric: you say it is none"
    return None


def _refuses_attention(answer: Any, rng: np.random.Generator) -> str | None:
    """it says False for softmax attention with V = A, and True once that is multiplied by z_i"""
    for _ in range(3):
        n, d = int(rng.integers(3, 6)), int(rng.integers(2, 4))
        a, x = random_symmetric(rng, d), rng.normal(size=(n, d))
        push = lambda x, a=a: np.exp(x @ a @ x.T) @ x @ a / len(x)
        mean = lambda x, a=a: np.exp(x @ a @ x.T).mean(axis=1, keepdims=True)
        if _judged(answer, lambda x, push=push, mean=mean: push(x) / mean(x), x):
            return f"attention with V = A, {n} tokens: you say it is a gradient"
        if not _judged(answer, push, x):
            return f"z_i times attention, {n} tokens: you say it is none"
    return None


# --- 10.4 when linear attention blows up


def _end(answer: Any, x: np.ndarray, a: float, v: float) -> float:
    """The reader's time, infinity allowed."""
    value = float(_array(asked(answer, x.copy(), a, v), ()))
    if np.isnan(value):
        raise ValueError("the time is nan")
    return value


def _one_token_ends(answer: Any, rng: np.random.Generator) -> str | None:
    """a single token x' = x^3 (a = v = 1) is gone at 1/(2 x^2)"""
    x0 = float(rng.uniform(0.3, 2)) * (1 if rng.random() < 0.5 else -1)
    value, want = _end(answer, np.array([x0]), 1.0, 1.0), 1 / (2 * x0**2)
    return f"x = {x0:.3f}: you have {value:.4f}, expected {want:.4f}" if differs(value, want) else None


def _never_ends(answer: Any, rng: np.random.Generator) -> str | None:
    """where a v < 0 the tokens shrink: the time is infinity"""
    x, a = rng.normal(size=5), float(rng.uniform(0.3, 2))
    for pair in ((a, -1.3), (-a, 0.7)):
        value = _end(answer, x, *pair)
        if value != np.inf:
            return f"a = {pair[0]:.2f}, v = {pair[1]:.2f}: {value:.4f}"
    return None


def _until_the_end(answer: Any, rng: np.random.Generator) -> str | None:
    """many tokens, integrated in small steps: they are still there at 90 % of your time, and grown as they should"""
    for sign in (1, -1):
        x = rng.normal(size=int(rng.integers(3, 8)))
        a, v = sign * float(rng.uniform(0.4, 1.6)), sign * float(rng.uniform(0.4, 1.6))
        end, y = _end(answer, x, a, v), x.copy()
        if not 0 < end < np.inf:
            return f"a = {a:.2f}, v = {v:.2f}: you have {end}"
        h = 0.9 * end / 2000
        with np.errstate(all="ignore"):
            for _ in range(2000):  # the midpoint rule for x_i' = (1/n) sum_j (x_i a x_j) v x_j
                middle = y + h / 2 * a * v * np.mean(y**2) * y
                y = y + h * a * v * np.mean(middle**2) * middle
        grown = float(np.sqrt(np.mean(y**2) / np.mean(x**2)))
        if differs(grown, np.sqrt(10), 1e-3):
            return (
                f"at 90 % of your time {end:.4f} they have grown by {grown:.3f}, expected root of 10, {np.sqrt(10):.3f}"
            )
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "10.1": Exercise(
            "The force of the interaction",
            (
                Property(_force_of_one, "x stands in both slots of the exponent: two equal terms, and the 1/2 goes"),
                Property(_force_is_a_slope, "no softmax here: exp(x_i.Ax_j) itself, over n, and A x_j, not x_j"),
            ),
        ),
        "10.2": Exercise(
            "How fast the energy falls",
            (
                Property(_never_rises, "dU/dt = sum_i (dU/dx_i) . x_i', and the force is minus dU/dx"),
                Property(
                    _loss_is_what_is_lost, "x' = B force / z with z_i the mean of row i; so it is -force.B force / z"
                ),
            ),
        ),
        "10.3": Exercise(
            "Is it a gradient?",
            (
                Property(
                    _accepts_gradients, "compare the asymmetry of the Jacobian with its size; differences have errors"
                ),
                Property(_refuses_turning, "the Jacobian of a gradient is a matrix of second derivatives: symmetric"),
                Property(_refuses_one_way_pulls, "not only the d x d block of each token: all nd coordinates at once"),
                Property(_refuses_attention, "all nd coordinates at once: what token j does to the pull on i counts"),
            ),
        ),
        "10.4": Exercise(
            "Gone in finite time",
            (
                Property(_one_token_ends, "separate the variables: dx / x^3 = dt"),
                Property(_never_ends, "only the sign of a v decides"),
                Property(_until_the_end, "all tokens grow by the same factor: write an equation for s = mean of x^2"),
            ),
        ),
        "10.5": Exercise(
            "Attention on the sphere",
            (
                Property(stays_on_the_sphere, "take away the part along x_i: m_i - (m_i . x_i) x_i"),
                Property(a_lonely_token, "weights that sum to one, the token itself among the listeners"),
                Property(two_tokens_meet, "average first, project then; the softmax sees beta x_i . x_j"),
                Property(lifted_from_the_library, "the projection takes x_i, not x_j, and does not rescale the rest"),
            ),
        ),
        "10.6": Exercise(
            "Count the clusters",
            (
                Property(well_apart, "two tokens are linked if the angle between them is below `angle`"),
                Property(
                    chains_of_tokens,
                    "links are followed: friends of friends belong to one cluster, also across angle zero",
                ),
                Property(in_any_order, "the order of the tokens must not matter: merge groups when a token joins two"),
            ),
        ),
    }
)
