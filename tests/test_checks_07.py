"""The checks of notebook 07 pass on right answers and fail on the classic wrong ones, at the right property."""

import numpy as np
from planted import questions

# --- right answers, written apart from the solutions of the notebook


def start(bonds, couplings, colours):
    n = len(colours)
    exchange = n / (2 * (n - 1))  # share of configurations with i and j antiparallel
    diagonal = 0.25 * (1 - 2 * exchange)
    flip = [-1 if colours[i] != colours[j] else 1 for i, j in bonds]
    return sum(c * (diagonal + 0.5 * exchange * f) for c, f in zip(couplings, flip, strict=True))


def bound(energy, levels):
    return min(1.0, (energy - levels[0]) / (levels[levels > levels[0] + 1e-9][0] - levels[0]))


def temple(energy, variance, e1):
    return energy - variance / (e1 - energy) if energy < e1 else -np.inf


def waves(c, lx, ly):
    return np.fft.fft2(c.reshape(ly, lx)).real


def combine(values, errors):
    w = 1 / errors**2
    mean = (w @ values) / w.sum()
    return mean, w.sum() ** -0.5, np.sum(((values - mean) / errors) ** 2)


def cosets(group, subgroup):
    place = {tuple(row): k for k, row in enumerate(group.tolist())}
    labels = {min(place[tuple(row[k].tolist())] for k in subgroup) for row in group}
    return sorted(labels)


RIGHT = {"07.1": start, "07.2": bound, "07.3": temple, "07.4": waves, "07.5": combine, "07.6": cosets}

# --- the classic wrong ones, and which property catches them


def without_sign(bonds, couplings, colours):
    return start(bonds, couplings, np.ones_like(colours))


def half_antiparallel(bonds, couplings, colours):
    return sum(c * (-0.25 if colours[i] != colours[j] else 0.25) for c, (i, j) in zip(couplings, bonds, strict=True))


def classical(bonds, couplings, colours):
    return sum(c * 0.25 * colours[i] * colours[j] for c, (i, j) in zip(couplings, bonds, strict=True))


def weights_by_error(values, errors):
    w = 1 / errors
    mean = (w @ values) / w.sum()
    return mean, np.sum(w**-2.0) ** 0.5 / len(values), np.sum(((values - mean) / errors) ** 2)


def other_cosets(group, subgroup):
    place = {tuple(row): k for k, row in enumerate(group.tolist())}
    return sorted({min(place[tuple(k[row].tolist())] for k in subgroup) for row in group})


def from_the_truth(values, errors):
    mean, error, _ = combine(values, errors)
    return mean, error, np.sum((values / errors) ** 2)


WRONG = [
    ("07.1", without_sign, "two spins"),
    ("07.1", lambda b, c, s: 4 * start(b, c, s), "two spins"),
    ("07.1", lambda b, c, s: start(b, c, s) / len(s), "two spins"),
    ("07.1", half_antiparallel, "two spins"),
    ("07.1", classical, "two spins"),
    ("07.1", lambda b, c, s: half_antiparallel(b, c, s) if len(s) > 2 else start(b, c, s), "random clusters"),
    ("07.2", lambda e, v: (e - v[0]) / (v[1] - v[0]) if v[1] > v[0] else 1.0, "listed several times"),
    ("07.2", lambda e, v: (e - v[0]) / (v[-1] - v[0]), "exactly this infidelity"),
    ("07.2", lambda e, v: (e - v[0]) / abs(v[0]), "exactly this infidelity"),
    ("07.2", lambda e, v: bound(e, v) ** 0.5, "exactly this infidelity"),
    ("07.2", lambda e, v: (e - v[0]) / (v[v > v[0]][0] - v[0]), "no random state"),
    ("07.3", lambda e, v, e1: e - v**0.5, "two lowest levels"),
    ("07.3", lambda e, v, e1: e + v / (e1 - e) if e < e1 else -np.inf, "two lowest levels"),
    ("07.3", lambda e, v, e1: e - v / (e1 - e), "at or above E1"),
    ("07.3", lambda e, v, e1: e - v / abs(e1 - e) if e != e1 else -np.inf, "at or above E1"),
    ("07.3", lambda e, v, e1: e - v / 16 / (e1 - e) if e < e1 else -np.inf, "two lowest levels"),
    ("07.3", lambda e, v, e1: e, "two lowest levels"),
    ("07.4", lambda c, lx, ly: waves(c, lx, ly) / (lx * ly), "scatter the same"),
    ("07.4", lambda c, lx, ly: waves(c, lx, ly).T, "scatter the same"),
    ("07.4", lambda c, lx, ly: np.fft.fft2(c.reshape(lx, ly).T).real, "row ky and column kx"),
    ("07.4", lambda c, lx, ly: np.fft.fftshift(waves(c, lx, ly)), "summed over all"),
    ("07.4", lambda c, lx, ly: np.fft.fft2(c.reshape(lx, ly)).real.reshape(ly, lx), "row ky and column kx"),
    ("07.5", lambda v, e: (v.mean(), np.sqrt(np.sum(e**2)) / len(v), combine(v, e)[2]), "a million times"),
    ("07.5", weights_by_error, "a million times"),
    ("07.5", lambda v, e: (combine(v, e)[0], e.mean(), combine(v, e)[2]), "equal errors"),
    ("07.5", from_the_truth, "about 68"),
    ("07.5", lambda v, e: (*combine(v, e)[:2], combine(v, e)[2] / (len(v) - 1)), "about 68"),
    ("07.6", lambda g, k: list(range(len(g) // len(k))), "cut in patches"),
    ("07.6", other_cosets, "for a function"),
    ("07.6", lambda g, k: list(range(len(g))), "identity as subgroup"),
    ("07.6", lambda g, k: g[:1].tolist(), "identity as subgroup"),
    ("07.6", lambda g, k: cosets(g, k)[:-1] if len(g) > len(k) > 1 else cosets(g, k), "no two alike"),
]


test_right, test_wrong, test_explained, test_two_each = questions(RIGHT, WRONG)
