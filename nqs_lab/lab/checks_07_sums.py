"""Checks of notebook 07 about sums: structure factors, weighted means, and sums over a group."""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs

# --- 07.4 structure factor


def _waves(answer: Any, c: np.ndarray, lx: int, ly: int) -> np.ndarray:
    """The reader's S, real, shape (ly, lx)."""
    value = np.asarray(asked(answer, c.copy(), lx, ly))
    if value.shape != (ly, lx):
        raise ValueError(f"lx = {lx}, ly = {ly}: expected the shape ({ly}, {lx}), got {value.shape}")
    if np.abs(np.imag(value)).max() > 1e-9:
        raise ValueError("S(q) of a C(r) with C(r) = C(-r) should be real")
    return np.real(value).astype(float)


def _sides(rng: np.random.Generator) -> tuple[int, int]:
    """A torus that is not square."""
    lx, ly = rng.choice(np.arange(3, 8), size=2, replace=False).tolist()
    return int(lx), int(ly)


def _symmetric(rng: np.random.Generator, lx: int, ly: int) -> np.ndarray:
    """A random C(r) with C(r) = C(-r), by site x + lx y."""
    grid = rng.normal(size=(ly, lx))
    return ((grid + np.roll(grid[::-1, ::-1], (1, 1), axis=(0, 1))) / 2).ravel()


def constant_in_space(answer: Any, rng: np.random.Generator) -> str | None:
    """independent spins, C(r) = 3/4 at r = 0 only, scatter the same in all directions: S(q) = 3/4"""
    lx, ly = _sides(rng)
    c = np.zeros(lx * ly)
    c[0] = 0.75
    s = _waves(answer, c, lx, ly)
    return f"{lx} x {ly}: S from {s.min():.4f} to {s.max():.4f}" if differs(s, np.full((ly, lx), 0.75)) else None


def sum_over_waves(answer: Any, rng: np.random.Generator) -> str | None:
    """summed over all wave vectors it gives N C(0), and S(0) is the sum of all C(r)"""
    lx, ly = _sides(rng)
    c = _symmetric(rng, lx, ly)
    s = _waves(answer, c, lx, ly)
    if differs(s.sum(), lx * ly * c[0], 1e-8) or differs(s[0, 0], c.sum(), 1e-8):
        return f"sum {s.sum():.4f} for N C(0) = {lx * ly * c[0]:.4f}; S(0) = {s[0, 0]:.4f} for {c.sum():.4f}"
    return None


def one_peak(answer: Any, rng: np.random.Generator) -> str | None:
    """C(r) = cos(q.r) has its weight at q and -q only, in row ky and column kx, also on a torus that is not square"""
    lx, ly = _sides(rng)
    kx, ky = int(rng.integers(1, lx)), int(rng.integers(1, ly))
    x, y = np.arange(lx * ly) % lx, np.arange(lx * ly) // lx
    s = _waves(answer, np.cos(2 * np.pi * (kx * x / lx + ky * y / ly)), lx, ly)
    want = np.zeros((ly, lx))
    for sign in (1, -1):
        want[(sign * ky) % ly, (sign * kx) % lx] += lx * ly / 2
    if differs(s, want, 1e-8):
        rows = [tuple(map(int, place)) for place in np.argwhere(np.abs(s) > 1e-6)]
        return f"{lx} x {ly}, kx = {kx}, ky = {ky}: your S is not zero at (row, column) {rows[:4]}"
    return None


# --- 07.5 combining measurements


def _combined(answer: Any, values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """The reader's mean, error and chi^2."""
    found = np.asarray(asked(answer, values.copy(), errors.copy()), dtype=float)
    if found.shape != (3,):
        raise ValueError(f"expected three numbers (mean, error, chi2), got shape {found.shape}")
    return float(found[0]), float(found[1]), float(found[2])


def equal_errors(answer: Any, rng: np.random.Generator) -> str | None:
    """K values with equal errors: their plain mean, and an error smaller by the root of K"""
    count, error = int(rng.integers(2, 9)), float(rng.uniform(0.1, 2))
    values = rng.normal(size=count)
    mean, spread, _ = _combined(answer, values, np.full(count, error))
    if differs([mean, spread], [values.mean(), error / np.sqrt(count)], 1e-9):
        return f"K = {count}: {mean:.5f} +- {spread:.5f}, expected {values.mean():.5f} +- {error / np.sqrt(count):.5f}"
    return None


def one_is_useless(answer: Any, rng: np.random.Generator) -> str | None:
    """a further value with a million times the error changes nothing"""
    values, errors = rng.normal(size=4), rng.uniform(0.5, 2, size=4)
    before = _combined(answer, values, errors)[:2]
    after = _combined(answer, np.append(values, 50.0), np.append(errors, 1e6))[:2]
    return f"{before} became {after}" if differs(after, before, 1e-6) else None


def in_stages(answer: Any, rng: np.random.Generator) -> str | None:
    """first some of the values, then the result with the others, gives the same as all at once"""
    values, errors = rng.normal(size=5), rng.uniform(0.2, 2, size=5)
    whole = _combined(answer, values, errors)[:2]
    mean, error, _ = _combined(answer, values[:3], errors[:3])
    staged = _combined(answer, np.append(values[3:], mean), np.append(errors[3:], error))[:2]
    return f"at once {whole}, in stages {staged}" if differs(staged, whole, 1e-9) else None


def near_the_truth(answer: Any, rng: np.random.Generator) -> str | None:
    """over many experiments the truth lies within one error in about 68 of 100, and chi^2 is K - 1 on average"""
    inside, total, count, trials = 0, 0.0, 5, 600
    for _ in range(trials):
        errors = rng.uniform(0.1, 2, size=count)
        mean, error, chi2 = _combined(answer, 3.0 + errors * rng.normal(size=count), errors)
        inside, total = inside + int(abs(mean - 3.0) < error), total + chi2
    if not 0.60 < inside / trials < 0.76:
        return f"the truth is within one error in {100 * inside / trials:.0f} of 100 experiments"
    average = total / trials
    return None if abs(average - count + 1) < 0.6 else f"K = {count}: chi^2 is {average:.2f} on average"


# --- 07.6 representatives of cosets


def _dihedral(n: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """All rotations and reflections of a ring of n sites, and the subgroup of one reflection (not normal)."""
    i = np.arange(n)
    group = np.stack([(i + k) % n for k in range(n)] + [(k - i) % n for k in range(n)])
    return group, np.stack([i, (axis - i) % n])


def _torus(lx: int, ly: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """All translations of a torus, and those by multiples of `step`."""
    x, y = np.arange(lx * ly) % lx, np.arange(lx * ly) // lx
    moved = lambda a, b: (x + a) % lx + lx * ((y + b) % ly)
    group = np.stack([moved(a, b) for b in range(ly) for a in range(lx)])
    return group, np.stack([moved(a, b) for b in range(0, ly, step) for a in range(0, lx, step)])


def _cases(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups with subgroups, the elements shuffled (the identity stays first)."""
    n = int(rng.integers(5, 9))
    found = [_torus(4, 2, 2), _dihedral(n, int(rng.integers(n)))]
    return [(group[np.append(0, 1 + rng.permutation(len(group) - 1))], subgroup) for group, subgroup in found]


def _representatives(answer: Any, group: np.ndarray, subgroup: np.ndarray) -> list[int]:
    """The reader's indices."""
    value = np.asarray(asked(answer, group.copy(), subgroup.copy()))
    if value.ndim != 1 or not np.issubdtype(value.dtype, np.integer):
        raise ValueError(f"expected a list of whole numbers, got shape {value.shape} of {value.dtype}")
    if value.size and not (0 <= value.min() and value.max() < len(group)):
        raise ValueError(f"indices should lie between 0 and {len(group) - 1}, got {value.min()} to {value.max()}")
    return value.tolist()


def wrong_sizes(answer: Any, rng: np.random.Generator) -> str | None:
    """with the identity as subgroup every element is needed; with the whole group one is enough"""
    for group, _ in _cases(rng):
        for subgroup, want in ((group[:1], len(group)), (group, 1)):
            found = _representatives(answer, group, subgroup)
            if len(found) != want or len(set(found)) != want:
                return f"group of {len(group)}, subgroup of {len(subgroup)}: {len(set(found))} representatives"
    return None


def counts_the_cosets(answer: Any, rng: np.random.Generator) -> str | None:
    """there are (elements of the group) / (elements of the subgroup) of them, no two alike"""
    for group, subgroup in _cases(rng):
        found = _representatives(answer, group, subgroup)
        if len(set(found)) != len(found) or len(found) != len(group) // len(subgroup):
            return f"{len(group)} elements, subgroup of {len(subgroup)}: {len(found)} representatives, {sorted(found)}"
    return None


def covers_everything(answer: Any, rng: np.random.Generator) -> str | None:
    """on a torus cut in patches the representatives, moved by whole patches, give every translation once"""
    group, subgroup = _torus(4, 4, 2)
    found = _representatives(answer, group, subgroup)
    reached = {tuple(group[r][k].tolist()) for r in found for k in subgroup}
    return None if len(reached) == len(group) else f"{len(reached)} of {len(group)} translations are reached"


def brings_it_back(answer: Any, rng: np.random.Generator) -> str | None:
    """for a function with f(k s) = f(s) the mean over the representatives is the mean over the whole group"""
    for group, subgroup in [case for _ in range(10) for case in _cases(rng)]:
        found = _representatives(answer, group, subgroup)
        weights, s = rng.normal(size=group.shape[1]), rng.normal(size=group.shape[1])
        function = lambda s, w=weights, sub=subgroup: float(np.mean([np.exp(w @ s[k]) for k in sub]))
        mean = np.mean([function(s[group[r]]) for r in found])
        want = np.mean([function(s[g]) for g in group])
        if differs(mean, want, 1e-9):
            return f"{len(group)} elements, subgroup of {len(subgroup)}: {mean:.6f}, over the whole group {want:.6f}"
    return None
