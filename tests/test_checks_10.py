"""The checks of notebook 10 pass on right answers and fail on the classic wrong ones, at the right property."""

import numpy as np
from planted import questions

# --- right answers, written apart from the solutions of the notebook


def force(x, a):
    return np.einsum("ij,jd,de->ie", np.exp(np.einsum("id,de,je->ij", x, a, x)), x, a) / len(x)


def loss(x, a, b):
    f = force(x, a)
    return -np.sum(np.einsum("id,de,ie->i", f, b, f) / np.exp(x @ a @ x.T).mean(1))


def jacobian(field, x, step=1e-5):
    columns = []
    for place in np.ndindex(*x.shape):
        change = np.zeros_like(x)
        change[place] = step
        columns.append(((field(x + change) - field(x - change)) / (2 * step)).ravel())
    return np.array(columns).T


def is_gradient(field, x):
    j = jacobian(field, x)
    return bool(np.linalg.norm(j - j.T) < 1e-6 * np.linalg.norm(j))


def ends(x, a, v):
    return 1 / (2 * a * v * np.mean(x**2)) if a * v > 0 else np.inf


def average(x, beta):
    w = np.exp(beta * x @ x.T)
    return w @ x / w.sum(axis=1)[:, None]


def on_the_sphere(x, beta):
    mix = average(x, beta)
    return mix - np.einsum("id,id->i", mix, x)[:, None] * x


def groups(x, angle):
    near = x @ x.T > np.cos(angle)
    for _ in range(len(x)):
        near = (near.astype(int) @ near) > 0
    return len({tuple(row) for row in near.tolist()})


RIGHT = {"10.1": force, "10.2": loss, "10.3": is_gradient, "10.4": ends, "10.5": on_the_sphere, "10.6": groups}

# --- the classic wrong ones, and which property catches them


def softmaxed(x, a):
    m = np.exp(x @ a @ x.T)
    return m / m.sum(1, keepdims=True) @ x @ a


def each_token_alone(field, x):
    """Looks at the diagonal blocks only."""
    n, d = x.shape
    j = jacobian(field, x).reshape(n, d, n, d)
    return all(np.abs(j[i, :, i] - j[i, :, i].T).max() < 1e-6 * np.abs(j).max() for i in range(n))


def greedy(x, angle):
    centres = []
    for point in x:
        if not any(point @ c > np.cos(angle) for c in centres):
            centres.append(point)
    return len(centres)


def two_steps_only(x, angle):
    near = x @ x.T > np.cos(angle)
    near = (near.astype(int) @ near) > 0
    return len({tuple(row) for row in near.tolist()})


def chained(x, angle):
    """Joins the first group that fits and never merges two."""
    found = []
    for point in x:
        for group in found:
            if any(point @ q > np.cos(angle) for q in group):
                group.append(point)
                break
        else:
            found.append([point])
    return len(found)


def absolute(x, angle):
    near = np.abs(x @ x.T) > np.cos(angle)
    for _ in range(len(x)):
        near = (near.astype(int) @ near) > 0
    return len({tuple(row) for row in near.tolist()})


WRONG = [
    ("10.1", lambda x, a: -force(x, a), "single token"),
    ("10.1", lambda x, a: force(x, a) / 2, "single token"),
    ("10.1", lambda x, a: force(x, a) * len(x), "any cloud"),
    ("10.1", softmaxed, "single token"),
    ("10.1", lambda x, a: np.exp(x @ a @ x.T) @ x / len(x), "single token"),
    ("10.2", lambda x, a, b: -loss(x, a, b), "negative"),
    ("10.2", lambda x, a, b: loss(x, a, b) / len(x), "short step"),
    ("10.2", lambda x, a, b: -np.sum(force(x, a) * (force(x, a) @ b)), "short step"),
    ("10.2", lambda x, a, b: loss(x, a, np.linalg.inv(b)), "short step"),
    ("10.2", lambda x, a, b: 2 * loss(x, a, b), "short step"),
    ("10.3", each_token_alone, "otherwise than i pulls j"),
    ("10.3", lambda f, x: True, "turns about"),
    ("10.3", lambda f, x: False, "random functions"),
    ("10.3", lambda f, x: bool(np.abs(jacobian(f, x) - jacobian(f, x).T).max() < 1e-9), "random functions"),
    ("10.3", lambda f, x: bool(np.abs(jacobian(f, x) - jacobian(f, x).T).max() < 0.1), "turns about"),
    ("10.4", lambda x, a, v: 1 / (2 * a * v * np.mean(x**2)), "infinity"),
    ("10.4", lambda x, a, v: 1 / (a * v * np.mean(x**2)) if a * v > 0 else np.inf, "single token"),
    ("10.4", lambda x, a, v: 1 / (2 * a * v * np.mean(x) ** 2) if a * v > 0 else np.inf, "many tokens"),
    ("10.4", lambda x, a, v: 1 / (2 * a * v * np.sum(x**2)) if a * v > 0 else np.inf, "many tokens"),
    ("10.4", lambda x, a, v: 1 / (2 * a * v * np.max(x**2)) if a * v > 0 else np.inf, "many tokens"),
    ("10.4", lambda x, a, v: ends(x, a, v) if a > 0 else np.inf, "many tokens"),
    ("10.5", average, "no velocity"),
    ("10.5", lambda x, b: average(x, b) - x, "no velocity"),
    ("10.5", lambda x, b: on_the_sphere(x, 1.0), "two tokens"),
    ("10.5", lambda x, b: on_the_sphere(x, b) * np.exp(b * x @ x.T).mean(1)[:, None], "two tokens"),
    ("10.5", lambda x, b: on_the_sphere(x, b) / (1e-30 + np.linalg.norm(average(x, b), axis=1))[:, None], "two tokens"),
    ("10.6", greedy, "a chain"),
    ("10.6", two_steps_only, "a chain"),
    ("10.6", chained, "shuffled"),
    ("10.6", absolute, "groups far"),
    ("10.6", lambda x, angle: len(np.unique(x.round(1), axis=0)), "groups far"),
]


test_right, test_wrong, test_explained, test_two_each = questions(RIGHT, WRONG)
