"""The checks of notebook 11 pass on right answers and fail on the classic wrong ones, at the right property."""

import numpy as np
from planted import questions

# --- right answers, written apart from the solutions of the notebook


def ball(mu, stiff):
    total = np.sqrt(mu) + np.sqrt(stiff)
    return 4 / total**2, ((np.sqrt(stiff) - np.sqrt(mu)) / total) ** 2


def force(x, y, a, b, two=2.0, query=1.0, key=1.0, power=2):
    m = np.exp(x @ a @ x.T)
    s = np.einsum("id,de,ie->i", y, b, y) / m.mean(1) ** power
    return np.einsum("ij,jd->id", m * (query * s[:, None] + key * s[None] + two), x) @ a / (2 * len(x))


def settles(energies, tolerance):
    for k in range(len(energies)):
        if np.all(energies[k:] < tolerance * energies[0]):
            return k
    return -1


def on_sphere(x, y, velocity, pull):
    return pull - x * np.einsum("id,id->i", x, pull)[:, None] - x * np.einsum("id,id->i", velocity, y)[:, None]


def largest(curvature, kept):
    return 2 / curvature * (1 + 1 / kept)


RIGHT = {"11.1": ball, "11.2": force, "11.3": settles, "11.4": on_sphere, "11.5": largest}

# --- the classic wrong ones, and which property catches them


def first_below(energies, tolerance):
    below = energies < tolerance * energies[0]
    return int(np.argmax(below)) if below.any() else -1


def with_nan(energies, tolerance):
    above = np.flatnonzero(energies >= tolerance * energies[0])
    return -1 if len(above) and above[-1] == len(energies) - 1 else int(above[-1]) + 1


flat = lambda x, u: u - x * np.sum(x * u, axis=1, keepdims=True)

WRONG = [
    ("11.1", lambda mu, stiff: (2 / (mu + stiff), ((stiff - mu) / (stiff + mu)) ** 2), "both modes"),
    ("11.1", lambda mu, stiff: (ball(mu, stiff)[0], ball(mu, stiff)[1] ** 0.5), "both modes"),
    ("11.1", lambda mu, stiff: (1 / stiff, ball(mu, stiff)[1] ** 0.5), "both modes"),
    ("11.1", lambda mu, stiff: (1 / stiff, 0.9), "round bowl"),
    ("11.1", lambda mu, stiff: (2 / stiff, ball(mu, stiff)[1]), "round bowl"),
    ("11.2", lambda *q: force(*q, two=-2.0), "without momenta"),
    ("11.2", lambda *q: force(*q, two=1.0), "without momenta"),
    ("11.2", lambda *q: force(*q, key=0.0), "-dH/dx"),
    ("11.2", lambda *q: force(*q, query=0.0), "-dH/dx"),
    ("11.2", lambda *q: force(*q, power=1), "-dH/dx"),
    ("11.2", lambda *q: force(*q, query=-1.0, key=-1.0), "-dH/dx"),
    ("11.2", lambda x, y, a, b: force(x, y, a, b) * len(x), "without momenta"),
    ("11.3", first_below, "swings through"),
    ("11.3", lambda e, t: settles(e, t / e[0]), "only falls"),
    ("11.3", lambda e, t: settles(e, t) + 1, "only falls"),
    ("11.3", with_nan, "last energy"),
    ("11.3", lambda e, t: int(np.flatnonzero(~(e < t * e[0]))[-1]) + 1, "last energy"),
    ("11.4", lambda x, y, v, pull: flat(x, pull), "x . y stays zero"),
    ("11.4", lambda x, y, v, pull: flat(x, pull) + x * np.sum(v * y, axis=1, keepdims=True), "x . y stays zero"),
    ("11.4", lambda x, y, v, pull: pull - x * np.sum(v * y, axis=1, keepdims=True), "at rest"),
    ("11.4", lambda x, y, v, pull: on_sphere(x, y, v, pull) - 0.1 * y, "nothing is added"),
    ("11.5", lambda c, kept: 2 / c, "without friction"),
    ("11.5", lambda c, kept: 2 * (1 + kept) / c, "a little below"),
    ("11.5", lambda c, kept: 4 / c, "a little below"),
    ("11.5", lambda c, kept: 4 / (c * kept), "a little below"),
]


test_right, test_wrong, test_explained, test_two_each = questions(RIGHT, WRONG)
