"""The checks of notebook 08 pass on right answers and fail on the classic wrong ones, at the right property."""

import numpy as np
from planted import questions
from scipy import stats


def softmax(z):
    w = np.exp(z - z.max(axis=-1, keepdims=True))
    return w / w.sum(axis=-1, keepdims=True)


# --- right answers, written apart from the solutions of the notebook


def ratio(maps, p):
    mean = np.tensordot(p, maps, axes=1)
    variance = np.tensordot(p, (maps - mean) ** 2, axes=1)
    return np.sqrt(variance.sum()) / np.linalg.norm(mean - 1 / maps.shape[-1])


def interval(a, b):
    found = stats.ttest_rel(a, b).confidence_interval(0.95)
    return found.low, found.high


def frozen(logits, position, p, values):
    return np.tensordot(p, softmax(logits + position), axes=1) @ values


def operations(n, d, heads, content):
    maps, products = (4, 2) if content else (2, 1)
    return maps * 2 * n * d * d + products * 2 * n * n * d


def rows(maps, nx, ny):
    n = nx * ny
    out = np.zeros(n)
    for i in range(n):
        for j in range(n):
            out[(j % nx - i % nx) % nx + nx * ((j // nx - i // nx) % ny)] += maps[i, j] / n
    return out


RIGHT = {"08.1": ratio, "08.2": interval, "08.3": frozen, "08.4": operations, "08.5": rows}

# --- the classic wrong ones, and which property catches them


def half_width(a, b, *, ddof=1, quantile=0.975, root=True, freedom=None):
    d = a - b
    k = len(d)
    t = stats.norm.ppf(quantile) if freedom is None else stats.t.ppf(quantile, freedom(k))
    half = t * d.std(ddof=ddof) / (np.sqrt(k) if root else k)
    return d.mean() - half, d.mean() + half


def unpaired(a, b):
    half = stats.t.ppf(0.975, 2 * len(a) - 2) * np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return np.mean(a - b) - half, np.mean(a - b) + half


def unpaired_from_scipy(a, b):
    found = stats.ttest_ind(a, b).confidence_interval(0.95)
    return found.low, found.high


def over_positions(maps, p):
    mean = np.tensordot(p, maps, axes=1)
    return np.linalg.norm(mean.std(axis=-1)) / np.linalg.norm(mean - 1 / maps.shape[-1])


def by_number(maps, p, ddof=0):
    mean = maps.mean(axis=0)
    return np.linalg.norm(maps.std(axis=0, ddof=ddof)) / np.linalg.norm(mean - 1 / maps.shape[-1])


def mean_not_centred(maps, p):
    mean = np.tensordot(p, maps, axes=1)
    return np.sqrt(np.tensordot(p, (maps - mean) ** 2, axes=1).sum()) / np.linalg.norm(mean)


def divided_by_n(maps, p):
    return ratio(maps, p) / maps.shape[-1]


def averaged_first(logits, position, p, values):
    return softmax(np.tensordot(p, logits, axes=1) + position) @ values


def transposed(logits, position, p, values):
    return np.tensordot(p, softmax(logits + position), axes=1).T @ values


def evenly(logits, position, p, values):
    return softmax(logits + position).mean(axis=0) @ values


def position_outside(logits, position, p, values):
    return (np.tensordot(p, softmax(logits), axes=1) + position) @ values


def on_a_ring(maps, nx, ny):
    n = nx * ny
    shift = (np.arange(n)[None] - np.arange(n)[:, None]) % n
    return np.array([maps[shift == k].sum() / n for k in range(n)])


WRONG = [
    ("08.1", over_positions, "the same in every configuration"),
    ("08.1", lambda m, p: by_number(m, p), "listed twice"),
    ("08.1", lambda m, p: by_number(m, p, ddof=1), "A + B and A - B"),
    ("08.1", mean_not_centred, "A + B and A - B"),
    ("08.1", divided_by_n, "A + B and A - B"),
    ("08.1", lambda m, p: ratio(m, p) ** 2, "A + B and A - B"),
    ("08.1", lambda m, p: ratio(m, np.ones(len(m)) / len(m)), "listed twice"),
    ("08.2", unpaired, "a good or bad seed"),
    ("08.2", unpaired_from_scipy, "a good or bad seed"),
    ("08.2", lambda a, b: half_width(a, b), "with two seeds"),
    ("08.2", lambda a, b: half_width(a, b, ddof=0, freedom=lambda k: k - 1), "with two seeds"),
    ("08.2", lambda a, b: half_width(a, b, freedom=lambda k: k), "with two seeds"),
    ("08.2", lambda a, b: half_width(a, b, quantile=0.95, freedom=lambda k: k - 1), "with two seeds"),
    ("08.2", lambda a, b: half_width(a, b, root=False, freedom=lambda k: k - 1), "with two seeds"),
    ("08.2", lambda a, b: half_width(b, a, freedom=lambda k: k - 1), "the middle of the interval"),
    ("08.3", transposed, "values that are the same"),
    ("08.3", evenly, "probability zero"),
    ("08.3", averaged_first, "mean of the live weights"),
    ("08.3", position_outside, "values that are the same"),
    ("08.3", lambda z, q, p, v: np.tensordot(p, softmax(z), axes=1) @ v, "the same in all configurations"),
    ("08.3", lambda z, q, p, v: softmax(z + q) @ v, "mean of the live weights"),
    ("08.4", lambda n, d, h, c: operations(n, d, h, c) // 2, "adds two maps"),
    ("08.4", lambda n, d, h, c: operations(n, d, h, c) + (h * 2 * n * n * d if c else 0), "one head or many"),
    ("08.4", lambda n, d, h, c: operations(n, d, h, c) - 2 * n * d * d, "twice the width"),
    ("08.4", lambda n, d, h, c: operations(n, d, h, c) - 2 * n * n * d, "in the program"),
    ("08.4", lambda n, d, h, c: operations(n, d, h, True), "adds two maps"),
    ("08.5", lambda m, x, y: rows(m.T, x, y), "single weight"),
    ("08.5", lambda m, x, y: rows(m, x, y) * x * y, "sum to one"),
    ("08.5", on_a_ring, "single weight"),
    ("08.5", lambda m, x, y: m[0], "single weight"),
    ("08.5", lambda m, x, y: m.mean(axis=0), "single weight"),
]


fewer = lambda key: 3 if key in ("08.2", "08.4") else 8  # these two train or count, and take longer
test_right, test_wrong, test_explained, test_two_each = questions(RIGHT, WRONG, seeds=fewer)
