"""The comparison in tables of text: what is on the shelf, and what it says. Every word is made from the numbers."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs_lab.lab.comparison.claims import frozen_ratio, lost_share, said
from nqs_lab.lab.comparison.costs import Cost, step_seconds
from nqs_lab.lab.comparison.inputs import Courses
from nqs_lab.lab.comparison.pairing import Contender, Paired, by_seed, cases, log_error, pair, pool
from nqs_lab.lab.comparison.setting import TYPES, Setting, grid_settings, tuning_settings
from nqs_lab.lab.comparison.sizes import Size
from nqs_lab.lab.comparison.tuning import scores
from nqs_lab.lab.comparison.verdict import MARGIN
from nqs_lab.lab.shelf import Row, Shelf

TRAPPED = 0.5
"""Infidelity above which a run has found another state than the ground state."""


def open_shelf(name: str, folder: Path | None = None) -> Shelf[Setting]:
    """The runs called "tune" or "grid": the shipped ones, or those in another folder. An empty shelf is no error."""
    from nqs_lab.lab.comparison import __main__ as comparison

    return comparison.shelf(name, comparison.DATA if folder is None else folder)


def stock(shelf: Shelf[Any], name: str) -> str:
    """What of "tune" or "grid" is on the shelf, which seeds are complete, and the command for the rest."""
    wanted = tuning_settings() if name == "tune" else grid_settings(dict.fromkeys(TYPES, (0.1, 1e-3)))
    there = {_key(row.setting, name) for row in shelf.rows}
    seeds = sorted({s.seed for s in wanted}, key=[s.seed for s in wanted].index)
    parts = []
    for seed in seeds:
        mine = [s for s in wanted if s.seed == seed]
        parts.append(f"{seed}: {sum(_key(s, name) in there for s in mine)} of {len(mine)}")
    total = sum(_key(s, name) in there for s in wanted)
    text = f"{name}: {total} of {len(wanted)} planned runs are on the shelf\n  (by seed {', '.join(parts)})."
    return text if total == len(wanted) else f"{text}\n  The rest is computed by: {shelf.command}"


def _key(setting: Setting, name: str) -> Any:
    """What makes a run a planned one: in the grid the tuned rate and shift may be any."""
    return (setting.name, setting.rate, setting.diag_shift) if name == "tune" else setting.name


def scope(rows: Sequence[Row[Any]]) -> str:
    """Lattice, budget, sign rules and seeds of some runs, in one sentence; a verdict holds for these only."""
    if not rows:
        return "no runs"
    joined = lambda values: ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in sorted(set(values)))
    settings = [row.setting for row in rows]
    machines = {row.provenance.get("machine", {}).get("cpu", "an unknown machine") for row in rows}
    minutes = sum(row.numbers.get("seconds", 0.0) for row in rows) / 60
    text = (
        f"4x4 torus, 1x1 patches, full summation; {joined(s.steps for s in settings)} steps; sign rules "
        f"{joined(s.sign for s in settings)}; J2 = {joined(s.j2 for s in settings)}; seeds "
        f"{joined(s.seed for s in settings)}; runs: {len(rows)}, {minutes:.0f} minutes on {', '.join(sorted(machines))}"
    )
    return textwrap.fill(text, 110, subsequent_indent="  ")


def columns(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table of text: every column as wide as its widest cell, to the right, the first one to the left."""
    if not lines:
        return "no runs on the shelf"
    rows = [[str(cell) for cell in row] for row in (head, *lines)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    aligned = [[row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in range(1, len(head)))] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def tuning_table(rows: Sequence[Row[Any]]) -> str:
    """Best rate and shift of every type, and how sensitive it is: the other settings against the best.

    Errors are log10 of the relative error, averaged over the tuning seeds.
    """
    head = ["type", "best rate", "shift", "seeds", "best", "median", "worst", "within x2", "within x10", "not finite"]
    lines = []
    for kind in TYPES:
        table = scores(rows, kind)
        if not table:
            continue
        (rate, shift), best = min(table.items(), key=lambda item: item[1])
        values = np.array(list(table.values()))
        mine = [row for row in rows if row.setting.attention == kind]
        near = [f"{np.sum(values <= best + distance)} of {len(values)}" for distance in (MARGIN, 1.0)]
        bad = sum(int(row.numbers.get("not_finite", 0) > 0) for row in mine)
        errors = [f"{value:.2f}" for value in (best, np.median(values), values.max())]
        seeds = len({row.setting.seed for row in mine})
        lines.append([kind, f"{rate:g}", f"{shift:g}", seeds, *errors, *near, f"{bad} of {len(mine)} runs"])
    return columns(head, lines)


def tuning_words(rows: Sequence[Row[Any]]) -> str:
    """Is learning harder with queries and keys? Every type at its best setting against factored, tuning seeds paired.

    Tuning seeds choose the setting and judge it here: the difference is an observation, no verdict.
    """
    best = {kind: min(table, key=lambda p: table[p]) for kind in TYPES if (table := scores(rows, kind))}
    if len(best) < 2 or "factored" not in best:
        return "factored has no tuning runs on the shelf yet, so there is nothing to compare with"
    errors = {
        kind: {r.setting.seed: log_error(r) for r in rows if _tuning_key(r) == (kind, *chosen)}
        for kind, chosen in best.items()
    }
    lines = []
    for kind in best:
        if kind != "factored":
            seeds = errors[kind].keys() & errors["factored"].keys()
            found = pair({s: (errors[kind][s], errors["factored"][s]) for s in seeds}, j2=0.5, sign="neel")
            lines.append(
                f"{kind} at its best against factored at its best, log10(error): {said(found)}\n"
                f"  ({len(found.seeds)} tuning seeds: an observation, no verdict)"
            )
    return "\n".join(lines)


def _tuning_key(row: Row[Any]) -> tuple[str, float, float]:
    """Type, rate and shift of a tuning run."""
    return row.setting.attention, row.setting.rate, row.setting.diag_shift


def accuracy_table(rows: Sequence[Row[Any]], contenders: Sequence[Contender], *, signed: bool) -> str:
    """Relative error, infidelity and weight of wrong signs by coupling: the median over the seeds, and the worst."""
    head = ["J2", "signs", "type", "seeds", "rel. error", "worst", "infidelity", "worst", "wrong signs", "trapped"]
    lines = []
    for j2, sign in cases(rows, signed=signed):
        for who in contenders:
            mine = list(by_seed(rows, who, j2, sign).values())
            if not mine:
                continue
            error, infidelity = (np.array([r[name] for r in mine]) for name in ("relative_error", "infidelity"))
            numbers = [np.median(error), error.max(), np.median(infidelity), infidelity.max()]
            numbers.append(1 - np.median([r["sign_accuracy"] for r in mine]))
            trapped = f"{np.sum(infidelity > TRAPPED)} of {len(mine)}"
            lines.append([f"{j2:.1f}", sign, who, len(mine), *(f"{x:.1e}" for x in numbers), trapped])
    return columns(head, lines)


def paired_table(found: Sequence[Paired]) -> str:
    """Differences of paired seeds by coupling with their intervals, and the couplings of a seed averaged."""
    head, lines = ["J2", "signs", "seeds", "difference [95 % interval]", "stands", "left out"], []
    for pairs in found:
        out = ", ".join(str(seed) for seed in pairs.left_out)
        lines.append([f"{pairs.j2:.1f}", pairs.sign, len(pairs.seeds), said(pairs), pairs.standing, out])
    whole = pool(found)
    if whole is not None:
        out = ", ".join(str(seed) for seed in whole.left_out)
        lines.append(["all", whole.sign, len(whole.seeds), said(whole), whole.standing, out])
    return columns(head, lines)


def cost_table(costs: Sequence[Cost], rows: Sequence[Row[Any]]) -> str:
    """Parameters, operations and seconds of every contender, and what the first of them saves against the other types.

    Operations of one log psi: in matrix products, and in all; of a step as planned, and the network's part of it.
    """
    head = ["type", "parameters", "products", "operations", "of a step", "network", "seconds of a step (quartiles)"]
    lines = []
    for item in costs:
        seconds, timed = step_seconds(rows, item.who), "not on the shelf"
        if len(seconds):
            low, middle, high = np.percentile(seconds, [25, 50, 75])
            timed = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        numbers = [f"{item.parameters:,}", f"{item.products:,}", f"{item.operations:,}", f"{item.step:.2e}"]
        lines.append([item.who, *numbers, f"{100 * item.network_share:.1f} %", timed])
    text, least = [columns(head, lines)], costs[0]
    for item in costs[1:]:
        if item.who.attention == least.who.attention:
            continue
        parts = {"parameters": least.parameters / item.parameters, "operations": least.operations / item.operations}
        parts |= {"a whole step": least.step / item.step}
        saved = ", ".join(f"{name} {100 * (1 - ratio):.1f} %" for name, ratio in parts.items())
        text.append(f"{least.who} saves against {item.who}: {saved}")
    return "\n".join(text)


def ratio_table(rows: Sequence[Row[Any]], contenders: Sequence[Contender], courses: Courses) -> str:
    """R of the whole network by coupling, medians over the seeds: before training, at the end, over random
    configurations, and the median head of each layer at the end."""
    head = ["J2", "signs", "type", "seeds", "R at start", "at the end", "least", "most", "random", "layer 1", "layer 2"]
    lines = []
    for j2, sign in cases(rows):
        for who in contenders:
            mine = [courses(row) for row in by_seed(rows, who, j2, sign).values()]
            if not mine:
                continue
            end = np.array([c.whole[-1] for c in mine])
            numbers = [np.median([c.whole[0] for c in mine]), np.median(end), end.min(), end.max()]
            numbers.append(np.median([c.random[-1] for c in mine]))
            numbers += np.median([np.median(c.heads[-1], axis=-1) for c in mine], axis=0)[:2].tolist()
            lines.append([f"{j2:.1f}", sign, who, len(mine), *(f"{x:.3f}" for x in numbers)])
    return columns(head, lines)


def freeze_table(rows: Sequence[Row[Any]], who: Contender) -> str:
    """Energy per site (units of J1) that every replacement costs one contender, medians over the seeds.

    The last columns: the loss of the mean weights as a share of the uniform loss, the factor by which they multiply the
    relative error, and the infidelity with the trained state that they leave.
    """
    rows = [row for row in rows if "freeze" in row.numbers]
    names = next((list(row["freeze"]) for row in rows), [])
    head, lines = ["J2", "signs", "seeds", *names, "mean/uniform", "error times", "infidelity"], []
    for j2, sign in cases(rows):
        mine = list(by_seed(rows, who, j2, sign).values())
        if not mine:
            continue
        lost = [np.median([(r["freeze"][name]["energy"] - r["energy"]) / 16 for r in mine]) for name in names]
        share, factor = (float(np.nanmedian([f(row) for row in mine])) for f in (lost_share, frozen_ratio))
        away = np.median([r["freeze"]["mean"]["to_trained"] for r in mine])
        words = [f"{100 * share:.1f} %", f"{factor:.1f}", f"{away:.1e}"]
        lines.append([f"{j2:.1f}", sign, len(mine), *(f"{value:+.1e}" for value in lost), *words])
    return columns(head, lines)


def size_table(found: Sequence[Size]) -> str:
    """One line a lattice and coupling: log10 of the relative errors of both types and of their statistical noise, R of
    t5 (geometric mean over the seeds), and what freezing t5 costs as a share of what uniform weights cost."""
    head = ["lattice", "tokens", "J2", "seeds", "factored", "t5", "noise", "R of t5", "mean/uniform"]
    lines = []
    for size in found:
        noise = f"{np.log10(size.noise):.1f}" if size.noise > 0 else "exact"
        silent = bool(np.all(np.isnan(size.share)))
        share = "uniform loses nothing" if silent else f"{100 * np.nanmedian(size.share):.1f} %"
        means = [f"{size.factored.mean():.2f}", f"{size.t5.mean():.2f}", noise, f"{10 ** size.ratio.mean():.3f}"]
        lines.append([size.lattice, size.tokens, f"{size.j2:.1f}", len(size.seeds), *means, share])
    return columns(head, lines)
