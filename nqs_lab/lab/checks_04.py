"""The checks of notebook 04, stochastic reconfiguration.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_04_cases import (
    compare_length,
    compare_slope,
    off,
    peak_memory,
    random_bowl,
    random_family,
    random_system,
    random_turn,
    read_gradient,
    read_metric,
    same_step,
    settles_up_to,
    too_long,
)

# --- 04.1 the gradient


def _real_gradient(answer: Any, rng: np.random.Generator) -> str | None:
    """one real number for each parameter"""
    got = read_gradient(answer, random_family(rng, real=False))
    return f"the result has the type {got.dtype}" if np.iscomplexobj(got) else None


def _no_force(answer: Any, rng: np.random.Generator) -> str | None:
    """zero where the local energy is the same everywhere"""
    o, e_loc, weights = random_family(rng, real=False).data()
    level = -float(rng.uniform(1, 5))
    got = np.asarray(asked(answer, o, np.full(len(e_loc), level + 0j), weights))
    if differs(got, np.zeros(o.shape[1])):
        return f"E_loc = {level:.3f} on all configurations gives {np.round(got, 4).tolist()}"
    return None


def _real_slope(answer: Any, rng: np.random.Generator) -> str | None:
    """the slope of the energy, for a real wave function"""
    return compare_slope(answer, rng, real=True)


def _complex_slope(answer: Any, rng: np.random.Generator) -> str | None:
    """the slope of the energy, for a complex wave function"""
    return compare_slope(answer, rng, real=False)


# --- 04.2 the metric


def _real_symmetric(answer: Any, rng: np.random.Generator) -> str | None:
    """a real symmetric matrix"""
    got = read_metric(answer, random_family(rng, real=False))
    if np.iscomplexobj(got):
        return f"the result has the type {got.dtype}"
    return f"the largest |S - S^T| is {np.abs(got - got.T).max():.3g}" if off(got, got.T, 1e-10) else None


def _no_distance(answer: Any, rng: np.random.Generator) -> str | None:
    """unchanged where a parameter also changes norm and phase of psi"""
    family = random_family(rng, real=False)
    constant = rng.normal(size=len(family.theta)) + 1j * rng.normal(size=len(family.theta))
    before, after = read_metric(answer, family), read_metric(answer, family, constant)
    if off(after, before, 1e-9):
        return f"S[0, 0] is {before[0, 0]:.5f}, and with a constant added to each O_k {after[0, 0]:.5f}"
    return None


def _real_length(answer: Any, rng: np.random.Generator) -> str | None:
    """d.S d is the squared distance, 1 - fidelity, for a real wave function"""
    return compare_length(answer, rng, real=True)


def _complex_length(answer: Any, rng: np.random.Generator) -> str | None:
    """d.S d is the squared distance, 1 - fidelity, for a complex wave function"""
    return compare_length(answer, rng, real=False)


# --- 04.3 minSR


def _one_sample(answer: Any, rng: np.random.Generator) -> str | None:
    """one row only: x points along it, with the length of a one-number problem"""
    x, eps, shift = random_system(rng, 1, int(rng.integers(3, 9)))
    got = np.asarray(asked(answer, x, eps, shift))
    if got.shape != x.shape[1:]:
        return f"X has the shape {x.shape}, so the direction should have {x.shape[1:]}, it has {got.shape}"
    want = x[0] * eps[0] / (x[0] @ x[0] + shift)
    if differs(got, want, 1e-8):
        return f"|x| = {np.linalg.norm(got):.5f}, expected {np.linalg.norm(want):.5f} (shift {shift:.4g})"
    return None


def _stationary(answer: Any, rng: np.random.Generator) -> str | None:
    """the minimum of |X x - eps|^2 + shift |x|^2, which is what SR solves"""
    for rows, count in ((int(rng.integers(3, 9)), 30), (30, int(rng.integers(3, 9)))):
        x, eps, shift = random_system(rng, rows, count)
        got = np.asarray(asked(answer, x, eps, shift))
        slope = x.T @ (x @ got - eps) + shift * got
        size = float(np.linalg.norm(slope) / np.linalg.norm(x.T @ eps))
        if not size < 1e-8:
            return f"{rows} rows, {count} parameters: the slope at your x is {size:.3g} of that at 0, it should be 0"
    return None


def _small(answer: Any, rng: np.random.Generator) -> str | None:
    """the larger of the two matrices is never built, neither for few rows nor for few parameters"""
    few, many = 6, 1000
    for rows, count in ((few, many), (many, few)):
        x, eps, shift = random_system(rng, rows, count)
        peak = peak_memory(answer, x, eps, shift)
        if peak > 0.4 * 8 * many**2 / 2**20:
            return f"{rows} rows and {count} parameters took {peak:.0f} MiB; X itself has {x.nbytes / 2**20:.1f} MiB"
    return None


# --- 04.4 conventions


def _no_conversion(answer: Any, rng: np.random.Generator) -> str | None:
    """the same conventions need the same rate"""
    return same_step(answer, rng, False, False)


def _doubled(answer: Any, rng: np.random.Generator) -> str | None:
    """the same step where they use the whole gradient 2 F"""
    return same_step(answer, rng, False, True)


def _pauli(answer: Any, rng: np.random.Generator) -> str | None:
    """the same step where they write H with Pauli matrices"""
    return same_step(answer, rng, True, False)


def _both(answer: Any, rng: np.random.Generator) -> str | None:
    """the same step where they do both"""
    return same_step(answer, rng, True, True)


# --- 04.5 a limit on the step


def _untouched(answer: Any, rng: np.random.Generator) -> str | None:
    """a step below the limit is -rate times the direction, however long the direction is"""
    direction = 30 * rng.normal(size=int(rng.integers(3, 30)))
    limit = float(rng.uniform(0.1, 0.5))
    rate = 0.5 * limit / float(np.linalg.norm(direction))
    got = np.asarray(asked(answer, direction, rate, limit))
    if differs(got, -rate * direction):
        return (
            f"rate |x| = {0.5 * limit:.4f} is below {limit:.4f}, and your step has the length {np.linalg.norm(got):.4f}"
        )
    return None


def _cut(answer: Any, rng: np.random.Generator) -> str | None:
    """a longer step is cut to the length of the limit"""
    for _ in range(5):
        direction, rate, limit = too_long(rng)
        length = float(np.linalg.norm(np.asarray(asked(answer, direction, rate, limit))))
        if differs(length, limit):
            wanted = rate * np.linalg.norm(direction)
            return f"limit {limit:.4f}, rate |x| = {wanted:.4f}, length of your step {length:.4f}"
    return None


def _parallel(answer: Any, rng: np.random.Generator) -> str | None:
    """and still points along minus the direction"""
    for _ in range(5):
        direction, rate, limit = too_long(rng)
        step = np.asarray(asked(answer, direction, rate, limit))
        cosine = float(-step @ direction / (np.linalg.norm(step) * np.linalg.norm(direction)))
        if differs(cosine, 1.0):
            return f"the cosine between step and -direction is {cosine:.5f}"
    return None


def _at_rest(answer: Any, rng: np.random.Generator) -> str | None:
    """no direction, no step"""
    with np.errstate(all="ignore"):
        got = np.asarray(asked(answer, np.zeros(4), 0.1, 0.3))
    return f"for x = 0 your step is {got.tolist()}" if differs(got, np.zeros(4)) else None


# --- 04.6 the largest rates


def _two_numbers(answer: Any, rng: np.random.Generator) -> str | None:
    """two positive numbers"""
    plain, natural = asked(answer, *random_bowl(rng))
    plain, natural = complex(plain), complex(natural)
    if plain.imag or natural.imag or not (plain.real > 0 and natural.real > 0):
        return f"you return {plain:.4g} and {natural:.4g}"
    return None


def _plain_edge(answer: Any, rng: np.random.Generator) -> str | None:
    """gradient descent settles just below the first and explodes just above"""
    hessian, metric = random_bowl(rng)
    return settles_up_to("gradient descent", float(asked(answer, hessian, metric)[0]), hessian)


def _invariant(answer: Any, rng: np.random.Generator) -> str | None:
    """other parameters for the same states leave the second unchanged"""
    hessian, metric = random_bowl(rng)
    turn = random_turn(rng, len(hessian))
    before = float(asked(answer, hessian, metric)[1])
    after = float(asked(answer, turn.T @ hessian @ turn, turn.T @ metric @ turn)[1])
    if differs(after / before, 1.0, 1e-6):
        return f"the rate of SR is {before:.5f}, and {after:.5f} with other parameters"
    return None


def _natural_edge(answer: Any, rng: np.random.Generator) -> str | None:
    """SR settles just below the second and explodes just above"""
    hessian, metric = random_bowl(rng)
    return settles_up_to("SR", float(asked(answer, hessian, metric)[1]), np.linalg.solve(metric, hessian / 2))


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "04.1": Exercise(
            "The gradient from local energies",
            (
                Property(_real_gradient, "the parameters are real, so what part of the complex average is the slope?"),
                Property(
                    _no_force, "in an eigenstate nothing can be gained: what must be subtracted from E_loc first?"
                ),
                Property(_real_slope, "psi stands twice in <psi|H|psi>; and does every configuration count the same?"),
                Property(_complex_slope, "E_loc and O_k are both complex: one of them enters conjugated"),
            ),
        ),
        "04.2": Exercise(
            "The metric from log-derivatives",
            (
                Property(_real_symmetric, "the parameters are real: only the real part of <dO* dO> is a distance"),
                Property(_no_distance, "norm and phase are no physics: what must be subtracted from each column of O?"),
                Property(_real_length, "an average over |psi|^2, not over the list; no factor 2 in a squared distance"),
                Property(_complex_length, "a squared length of complex numbers: one of the two factors is conjugated"),
            ),
        ),
        "04.3": Exercise(
            "minSR",
            (
                Property(
                    _one_sample, "(X X^T + shift)^-1 eps has one number per row; which matrix leads back to parameters?"
                ),
                Property(_stationary, "on which side of the inverse does X^T stand, and where is the shift added?"),
                Property(_small, "X X^T has rows x rows numbers; X^T X has parameters x parameters"),
            ),
        ),
        "04.4": Exercise(
            "Another library's learning rate",
            (
                Property(_no_conversion, "nothing to convert: what should the factor be?"),
                Property(
                    _doubled, "their step is (S + shift)^-1 times 2 F, ours times F: who needs the larger number?"
                ),
                Property(_pauli, "S = sigma/2 stands twice in each bond: how much larger is their H? And their S?"),
                Property(_both, "two factors act one after the other"),
            ),
        ),
        "04.5": Exercise(
            "A limit on the step",
            (
                Property(_untouched, "what is limited: x, or rate times x? And which way is down?"),
                Property(_cut, "one factor for the whole vector, limit / length, where the length exceeds the limit"),
                Property(_parallel, "cutting each component alone turns the vector"),
                Property(_at_rest, "0 / 0 is not a number: which division can be avoided or protected?"),
            ),
        ),
        "04.6": Exercise(
            "How fast is too fast?",
            (
                Property(
                    _two_numbers,
                    "eigenvalues of a product of two matrices may come out as complex numbers with no imaginary part",
                ),
                Property(_plain_edge, "one eigenvector alone: theta <- (1 - rate h) theta; when does its size grow?"),
                Property(_invariant, "with other parameters H and S both turn to A^T H A and A^T S A: what stays?"),
                Property(_natural_edge, "SR divides F = (gradient)/2 by S: which matrix multiplies theta in one step?"),
            ),
        ),
    }
)
