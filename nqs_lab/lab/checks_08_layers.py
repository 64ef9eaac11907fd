"""The layer exercises of notebook 08: freezing a T5 layer, and counting the operations of attention."""

from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from nqs_lab.attention import make_mixer
from nqs_lab.lab.checks import asked, differs

# --- 08.3 a frozen T5 layer


def _layer(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Content logits (S, n, n), position table (n, n), probabilities (S,) and values (S, n, r)."""
    count, n, r = int(rng.integers(3, 6)), int(rng.integers(4, 7)), int(rng.integers(2, 4))
    probability = rng.exponential(size=count) ** 2 + 0.02
    logits, position = 2 * rng.normal(size=(count, n, n)), rng.normal(size=(n, n))
    return logits, position, probability / probability.sum(), rng.normal(size=(count, n, r))


def _live(logits: np.ndarray, position: np.ndarray) -> np.ndarray:
    """T5's weights in every configuration, softmax over senders."""
    total = logits + position
    weights = np.exp(total - total.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _frozen(answer: Any, *layer: np.ndarray) -> np.ndarray:
    """The reader's output, (S, n, r)."""
    value = np.asarray(asked(answer, *(part.copy() for part in layer)), dtype=float)
    if value.shape != layer[3].shape:
        raise ValueError(f"the output should have the shape {layer[3].shape} of the values, got {value.shape}")
    return value


def nothing_moves(answer: Any, rng: np.random.Generator) -> str | None:
    """where the content is the same in all configurations, the frozen layer gives what the live one gives"""
    logits, position, probability, values = _layer(rng)
    same = np.broadcast_to(logits[0], logits.shape)
    got, want = _frozen(answer, same, position, probability, values), _live(same, position) @ values
    worst = float(np.abs(got - want).max())
    return f"largest difference from the live layer {worst:.3g}" if differs(got, want, 1e-7) else None


def constant_values(answer: Any, rng: np.random.Generator) -> str | None:
    """values that are the same for all tokens come out as they went in"""
    logits, position, probability, values = _layer(rng)
    same = np.broadcast_to(values[:, :1], values.shape)
    got = _frozen(answer, logits, position, probability, same)
    worst = float(np.abs(got - same).max())
    return f"they change by up to {worst:.3g}" if differs(got, same, 1e-7) else None


def silent_configuration(answer: Any, rng: np.random.Generator) -> str | None:
    """a configuration with probability zero has no influence on the output of the others"""
    logits, position, probability, values = _layer(rng)
    probability[0] = 0.0
    probability = probability / probability.sum()
    before = _frozen(answer, logits, position, probability, values)[1:]
    wild = logits.copy()
    wild[0] = 5 * rng.normal(size=wild[0].shape)
    after = _frozen(answer, wild, position, probability, values)[1:]
    worst = float(np.abs(before - after).max())
    return f"the others change by up to {worst:.3g}" if differs(after, before, 1e-7) else None


def mean_of_softmax(answer: Any, rng: np.random.Generator) -> str | None:
    """the frozen weights are the mean of the live weights, in every configuration the same"""
    logits, position, probability, values = _layer(rng)
    got = _frozen(answer, logits, position, probability, values)
    mean = np.zeros_like(position)
    for p, weights in zip(probability, _live(logits, position), strict=True):
        mean += p * weights
    want = np.stack([mean @ v for v in values])
    worst = float(np.abs(got - want).max())
    return f"largest difference from the mean weights applied to the values {worst:.3g}" if worst > 1e-7 else None


# --- 08.4 operations


def _count(answer: Any, n: int, d: int, heads: int, content: bool) -> int:
    """The reader's count."""
    return int(asked(answer, n, d, heads, content))


def heads_do_not_matter(answer: Any, rng: np.random.Generator) -> str | None:
    """one head or many, the count is the same"""
    n, d = int(rng.integers(3, 40)), 12 * int(rng.integers(1, 6))
    for content in (False, True):
        counts = [_count(answer, n, d, heads, content) for heads in (1, 3, 12)]
        if len(set(counts)) > 1:
            return f"n = {n}, d = {d}, content {content}: 1, 3 and 12 heads give {counts}"
    return None


def added_by_content(answer: Any, rng: np.random.Generator) -> str | None:
    """content adds two maps of all tokens and one product of queries with keys"""
    n, d = int(rng.integers(3, 40)), 4 * int(rng.integers(2, 16))
    got = _count(answer, n, d, 4, True) - _count(answer, n, d, 4, False)
    want = 2 * (2 * n * d * d) + 2 * n * d * n
    return f"n = {n}, d = {d}: {got:,} more with content, expected {want:,}" if got != want else None


def every_size(answer: Any, rng: np.random.Generator) -> str | None:
    """twice the width costs four times the maps and twice the mixing, without content"""
    n, d = int(rng.integers(3, 40)), 4 * int(rng.integers(2, 16))
    one, two = (_count(answer, n, width, 4, False) for width in (d, 2 * d))
    want = 8 * n * d * d  # the mixing is proportional to d and drops out
    got = two - 2 * one
    return f"n = {n}: count({2 * d}) - 2 count({d}) = {got:,}, expected {want:,}" if got != want else None


def program_agrees(answer: Any, rng: np.random.Generator) -> str | None:
    """equal to the matrix products in the program that JAX makes of the library's layers"""
    heads = int(rng.integers(2, 4))
    n, d = int(rng.integers(3, 8)), heads * int(rng.integers(2, 6))
    table = (np.arange(n)[:, None] - np.arange(n)) % n
    for kind in ("factored", "t5", "decoupled"):
        mixer = eqx.filter_eval_shape(lambda k=kind: make_mixer(k, d, heads, table, key=jax.random.key(0)))
        program, *_ = eqx.filter_make_jaxpr(lambda m, x: m(x))(mixer, jax.ShapeDtypeStruct((n, d), jnp.float32))
        want, got = _products(program), _count(answer, n, d, heads, kind != "factored")
        if got != want:
            return f"{kind}, n = {n}, d = {d}, {heads} heads: the program has {want:,}, you count {got:,}"
    return None


def _products(program: Any) -> int:
    """Two operations for each multiply-add of the matrix products of a traced program, inner programs included."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * prod(equation.outvars[0].aval.shape) * prod(left[axis] for axis in contracted)
        for inner in equation.params.values():
            total += _products(inner) if hasattr(inner, "eqns") else 0
    return total
