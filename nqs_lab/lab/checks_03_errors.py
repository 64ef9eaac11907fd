"""Tests of notebook 03's exercises on error bars: the binned error (03.4) and the V-score (03.5).

The docstring of each test is the property that the reader sees.
"""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs
from nqs_lab.lab.checks_oracle import dense, random_cluster, random_vector

# --- 03.4 the binned error


def naive_case(answer: Any, rng: np.random.Generator) -> str | None:
    """bins of length 1: standard deviation / sqrt(n)"""
    values = rng.normal(rng.uniform(-5, 5), rng.uniform(0.5, 3), 4000)
    got, want = float(asked(answer, values, 1)), float(values.std() / np.sqrt(4000))
    return f"4000 independent values: {got:.5g} instead of {want:.5g}" if differs(got, want, 1e-3) else None


def repeated(answer: Any, rng: np.random.Generator) -> str | None:
    """every value repeated m times, bins of length m: the error of the values without repetition"""
    length, fresh = int(rng.integers(3, 9)), rng.normal(size=600)
    want = float(asked(answer, fresh, 1))
    got = float(asked(answer, np.repeat(fresh, length), length))
    if differs(got, want):
        return f"600 values give {want:.5g}; each repeated {length} times, in bins of {length}: {got:.5g}"
    return None


def leftover(answer: Any, rng: np.random.Generator) -> str | None:
    """an incomplete bin at one end is left out: no error, no bin of another length"""
    length, fresh = int(rng.integers(5, 9)), rng.normal(size=500)
    want, values = float(asked(answer, fresh, 1)), np.repeat(fresh, length)
    rest = values.mean() + np.array([1e3, -1e3, 1e3])
    got = [float(asked(answer, np.concatenate(x), length)) for x in ([values, rest], [rest, values])]
    if not any(not differs(g, want) for g in got):
        return f"500 full bins of {length} and 3 values more: {min(got):.5g} instead of {want:.5g}"
    return None


def correlated(answer: Any, rng: np.random.Generator) -> str | None:
    """a correlated chain with a known error: right within 30 % once the bins are long"""
    keep, n = float(rng.uniform(0.85, 0.92)), 60_000
    noise, chain = rng.normal(size=n), np.empty(n)
    chain[0] = noise[0] / np.sqrt(1 - keep**2)
    for t in range(1, n):
        chain[t] = keep * chain[t - 1] + noise[t]
    want = np.sqrt(1 / (1 - keep**2) * (1 + keep) / (1 - keep) / n)
    got = float(asked(answer, chain, 300))
    if not 0.7 < got / want < 1.3:
        return f"chain with correlation {keep:.2f}, bins of 300: {got:.5g}, the exact error is {want:.5g}"
    return None


# --- 03.5 the V-score


def _of_a_state(rng: np.random.Generator, n: int) -> tuple[float, float]:
    """Total energy and variance of a random state on a random cluster, spins S; the energy is kept away from 0."""
    while True:
        h, psi = dense(*random_cluster(rng, n), n), random_vector(rng, n)
        energy = float(np.vdot(psi, h @ psi).real)
        if abs(energy) > 0.1:
            return energy, float(np.vdot(h @ psi, h @ psi).real) - energy**2


def energy_unit(answer: Any, rng: np.random.Generator) -> str | None:
    """all couplings times x: the same V"""
    n, x = int(rng.integers(3, 6)), float(rng.uniform(1.5, 4))
    energy, variance = _of_a_state(rng, n)
    one = float(asked(answer, energy / n, 16 * variance, n))
    two = float(asked(answer, x * energy / n, 16 * x**2 * variance, n))
    return f"V = {one:.5g}; with couplings {x:.2f} times larger {two:.5g}" if differs(two, one) else None


def two_copies(answer: Any, rng: np.random.Generator) -> str | None:
    """two copies side by side, not coupled: the same V"""
    n = int(rng.integers(3, 6))
    energy, variance = _of_a_state(rng, n)
    one = float(asked(answer, energy / n, 16 * variance, n))
    two = float(asked(answer, energy / n, 32 * variance, 2 * n))
    return f"{n} sites V = {one:.5g}, two copies ({2 * n} sites) V = {two:.5g}" if differs(two, one) else None


def against_definition(answer: Any, rng: np.random.Generator) -> str | None:
    """V = N Var/E^2 with both totals in the same unit, for random clusters solved with S"""
    n = int(rng.integers(3, 6))
    energy, variance = _of_a_state(rng, n)
    got, want = float(asked(answer, energy / n, 16 * variance, n)), n * variance / energy**2
    if differs(got, want):
        return f"{n} sites: yours {got:.5g}, from the state itself {want:.5g} (ratio {got / want:.4g})"
    return None
