"""How it changes with the number of tokens: rings of 16, 32 and 64 sites, 20 sites exactly, and the 6x6 torus."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_lab.lab.comparison.claims import Finding, said
from nqs_lab.lab.comparison.inputs import Courses
from nqs_lab.lab.comparison.pairing import Paired, log_error, pair
from nqs_lab.lab.large.setting import settings_of
from nqs_lab.lab.shelf import Row, Shelf

HEADLINE_LARGE = 3
"""Paired seeds that a headline needs where a run takes half an hour."""


class Size(NamedTuple):
    """One lattice and coupling: log10 of the relative errors of both types on common seeds, and what t5's weights do.

    `ratio`: log10 of R at the end, `share`: energy lost by freezing as a share of what uniform weights lose (NaN where
    these lose nothing, or less than four standard errors), both of t5, seed by seed like `seeds`.
    """

    lattice: str
    tokens: int
    j2: float
    seeds: tuple[int, ...]
    factored: Float[np.ndarray, " K"]
    t5: Float[np.ndarray, " K"]
    ratio: Float[np.ndarray, " K"]
    share: Float[np.ndarray, " K"]
    noise: float


def sizes(shelf: Shelf[Any], courses: Courses | None = None) -> list[Size]:
    """Every lattice and coupling of a shelf of larger runs, smallest first, with the seeds that both types have."""
    courses = Courses(shelf) if courses is None else courses
    found = []
    for lattice, j2 in sorted({(row.setting.lattice, row.setting.j2) for row in shelf.rows}):
        kinds = {
            kind: {r.setting.seed: r for r in shelf.select(lattice=lattice, j2=j2, attention=kind)}
            for kind in ("factored", "t5")
        }
        seeds = tuple(sorted(kinds["factored"].keys() & kinds["t5"].keys()))
        if seeds:
            found.append(_size(lattice, j2, seeds, kinds["factored"], kinds["t5"], courses))
    return sorted(found, key=lambda size: (size.j2, size.tokens))


def _size(
    lattice: str,
    j2: float,
    seeds: tuple[int, ...],
    factored: dict[int, Row[Any]],
    t5: dict[int, Row[Any]],
    courses: Courses,
) -> Size:
    """The numbers of one lattice and coupling."""
    noise = [kind[s].numbers.get("relative_error_error", 0.0) for kind in (factored, t5) for s in seeds]
    return Size(
        lattice,
        t5[seeds[0]]["tokens"],
        j2,
        seeds,
        np.array([log_error(factored[s]) for s in seeds]),
        np.array([log_error(t5[s]) for s in seeds]),
        np.array([courses.last(t5[s]) for s in seeds]),
        np.array([_share(t5[s]) for s in seeds]),
        float(max(noise)),
    )


def _share(row: Row[Any]) -> float:
    """Energy lost by the mean weights over that lost by uniform ones, NaN where the latter is not clearly positive."""
    mean, uniform = row["freeze"]["mean"], row["freeze"]["uniform"]
    clear = uniform["lost"] > 4 * uniform.get("lost_error", 0.0)
    return mean["lost"] / uniform["lost"] if clear and uniform["lost"] > 0 else float("nan")


def growth(found: Sequence[Size], j2: float) -> Paired | None:
    """log10 R of t5 on the longest ring against the shortest, seeds paired; None with fewer than two lengths."""
    rings = [size for size in found if size.lattice.startswith("ring") and abs(size.j2 - j2) < 1e-9]
    if len(rings) < 2:
        return None
    short, long = rings[0], rings[-1]
    seeds = sorted(set(short.seeds) & set(long.seeds))
    values = {s: (float(long.ratio[long.seeds.index(s)]), float(short.ratio[short.seeds.index(s)])) for s in seeds}
    return pair(values, j2=j2, sign=f"{long.tokens} against {short.tokens} tokens") if values else None


def size_findings(chains: Shelf[Any]) -> list[Finding]:
    """ "When studying large systems": does R of t5 fall as the ring grows? One finding a coupling."""
    measured = sizes(chains)
    findings = []
    for j2 in sorted({size.j2 for size in measured}) or [0.0, 0.5]:
        claim = f"More so in large systems: R of t5 on rings, J2 = {j2:g}"
        found = growth(measured, j2)
        if found is None:
            findings.append(
                Finding(claim, "undecided", f"Fewer than two lengths on the shelf: {chains.command}", 0, HEADLINE_LARGE)
            )
            continue
        word = "undecided"
        if found.verdict is not None and len(found.seeds) >= HEADLINE_LARGE:
            word = "holds" if found.verdict.high < 0 else "fails here" if found.verdict.low > 0 else "undecided"
        text = f"log10 R, {found.sign}: {said(found)}."
        findings.append(Finding(claim, word, text, len(found.seeds), HEADLINE_LARGE))
    return findings


def missing(shelf: Shelf[Any], family: str) -> str:
    """One line: how many runs of "torus", "chains" or "sqrt20" are on the shelf, and how to compute the rest."""
    wanted = settings_of(family)
    there = sum(shelf.find(setting) is not None for setting in wanted)
    name = {"torus": "6x6 torus", "chains": "rings of 16, 32, 64 sites", "sqrt20": "20 sites exactly"}[family]
    if there == len(wanted):
        return f"{name}: all {there} runs"
    return f"{name}: {there} of {len(wanted)} runs on the shelf; the others: {shelf.command}"
