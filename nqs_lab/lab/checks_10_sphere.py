"""The checks of notebook 10 that play on the sphere: projected attention (10.5) and clusters (10.6)."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_lab import flows
from nqs_lab.lab.checks import asked, differs


def _unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """n random points of the sphere."""
    x = rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# --- 10.5


def _moved(answer: Any, x: np.ndarray, beta: float) -> np.ndarray:
    """The reader's velocities."""
    found = np.asarray(asked(answer, x.copy(), beta), dtype=float)
    if found.shape != x.shape:
        raise ValueError(f"expected one velocity for each token, shape {x.shape}, got {found.shape}")
    return found


def stays_on_the_sphere(answer: Any, rng: np.random.Generator) -> str | None:
    """no velocity has a part along its token"""
    x, beta = _unit(rng, int(rng.integers(3, 9)), int(rng.integers(2, 5))), float(rng.uniform(0.5, 6))
    along = np.abs(np.sum(_moved(answer, x, beta) * x, axis=1)).max()
    return f"beta = {beta:.2f}: x . x' is up to {along:.2g}" if not along < 1e-9 else None


def a_lonely_token(answer: Any, rng: np.random.Generator) -> str | None:
    """one token stands still, and so do any number of tokens at one point or at two opposite points"""
    x = _unit(rng, 1, 3)
    for cloud in (x, np.repeat(x, 4, axis=0), np.concatenate([x, x, -x])):
        speed = np.abs(_moved(answer, cloud, 2.0)).max()
        if not speed < 1e-9:
            return f"{len(cloud)} tokens on one line: a speed of {speed:.3g}"
    return None


def two_tokens_meet(answer: Any, rng: np.random.Generator) -> str | None:
    """two tokens at the angle phi approach each other, each at the speed sin(phi) / (1 + exp(beta (1 - cos(phi))))"""
    phi, beta, turn = float(rng.uniform(0.3, 2.8)), float(rng.uniform(0.5, 4)), float(rng.uniform(0, 6))
    angles = turn + np.array([0.0, phi])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    forward = np.stack([-np.sin(angles), np.cos(angles)], axis=1) * np.array([[1.0], [-1.0]])
    seen = np.sum(_moved(answer, x, beta) * forward, axis=1)
    want = np.sin(phi) / (1 + np.exp(beta * (1 - np.cos(phi))))
    if differs(seen, np.full(2, want)):
        return f"phi = {phi:.3f}, beta = {beta:.3f}: speeds {seen.round(5).tolist()}, expected {want:.5f}"
    return None


@eqx.filter_jit
def _library(x: Float[Array, "n d"], beta: Float[Array, ""]) -> Float[Array, "n d"]:
    """Attention on the sphere as the library has it."""
    one = jnp.eye(x.shape[1], dtype=x.dtype)
    beta = beta.astype(x.dtype)  # without setup() arrays are in single precision
    metric = flows.Sphere(flows.SoftmaxMetric(beta * one, one / beta))
    return flows.GradientFlow(flows.Interaction(beta * one), metric).velocity(x, x)


def lifted_from_the_library(answer: Any, rng: np.random.Generator) -> str | None:
    """many tokens in any dimension: the velocities of nqs_lab.flows with A = beta and B = 1 / beta"""
    n, d = ((5, 4), (8, 2))[int(rng.integers(2))]
    x, beta = _unit(rng, n, d), float(rng.uniform(0.5, 6))
    want, seen = np.asarray(_library(jnp.asarray(x), jnp.asarray(beta))), _moved(answer, x, beta)
    if differs(seen, want, 1e-6):
        return f"{n} tokens in {d} dimensions, beta = {beta:.2f}: off by up to {np.abs(seen - want).max():.3g}"
    return None


# --- 10.6


def _count(answer: Any, x: np.ndarray, angle: float) -> int:
    """The reader's number."""
    value = np.asarray(asked(answer, x.copy(), angle))
    if value.shape != () or value != int(value):
        raise ValueError(f"expected a whole number, got {value}")
    return int(value)


def _circle(angles: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray:
    """Points at these angles of a random great circle in d dimensions."""
    frame = np.linalg.qr(rng.normal(size=(d, 2)))[0]
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) @ frame.T


def well_apart(answer: Any, rng: np.random.Generator) -> str | None:
    """tight groups far from each other are counted, in two to four dimensions, and opposite points are two"""
    for d in (2, 3, 4):
        k = int(rng.integers(2, 6))
        centres = 2 * np.pi * (np.arange(k) + float(rng.uniform(0, 1))) / k
        angles = np.repeat(centres, 4) + rng.uniform(-0.02, 0.02, 4 * k)
        value = _count(answer, _circle(angles, d, rng), 0.2)
        if value != k:
            return f"{k} groups of 4 in {d} dimensions: you count {value}"
    return None


def chains_of_tokens(answer: Any, rng: np.random.Generator) -> str | None:
    """a chain of tokens, each close to the next, is one cluster however long it is, also all round the circle"""
    for d in (2, 3):
        start = float(rng.uniform(0, 6))
        arc = start + 0.15 * np.arange(int(rng.integers(12, 20)))
        if (value := _count(answer, _circle(arc, d, rng), 0.2)) != 1:
            return f"a chain over {arc[-1] - arc[0]:.2f} radians, steps of 0.15, angle 0.2: you count {value}"
    ring = np.array([-0.16, -0.08, 0.0, 0.08, 0.16, np.pi - 0.08, np.pi, np.pi + 0.08])
    points = np.stack([np.cos(ring), np.sin(ring)], axis=1)
    if (value := _count(answer, points, 0.1)) != 2:
        return f"one group about angle 0 and one about angle pi: you count {value}"
    return None


def in_any_order(answer: Any, rng: np.random.Generator) -> str | None:
    """several chains, shuffled: always the same number"""
    k, d = int(rng.integers(2, 4)), int(rng.integers(2, 5))
    arcs = [2 * np.pi * j / k + 0.1 * np.arange(12) for j in range(k)]
    x = _circle(np.concatenate(arcs), d, rng)
    for _ in range(6):
        if (value := _count(answer, x[rng.permutation(len(x))], 0.15)) != k:
            return f"{k} chains of 12 tokens, shuffled: you count {value}"
    return None
