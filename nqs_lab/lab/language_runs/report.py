"""The comparison in tables and verdicts. Every word is made from the numbers, by rules written down before the runs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nqs_lab.lab.comparison.pairing import standing
from nqs_lab.lab.comparison.verdict import Verdict, judge
from nqs_lab.lab.language_runs.setting import ACCELERATED, CONTROL, HONEST, KINDS, MARGIN, MATCHES, SEEDS, Setting
from nqs_lab.lab.language_runs.tuning import scores
from nqs_lab.lab.shelf import Row, Shelf

Value = Callable[[Row[Setting]], float]

RULES = f"""Rules, written down before the runs. Loss: nats per token on the fixed held-out blocks; difference:
accelerated minus other, seeds paired, with its 95 % interval; negative is better. Margin: {MARGIN} nats per token.
The claim "converges faster than classical attention at the same number of oracle calls", for one kind on one corpus:
- holds: better than GPT (interval below zero) at equal steps, which are equal oracle calls, and at equal parameters and
  at equal time;
- holds with limits: better at equal steps, but not in both of the others;
- fails here: worse than GPT at equal steps, or equivalent to it (interval inside the margin, and not below zero);
- undecided: anything else, fewer than two pairs, or runs that are missing."""


class Compared(NamedTuple):
    """Two kinds on paired seeds: `first` minus `second`, judged where there are two pairs of finite values or more."""

    first: str
    second: str
    match: str
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    verdict: Verdict | None

    @property
    def standing(self) -> str:
        """Of the first: "better", "as good", "worse", "undecided", or "too few seeds"."""
        return standing(self.verdict, margin=MARGIN)

    def __str__(self) -> str:
        v = self.verdict
        told = "too few seeds" if v is None else f"{v.difference:+.4f} [{v.low:+.4f}, {v.high:+.4f}], {v.word}"
        out = f"; left out {', '.join(map(str, self.left_out))}" if self.left_out else ""
        return f"{self.first} - {self.second}, equal {self.match}: {told} ({len(self.seeds)} pairs{out})"


def loss(row: Row[Setting]) -> float:
    """The held-out loss; NaN where steps were refused because they were not finite."""
    return float(row["loss"]) if row["rejected"] == 0 else float("nan")


def by_seed(rows: Sequence[Row[Setting]], kind: str, match: str) -> dict[int, Row[Setting]]:
    """The runs of one kind, by seed; GPT and the controls have equal steps only."""
    return {r.setting.seed: r for r in rows if (r.setting.kind, r.setting.match) == (kind, match)}


def compare(
    rows: Sequence[Row[Setting]], first: str, second: str, match: str = "steps", *, value: Value = loss
) -> Compared:
    """One kind with something equal to the second's, against the second as it is, seeds paired."""
    one, two = by_seed(rows, first, match), by_seed(rows, second, "steps")
    common = sorted(one.keys() & two.keys())
    pairs = {seed: (value(one[seed]), value(two[seed])) for seed in common}
    kept = tuple(seed for seed in common if np.all(np.isfinite(pairs[seed])))
    numbers = np.array([pairs[seed] for seed in kept], dtype=np.float64).reshape(-1, 2)
    verdict = judge(numbers[:, 0], numbers[:, 1], margin=MARGIN) if len(kept) > 1 else None
    return Compared(first, second, match, kept, tuple(s for s in common if s not in kept), verdict)


def claim_word(found: dict[str, Compared]) -> str:
    """The word of the claim from the comparisons with GPT by match, as RULES says."""
    steps = found["steps"]
    if steps.verdict is None:
        return "undecided"
    if steps.standing == "better":
        rest = [found[match].standing for match in MATCHES if match != "steps"]
        if "too few seeds" in rest:
            return "undecided"
        return "holds" if set(rest) == {"better"} else "holds with limits"
    if steps.standing == "worse" or steps.verdict.word in ("equivalent", "different"):
        return "fails here"
    return "undecided"


def claims(rows: Sequence[Row[Setting]], corpus: str) -> str:
    """Every accelerated kind against GPT, against the same mixers without inertia, and the word of the claim."""
    lines = []
    for kind in ACCELERATED:
        found = {match: compare(rows, kind, "gpt", match) for match in MATCHES}
        have = len(found["steps"].seeds)
        note = "" if have >= SEEDS[corpus] else f" (provisional: {have} of {SEEDS[corpus]} seeds)"
        lines.append(f"{kind} on {corpus}: {claim_word(found).upper()}{note}")
        lines += [f"    {item}" for item in found.values()]
        if kind in CONTROL:
            lines.append(f"    only the dynamics differ: {compare(rows, kind, CONTROL[kind])}")
    return "\n".join(lines)


def loss_table(rows: Sequence[Row[Setting]]) -> str:
    """Loss, parameters, steps, seconds of all kinds, means over the seeds with the standard deviation of the loss."""
    lines = [
        f"{'kind':<22}{'equal':<12}{'seeds':>6}{'loss':>9}{'(sd)':>8}{'excess':>9}{'parameters':>12}{'calls':>8}"
        f"{'cpu (s)':>9}{'refused':>9}"
    ]
    for kind in KINDS:
        for match in MATCHES:
            mine = list(by_seed(rows, kind, match).values())
            if not mine:
                continue
            values = np.array([row["loss"] for row in mine])
            spread = f"{values.std(ddof=1):.4f}" if len(mine) > 1 else "-"
            excess = [row.numbers["excess"] for row in mine if "excess" in row.numbers]
            above = f"{np.mean(excess):.4f}" if excess else "-"
            used = np.mean([row["cpu_seconds"] for row in mine])
            lines.append(
                f"{kind:<22}{match:<12}{len(mine):>6}{values.mean():>9.4f}{spread:>8}{above:>9}"
                f"{mine[0]['parameters']:>12,}{mine[0]['oracle_calls']:>8,}{used:>9.0f}"
                f"{sum(row['rejected'] for row in mine):>9}"
            )
    return "\n".join(lines)


def leak_table(rows: Sequence[Row[Setting]]) -> str:
    """The witness beside the causal momentum model: its loss, and its loss where no future is left to see.

    Also what its stories remember: lines that the grammar can read, and things that stayed with their names.
    """
    lines = []
    for kind in ("momentum", "leaking"):
        for seed, row in sorted(by_seed(rows, kind, "steps").items()):
            written = row.numbers.get("written")
            told = ""
            if written:
                told = f"; {written['readable']} of {written['lines']} written stories can be read"
                told += f", {written['kept']} of {written['known']} things stay with their names"
            lines.append(
                f"{kind}, seed {seed}: loss {row['loss']:.3f}, at the last place {row['last_loss']:.3f} "
                f"+- {row['last_error']:.3f}{told}"
            )
    return "\n".join(lines) if lines else "no run of the witness on the shelf"


def tuning_table(rows: Sequence[Row[Setting]], corpus: str) -> str:
    """Mean loss of the tuning seeds by rate, the best marked."""
    lines = []
    for kind in HONEST:
        table = scores(rows, corpus, kind)
        if table:
            best = min(table, key=lambda rate: table[rate])
            cells = [f"{rate:g}: {value:.4f}{'*' if rate == best else ''}" for rate, value in table.items()]
            lines.append(f"{kind:<22}{'   '.join(cells)}")
    return "\n".join(lines) if lines else "no tuning runs on the shelf"


def report(finished: Shelf[Setting], tuning: Shelf[Setting], corpus: str) -> str:
    """Everything about one corpus."""
    parts = [f"== {corpus}", RULES, "Tuning, nats per token:", tuning_table(tuning.rows, corpus)]
    if finished.rows:
        parts += ["Reported runs:", loss_table(finished.rows), "Verdicts:", claims(finished.rows, corpus)]
        parts += ["The leak:", leak_table(finished.rows)]
    else:
        parts.append(f"no reported runs on the shelf yet: {finished.command}")
    return "\n\n".join(parts)
