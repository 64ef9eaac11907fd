"""Which run is compared with which: the same coupling, the same sign rule and the same seed, or it is no comparison."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_lab.lab.comparison.setting import WIDER_MLP
from nqs_lab.lab.comparison.verdict import MARGIN, Verdict, judge
from nqs_lab.lab.shelf import Row

HEADLINE = 5
"""Paired seeds that a headline on the 4x4 torus needs; with fewer a verdict is provisional, with one there is none."""

Value = Callable[[Row[Any]], float]


class Contender(NamedTuple):
    """What takes part in the comparison: a type of attention, with an MLP of some ratio."""

    attention: str
    mlp_ratio: int = 4

    def __str__(self) -> str:
        return self.attention if self.mlp_ratio == 4 else f"{self.attention}, MLP ratio {self.mlp_ratio}"


T5, DECOUPLED, FACTORED = Contender("t5"), Contender("decoupled"), Contender("factored")
EQUAL_SIZE = Contender("factored", WIDER_MLP)
STANDARD = (T5, DECOUPLED)


class Paired(NamedTuple):
    """Two values for each seed, and what they say: `first` - `second` is judged where there are at least two pairs.

    `left_out`: seeds of which one value is not finite; they are left out in pairs.
    """

    j2: float
    sign: str
    seeds: tuple[int, ...]
    first: Float[np.ndarray, " K"]
    second: Float[np.ndarray, " K"]
    left_out: tuple[int, ...]
    verdict: Verdict | None

    @property
    def standing(self) -> str:
        """Of the first against the second, where small is good; see `standing`."""
        return standing(self.verdict)


def standing(verdict: Verdict | None, *, margin: float = MARGIN) -> str:
    """How the first of two stands against the second, where small values are good.

    "better": its interval lies below zero. Else "as good": not worse by more than the margin. Else "worse": the
    interval lies above zero. Else "undecided"; "too few seeds" where there is no verdict.
    """
    if verdict is None:
        return "too few seeds"
    if verdict.high < 0:
        return "better"
    if verdict.high <= margin:
        return "as good"
    return "worse" if verdict.low > 0 else "undecided"


def log_error(row: Row[Any]) -> float:
    """log10 of the relative error of the energy; NaN where the run ended without a finite energy."""
    error = row["relative_error"]
    return float(np.log10(max(error, 1e-16))) if np.isfinite(error) else float("nan")


def cases(rows: Sequence[Row[Any]], *, signed: bool | None = None) -> list[tuple[float, str]]:
    """The pairs (J2, sign rule) that the rows have; only those with a rule (signed), only those without, or all."""
    found = {(row.setting.j2, row.setting.sign) for row in rows}
    return sorted(case for case in found if signed is None or (case[1] != "none") == signed)


def by_seed(rows: Sequence[Row[Any]], who: Contender, j2: float, sign: str) -> dict[int, Row[Any]]:
    """The runs of one contender in one case, by seed."""
    wanted = (who.attention, who.mlp_ratio, sign)
    found = [r for r in rows if (r.setting.attention, r.setting.mlp_ratio, r.setting.sign) == wanted]
    return {r.setting.seed: r for r in found if abs(r.setting.j2 - j2) < 1e-9}


def compare(
    rows: Sequence[Row[Any]],
    first: tuple[Contender, Value],
    second: tuple[Contender, Value],
    *,
    signed: bool | None = None,
) -> list[Paired]:
    """A value of one contender against a value of another (or of the same), case by case, seeds paired."""
    found = []
    for j2, sign in cases(rows, signed=signed):
        one, two = (by_seed(rows, who, j2, sign) for who, _ in (first, second))
        seeds = sorted(one.keys() & two.keys())
        if seeds:
            values = {seed: (first[1](one[seed]), second[1](two[seed])) for seed in seeds}
            found.append(pair(values, j2=j2, sign=sign))
    return found


def pair(values: dict[int, tuple[float, float]], *, j2: float, sign: str) -> Paired:
    """Paired values by seed, judged where there are two finite pairs or more."""
    kept = [seed for seed in sorted(values) if np.all(np.isfinite(values[seed]))]
    left_out = tuple(seed for seed in sorted(values) if seed not in kept)
    numbers = np.array([values[seed] for seed in kept], dtype=np.float64).reshape(-1, 2)
    verdict = judge(numbers[:, 0], numbers[:, 1]) if len(kept) >= 2 else None
    return Paired(j2, sign, tuple(kept), numbers[:, 0], numbers[:, 1], left_out, verdict)


def pool(found: Sequence[Paired]) -> Paired | None:
    """One value a seed: the mean over the couplings, of those seeds that have all of them; None without any.

    A seed is one draw of the initial weights, so that its couplings are no independent repetitions: the interval is
    over seeds. `j2` is NaN, `sign` says how many couplings went in.
    """
    found = [pairs for pairs in found if pairs.seeds]
    if not found:
        return None
    whole = sorted(set.intersection(*(set(pairs.seeds) for pairs in found)))
    rows = [[pairs.seeds.index(seed) for seed in whole] for pairs in found]
    first = np.mean([pairs.first[k] for pairs, k in zip(found, rows, strict=True)], axis=0)
    second = np.mean([pairs.second[k] for pairs, k in zip(found, rows, strict=True)], axis=0)
    values = {seed: (float(a), float(b)) for seed, a, b in zip(whole, first, second, strict=True)}
    known = set().union(*(set(pairs.seeds) | set(pairs.left_out) for pairs in found))
    pooled = pair(values, j2=float("nan"), sign=f"{len(found)} couplings")
    return pooled._replace(left_out=tuple(sorted(known - set(whole))))
