"""Equal tuning effort: the same rates for every kind, prolonged for all where the best of one lies on the edge."""

from collections.abc import Sequence

import numpy as np

from nqs_lab.lab.language_runs.setting import HONEST, Setting, tuning_settings
from nqs_lab.lab.shelf import Row

FACTOR, LOWEST, HIGHEST = 3, 1e-4, 0.1
"""The grid of rates is prolonged by about this factor, and not beyond these."""
NOT_FINITE = 20.0
"""What a run counts that ended without a finite loss or met steps that were not, in nats per token."""


def score(row: Row[Setting]) -> float:
    """The held-out loss of a tuning run; of one that met what is not finite, NOT_FINITE."""
    return row["loss"] if np.isfinite(row["loss"]) and row["rejected"] == 0 else NOT_FINITE


def scores(rows: Sequence[Row[Setting]], corpus: str, kind: str) -> dict[float, float]:
    """Mean held-out loss over the tuning seeds, in nats per token, by rate."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if (row.setting.corpus, row.setting.kind) == (corpus, kind):
            found.setdefault(row.setting.rate, []).append(score(row))
    return {rate: float(np.mean(found[rate])) for rate in sorted(found)}


def choose(rows: Sequence[Row[Setting]], corpus: str) -> dict[str, float]:
    """The best rate of every kind. **Raises** ValueError where a kind has no tuning runs."""
    best = {}
    for kind in HONEST:
        table = scores(rows, corpus, kind)
        if not table:
            raise ValueError(
                f"no tuning runs of {kind} on {corpus}: run python -m nqs_lab.lab.language_runs tune --corpus {corpus}"
            )
        best[kind] = min(table, key=lambda rate: table[rate])
    return best


def extension(rows: Sequence[Row[Setting]], corpus: str) -> list[Setting]:
    """The runs that prolong the grid by one rate, for every kind alike, wherever a best lies on its edge.

    Empty once every best lies inside, or at the limits.
    """
    rates = sorted({row.setting.rate for row in rows if row.setting.corpus == corpus})
    best = set(choose(rows, corpus).values())
    new = {_rounded(rates[0] / FACTOR)} if rates[0] in best else set()
    new |= {_rounded(rates[-1] * FACTOR)} if rates[-1] in best else set()
    return tuning_settings(corpus, sorted(rate for rate in new if LOWEST <= rate <= HIGHEST))


def _rounded(rate: float) -> float:
    """One significant digit: 0.003, 0.0003, ..."""
    return float(f"{rate:.0e}")
