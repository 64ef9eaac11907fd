"""Equal tuning effort: the same grid of rates and shifts for every type, prolonged where the best lies on its edge."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nqs_lab.lab.comparison.setting import TYPES, Setting, tuning_settings
from nqs_lab.lab.comparison.shelf import Row

LIMITS = {"rate": (0.0125, 0.8), "shift": (1e-6, 1.0)}
"""The grid is not prolonged beyond these."""


def scores(rows: Sequence[Row], kind: str) -> dict[tuple[float, float], float]:
    """Mean log10 of the relative error over the tuning seeds, by (rate, diag_shift), for one type of attention.

    A run that met a non-finite energy counts as a relative error of 1.
    """
    found = defaultdict(list)
    for row in rows:
        if row.setting.attention == kind:
            error = row["relative_error"]
            value = np.log10(error) if np.isfinite(error) and error > 0 else 0.0
            found[row.setting.rate, row.setting.diag_shift].append(value)
    return {pair: float(np.mean(values)) for pair, values in found.items()}


def choose(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """The best (rate, diag_shift) of every type. Raises ValueError where a type has no tuning runs."""
    best = {}
    for kind in TYPES:
        table = scores(rows, kind)
        if not table:
            raise ValueError(f"no tuning runs of {kind}: run python -m nqs_lab.lab.comparison tune first.")
        best[kind] = min(table, key=lambda pair: table[pair])
    return best


def extension(rows: Sequence[Row]) -> list[Setting]:
    """The runs that prolong the grid: a line beyond the edge, for every type, wherever one type's best lies on it.

    Empty once every best lies inside, or at the limits. Every type gets the same runs: the effort stays equal.
    """
    rates = sorted({row.setting.rate for row in rows})
    shifts = sorted({row.setting.diag_shift for row in rows})
    new_rates, new_shifts = set(), set()
    for rate, shift in choose(rows).values():
        new_rates |= {rates[0] / 2} if rate == rates[0] else {rates[-1] * 2} if rate == rates[-1] else set()
        new_shifts |= {shifts[0] / 10} if shift == shifts[0] else {shifts[-1] * 10} if shift == shifts[-1] else set()
    low, high = LIMITS["rate"]
    new_rates = {rate for rate in new_rates if low <= rate <= high}
    low, high = LIMITS["shift"]
    new_shifts = {round(shift, 9) for shift in new_shifts if low <= shift <= high}
    wanted = tuning_settings(rates=sorted(new_rates), shifts=shifts)
    wanted += tuning_settings(rates=[*rates, *sorted(new_rates)], shifts=sorted(new_shifts))
    return wanted
