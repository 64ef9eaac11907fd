"""Equal tuning effort: the same rates for every type of attention, prolonged where the best lies on the edge."""

from collections.abc import Sequence

import numpy as np

from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.setting import TYPES, Setting, tuning_settings
from nqs_lab.lab.shelf import Row

FACTOR, LOWEST, HIGHEST = 3, 0.0009, 0.1
"""The grid of rates is prolonged by about this factor, and not beyond these."""
NOT_FINITE = 10.0
"""What a run counts that met a loss that is not finite, in nats."""


def scores(rows: Sequence[Row[Setting]], language: str, kind: str) -> dict[float, float]:
    """Mean excess over the tuning seeds at the longest tuned length, in nats per hidden word, by rate."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if (row.setting.language, row.setting.attention) == (language, kind):
            excess = row["stages"][-1]["excess"]
            found.setdefault(row.setting.rate, []).append(excess if np.isfinite(excess) else NOT_FINITE)
    return {rate: float(np.mean(found[rate])) for rate in sorted(found)}


def choose(rows: Sequence[Row[Setting]]) -> dict[tuple[str, str], float]:
    """The best rate of every (language, type). Raises ValueError where there are no tuning runs."""
    best = {}
    for language in LANGUAGES:
        for kind in TYPES:
            table = scores(rows, language, kind)
            if not table:
                raise ValueError(f"no tuning runs of {language}, {kind}: run python -m nqs_lab.lab.sentences tune.")
            best[language, kind] = min(table, key=lambda rate: table[rate])
    return best


def extension(rows: Sequence[Row[Setting]]) -> list[Setting]:
    """The runs that prolong the grid by one rate, for every type and language alike, wherever a best lies on its edge.

    Empty once every best lies inside, or at the limits. Content alone in the chain has nothing to learn: its best rate
    says nothing and prolongs nothing.
    """
    rates = sorted({row.setting.rate for row in rows})
    best = {rate for (language, kind), rate in choose(rows).items() if (language, kind) != ("chain", "dot-product")}
    new = {round(rates[0] / FACTOR, 4)} if rates[0] in best else set()
    new |= {round(rates[-1] * FACTOR, 4)} if rates[-1] in best else set()
    return tuning_settings(rates=sorted(rate for rate in new if LOWEST <= rate <= HIGHEST))
