"""The checks of notebook 08, Are queries and keys relevant?

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_08_layers import (
    added_by_content,
    constant_values,
    every_size,
    heads_do_not_matter,
    mean_of_softmax,
    nothing_moves,
    program_agrees,
    silent_configuration,
)

# --- 08.1 the ratio R


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Rows that sum to one."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Softmax maps (S, n, n) of some configurations, and probabilities that are far from equal."""
    count, n = int(rng.integers(4, 7)), int(rng.integers(3, 6))
    probability = rng.exponential(size=count) ** 2 + 0.02
    return _softmax(rng.normal(size=(count, n, n))), probability / probability.sum()


def _ratio(answer: Any, maps: np.ndarray, probability: np.ndarray) -> float:
    """The reader's R, a single number."""
    value = np.asarray(asked(answer, maps.copy(), probability.copy()), dtype=float)
    if value.shape != ():
        raise ValueError(f"R should be one number, got an array of shape {value.shape}")
    return float(value)


def _no_input(answer: Any, rng: np.random.Generator) -> str | None:
    """maps that are the same in every configuration have R = 0, however uneven their rows are"""
    maps, probability = _maps(rng)
    same = np.broadcast_to(maps[0], maps.shape)
    value = _ratio(answer, same, probability)
    return f"{len(maps)} equal maps: R = {value:.4g}" if differs(value, 0.0, 1e-6) else None


def _two_maps(answer: Any, rng: np.random.Generator) -> str | None:
    """two equally probable maps A + B and A - B have R = ||B|| / ||A - 1/n||, whatever n is"""
    for n in (3, 8):
        a, b = _softmax(rng.normal(size=(n, n))), 0.01 * rng.normal(size=(n, n))
        b -= b.mean(axis=-1, keepdims=True)
        value = _ratio(answer, np.stack([a + b, a - b]), np.array([0.5, 0.5]))
        want = float(np.linalg.norm(b) / np.linalg.norm(a - 1 / n))
        if differs(value, want, 1e-6):
            return f"n = {n}: R = {value:.6f}, expected {want:.6f}"
    return None


def _split(answer: Any, rng: np.random.Generator) -> str | None:
    """a configuration listed twice, each time with half its probability, changes nothing"""
    maps, probability = _maps(rng)
    whole = _ratio(answer, maps, probability)
    halves = np.concatenate([probability[:1] / 2, probability[:1] / 2, probability[1:]])
    split = _ratio(answer, np.concatenate([maps[:1], maps]), halves)
    return f"R = {whole:.6f} becomes {split:.6f}" if differs(split, whole, 1e-6) else None


def _improbable(answer: Any, rng: np.random.Generator) -> str | None:
    """configurations with probability zero do not count, however wild their maps are"""
    maps, probability = _maps(rng)
    whole = _ratio(answer, maps, probability)
    wild = _softmax(5 * rng.normal(size=maps.shape))
    value = _ratio(answer, np.concatenate([maps, wild]), np.concatenate([probability, np.zeros(len(maps))]))
    return f"R = {whole:.6f} becomes {value:.6f}" if differs(value, whole, 1e-6) else None


# --- 08.2 the paired interval


def _interval(answer: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The reader's two ends."""
    value = np.asarray(asked(answer, first.copy(), second.copy()), dtype=float)
    if value.shape != (2,):
        raise ValueError(f"expected the two ends (low, high), got shape {value.shape}")
    return value


def _seeds(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two contenders on common seeds: the seed moves both by much more than they differ."""
    common = rng.normal(-4, 1, size=count)
    return common + rng.normal(0.1, 0.2, size=count), common


def _common(answer: Any, rng: np.random.Generator) -> str | None:
    """a good or bad seed moves both contenders alike, and the interval of their difference stays"""
    first, second = _seeds(rng, 5)
    luck = 3 * rng.normal(size=5)
    before, after = _interval(answer, first, second), _interval(answer, first + luck, second + luck)
    if differs(after, before, 1e-6):
        return f"before [{before[0]:.3f}, {before[1]:.3f}], after [{after[0]:.3f}, {after[1]:.3f}]"
    return None


def _centre(answer: Any, rng: np.random.Generator) -> str | None:
    """the middle of the interval is the mean of first - second, and exchanging the two mirrors it"""
    first, second = _seeds(rng, int(rng.integers(4, 9)))
    low, high = _interval(answer, first, second)
    want = float(np.mean(first - second))
    if differs((low + high) / 2, want, 1e-6) or not low < high:
        return f"[{low:.4f}, {high:.4f}] has its middle at {(low + high) / 2:.4f}; the mean difference is {want:.4f}"
    back = _interval(answer, second, first)
    return None if not differs(back, [-high, -low], 1e-6) else f"exchanged: [{back[0]:.4f}, {back[1]:.4f}]"


def _two_seeds(answer: Any, rng: np.random.Generator) -> str | None:
    """with two seeds, d apart in their differences, the half-width is 6.353 d (this is why two seeds prove little)"""
    distance = float(rng.uniform(0.2, 2))
    low, high = _interval(answer, np.array([0.0, distance]), np.zeros(2))
    want = 12.7062047 / 2 * distance
    if differs((high - low) / 2, want, 1e-5):
        return f"d = {distance:.3f}: your half-width {(high - low) / 2:.4f}, expected {want:.4f}"
    return None


def _coverage(answer: Any, rng: np.random.Generator) -> str | None:
    """it contains the true difference in about 95 of 100 experiments with 3, 5 and 12 seeds"""
    for count in (3, 5, 12):
        inside = 0
        for _ in range(400):
            first, second = _seeds(rng, count)
            low, high = _interval(answer, first, second)
            inside += int(low <= 0.1 <= high)
        if not 0.88 <= inside / 400 <= 0.995:
            return f"{count} seeds: the truth is inside in {100 * inside / 400:.0f} of 100 experiments"
    return None


# --- 08.5 relative rows


def _torus(rng: np.random.Generator) -> tuple[int, int]:
    """A torus of patches that is not square."""
    nx, ny = int(rng.integers(2, 5)), int(rng.integers(5, 7))
    return (nx, ny) if rng.random() < 0.5 else (ny, nx)


def _rows(answer: Any, maps: np.ndarray, nx: int, ny: int) -> np.ndarray:
    """The reader's row, one number for each displacement."""
    value = np.asarray(asked(answer, maps.copy(), nx, ny), dtype=float)
    if value.shape != (nx * ny,):
        raise ValueError(f"{nx} x {ny} patches need one number for each of {nx * ny} displacements, got {value.shape}")
    return value


def _softmax_rows(answer: Any, rng: np.random.Generator) -> str | None:
    """the numbers of a softmax map sum to one: the average is over receivers, not a sum"""
    nx, ny = _torus(rng)
    row = _rows(answer, _softmax(rng.normal(size=(nx * ny, nx * ny))), nx, ny)
    return f"{nx} x {ny} patches: they sum to {row.sum():.4f}" if differs(row.sum(), 1.0, 1e-9) else None


def _one_pair(answer: Any, rng: np.random.Generator) -> str | None:
    """a map with a single weight of n, receiver i and sender j, has a single 1, at the step from i to j on the torus"""
    nx, ny = _torus(rng)
    n = nx * ny
    for i, j in rng.integers(n, size=(40, 2)).tolist():  # some of them across the edge
        maps = np.zeros((n, n))
        maps[i, j] = n
        row = _rows(answer, maps, nx, ny)
        dx, dy = (j % nx - i % nx) % nx, (j // nx - i // nx) % ny
        want = np.zeros(n)
        want[dx + nx * dy] = 1
        if differs(row, want):
            at = np.flatnonzero(np.abs(row) > 1e-9).tolist()
            pair = f"receiver ({i % nx}, {i // nx}), sender ({j % nx}, {j // nx})"
            return (
                f"{nx} x {ny} patches, {pair}: the step is ({dx}, {dy}), number {dx + nx * dy}; yours has "
                f"{np.round(row[at], 4).tolist()} at {at}"
            )
    return None


def _moves_along(answer: Any, rng: np.random.Generator) -> str | None:
    """shifting the whole lattice, receivers and senders together, changes nothing"""
    nx, ny = _torus(rng)
    n = nx * ny
    maps, x, y = rng.normal(size=(n, n)), np.arange(n) % nx, np.arange(n) // nx
    moved = (x + 1) % nx + nx * ((y + 2) % ny)
    before, after = _rows(answer, maps, nx, ny), _rows(answer, maps[np.ix_(moved, moved)], nx, ny)
    worst = float(np.abs(before - after).max())
    return f"{nx} x {ny} patches: the row changes by up to {worst:.3g}" if differs(before, after) else None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "08.1": Exercise(
            "The ratio R",
            (
                Property(_no_input, "the deviation is over configurations, axis 0, not over the row"),
                Property(
                    _two_maps, "Frobenius norms of the deviation and of mean - 1/n: squares summed, no 1/n, no ddof"
                ),
                Property(
                    _split, "mean and mean square with the probabilities as weights: nothing is counted by number"
                ),
                Property(_improbable, "sum_s p(s) alpha(s), then sum_s p(s) alpha(s)^2 minus its square"),
            ),
        ),
        "08.2": Exercise(
            "A paired interval",
            (
                Property(_common, "subtract seed by seed first; then there is only one sample"),
                Property(_centre, "mean of the differences plus and minus one half-width"),
                Property(
                    _two_seeds, "K - 1 in the deviation, the root of K under it, t(0.975) for K - 1 degrees of freedom"
                ),
                Property(_coverage, "Student's t, not 1.96: with few seeds the deviation itself is uncertain"),
            ),
        ),
        "08.3": Exercise(
            "Freezing a layer of T5",
            (
                Property(
                    constant_values, "softmax over senders j; then rows of the mean map sum to one, and i receives"
                ),
                Property(nothing_moves, "if the logits are the same everywhere, frozen and live layer are one"),
                Property(silent_configuration, "the mean over configurations has the weights |psi|^2"),
                Property(mean_of_softmax, "first the softmax in every configuration, then the mean: not the other way"),
            ),
        ),
        "08.4": Exercise(
            "Operations of a layer",
            (
                Property(heads_do_not_matter, "h heads of width d/h: the h cancels in every product"),
                Property(added_by_content, "Q, K: two more (n,d)x(d,d) products; q.k: an (n,d)x(d,n) product"),
                Property(every_size, "(a,b)x(b,c) takes 2abc: a multiplication and an addition for each term"),
                Property(
                    program_agrees, "four products without content: V, mixing, W ... which is the one you left out?"
                ),
            ),
        ),
        "08.5": Exercise(
            "Rows by displacement",
            (
                Property(_softmax_rows, "divide by the number of receivers, n"),
                Property(_one_pair, "from receiver to sender: j - i; and x and y wrap separately"),
                Property(_moves_along, "the step between two patches does not change when both move"),
            ),
        ),
    }
)
