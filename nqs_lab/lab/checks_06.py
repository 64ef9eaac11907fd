"""The checks of notebook 06, Attention from scratch.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_06_counting import (
    library_total,
    listed,
    no_class,
    no_table,
    single_sites,
    without_content,
)

# --- 06.1 softmax


def _rows_sum(answer: Any, rng: np.random.Generator) -> str | None:
    """weights are positive, and each row (the last axis) sums to one"""
    for shape in ((int(rng.integers(3, 9)),), (int(rng.integers(2, 4)), 5, 7)):
        weights = np.asarray(asked(answer, rng.normal(size=shape)))
        if weights.shape != shape:
            return f"logits of shape {shape} give weights of shape {weights.shape}"
        if not weights.min() > 0:
            return f"the smallest weight is {weights.min():.3g}"
        sums = np.atleast_1d(weights.sum(axis=-1)).ravel()
        if differs(sums, np.ones_like(sums)):
            return f"logits of shape {shape}: the first rows sum to {np.round(sums[:3], 4).tolist()}"
    return None


def _ratios(answer: Any, rng: np.random.Generator) -> str | None:
    """a logit that is larger by t gets exp(t) times the weight"""
    logits = rng.normal(size=(4, 6))
    weights = np.asarray(asked(answer, logits.copy()))
    got, want = weights[:, 1] / weights[:, 0], np.exp(logits[:, 1] - logits[:, 0])
    if differs(got, want):
        return f"two logits differ by {logits[0, 1] - logits[0, 0]:.3f}: your ratio {got[0]:.4f}, exp {want[0]:.4f}"
    return None


def _survives(answer: Any, rng: np.random.Generator) -> str | None:
    """rows around +1000 and around -1000, in one array, give the same weights as around 0"""
    logits = rng.normal(size=(3, 5))
    far = logits + np.array([[1000.0], [0.0], [-1000.0]])
    with np.errstate(all="ignore"):
        weights = np.asarray(asked(answer, far))
    want = np.asarray(asked(answer, logits.copy()))
    for row, name in ((0, "+1000"), (2, "-1000")):
        if differs(weights[row], want[row], 1e-6):
            got, right = np.round(weights[row], 4).tolist(), np.round(want[row], 4).tolist()
            return f"the row around {name}: {got}, expected {right}"
    return None


# --- 06.2 displacements on a torus


def _torus(answer: Any, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """The reader's table for a random torus that is not square."""
    nx, ny = int(rng.integers(3, 6)), int(rng.integers(6, 8))
    nx, ny = (nx, ny) if rng.random() < 0.5 else (ny, nx)
    table = np.asarray(asked(answer, nx, ny))
    if table.shape != (nx * ny, nx * ny):
        raise ValueError(f"for {nx} x {ny} patches the table should have shape {(nx * ny, nx * ny)}, got {table.shape}")
    return table, nx, ny


def _all_numbers(answer: Any, rng: np.random.Generator) -> str | None:
    """each row holds each whole number from 0 to n-1 once"""
    table, nx, ny = _torus(answer, rng)
    for i, row in enumerate(table):
        if sorted(row.tolist()) != list(range(nx * ny)):
            return f"{nx} x {ny} patches: row {i} starts {row[:6].tolist()}, smallest {row.min()}, largest {row.max()}"
    return None


def _no_step(answer: Any, rng: np.random.Generator) -> str | None:
    """from a patch to itself is displacement number 0"""
    table, nx, ny = _torus(answer, rng)
    spot = int(np.argmax(np.diag(table) != 0))
    return f"{nx} x {ny} patches: table[{spot}, {spot}] = {table[spot, spot]}" if table[spot, spot] != 0 else None


def _moves_along(answer: Any, rng: np.random.Generator) -> str | None:
    """moving both patches by the same step changes nothing, also across the edge"""
    table, nx, ny = _torus(answer, rng)
    x, y = np.arange(nx * ny) % nx, np.arange(nx * ny) // nx
    for dx, dy in ((1, 0), (0, 1)):
        moved = (x + dx) % nx + nx * ((y + dy) % ny)
        wrong = np.argwhere(table[np.ix_(moved, moved)] != table)
        if len(wrong):
            i, j = (int(k) for k in wrong[0])
            return (
                f"{nx} x {ny} patches: table[{i}, {j}] = {table[i, j]}, one step further along "
                f"{'x' if dx else 'y'} table[{moved[i]}, {moved[j]}] = {table[moved[i], moved[j]]}"
            )
    return None


def _from_j_to_i(answer: Any, rng: np.random.Generator) -> str | None:
    """table[i, j] is dx + nx * dy of the step from j to i"""
    table, nx, ny = _torus(answer, rng)
    x, y = np.arange(nx * ny) % nx, np.arange(nx * ny) // nx
    for j in rng.permutation(nx * ny)[:4].tolist():
        for i in range(nx * ny):
            dx, dy = int((x[i] - x[j]) % nx), int((y[i] - y[j]) % ny)
            if table[i, j] != dx + nx * dy:
                return (
                    f"{nx} x {ny} patches: from patch {j} at ({x[j]}, {y[j]}) to {i} at ({x[i]}, {y[i]}) it is "
                    f"(dx, dy) = ({dx}, {dy}), number {dx + nx * dy}; yours is {table[i, j]}"
                )
    return None


# --- 06.3 logits of queries and keys


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    """Random n tokens, h heads and r channels for each, all different."""
    return int(rng.integers(7, 9)), int(rng.integers(2, 4)), int(rng.integers(4, 7))


def _logits(answer: Any, q: np.ndarray, k: np.ndarray, heads: int) -> np.ndarray:
    """The reader's logits, of the right shape."""
    value = np.asarray(asked(answer, q.copy(), k.copy(), heads))
    if value.shape != (heads, len(q), len(q)):
        raise ValueError(f"{len(q)} tokens and {heads} heads need shape {(heads, len(q), len(q))}, got {value.shape}")
    return value


def _own_channels(answer: Any, rng: np.random.Generator) -> str | None:
    """head number mu sees the channels mu r .. (mu+1) r - 1 and no others"""
    n, h, r = _sizes(rng)
    for mu in range(h):
        q, k = np.zeros((2, n, h * r))
        q[:, mu * r : (mu + 1) * r], k[:, mu * r : (mu + 1) * r] = rng.normal(size=(2, n, r))
        loud = np.abs(_logits(answer, q, k, h)).max(axis=(1, 2)) > 1e-12
        if loud.tolist() != [head == mu for head in range(h)]:
            return (
                f"h = {h}, r = {r}: channels of head {mu} only, logits appear in heads {np.flatnonzero(loud).tolist()}"
            )
    return None


def _who_asks(answer: Any, rng: np.random.Generator) -> str | None:
    """row i belongs to the query of token i: changing one query changes one row, in proportion"""
    n, h, r = _sizes(rng)
    q, k = rng.normal(size=(2, n, h * r))
    i, louder = int(rng.integers(n)), q.copy()
    louder[i] *= 3
    before, after = _logits(answer, q, k, h), _logits(answer, louder, k, h)
    want = before.copy()
    want[:, i] *= 3
    if differs(after, want):
        changed = np.unique(np.argwhere(np.abs(after - before) > 1e-12)[:, 1])
        return f"query {i} made 3 times larger: rows {changed.tolist()[:8]} changed; only row {i} should, by a factor 3"
    return None


def _unit_spread(answer: Any, rng: np.random.Generator) -> str | None:
    """for independent unit-normal queries and keys a logit has variance 1, whatever r and h"""
    for h, r in ((2, 9), (3, 36)):
        square = 0.0
        q, k = np.zeros((2, 4, h * r))
        for channel in range(h * r):  # each channel adds its own square
            q[:], k[:] = 0.0, 0.0
            q[0, channel] = k[1, channel] = 1.0
            square += float((_logits(answer, q, k, h)[:, 0, 1] ** 2).sum()) / h
        if differs(square, 1.0):
            return f"h = {h}, r = {r}: the variance of a logit is {square:.4g}"
    return None


# --- 06.4 a row of weights that copies


def _copied(answer: Any, nx: int, ny: int, dx: int, dy: int, rng: np.random.Generator) -> str | None:
    """Mix random tokens with the reader's row and compare with the tokens dx, dy further."""
    n = nx * ny
    row = np.asarray(asked(answer, nx, ny, dx, dy), dtype=float)
    if row.shape != (n,):
        return f"for {nx} x {ny} patches the row should have {n} numbers, got shape {row.shape}"
    x, y = np.arange(n) % nx, np.arange(n) // nx
    table = (x[:, None] - x[None]) % nx + nx * ((y[:, None] - y[None]) % ny)
    tokens = rng.normal(size=n)
    got, want = row[table] @ tokens, tokens[(x + dx) % nx + nx * ((y + dy) % ny)]
    if not differs(got, want):
        return None
    copy = [m for m in range(n) if abs(got[0] - tokens[m]) < 1e-9]
    seen = f"token {copy[0]}, at ({x[copy[0]]}, {y[copy[0]]})" if copy else f"{got[0]:.4f}, which is no token's"
    return f"{nx} x {ny} patches, (dx, dy) = ({dx}, {dy}): patch 0 at (0, 0) receives {seen}"


def _keeps(answer: Any, rng: np.random.Generator) -> str | None:
    """dx = dy = 0: every patch keeps its own token"""
    return _copied(answer, int(rng.integers(3, 6)), int(rng.integers(6, 8)), 0, 0, rng)


def _neighbours(answer: Any, rng: np.random.Generator) -> str | None:
    """each patch receives the token of the patch dx to the right and dy above it"""
    for dx, dy in ((1, 0), (0, 1), (2, 1)):
        if (seen := _copied(answer, int(rng.integers(5, 7)), int(rng.integers(7, 9)), dx, dy, rng)) is not None:
            return seen
    return None


def _wraps(answer: Any, rng: np.random.Generator) -> str | None:
    """negative steps, and steps longer than the torus"""
    nx, ny = int(rng.integers(3, 5)), int(rng.integers(5, 7))
    for dx, dy in ((-1, 0), (0, -1), (-1, 1), (nx + 1, 0), (1, -ny - 2)):
        if (seen := _copied(answer, nx, ny, dx, dy, rng)) is not None:
            return seen
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "06.1": Exercise(
            "A softmax that survives",
            (
                Property(_rows_sum, "exponentials are positive; over which axis do you sum, and is its place kept?"),
                Property(_ratios, "the weight is exp(logit) over a sum that is the same for the whole row"),
                Property(_survives, "a number added to a WHOLE ROW cancels: which one makes the largest exponent 0?"),
            ),
        ),
        "06.2": Exercise(
            "Displacements on a torus",
            (
                Property(_all_numbers, "wrap dx into 0 .. nx-1 and dy into 0 .. ny-1, then make ONE number of the two"),
                Property(_no_step, "the number is that of a difference; what is the difference of i and i?"),
                Property(_moves_along, "x and y wrap separately: i - j modulo n is right on a ring only"),
                Property(_from_j_to_i, "receiver minus sender: x_i - x_j; and x runs fastest: dx + nx * dy"),
            ),
        ),
        "06.3": Exercise(
            "Logits of all heads at once",
            (
                Property(_own_channels, "reshape (n, d) to (n, h, r), in this order, before anything is summed"),
                Property(_who_asks, "in 'hij', i is the receiver (query) and j the sender (key); no softmax yet"),
                Property(_unit_spread, "a sum of r products of unit normals has variance r; h does not come in"),
            ),
        ),
        "06.4": Exercise(
            "A head that copies",
            (
                Property(_keeps, "which number has the displacement from a patch to itself? Put all the weight there"),
                Property(_neighbours, "the row is indexed by the step from SENDER to RECEIVER: the way back"),
                Property(_wraps, "take the remainder by nx and by ny, each for itself, after the sign"),
            ),
        ),
        "06.5": Exercise(
            "Count the library's own network",
            (
                Property(without_content, "each of the two maps has d^2 weights and d biases"),
                Property(no_table, "which of the five kinds use p_{i-j}? One row of n numbers per head and block"),
                Property(library_total, "the small-init head has one LayerNorm; the rest is as in the lesson"),
            ),
        ),
        "06.6": Exercise(
            "What content alone can tell apart",
            (
                Property(single_sites, "with Sz = 0 there is one way to say how many patches are up"),
                Property(no_class, "half of n * b must be a whole number"),
                Property(listed, "a bag: order does not count, repetition is allowed, C(b, u) kinds have u spins up"),
            ),
        ),
    }
)
