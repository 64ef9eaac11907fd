"""The checks of notebook 05, neural quantum states. The docstring of each test is the property that the reader sees."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_05_states import (
    EXERCISE_3,
    EXERCISE_4,
    EXERCISE_5,
)

# --- 05.1 the hidden spins


def _machine(rng: np.random.Generator, size: float, *, real: bool) -> tuple[np.ndarray, ...]:
    """A random machine of 4 to 7 visible and 3 to 6 hidden spins, and a configuration."""
    n, m = int(rng.integers(4, 8)), int(rng.integers(3, 7))
    draw = lambda *shape: size * (rng.normal(size=shape) + (0 if real else 1j * rng.normal(size=shape)))
    return draw(n), draw(m), draw(m, n), rng.choice([-1, 1], n)


def _listed(a: np.ndarray, b: np.ndarray, w: np.ndarray, sigma: np.ndarray) -> complex:
    """The sum over all hidden configurations, one by one, with the largest exponent taken out."""
    hidden = 1 - 2 * ((np.arange(2 ** len(b))[:, None] >> np.arange(len(b))) & 1)
    exponents = a @ sigma + hidden @ (b + w @ sigma)
    top = exponents.real.max()
    return complex(np.log(np.sum(np.exp(exponents - top))) + top)


def _compare(answer: Any, machine: tuple[np.ndarray, ...], what: str) -> str | None:
    """The reader's logarithm against the listed sum, its phase modulo 2 pi."""
    with np.errstate(all="ignore"):
        got, want = complex(asked(answer, *machine)), _listed(*machine)
    if not np.isfinite(got):
        return f"{what}: you return {got}, the sum written out gives {want:.6g}"
    if abs(got.real - want.real) > 1e-8 * (1 + abs(want.real)):
        off = f"{got.real:.6f}, written out {want.real:.6f} (yours - it = {got.real - want.real:.6f})"
        return f"{what}, {len(machine[1])} hidden spins: log|psi| is {off}"
    turn = abs(np.exp(1j * (got.imag - want.imag)) - 1)
    return f"{what}: the phase of psi differs by {turn:.4g}" if turn > 1e-7 * (1 + abs(want.real)) else None


def _real_sum(answer: Any, rng: np.random.Generator) -> str | None:
    """equal to the sum over all hidden spins, one by one, for real weights"""
    return _compare(answer, _machine(rng, 0.7, real=True), "real weights")


def _complex_sum(answer: Any, rng: np.random.Generator) -> str | None:
    """the same for complex weights, with the phase of psi"""
    return _compare(answer, _machine(rng, 0.7, real=False), "complex weights")


def _large_weights(answer: Any, rng: np.random.Generator) -> str | None:
    """still right where cosh itself is larger than any floating-point number, for fields of either sign"""
    for _ in range(4):
        wrong = _compare(answer, _machine(rng, 400.0, real=False), "weights of size 400")
        if wrong:
            return wrong
    return None


# --- 05.2 the sign rules


def _configurations(rng: np.random.Generator, side: int, count: int = 12) -> np.ndarray:
    """Random configurations (S, L, L) with as many spins up as down."""
    row = np.where(np.arange(side * side) < side * side // 2, 1, -1)
    return rng.permuted(np.tile(row, (count, 1)), axis=1).reshape(count, side, side)


def _signs(answer: Any, sigma: np.ndarray, order: str) -> np.ndarray:
    """The reader's signs."""
    got = np.asarray(asked(answer, sigma.copy(), order))
    if got.shape != (len(sigma),):
        raise ValueError(f"{len(sigma)} configurations need {len(sigma)} signs, got the shape {got.shape}")
    return got


def _exchanges(sigma: np.ndarray, step: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Configurations before and after the exchange of one antiparallel pair (y, x), (y + dy, x + dx); all pairs."""
    before, after = [], []
    count, side, _ = sigma.shape
    for k, y, x in np.ndindex(count, side, side):
        other = (k, (y + step[0]) % side, (x + step[1]) % side)
        if sigma[k, y, x] != sigma[other]:
            moved = sigma[k].copy()
            moved[y, x], moved[other[1:]] = moved[other[1:]], moved[y, x]
            before.append(sigma[k])
            after.append(moved)
    return np.array(before), np.array(after)


def _exchange_test(answer: Any, rng: np.random.Generator, order: str, steps: dict[tuple[int, int], int]) -> str | None:
    """Each kind of exchange must multiply the sign by the number given."""
    names = {(0, 1): "along x", (1, 0): "along y", (1, 1): "across a diagonal", (1, -1): "across the other diagonal"}
    for side in (4, 6):
        sigma = _configurations(rng, side, 3)
        for step, factor in steps.items():
            before, after = _exchanges(sigma, step)
            found = _signs(answer, before, order) * _signs(answer, after, order)
            if np.any(found != factor):
                share = np.mean(found != factor)
                word = "change" if factor < 0 else "keep"
                return f"{side}x{side}, {order}: an exchange {names[step]} should {word} the sign; {share:.0%} do not"
    return None


def _plus_minus(answer: Any, rng: np.random.Generator) -> str | None:
    """every sign is +1 or -1, and both occur"""
    for side in (4, 6):
        for order in ("neel", "stripe"):
            found = _signs(answer, _configurations(rng, side, 40), order)
            if not np.all(np.isin(found, (-1, 1))):
                return f"{side}x{side}, {order}: values {np.unique(found)[:4].tolist()}"
            if len(np.unique(found)) < 2:
                return f"{side}x{side}, {order}: all 40 random configurations get the sign {int(found[0]):+d}"
    return None


def _neel_bonds(answer: Any, rng: np.random.Generator) -> str | None:
    """neel: exchanging opposite neighbours changes the sign, so that the exchange lowers the energy"""
    return _exchange_test(answer, rng, "neel", {(0, 1): -1, (1, 0): -1})


def _neel_diagonals(answer: Any, rng: np.random.Generator) -> str | None:
    """neel: exchanging opposite diagonal neighbours keeps the sign: J2 is frustrated"""
    return _exchange_test(answer, rng, "neel", {(1, 1): 1, (1, -1): 1})


def _stripe_bonds(answer: Any, rng: np.random.Generator) -> str | None:
    """stripe: an exchange along x or across a diagonal changes the sign, along y it keeps it"""
    return _exchange_test(answer, rng, "stripe", {(0, 1): -1, (1, 0): 1, (1, 1): -1, (1, -1): -1})


def _unchanged(answer: Any, rng: np.random.Generator) -> str | None:
    """the configurations themselves are left as they are"""
    for order in ("neel", "stripe"):
        sigma = _configurations(rng, 4)
        given = sigma.copy()
        asked(answer, given, order)
        if differs(given, sigma):
            return f"{order}: your function changed the array it was given"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "05.1": Exercise(
            "The hidden spins, summed",
            (
                Property(_real_sum, "each hidden spin takes two values: exp(theta) + exp(-theta) is how many cosh?"),
                Property(_complex_sum, "which step of yours throws the imaginary part away, or the term a.s?"),
                Property(
                    _large_weights, "take out the larger of the two exponentials; which one it is depends on Re theta"
                ),
            ),
        ),
        "05.2": Exercise(
            "Two sign rules",
            (
                Property(_plus_minus, "count the UP spins of one sublattice; a sum of +1 and -1 has a fixed parity"),
                Property(
                    _neel_bonds, "the chess board needs both coordinates; is the site number enough on an even torus?"
                ),
                Property(_neel_diagonals, "two diagonal neighbours stand on the same colour of the board"),
                Property(
                    _stripe_bonds, "columns of parallel spins: the sublattice is every other column, whatever the row"
                ),
                Property(_unchanged, "work on a copy"),
            ),
        ),
        "05.3": EXERCISE_3,
        "05.4": EXERCISE_4,
        "05.5": EXERCISE_5,
    }
)
