"""The claims of the abstract, tested on the runs of a shelf: each becomes a Finding, a word with its numbers.

Words and rules were written down before the runs were looked at. "holds", "holds with limits", "undecided" and "fails
here" speak of the abstract's sentence, on one lattice, with one budget. rende2025queries
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nqs_lab.lab.comparison.costs import log_seconds
from nqs_lab.lab.comparison.inputs import Courses
from nqs_lab.lab.comparison.pairing import (
    EQUAL_SIZE,
    FACTORED,
    HEADLINE,
    STANDARD,
    Contender,
    Paired,
    compare,
    log_error,
    pair,
    pool,
)
from nqs_lab.lab.comparison.verdict import MARGIN
from nqs_lab.lab.shelf import Row, Shelf

INDEPENDENT = 0.1
"""R below this: the weights vary less over configurations than a tenth of what they vary over positions."""
SMALL_SHARE = 0.1
"""Freezing costs little if it loses less than this share of what uniform weights lose."""
WORDS = ("holds", "holds with limits", "undecided", "fails here")


class Finding(NamedTuple):
    """One claim, one of WORDS, the numbers behind it, and how many paired seeds there are, and are `needed`."""

    claim: str
    word: str
    numbers: str
    seeds: int
    needed: int = HEADLINE

    @property
    def provisional(self) -> bool:
        """Fewer seeds than a headline needs."""
        return self.seeds < self.needed

    def __str__(self) -> str:
        seeds = f"{self.seeds} of {self.needed} seeds" if self.provisional else f"{self.seeds} paired seeds"
        note = ", provisional" if self.provisional and self.word != "undecided" else ""
        text = f"-> {self.word.upper()} ({seeds}{note}). {self.numbers}"
        return f"{self.claim}\n{textwrap.fill(text, 112, initial_indent='    ', subsequent_indent='       ')}"


def log_frozen(name: str) -> Callable[[Row[Any]], float]:
    """log10 of the relative error after a replacement: "mean", "uniform", "displaced", "layer 1", ..."""

    def value(row: Row[Any]) -> float:
        energy, exact = row["freeze"][name]["energy"], row["exact"]
        error = abs(energy / exact - 1)
        return float(np.log10(max(error, 1e-16))) if np.isfinite(error) else float("nan")

    return value


def lost_share(row: Row[Any], name: str = "mean") -> float:
    """Energy that a replacement loses, as a share of what uniform weights lose; NaN where these lose nothing."""
    lost = {key: row["freeze"][key]["energy"] - row["energy"] for key in (name, "uniform")}
    return lost[name] / lost["uniform"] if lost["uniform"] > 0 else float("nan")


def log_lost(row: Row[Any]) -> float:
    """log10 of the energy per site (units of J1) that the mean weights lose; NaN where they lose nothing."""
    lost = (row["freeze"]["mean"]["energy"] - row["energy"]) / 16
    return float(np.log10(lost)) if lost > 0 else float("nan")


def frozen_ratio(row: Row[Any]) -> float:
    """By how much the mean weights multiply the relative error of the energy."""
    return float(10 ** (log_frozen("mean")(row) - log_error(row)))


def accuracy(
    rows: Sequence[Row[Any]], other: Contender, first: Contender = FACTORED, *, signed: bool = True
) -> Finding:
    """Positions alone against a standard attention: log10 of the relative errors, the couplings of a seed averaged."""
    found = compare(rows, (first, log_error), (other, log_error), signed=signed)
    rule = "default sign rule" if signed else "no sign rule"
    size = "equal width and depth" if first == FACTORED else "equal number of parameters"
    claim = f"Competitive accuracy: {first} against {other}, {size}, {rule}"
    whole = pool(found)
    if whole is None:
        return Finding(claim, "undecided", "No pair of runs on the shelf.", 0)
    worse = [p.j2 for p in found if p.standing == "worse"]
    where = f" Worse at J2 = {', '.join(f'{j2:g}' for j2 in worse)}." if worse else ""
    text = f"log10(error) difference, couplings averaged ({len(found)}): {said(whole)}.{where}"
    word = {"worse": "fails here", "undecided": "undecided", "too few seeds": "undecided"}.get(
        whole.standing, "holds with limits" if worse else "holds"
    )
    return Finding(claim, word, text, len(whole.seeds))


def time_saved(rows: Sequence[Row[Any]], other: Contender) -> Finding:
    """Lower cost: the logarithm of the seconds of a step, paired, the couplings of a seed averaged."""
    claim = f"Lower cost: time of a training step, factored against {other}"
    whole = pool(compare(rows, (FACTORED, log_seconds), (other, log_seconds)))
    if whole is None:
        return Finding(claim, "undecided", "No pair of runs on the shelf.", 0)
    ratio = 10 ** float(np.mean(whole.first - whole.second)) if len(whole.seeds) else float("nan")
    text = f"time ratio {ratio:.2f}; log10 difference {said(whole)}."
    if whole.verdict is None:
        return Finding(claim, "undecided", text, len(whole.seeds))
    word = "holds" if whole.verdict.high < 0 else "fails here" if whole.verdict.low > 0 else "undecided"
    return Finding(claim, word, text, len(whole.seeds))


def independence(rows: Sequence[Row[Any]], who: Contender, courses: Courses) -> Finding:
    """Input-independent at the end: log10 R against log10 INDEPENDENT, and against its value before training."""
    claim = f"Weights become input-independent: {who}, R at the end of training"
    now = pool(compare(rows, (who, courses.last), (who, lambda row: float(np.log10(INDEPENDENT)))))
    before = pool(compare(rows, (who, courses.last), (who, courses.first)))
    random = pool(compare(rows, (who, courses.last), (who, courses.random)))
    if now is None or before is None or random is None:
        return Finding(claim, "undecided", "No run with attention maps on the shelf.", 0)
    ratios = [10 ** float(np.mean(values)) for values in (now.first, before.second, random.second)]
    text = f"R = {ratios[0]:.2f} (start {ratios[1]:.2f}, random configurations {ratios[2]:.2f}; geometric means); "
    text += f"log10 R - log10 {INDEPENDENT:g}: {said(now)}; end - start: {said(before)}."
    return Finding(claim, independence_word(now, before), text, len(now.seeds))


def independence_word(now: Paired, before: Paired) -> str:
    """From log10 R - log10 INDEPENDENT (`now`) and log10 R - log10 R before training (`before`), as in RULES."""
    if now.verdict is None or before.verdict is None:
        return "undecided"
    fallen = before.verdict.high
    if now.verdict.high < 0:
        return "holds" if fallen < 0 else "holds with limits"
    if now.verdict.low > 0:
        return "holds with limits" if fallen < -MARGIN else "fails here"
    return "undecided"


def frozen(rows: Sequence[Row[Any]], who: Contender) -> Finding:
    """The freeze test: relative error with the mean weights against the trained one, and against uniform weights."""
    claim = f"The input may be ignored: {who} with its weights frozen to their mean over |psi|^2"
    rows = [row for row in rows if "freeze" in row.numbers]
    mean = pool(compare(rows, (who, log_frozen("mean")), (who, log_error)))
    uniform = pool(compare(rows, (who, log_frozen("uniform")), (who, log_error)))
    if mean is None or uniform is None:
        return Finding(claim, "undecided", "No freeze test on the shelf.", 0)
    mine = [row for row in rows if (row.setting.attention, row.setting.mlp_ratio) == tuple(who)]
    share = float(np.nanmedian([lost_share(row) for row in mine]))
    text = f"log10(error) frozen - trained: {said(mean)}; uniform - trained: {said(uniform)}; "
    text += f"median share of the uniform loss {100 * share:.1f} %."
    return Finding(claim, frozen_word(mean, uniform, share), text, len(mean.seeds))


def frozen_word(mean: Paired, uniform: Paired, share: float) -> str:
    """ "undecided" if uniform weights lose nothing either: then freezing proves nothing."""
    if mean.verdict is None or uniform.standing != "worse":
        return "undecided"
    if mean.standing in ("better", "as good"):
        return "holds"
    if mean.standing == "worse":
        return "holds with limits" if share < SMALL_SHARE else "fails here"
    return "undecided"


def said(pairs: Paired) -> str:
    """A paired difference in words: standing, mean and interval, or that there are too few seeds to judge."""
    if pairs.verdict is None:
        value = f"{float(pairs.first[0] - pairs.second[0]):+.2f}, one seed" if len(pairs.seeds) else "no seed"
        return f"too few seeds to judge ({value})"
    v = pairs.verdict
    return f"{v.difference:+.2f} [{v.low:+.2f}, {v.high:+.2f}]"


def single_seeds(found: Sequence[Paired]) -> tuple[int, int]:
    """How often one seed alone would have named another winner than the mean of all seeds: (times, single comparisons).

    Counted where there are two seeds or more.
    """
    wrong = total = 0
    for pairs in found:
        if len(pairs.seeds) >= 2:
            difference = pairs.first - pairs.second
            wrong += int(np.sum(np.sign(difference) != np.sign(difference.mean())))
            total += len(pairs.seeds)
    return wrong, total


def between_couplings(
    rows: Sequence[Row[Any]], who: Contender, value: Callable[[Row[Any]], float], couplings: tuple[float, float]
) -> Paired | None:
    """A value at one coupling against the same at another, seeds paired; None where there is no common seed."""
    known = {j2: {} for j2 in couplings}
    for found in compare(rows, (who, value), (who, value), signed=True):
        for j2 in couplings:
            if abs(found.j2 - j2) < 1e-9:
                known[j2] = dict(zip(found.seeds, found.first.tolist(), strict=True))
    one, two = (known[j2] for j2 in couplings)
    values = {seed: (one[seed], two[seed]) for seed in one.keys() & two.keys()}
    return pair(values, j2=couplings[0], sign="default") if values else None


def all_findings(grid: Shelf[Any], courses: Courses | None = None) -> list[Finding]:
    """Every claim on the runs of a shelf, in the order of the abstract."""
    courses = Courses(grid) if courses is None else courses
    rows = grid.rows
    signed = [row for row in rows if row.setting.sign != "none"]
    found = [accuracy(rows, other) for other in STANDARD]
    found += [accuracy(rows, other, signed=False) for other in STANDARD]
    found += [accuracy(rows, other, EQUAL_SIZE) for other in STANDARD]
    found += [time_saved(rows, other) for other in STANDARD]
    found += [independence(signed, who, courses) for who in STANDARD]
    found += [frozen(signed, who) for who in STANDARD]
    return found


RULES = f"""Rules, written down before the grid was trained. Margin: {MARGIN} in log10, a factor of two.
Intervals are 95 % intervals over paired seeds.
- accuracy: holds if the interval of the pooled difference does not pass the margin, with limits if one coupling alone
  is worse; fails if the pooled difference is worse (interval above zero and beyond the margin); else undecided.
- time: holds if the interval of the logarithm of the time ratio lies below zero, fails if above; else undecided.
- input independence: holds if R is below {INDEPENDENT:g} and below its value before training; with limits if only below
  {INDEPENDENT:g}, or if above but fallen by more than the margin; fails if above and not fallen so far; else undecided.
- freeze test: holds if the frozen error is not worse beyond the margin; if it is, with limits where freezing loses
  less than {SMALL_SHARE:.0%} of what uniform weights lose, else it fails; undecided if uniform weights lose nothing."""
