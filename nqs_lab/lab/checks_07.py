"""The checks of notebook 07, Can a Transformer be a ground state?

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_07_sums import (
    brings_it_back,
    constant_in_space,
    counts_the_cosets,
    covers_everything,
    equal_errors,
    in_stages,
    near_the_truth,
    one_is_useless,
    one_peak,
    sum_over_waves,
    wrong_sizes,
)
from nqs_lab.lab.checks_oracle import applied, random_cluster

# --- 07.1 where a network starts


def _start(answer: Any, bonds: Any, couplings: Any, colours: np.ndarray) -> float:
    """The reader's energy, one number."""
    value = np.asarray(asked(answer, list(bonds), list(couplings), colours.copy()), dtype=float)
    if value.shape != ():
        raise ValueError(f"expected one number, got an array of shape {value.shape}")
    return float(value)


def _two_spins(answer: Any, rng: np.random.Generator) -> str | None:
    """two spins: of different colours they form the singlet, -3/4 J; of one colour a triplet, J/4"""
    coupling = float(rng.uniform(0.3, 2))
    for colours, want in ((np.array([1, -1]), -0.75), (np.array([1, 1]), 0.25)):
        value = _start(answer, [(0, 1)], [coupling], colours)
        if differs(value, want * coupling):
            return f"J = {coupling:.3f}, colours {colours.tolist()}: {value:.6f}, expected {want * coupling:.6f}"
    return None


def _flat_state(colours: np.ndarray) -> np.ndarray:
    """All configurations with half of the spins up, with the sign of the rule; bit i of the index: spin i up."""
    n = len(colours)
    index = np.arange(2**n)
    spins = (index[:, None] >> np.arange(n)) & 1
    signs = (-1.0) ** spins[:, colours > 0].sum(axis=1)
    psi = np.where(spins.sum(axis=1) == n // 2, signs, 0.0)
    return psi / np.linalg.norm(psi)


def _as_a_vector(answer: Any, rng: np.random.Generator) -> str | None:
    """on random clusters of 4 to 8 spins it is <psi|H|psi> of the state written out as a vector"""
    for n in (4, 6, 8):
        bonds, couplings = random_cluster(rng, n)
        colours = rng.permutation(np.repeat([1, -1], n // 2))
        psi = _flat_state(colours)
        want = float(psi @ applied(bonds, couplings, psi))
        value = _start(answer, bonds, couplings, colours)
        if differs(value, want):
            return f"{n} spins, {len(bonds)} bonds: {value:.6f}, as a vector {want:.6f}"
    return None


def _one_colour(answer: Any, rng: np.random.Generator) -> str | None:
    """with all sites of one colour there is no sign rule, and every bond has J/4, the most it can have"""
    n = 2 * int(rng.integers(3, 9))
    bonds, couplings = random_cluster(rng, n)
    value = _start(answer, bonds, couplings, np.ones(n, dtype=int))
    want = 0.25 * sum(couplings)
    return f"{n} spins: {value:.6f}, expected {want:.6f}" if differs(value, want) else None


# --- 07.2 an energy bounds the infidelity


def _spectrum(rng: np.random.Generator, degenerate: int = 1) -> np.ndarray:
    """Levels in increasing order, the lowest one `degenerate` times."""
    levels = np.sort(rng.normal(size=int(rng.integers(5, 12)))) - 3.0
    return np.concatenate([np.full(degenerate - 1, levels[0]), levels])


def _bound(answer: Any, energy: float, levels: np.ndarray) -> float:
    """The reader's bound."""
    value = float(asked(answer, float(energy), levels.copy()))
    if not np.isfinite(value):
        raise ValueError(f"the bound should be a finite number, got {value}")
    return value


def _two_levels(answer: Any, rng: np.random.Generator) -> str | None:
    """a state made of the ground state and the first excited one only has exactly this infidelity"""
    levels = _spectrum(rng)
    lost = float(rng.uniform(0.01, 0.9))
    value = _bound(answer, (1 - lost) * levels[0] + lost * levels[1], levels)
    return f"infidelity {lost:.4f}, your bound {value:.4f}" if differs(value, lost, 1e-6) else None


def _degenerate(answer: Any, rng: np.random.Generator) -> str | None:
    """where the lowest level is listed several times, the gap is the one to the next different level"""
    levels = _spectrum(rng, degenerate=int(rng.integers(2, 4)))
    lost, upper = float(rng.uniform(0.01, 0.9)), levels[levels > levels[0]][0]
    value = _bound(answer, (1 - lost) * levels[0] + lost * upper, levels)
    return f"infidelity {lost:.4f}, your bound {value:.4f}" if differs(value, lost, 1e-6) else None


def _never_broken(answer: Any, rng: np.random.Generator) -> str | None:
    """no random state has a larger infidelity than its bound, and the bound is never above 1"""
    for _ in range(60):
        levels = _spectrum(rng)
        weights = rng.exponential(size=len(levels)) ** 3
        weights[0] *= rng.exponential() * 20
        weights /= weights.sum()
        value = _bound(answer, float(weights @ levels), levels)
        if value < 1 - weights[0] - 1e-9 or value > 1 + 1e-12:
            return f"infidelity {1 - weights[0]:.4f}, your bound {value:.4f}"
    return None


# --- 07.3 and from below


def _lower(answer: Any, energy: float, variance: float, e1: float) -> float:
    """The reader's lower bound; minus infinity is allowed."""
    value = float(asked(answer, float(energy), float(variance), float(e1)))
    if np.isnan(value):
        raise ValueError("the bound is nan")
    return value


def _eigenstate(answer: Any, rng: np.random.Generator) -> str | None:
    """without any variance the state is an eigenstate below E1, and the bound is its energy"""
    energy = float(rng.normal())
    value = _lower(answer, energy, 0.0, energy + float(rng.uniform(0.1, 2)))
    return f"E = {energy:.4f}: {value:.4f}" if differs(value, energy) else None


def _temple_tight(answer: Any, rng: np.random.Generator) -> str | None:
    """for a state of the two lowest levels only it is exactly the ground-state energy"""
    levels, lost = _spectrum(rng), float(rng.uniform(0.01, 0.9))
    energy = (1 - lost) * levels[0] + lost * levels[1]
    variance = lost * (1 - lost) * (levels[1] - levels[0]) ** 2
    value = _lower(answer, energy, variance, levels[1])
    return f"E0 = {levels[0]:.5f}, your bound {value:.5f}" if differs(value, levels[0], 1e-8) else None


def _temple_holds(answer: Any, rng: np.random.Generator) -> str | None:
    """it is never above the ground-state energy, whatever the state is made of"""
    tried = 0
    while tried < 60:
        levels = _spectrum(rng)
        weights = rng.exponential(size=len(levels)) ** 3
        weights[0] += 4 * rng.exponential()
        weights /= weights.sum()
        energy = float(weights @ levels)
        if energy >= levels[1]:
            continue
        tried += 1
        value = _lower(answer, energy, float(weights @ (levels - energy) ** 2), levels[1])
        if value > levels[0] + 1e-9:
            return f"E0 = {levels[0]:.5f}, E = {energy:.5f}, E1 = {levels[1]:.5f}: your bound {value:.5f}"
    return None


def _no_statement(answer: Any, rng: np.random.Generator) -> str | None:
    """an energy at or above E1 says nothing: the answer is minus infinity"""
    e1 = float(rng.normal())
    for energy in (e1, e1 + float(rng.uniform(0.1, 1))):
        value = _lower(answer, energy, float(rng.uniform(0.1, 1)), e1)
        if value != -np.inf:
            return f"E = {energy:.3f}, E1 = {e1:.3f}: {value:.4f}"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "07.1": Exercise(
            "Where it starts",
            (
                Property(_two_spins, "which share of the configurations has the two spins of a bond antiparallel?"),
                Property(_one_colour, "the sign rule turns the exchange term of a bond between two colours, no other"),
                Property(
                    _as_a_vector,
                    "antiparallel: N/(2(N-1)) of them, not one half; the diagonal part has <s_i s_j> = -1/(N-1)",
                ),
            ),
        ),
        "07.2": Exercise(
            "How good must the energy be?",
            (
                Property(_two_levels, "E = F E0 + (1 - F) E1 in this case: solve for 1 - F"),
                Property(_degenerate, "levels[1] may be the ground level again: take the first one that differs"),
                Property(
                    _never_broken, "which excited level gives the smallest energy for a given weight? And clip at 1"
                ),
            ),
        ),
        "07.3": Exercise(
            "From below",
            (
                Property(_eigenstate, "the correction is proportional to the variance"),
                Property(_temple_tight, "<(H - E0)(H - E1)> is zero here; write it with E and the variance"),
                Property(
                    _temple_holds, "divide by E1 - E, not by a larger distance; the variance itself, not its root"
                ),
                Property(_no_statement, "look at the sign of E1 - E before you divide"),
            ),
        ),
        "07.4": Exercise(
            "From C(r) to S(q)",
            (
                Property(constant_in_space, "S(q) = sum over r of C(r) exp(i q.r): no factor in front"),
                Property(sum_over_waves, "no 1/N in S(q): the sum over all q then gives N C(0)"),
                Property(one_peak, "reshape C to (ly, lx): rows are y. Row ky, column kx of the answer"),
            ),
        ),
        "07.5": Exercise(
            "Several measurements of one number",
            (
                Property(equal_errors, "weights 1 / error^2, normalised"),
                Property(one_is_useless, "an estimate with a huge error has next to no weight"),
                Property(in_stages, "1 / error^2 adds up; the error of the mean is its inverse root"),
                Property(near_the_truth, "chi^2: squared distances from the common mean, in errors; K - 1 on average"),
            ),
        ),
        "07.6": Exercise(
            "How many forwards?",
            (
                Property(wrong_sizes, "return indices of rows of the group"),
                Property(counts_the_cosets, "each representative stands for as many elements as the subgroup has"),
                Property(covers_everything, "tick off all that one representative stands for before you take the next"),
                Property(
                    brings_it_back,
                    "f(k s) = f(s) with (k s)_i = s[k_i]: apply r first, then k, which is the permutation r[k]",
                ),
            ),
        ),
    }
)
