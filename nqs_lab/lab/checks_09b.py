"""The checks of notebook 09b, Long sentences.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_09b_copying import (
    bag_without_content,
    copies,
    keeps_off_itself,
    sums_to_one,
    where_does_not_count,
)

# --- 09b.1 displacements in an open sentence


def _table(answer: Any, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """The reader's table for a random sentence that is longer than the reach."""
    reach = int(rng.integers(2, 5))
    n = int(rng.integers(2 * reach + 3, 16))
    table = np.asarray(asked(answer, n, reach))
    if table.shape != (n, n):
        raise ValueError(f"a sentence of {n} words needs a table of shape {(n, n)}, got {table.shape}")
    return table, n, reach


def _in_range(answer: Any, rng: np.random.Generator) -> str | None:
    """the numbers used are the whole numbers 0 .. 2 reach, whatever the length"""
    table, n, reach = _table(answer, rng)
    found = np.unique(table)
    if found.tolist() != list(range(2 * reach + 1)):
        return f"n = {n}, reach = {reach}: the numbers run from {found[0]} to {found[-1]}, {len(found)} different ones"
    return None


def _moves_along(answer: Any, rng: np.random.Generator) -> str | None:
    """moving both words one place further changes nothing"""
    table, n, reach = _table(answer, rng)
    wrong = np.argwhere(table[1:, 1:] != table[:-1, :-1])
    if len(wrong):
        i, j = (int(k) for k in wrong[0])
        after = f"table[{i + 1}, {j + 1}] = {table[i + 1, j + 1]}"
        return f"n = {n}, reach = {reach}: table[{i}, {j}] = {table[i, j]}, {after}"
    return None


def _near_ones(answer: Any, rng: np.random.Generator) -> str | None:
    """inside the reach, table[i, j] is i - j + reach: from the sender j to the receiver i"""
    table, n, reach = _table(answer, rng)
    for i in range(n):
        for j in range(max(0, i - reach), min(n, i + reach + 1)):
            if table[i, j] != i - j + reach:
                return f"n = {n}, reach = {reach}: table[{i}, {j}] = {table[i, j]}, expected {i - j + reach}"
    return None


def _far_ones(answer: Any, rng: np.random.Generator) -> str | None:
    """all words farther than the reach share one number for each side; an open sentence has no way round"""
    table, n, reach = _table(answer, rng)
    for i, j, want in ((n - 1, 0, 2 * reach), (0, n - 1, 0), (reach + 1, 0, 2 * reach), (0, reach + 1, 0)):
        if table[i, j] != want:
            return f"n = {n}, reach = {reach}: table[{i}, {j}] = {table[i, j]}, expected {want}"
    return None


# --- 09b.2 the exact conditional of a hidden letter


def _chain(rng: np.random.Generator, q: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A random transition matrix that is not symmetric, and its stationary distribution."""
    q = int(rng.integers(3, 6)) if q is None else q
    t = rng.exponential(size=(q, q)) + 0.05
    t /= t.sum(axis=1, keepdims=True)
    system = np.vstack([t.T - np.eye(q), np.ones(q)])
    return t, np.linalg.lstsq(system, np.append(np.zeros(q), 1.0), rcond=None)[0]


def enumerated(t: np.ndarray, x: int, a: int, y: int, c: int) -> np.ndarray:
    """P(s | x stands a places before, y stands c places after), by summing over everything in between."""
    q = len(t)
    p = np.zeros(q)
    for code in range(q ** (a + c - 1)):
        between = [code // q**k % q for k in range(a + c - 1)]
        path = [x, *between, y]
        p[between[a - 1]] += np.prod([t[s, u] for s, u in zip(path, path[1:], strict=False)])
    return p / p.sum()


def _asked_letter(answer: Any, t: np.ndarray, *arguments: int) -> np.ndarray:
    """The reader's probabilities, of the right shape."""
    p = np.asarray(asked(answer, t.copy(), *arguments), dtype=float)
    if p.shape != (len(t),):
        raise ValueError(f"{len(t)} letters need {len(t)} probabilities, got shape {p.shape}")
    return p


def _sums(answer: Any, rng: np.random.Generator) -> str | None:
    """the probabilities of the letters sum to one"""
    for _ in range(3):
        t, _pi = _chain(rng)
        x, y = (int(k) for k in rng.integers(len(t), size=2))
        total = _asked_letter(answer, t, x, 1, y, 2).sum()
        if differs(total, 1.0):
            return f"they sum to {total:.4f}"
    return None


def _neighbours(answer: Any, rng: np.random.Generator) -> str | None:
    """with both neighbours visible (a = c = 1) they are proportional to T(x, s) T(s, y)"""
    return _against_enumeration(answer, rng, ((1, 1),))


def _gaps(answer: Any, rng: np.random.Generator) -> str | None:
    """with other letters hidden in between they agree with the sum over everything these can be"""
    return _against_enumeration(answer, rng, ((2, 1), (1, 3), (2, 2), (3, 1)))


def _against_enumeration(answer: Any, rng: np.random.Generator, gaps: tuple[tuple[int, int], ...]) -> str | None:
    """The reader's numbers against brute force."""
    for a, c in gaps:
        t, _pi = _chain(rng)
        x, y = (int(k) for k in rng.integers(len(t), size=2))
        got, want = _asked_letter(answer, t, x, a, y, c), enumerated(t, x, a, y, c)
        if differs(got, want):
            seen, right = np.round(got, 4).tolist(), np.round(want, 4).tolist()
            return f"a = {a}, c = {c}, {len(t)} letters: {seen}, expected {right}"
    return None


def _far_away(answer: Any, rng: np.random.Generator) -> str | None:
    """when both visible letters are far away, what is left is the frequency of each letter"""
    t, pi = _chain(rng, 4)
    got = _asked_letter(answer, t, 0, 60, 1, 60)
    return (
        f"a = c = 60: {np.round(got, 4).tolist()}, the frequencies {np.round(pi, 4).tolist()}"
        if differs(got, pi, 1e-6)
        else None
    )


# --- 09b.3 how large must a logit be


def _gap_cases(rng: np.random.Generator) -> list[tuple[int, float]]:
    """Random sentence lengths and wanted weights."""
    return [(int(rng.integers(2, 2000)), float(rng.uniform(0.05, 0.999))) for _ in range(6)]


def _equal(answer: Any, rng: np.random.Generator) -> str | None:
    """a weight of 1/n needs no gap"""
    for n in (2, int(rng.integers(3, 50)), 512):
        gap = float(asked(answer, n, 1 / n))
        if differs(gap, 0.0):
            return f"n = {n}, weight 1/{n}: your gap is {gap:.4f}"
    return None


def _reached(answer: Any, rng: np.random.Generator) -> str | None:
    """a softmax over n words, one of them higher by your gap, gives it exactly the wanted weight"""
    for n, weight in _gap_cases(rng):
        gap = float(asked(answer, n, weight))
        logits = np.zeros(n)
        logits[0] = gap
        boltzmann = np.exp(logits - logits.max())
        seen = boltzmann[0] / boltzmann.sum()
        if differs(seen, weight, 1e-8):
            return f"n = {n}, wanted {weight:.4f}: your gap of {gap:.4f} gives {seen:.4f}"
    return None


def _grows(answer: Any, rng: np.random.Generator) -> str | None:
    """ten times as many words need a gap that is larger by about ln 10, for every weight"""
    for weight in (0.5, float(rng.uniform(0.6, 0.99))):
        more = float(asked(answer, 100_001, weight)) - float(asked(answer, 10_001, weight))
        if differs(more, np.log(10), 1e-6):
            return f"weight {weight:.3f}: from 10,001 to 100,001 words it grows by {more:.4f}, ln 10 = {np.log(10):.4f}"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "09b.1": Exercise(
            "Displacements in an open sentence",
            (
                Property(_in_range, "cut i - j off at both ends, then add a number that makes the smallest 0"),
                Property(_moves_along, "the entry may depend on i - j only"),
                Property(_near_ones, "receiver minus sender; the word itself has the number `reach`"),
                Property(_far_ones, "cut off, do not wrap: the remainder of a division belongs to a ring"),
            ),
        ),
        "09b.2": Exercise(
            "The exact conditional of a hidden letter",
            (
                Property(_sums, "divide by the sum over the letters at the very end"),
                Property(_neighbours, "one factor leads from x to s, the other from s to y: mind rows and columns"),
                Property(_gaps, "a steps of the chain are a matrix power, not a power of each number"),
                Property(_far_away, "the power of a transition matrix tends to equal rows; nothing else is needed"),
            ),
        ),
        "09b.3": Exercise(
            "How large a logit must be",
            (
                Property(_equal, "how many OTHER words are there?"),
                Property(_reached, "solve w = e^g / (e^g + n - 1) for g, with natural logarithms"),
                Property(_grows, "only n - 1 grows, and it stands inside the logarithm"),
            ),
        ),
        "09b.4": Exercise(
            "A head that copies by content",
            (
                Property(sums_to_one, "for each hidden word: weights of a softmax, added up by the endings they meet"),
                Property(bag_without_content, "strength 0: all words with a visible ending get the same weight"),
                Property(where_does_not_count, "no place, no distance and no order may appear in the weights"),
                Property(
                    keeps_off_itself, "the logit is large where the stems agree; words with hidden endings do not vote"
                ),
                Property(copies, "the logit is `strength` itself where the stems agree, and 0 elsewhere"),
            ),
        ),
    }
)
