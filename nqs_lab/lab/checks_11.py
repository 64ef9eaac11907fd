"""The checks of notebook 11, What if tokens had inertia?

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_10 import interaction, random_positive, random_symmetric, slope


def _pair(value: Any) -> tuple[float, float]:
    """Two finite numbers."""
    found = np.asarray(value, dtype=float)
    if found.shape != (2,) or not np.all(np.isfinite(found)):
        raise ValueError(f"expected two finite numbers, the learning rate and the share of the last move, got {value}")
    return float(found[0]), float(found[1])


def _like(value: Any, x: np.ndarray) -> np.ndarray:
    """An array of the shape of the tokens."""
    found = np.asarray(value, dtype=float)
    if found.shape != x.shape:
        raise ValueError(f"expected an array of shape {x.shape}, got {found.shape}")
    return found


def _radius(curvature: float, rate: float, share: float) -> float:
    """What a step x+ = x - s U' + share (x - x_before) leaves of a mode in the long run."""
    matrix = np.array([[1 - rate * curvature + share, -share], [1.0, 0.0]])
    return float(np.abs(np.linalg.eigvals(matrix)).max())


# --- 11.1 the best heavy ball


def _round_bowl(answer: Any, rng: np.random.Generator) -> str | None:
    """in a round bowl, mu = L, one step is enough: s = 1/L and no momentum"""
    curvature = float(rng.uniform(0.3, 3))
    rate, share = _pair(asked(answer, curvature, curvature))
    if differs(rate, 1 / curvature) or differs(share, 0.0):
        return f"mu = L = {curvature:.3f}: you have s = {rate:.4f}, share {share:.4f}"
    return None


def _as_fast_as_can_be(answer: Any, rng: np.random.Generator) -> str | None:
    """both modes, and all between them, shrink by (root kappa - 1) / (root kappa + 1) a step"""
    stiff, kappa = float(rng.uniform(0.3, 3)), float(rng.uniform(5, 300))
    rate, share = _pair(asked(answer, stiff / kappa, stiff))
    want = (np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)
    for curvature in np.geomspace(stiff / kappa, stiff, 5):
        seen = _radius(float(curvature), rate, share)
        if not seen < want + 1e-5:
            return (
                f"kappa = {kappa:.1f}, curvature {curvature / stiff:.3f} L: {seen:.5f} is left, possible is {want:.5f}"
            )
    return None


# --- 11.2 the force of a moving cloud


def _energy(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """H = (1/2) sum_i y_i . B y_i / z_i + U, written with loops."""
    total = interaction(x, a)
    for token, momentum in zip(x, y, strict=True):
        z = np.mean([np.exp(token @ a @ other) for other in x])
        total += float(momentum @ b @ momentum) / (2 * float(z))
    return total


def _force_at_rest(answer: Any, rng: np.random.Generator) -> str | None:
    """without momenta it is the force of notebook 10, (1/n) sum_j M_ij A x_j"""
    n, d = int(rng.integers(2, 6)), int(rng.integers(2, 4))
    x, a, b = rng.uniform(-1, 1, (n, d)), random_symmetric(rng, d), random_positive(rng, d)
    seen, want = (
        _like(asked(answer, x.copy(), np.zeros_like(x), a.copy(), b.copy()), x),
        np.exp(x @ a @ x.T) @ x @ a / n,
    )
    if differs(seen, want):
        return f"{n} tokens at rest: token 0 has {seen[0].round(4).tolist()}, expected {want[0].round(4).tolist()}"
    return None


def _force_of_motion(answer: Any, rng: np.random.Generator) -> str | None:
    """with momenta it is -dH/dx of the one scalar H, in every coordinate"""
    for n, d in ((1, 2), (4, 2), (3, 3)):
        x, y = rng.uniform(-1, 1, (n, d)), rng.normal(size=(n, d))
        a, b = random_symmetric(rng, d), random_positive(rng, d)
        seen = _like(asked(answer, x.copy(), y.copy(), a.copy(), b.copy()), x)
        want = -slope(lambda q, y=y, a=a, b=b: _energy(q, y, a, b), x)
        if differs(seen, want, 1e-6):
            k = np.unravel_index(np.abs(seen - want).argmax(), seen.shape)
            return f"{n} tokens: token {k[0]}, coordinate {k[1]}: {seen[k]:.5f}, -dH/dx {want[k]:.5f}"
    return None


# --- 11.3 settled


def _when(answer: Any, energies: np.ndarray, tolerance: float) -> int:
    """The reader's step."""
    value = np.asarray(asked(answer, energies.copy(), tolerance))
    if value.shape != () or value != int(value):
        raise ValueError(f"expected a whole number, got {value}")
    return int(value)


def _simply_falling(answer: Any, rng: np.random.Generator) -> str | None:
    """where the energy only falls it is the first step below tolerance times the energy at the start"""
    decay, size = float(rng.uniform(0.3, 0.9)), float(rng.uniform(5, 50))
    energies = size * decay ** np.arange(200)
    want = int(np.argmax(energies < 1e-3 * energies[0]))
    value = _when(answer, energies, 1e-3)
    return f"U(0) = {size:.2f}, a factor of {decay:.3f} a step: {value}, expected {want}" if value != want else None


def _swinging(answer: Any, rng: np.random.Generator) -> str | None:
    """a ball that swings through the bottom has not settled: all later energies must be below as well"""
    turn = float(rng.uniform(0.3, 0.6))
    energies = np.cos(turn * np.arange(400)) ** 2 * 0.97 ** np.arange(400)
    late = max(k for k, e in enumerate(energies) if e >= 1e-3)
    value = _when(answer, energies, 1e-3)
    return f"a swinging ball: {value}, but step {late} is above the tolerance" if value != late + 1 else None


def _not_at_all(answer: Any, rng: np.random.Generator) -> str | None:
    """-1 where the last energy is not below the tolerance, or is not a number"""
    up = 1.1 ** np.arange(50)
    for energies in (up, np.append(0.5 ** np.arange(30), 1.0), np.append(0.5 ** np.arange(30), np.nan)):
        with np.errstate(all="ignore"):
            value = _when(answer, energies, 1e-3)
        if value != -1:
            return f"last energies {energies[-3:].round(3).tolist()} of U(0) = 1: you say {value}"
    return None


# --- 11.4 momenta on the sphere


def _sphere_case(answer: Any, rng: np.random.Generator, rest: bool = False) -> tuple[np.ndarray, ...]:
    """Tokens, momenta, velocities, pulls and the reader's change of momentum."""
    n, d = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    x = rng.normal(size=(n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    flat = lambda u: u - x * np.sum(x * u, axis=1, keepdims=True)
    y = np.zeros_like(x) if rest else flat(rng.normal(size=(n, d)))
    velocity, pull = flat(y @ random_positive(rng, d)), rng.normal(size=(n, d))
    return x, y, velocity, pull, _like(asked(answer, x.copy(), y.copy(), velocity.copy(), pull.copy()), x)


def _momentum_at_rest(answer: Any, rng: np.random.Generator) -> str | None:
    """at rest the change of y is the part of the pull along the sphere"""
    x, _, _, pull, seen = _sphere_case(answer, rng, rest=True)
    want = pull - x * np.sum(x * pull, axis=1, keepdims=True)
    return f"off by up to {np.abs(seen - want).max():.3g}" if differs(seen, want) else None


def _stays_tangent(answer: Any, rng: np.random.Generator) -> str | None:
    """x . y stays zero: x . y' + x' . y = 0 for every token"""
    x, y, velocity, _, seen = _sphere_case(answer, rng)
    drift = np.abs(np.sum(x * seen + velocity * y, axis=1)).max()
    return f"d/dt of x . y is up to {drift:.3g}" if not drift < 1e-9 else None


def _nothing_else(answer: Any, rng: np.random.Generator) -> str | None:
    """along the sphere nothing is added to the pull"""
    x, _, _, pull, seen = _sphere_case(answer, rng)
    gap = seen - pull
    along = np.abs(gap - x * np.sum(x * gap, axis=1, keepdims=True)).max()
    return f"a part of {along:.3g} along the sphere has been added" if not along < 1e-9 else None


# --- 11.5 the largest stable learning rate


def _largest(answer: Any, curvature: float, kept: float) -> float:
    """The reader's learning rate."""
    value = float(np.asarray(asked(answer, curvature, kept)))
    if not np.isfinite(value) or value <= 0:
        raise ValueError(f"expected a positive number, got {value}")
    return value


def _size_after(curvature: float, rate: float, kept: float, steps: int) -> float:
    """|(x, v)| after so many steps of kick, damp, drift."""
    x, v = 1.0, 0.3
    for _ in range(steps):
        v = kept * (v - rate * curvature * x)
        x = x + v
    return float(np.hypot(x, v))


def _no_friction(answer: Any, rng: np.random.Generator) -> str | None:
    """without friction it is 4 / lambda, twice what descent can take"""
    curvature = float(rng.uniform(0.2, 5))
    value = _largest(answer, curvature, 1.0)
    return (
        f"lambda = {curvature:.3f}: {value:.4f}, expected {4 / curvature:.4f}"
        if differs(value, 4 / curvature)
        else None
    )


def _just_stable(answer: Any, rng: np.random.Generator) -> str | None:
    """a little below it the ball comes to rest, a little above it flies away, for any friction"""
    for kept in (float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.75, 0.9))):
        curvature = float(rng.uniform(0.2, 5))
        rate = _largest(answer, curvature, kept)
        below, above = (_size_after(curvature, factor * rate, kept, 2500) for factor in (0.98, 1.02))
        if not (below < 1e-3 and above > 1e3):
            return (
                f"kept {kept:.3f}, lambda {curvature:.3f}, s = {rate:.4f}: {below:.1e} at 0.98 s, {above:.1e} at 1.02 s"
            )
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "11.1": Exercise(
            "The best heavy ball",
            (
                Property(_round_bowl, "what do the formulas become for kappa = 1?"),
                Property(
                    _as_fast_as_can_be,
                    "two equal roots at both ends: share = (1 - root(s mu))^2 and share = (1 - root(s L))^2",
                ),
            ),
        ),
        "11.2": Exercise(
            "The force of a moving cloud",
            (
                Property(_force_at_rest, "the potential gives the 2 in s_i + s_j + 2, with a plus"),
                Property(_force_of_motion, "x_i is the query of z_i and a key of every z_j; s has z squared below"),
            ),
        ),
        "11.3": Exercise(
            "Settled",
            (
                Property(_simply_falling, "compare with tolerance times the first energy; the start is step 0"),
                Property(_swinging, "look for the last step above the tolerance; the next one is the answer"),
                Property(_not_at_all, "comparisons with nan are False: ask for 'not below' in place of 'above'"),
            ),
        ),
        "11.4": Exercise(
            "Momenta on the sphere",
            (
                Property(_momentum_at_rest, "P u = u - (x . u) x for each token"),
                Property(_stays_tangent, "differentiate x . y = 0 in time"),
                Property(_nothing_else, "what is missing points along x"),
            ),
        ),
        "11.5": Exercise(
            "How fast may one go?",
            (
                Property(_no_friction, "the 2 x 2 matrix of a step has determinant 1 here; its trace must be above -2"),
                Property(_just_stable, "determinant kept: stable while |trace| < 1 + kept; kept also multiplies s"),
            ),
        ),
    }
)
