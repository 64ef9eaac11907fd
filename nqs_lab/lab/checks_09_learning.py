"""Checks of notebook 09, second half: the noise of content-only attention (09.4), the gauge of couplings (09.5)."""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs

# --- 09.4 sqrt(n) times the standard deviation of a content-only average


def _bags(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of q kinds in M configurations of n tokens, the logits and the values of the kinds."""
    q, n, samples = int(rng.integers(4, 7)), int(rng.integers(30, 60)), int(rng.integers(150, 250))
    counts = rng.multinomial(n, rng.dirichlet(np.full(q, 3.0)), size=samples)
    return counts, rng.normal(size=q), rng.normal(size=(q, int(rng.integers(2, 5))))


def _noise(answer: Any, counts: np.ndarray, logits: np.ndarray, values: np.ndarray) -> float:
    """The reader's number."""
    value = np.asarray(asked(answer, counts.copy(), logits.copy(), values.copy()), dtype=float)
    if value.shape != ():
        raise ValueError(f"one number is asked for, got an array of shape {value.shape}")
    return float(value)


def rows_of_one(answer: Any, rng: np.random.Generator) -> str | None:
    """the same vector added to all values changes nothing: it is an average"""
    counts, logits, values = _bags(rng)
    before, after = (_noise(answer, counts, logits, v) for v in (values, values + 5.0))
    return f"values: {before:.5f}; all values raised by 5: {after:.5f}" if differs(after, before, 1e-6) else None


def linear_in_values(answer: Any, rng: np.random.Generator) -> str | None:
    """values three times as large give three times the answer"""
    counts, logits, values = _bags(rng)
    before, after = (_noise(answer, counts, logits, v) for v in (values, 3 * values))
    return f"the answer grows by a factor {after / before:.4f}" if differs(after, 3 * before, 1e-6) else None


def grows_like_root_n(answer: Any, rng: np.random.Generator) -> str | None:
    """four times as many tokens in the same proportions give the same average, so twice the answer"""
    counts, logits, values = _bags(rng)
    before, after = (_noise(answer, c, logits, values) for c in (counts, 4 * counts))
    return f"the answer grows by a factor {after / before:.4f}" if differs(after, 2 * before, 1e-6) else None


def token_by_token(answer: Any, rng: np.random.Generator) -> str | None:
    """it is sqrt(n) times the standard deviation that a softmax over all the tokens gives"""
    counts, logits, values = _bags(rng)
    n, averages = int(counts[0].sum()), []
    for count in counts:
        kinds = np.repeat(np.arange(len(logits)), count)
        weights = np.exp(logits[kinds])
        averages.append(weights @ values[kinds] / weights.sum())
    got = _noise(answer, counts, logits, values)
    either = [np.sqrt(n * np.var(averages, axis=0, ddof=ddof).sum()) for ddof in (0, 1)]
    if all(differs(got, want, 1e-6) for want in either):
        return f"yours {got:.5f}, token by token {either[0]:.5f}"
    return None


# --- 09.5 the zero-sum gauge


def _tensor(rng: np.random.Generator) -> np.ndarray:
    """Random couplings K[i, j, a, b] of no special form."""
    n, q = int(rng.integers(3, 6)), int(rng.integers(3, 5))
    return rng.normal(size=(n, n, q, q))


def _fixed(answer: Any, tensor: np.ndarray) -> np.ndarray:
    """The reader's couplings, of the right shape."""
    value = np.asarray(asked(answer, tensor.copy()), dtype=float)
    if value.shape != tensor.shape:
        raise ValueError(f"couplings of shape {tensor.shape} should keep their shape, got {value.shape}")
    return value


def sums_vanish(answer: Any, rng: np.random.Generator) -> str | None:
    """every sum over one colour vanishes"""
    fixed = _fixed(answer, _tensor(rng))
    off = ~np.eye(len(fixed), dtype=bool)
    for axis, name in ((3, "b"), (2, "a")):
        worst = float(np.abs(fixed.sum(axis=axis)[off]).max())
        if worst > 1e-10:
            return f"the largest sum over {name} of K_ij(a, b) is {worst:.3g}"
    return None


def any_gauge(answer: Any, rng: np.random.Generator) -> str | None:
    """functions of one colour alone, added to any pair of sites, make no difference"""
    tensor = _tensor(rng)
    n, q = len(tensor), tensor.shape[2]
    moved = tensor + rng.normal(size=(n, n, 1, q)) + rng.normal(size=(n, n, q, 1))
    off = ~np.eye(n, dtype=bool)
    before, after = (_fixed(answer, k)[off] for k in (tensor, moved))
    return f"they change the result by up to {np.abs(after - before).max():.3g}" if differs(after, before) else None


def pairs_from_both_ends(answer: Any, rng: np.random.Generator) -> str | None:
    """K_ij(a, b) = K_ji(b, a) is the mean of the two estimates, and couplings that have all this stay as they are"""
    tensor = _tensor(rng)
    off = ~np.eye(len(tensor), dtype=bool)
    fixed = _fixed(answer, tensor)
    gap = float(np.abs(fixed - fixed.transpose(1, 0, 3, 2))[off].max())
    if gap > 1e-10:
        return f"K_ij(a, b) and K_ji(b, a) differ by up to {gap:.3g}"
    pair, colours = rng.normal(size=tensor.shape[:2]), rng.normal(size=tensor.shape[2:])
    colours -= colours.mean(axis=0)
    colours -= colours.mean(axis=1, keepdims=True)
    right = np.einsum("ij,ab->ijab", pair + pair.T, colours + colours.T)
    worst = float(np.abs(_fixed(answer, right) - right)[off].max())
    return f"J_ij U_ab, both symmetric and U centred, changes by up to {worst:.3g}" if worst > 1e-10 else None
