"""The checks of notebook 05 that judge states: signs beside the exact ones, projections, and unseen variance."""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs

# --- 05.3 how many signs are right


def _pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A real normalised state, and positive numbers that change its amplitudes but not its signs."""
    size = int(rng.integers(30, 60))
    exact = rng.normal(size=size) * 10 ** rng.uniform(-1.5, 0, size)
    return exact / np.linalg.norm(exact), rng.uniform(0.3, 1.7, size)


def _accuracy(answer: Any, psi: np.ndarray, exact: np.ndarray) -> float:
    """The reader's number; a complex one or an array is an error."""
    got = np.asarray(asked(answer, psi / np.linalg.norm(psi), exact.copy()))
    if got.shape != () or np.iscomplexobj(got):
        raise ValueError(f"one real number was expected, got {got.dtype} of shape {got.shape}")
    return float(got)


def _all_right(answer: Any, rng: np.random.Generator) -> str | None:
    """1 where all signs are right, whatever the sizes of the amplitudes"""
    exact, factors = _pair(rng)
    got = _accuracy(answer, exact * factors + 0j, exact)
    return f"right signs and other amplitudes give {got:.6f}" if differs(got, 1.0) else None


def _any_phase(answer: Any, rng: np.random.Generator) -> str | None:
    """the same after any change of the global phase: -psi and i psi are the same state"""
    exact, factors = _pair(rng)
    for phase in (-1.0, 1j, np.exp(1j * rng.uniform(0.3, 6.0))):
        got = _accuracy(answer, phase * exact * factors, exact)
        if differs(got, 1.0):
            return f"psi times {phase:.3f} gives {got:.6f}, psi itself 1"
    return None


def _flipped(answer: Any, rng: np.random.Generator) -> str | None:
    """each wrong sign costs the weight of its configuration in the exact state"""
    exact, factors = _pair(rng)
    order = rng.permutation(len(exact))
    wrong = order[np.cumsum(exact[order] ** 2) < rng.uniform(0.1, 0.25)]
    signs = np.ones(len(exact))
    signs[wrong] = -1
    psi = np.exp(1j * rng.uniform(0, 6)) * exact * factors * signs
    got, want = _accuracy(answer, psi, exact), 1 - np.sum(exact[wrong] ** 2)
    if differs(got, want):
        return (
            f"{len(wrong)} of {len(exact)} signs wrong, exact weight {1 - want:.4f}: you give {got:.4f}, not {want:.4f}"
        )
    return None


def _tilted(answer: Any, rng: np.random.Generator) -> str | None:
    """a phase that deviates by less than a quarter turn counts as right"""
    exact, factors = _pair(rng)
    angles = rng.uniform(-1.2, 1.2, len(exact))
    psi = exact * factors * np.exp(1j * (angles + rng.uniform(0, 6)))
    tilt = np.angle(np.sum(exact**2 * factors * np.exp(1j * angles)))
    want = float(np.sum(exact[np.cos(angles - tilt) > 0] ** 2))
    got = _accuracy(answer, psi, exact)
    return (
        f"phases within +-1.2 of the right ones: you give {got:.4f}, expected {want:.4f}"
        if differs(got, want)
        else None
    )


EXERCISE_3 = Exercise(
    "How many signs are right",
    (
        Property(_all_right, "compare signs, not amplitudes; and divide by nothing that is not needed"),
        Property(
            _any_phase, "turn psi first, by the phase that makes its overlap with the exact state real and positive"
        ),
        Property(_flipped, "which configurations matter is decided by the exact state, not by a count and not by psi"),
        Property(_tilted, "after the turn look at the sign of the real part"),
    ),
)

# --- 05.4 projection


def _terms(rng: np.random.Generator, size: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, int]:
    """log psi of the images of one configuration under a cyclic group."""
    order = int(rng.integers(3, 9))
    log_psi = size * rng.normal(size=order) + 1j * rng.uniform(-3, 3, order) + offset
    return log_psi, order


def _characters(order: int, turn: int) -> np.ndarray:
    """The characters of the cyclic group of that order."""
    return np.exp(2j * np.pi * turn * np.arange(order) / order)


def _project(answer: Any, log_psi: np.ndarray, characters: np.ndarray) -> complex:
    """The reader's log psi_sym."""
    with np.errstate(all="ignore"):
        return complex(asked(answer, log_psi.copy(), characters.copy()))


def _away(got: complex, log_psi: np.ndarray, characters: np.ndarray) -> str | None:
    """What is wrong with a projected amplitude."""
    top = float(np.max(np.real(log_psi)))
    want = np.mean(np.conj(characters) * np.exp(log_psi - top))
    if not np.isfinite(got):
        return f"log psi of {len(log_psi)} images up to {top:.1f}: you return {got}"
    with np.errstate(over="ignore"):
        seen = np.exp(got - top)
    if not abs(seen - want) <= 1e-8 * max(abs(want), 1e-3):
        ratio = seen / want
        return f"{len(log_psi)} images: your psi is {ratio:.5g} times the projected one"
    return None


def _mean_of_images(answer: Any, rng: np.random.Generator) -> str | None:
    """all characters 1: the mean of psi over the images"""
    log_psi, order = _terms(rng)
    characters = _characters(order, 0)
    return _away(_project(answer, log_psi, characters), log_psi, characters)


def _moves_with_the_group(answer: Any, rng: np.random.Generator) -> str | None:
    """psi_sym(g s) = chi(g) psi_sym(s)"""
    log_psi, order = _terms(rng)
    for turn in range(1, order):
        characters = _characters(order, turn)
        here, there = (_project(answer, np.roll(log_psi, -k), characters) for k in (0, 1))
        if differs(np.exp(there - here), characters[1], 1e-7):
            return (
                f"order {order}, chi(g) = {characters[1]:.3f}, but psi_sym(g s)/psi_sym(s) = {np.exp(there - here):.4g}"
            )
        wrong = _away(here, log_psi, characters)
        if wrong:
            return wrong
    return None


def _no_overflow(answer: Any, rng: np.random.Generator) -> str | None:
    """right also where log psi is 900 or -900, as it is for large systems"""
    for offset in (900.0, -900.0):
        log_psi, order = _terms(rng, offset=offset)
        characters = _characters(order, 1)
        wrong = _away(_project(answer, log_psi, characters), log_psi, characters)
        if wrong:
            return wrong
    return None


def _killed(answer: Any, rng: np.random.Generator) -> str | None:
    """where the images cancel exactly, log|psi_sym| is minus infinity and not NaN; images with psi = 0 do no harm"""
    value = complex(rng.normal(), rng.uniform(-3, 3))
    got = _project(answer, np.full(2, value), np.array([1.0, -1.0]) + 0j)
    if got.real != -np.inf:
        return f"two equal images with the characters +1 and -1: you return {got}"
    log_psi, characters = np.array([value, complex(-np.inf, 0)]), np.ones(2) + 0j
    got = _project(answer, log_psi, characters)
    return _away(got, np.array([value, -1e3]), characters)


EXERCISE_4 = Exercise(
    "Projection on a sector",
    (
        Property(_mean_of_images, "average the amplitudes, not their logarithms; and what stands before the sum?"),
        Property(_moves_with_the_group, "each image is weighted by its character: as it is, or conjugated?"),
        Property(_no_overflow, "take the largest Re log psi out of the sum and put it back behind the logarithm"),
        Property(_killed, "the logarithm of zero: which function gives -inf for it, and when would it give NaN?"),
    ),
)

# --- 05.5 the variance that nobody saw


def _problem(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random Hermitian matrix and a state that is not normalised."""
    size = int(rng.integers(12, 25))
    h = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    psi = (rng.normal(size=size) + 1j * rng.normal(size=size)) * rng.uniform(0.5, 3)
    return h + h.conj().T, psi


def _two(answer: Any, h: np.ndarray, psi: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """The reader's two real numbers."""
    with np.errstate(all="ignore"):
        seen, unseen = asked(answer, h, psi.copy(), drawn.copy())
    for value in (seen, unseen):
        if abs(complex(value).imag) > 1e-9 * (1 + abs(value)):
            raise ValueError(f"a variance is a real number, got {value}")
    return float(np.real(seen)), float(np.real(unseen))


def _reference(h: np.ndarray, psi: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Both numbers from the definition."""
    state = psi / np.linalg.norm(psi)
    energy = np.vdot(state, h @ state).real
    local = (h @ state)[drawn] / state[drawn]
    unseen = np.setdiff1d(np.arange(len(psi)), drawn)
    residual = h @ state - energy * state
    return float(np.mean(np.abs(local - local.mean()) ** 2)), float(np.sum(np.abs(residual[unseen]) ** 2))


def _eigenstate(answer: Any, rng: np.random.Generator) -> str | None:
    """an eigenstate has none of either, whatever its norm and whatever was drawn"""
    h, _ = _problem(rng)
    k = int(rng.integers(len(h)))
    psi = rng.uniform(0.5, 3) * np.linalg.eigh(h)[1][:, k]
    seen, unseen = _two(answer, h, psi, rng.integers(len(h), size=5))
    if max(abs(seen), abs(unseen)) > 1e-8:
        return f"eigenstate: seen {seen:.4g}, unseen {unseen:.4g}"
    return None


def _trapped(answer: Any, rng: np.random.Generator) -> str | None:
    """in the trap, an eigenstate of a corner of H, all of the variance is unseen"""
    h, _ = _problem(rng)
    inside = np.sort(rng.permutation(len(h))[: len(h) // 2])
    psi = np.zeros(len(h), complex)
    psi[inside] = rng.uniform(0.5, 3) * np.linalg.eigh(h[np.ix_(inside, inside)])[1][:, 0]
    seen, unseen = _two(answer, h, psi, inside)
    want = _reference(h, psi, inside)[1]
    if abs(seen) > 1e-8 or differs(unseen, want, 1e-7):
        return f"trap: seen {seen:.4g} (should be 0), unseen {unseen:.4f}, |H psi|^2 outside the corner {want:.4f}"
    return None


def _everything(answer: Any, rng: np.random.Generator) -> str | None:
    """where every configuration was drawn at least once nothing is unseen"""
    h, psi = _problem(rng)
    drawn = np.concatenate([np.arange(len(h)), rng.integers(len(h), size=30)])
    _, unseen = _two(answer, h, psi, drawn)
    return f"all {len(h)} configurations were drawn, and you find {unseen:.4g} unseen" if abs(unseen) > 1e-9 else None


def _generic(answer: Any, rng: np.random.Generator) -> str | None:
    """right for any state and any draws: a configuration drawn twice counts twice in the first number"""
    h, psi = _problem(rng)
    drawn = rng.choice(len(h) // 2, size=15)
    got, want = _two(answer, h, psi, drawn), _reference(h, psi, drawn)
    for name, mine, true in zip(("seen", "unseen"), got, want, strict=True):
        if differs(mine, true, 1e-7):
            return f"{name}: yours {mine:.5f}, expected {true:.5f} (ratio {mine / true:.4g})"
    return None


EXERCISE_5 = Exercise(
    "The variance that nobody saw",
    (
        Property(_eigenstate, "H psi = E psi: which sign stands before E psi, and is E that of the normalised state?"),
        Property(_trapped, "H psi - E psi over ALL configurations, then keep those that were not drawn"),
        Property(_everything, "a configuration that was drawn once is seen"),
        Property(_generic, "local energies of the draws as they came; the residual belongs to the normalised state"),
    ),
)
