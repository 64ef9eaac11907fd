"""The checks of notebook 00, Start here.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab import checks_00_jax as jax_cases
from nqs_lab.lab.checks import Exercise, Property, asked, differs

# --- 00.1 a relative error


def _of(answer: Any, per_site: float, total_pauli: float, n: int) -> float:
    """The reader's relative error as a number."""
    value = np.asarray(asked(answer, per_site, total_pauli, n))
    if value.shape != () or np.iscomplexobj(value):
        raise TypeError(f"expected one real number, got {value.dtype} of shape {value.shape}")
    return float(value)


def _same_energy(answer: Any, rng: np.random.Generator) -> str | None:
    """zero where the two energies are the same, each in its own unit"""
    n, exact = int(rng.integers(8, 101)), -float(rng.uniform(0.3, 0.8))
    got = _of(answer, exact, 4 * n * exact, n)
    if abs(got) > 1e-9:
        return f"{n} sites, {exact:.6f} per site and {4 * n * exact:.6f} in the table are the same: yours {got:.4g}"
    return None


def _above(answer: Any, rng: np.random.Generator) -> str | None:
    """positive where ours lies above the table's (less negative)"""
    n, exact = int(rng.integers(8, 101)), -float(rng.uniform(0.3, 0.8))
    ours = exact + float(rng.uniform(0.01, 0.1))
    got = _of(answer, ours, 4 * n * exact, n)
    return None if got > 0 else f"ours {ours:.4f} lies above {exact:.4f} (per site, spins S), your error is {got:.4g}"


def _below(answer: Any, rng: np.random.Generator) -> str | None:
    """negative where ours lies below: impossible for a trial state, so it must be seen"""
    n, exact = int(rng.integers(8, 101)), -float(rng.uniform(0.3, 0.8))
    ours = exact - float(rng.uniform(0.01, 0.1))
    got = _of(answer, ours, 4 * n * exact, n)
    return None if got < 0 else f"ours {ours:.4f} lies below {exact:.4f} (per site, spins S), your error is {got:.4g}"


def _share(answer: Any, rng: np.random.Generator) -> str | None:
    """a share of the table's energy: 0.02 where two per cent of it are missing"""
    for n in (2, int(rng.integers(8, 101))):
        exact, missing = -float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.001, 0.1))
        got = _of(answer, exact * (1 - missing), 4 * n * exact, n)
        if differs(got, missing, 1e-8):
            return f"{n} sites, {100 * missing:.3f} % of the energy are missing: yours {got:.5g}, not {missing:.5g}"
    return None


# --- 00.5 the gradient of a normalised energy


def _family(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random symmetric matrix, a vector that is not normalised, and the slopes of the vector."""
    size, count = int(rng.integers(4, 9)), int(rng.integers(2, 5))
    h = rng.normal(size=(size, size))
    psi = rng.uniform(1.5, 3) * rng.normal(size=size) / np.sqrt(size)
    return h + h.T, psi, rng.normal(size=(count, size))


def _gradient(answer: Any, h: np.ndarray, psi: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The reader's gradient, one real number for each parameter."""
    got = np.asarray(asked(answer, h.copy(), psi.copy(), slopes.copy()))
    if got.shape != slopes.shape[:1]:
        raise ValueError(f"{len(slopes)} parameters need {len(slopes)} numbers, got shape {got.shape}")
    return got


def _eigenvector(answer: Any, rng: np.random.Generator) -> str | None:
    """zero at an eigenvector, whatever the parameters do"""
    h, _, slopes = _family(rng)
    level, vectors = np.linalg.eigh(h)
    k = int(rng.integers(len(level)))
    got = _gradient(answer, h, rng.uniform(1.5, 3) * vectors[:, k], slopes)
    if np.abs(got).max() > 1e-9:
        return f"eigenvector of {level[k]:.3f}: the largest entry of your gradient is {np.abs(got).max():.4g}"
    return None


def _own_direction(answer: Any, rng: np.random.Generator) -> str | None:
    """zero for a parameter that only makes psi longer"""
    h, psi, slopes = _family(rng)
    slopes[0] = rng.uniform(0.5, 2) * psi
    got = _gradient(answer, h, psi, slopes)
    return f"d psi/d theta_0 is along psi, your entry is {got[0]:.4g}" if abs(got[0]) > 1e-9 else None


def _any_length(answer: Any, rng: np.random.Generator) -> str | None:
    """the same for psi and for 3 psi (with three times the slopes): length is no physics"""
    h, psi, slopes = _family(rng)
    one, three = _gradient(answer, h, psi, slopes), _gradient(answer, h, 3 * psi, 3 * slopes)
    return f"first entry {one[0]:.5g} for psi and {three[0]:.5g} for 3 psi" if differs(three, one, 1e-8) else None


def _finite_steps(answer: Any, rng: np.random.Generator) -> str | None:
    """the slope of psi.H psi / psi.psi, measured with small steps"""
    h, psi, slopes = _family(rng)
    energy = lambda v: float(v @ h @ v / (v @ v))
    step = 1e-5
    want = np.array([(energy(psi + step * d) - energy(psi - step * d)) / (2 * step) for d in slopes])
    got = _gradient(answer, h, psi, slopes)
    if differs(got, want, 1e-5):
        k = int(np.argmax(np.abs(got - want)))
        return f"parameter {k}: yours {got[k]:.6g}, with small steps {want[k]:.6g} (ratio {got[k] / want[k]:.4g})"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "00.1": Exercise(
            "A relative error, units and all",
            (
                Property(_same_energy, "bring both to one unit first: per site or total, S or sigma = 2 S (twice)"),
                Property(_above, "the exact energy is negative: divide by its size, not by itself"),
                Property(_below, "keep the sign of the difference"),
                Property(_share, "the difference in units of the exact energy, not in per cent"),
            ),
        ),
        "00.2": Exercise(
            "Many configurations at once",
            (
                Property(jax_cases.one_each, "map over the rows of sigmas"),
                Property(
                    jax_cases.as_row_by_row, "only sigmas is mapped; the parameters are the same for all: in_axes"
                ),
                Property(jax_cases.called_once, "no loop: jax.vmap traces the function once for all rows"),
            ),
        ),
        "00.3": Exercise(
            "One key for each use",
            (
                Property(jax_cases.shapes_fit, "a list, in the order of the shapes"),
                Property(jax_cases.repeatable, "all randomness must come from the key that was handed in"),
                Property(jax_cases.standard_normal, "mean 0 and variance 1: jax.random.normal as it is"),
                Property(jax_cases.no_twins, "as many keys as layers: jax.random.split, each used once"),
                Property(jax_cases.parent_unused, "a key that is split is spent: draw only from its children"),
            ),
        ),
        "00.4": Exercise(
            "Count the parameters",
            (
                Property(jax_cases.entries, "an array has .size entries"),
                Property(jax_cases.nested, "let jax.tree.leaves walk through the containers"),
                Property(jax_cases.no_tables, "eqx.is_inexact_array tells floating-point arrays from the rest"),
                Property(jax_cases.as_the_library, "the models of the library hold tables of whole numbers, too"),
            ),
        ),
        "00.5": Exercise(
            "The gradient of a normalised energy",
            (
                Property(_eigenvector, "differentiate the denominator, too: what is subtracted from H?"),
                Property(_own_direction, "E psi belongs into the bracket with H psi, with E itself normalised"),
                Property(_any_length, "divide by psi.psi, once"),
                Property(_finite_steps, "psi stands twice in the numerator; and mind the sign"),
            ),
        ),
        "00.6": Exercise(
            "Descend, compiled once",
            (
                Property(jax_cases.starts_there, "n steps lead to n + 1 points, the start is the first"),
                Property(jax_cases.every_step, "minus the rate times the gradient where you stand now"),
                Property(jax_cases.traced_once, "make the compiled gradient before the loop, not in it"),
            ),
        ),
    }
)
