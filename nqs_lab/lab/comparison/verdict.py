"""How a comparison is judged: paired seeds, log10 of the relative error, a t-interval, and a margin set beforehand."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

MARGIN = 0.3
"""In log10 of the relative error: a factor of two. Written down before the runs that are judged by it."""


class Verdict(NamedTuple):
    """`difference` = mean of first - second, its 95 % interval `low`..`high`, and one of three words.

    "different": the interval excludes zero. Else "equivalent" where it lies inside -margin..margin, else "undecided".
    `within_margin`: it lies inside, so that even a difference is too small to matter.
    """

    difference: float
    low: float
    high: float
    word: str
    within_margin: bool
    pairs: int

    def __str__(self) -> str:
        small = " (within the margin)" if self.word == "different" and self.within_margin else ""
        return f"{self.word}{small}: {self.difference:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {self.pairs} pairs"


def judge(first: Float[np.ndarray, " K"], second: Float[np.ndarray, " L"], *, margin: float = MARGIN) -> Verdict:
    """Compare two paired samples, for example log10 of the relative errors of two types on the same seeds.

    The interval is mean +- t s / sqrt(K), t the 97.5 % point of Student's distribution for K - 1 degrees of freedom.
    Raises ValueError for fewer than two pairs, unequal lengths, values that are not finite, or a margin <= 0.
    """
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(f"expected two paired samples of at least 2 values, got {len(first)} and {len(second)}.")
    if not np.all(np.isfinite([first, second])) or not margin > 0:
        raise ValueError("expected finite values and a margin > 0; leave out diverged runs in pairs, and say so.")
    difference = first - second
    mean = float(difference.mean())
    half = float(stats.t.ppf(0.975, len(first) - 1) * difference.std(ddof=1) / np.sqrt(len(first)))
    low, high = mean - half, mean + half
    inside = -margin <= low and high <= margin
    word = "different" if low > 0 or high < 0 else "equivalent" if inside else "undecided"
    return Verdict(mean, low, high, word, inside, len(first))
