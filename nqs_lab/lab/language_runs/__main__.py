"""Train the language models of lesson 14, where they are not on the shelf yet.

python -m nqs_lab.lab.language_runs all --corpus grammar      # tune, then the reported runs; Ctrl-C keeps what is done
python -m nqs_lab.lab.language_runs all --corpus docstrings   # may run beside it: each corpus has shelves of its own
python -m nqs_lab.lab.language_runs list                      # what is there and what is to come, with an estimate
python -m nqs_lab.lab.language_runs cost                      # time a training step of every kind, on a quiet machine
python -m nqs_lab.lab.language_runs report                    # tables and verdicts
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nqs_lab
from nqs_lab.lab import filling
from nqs_lab.lab.language_runs.cost import cost_lines, estimate
from nqs_lab.lab.language_runs.report import report
from nqs_lab.lab.language_runs.setting import CORPORA, HONEST, Setting, grid_settings, tuning_settings
from nqs_lab.lab.language_runs.texts import Text
from nqs_lab.lab.language_runs.training import train
from nqs_lab.lab.language_runs.tuning import choose, extension
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.shelf import Row, Shelf

DATA = Path(__file__).resolve().parents[1] / "data"
COMMAND = "python -m nqs_lab.lab.language_runs {} --corpus {}"
SHIPPED_WEIGHTS = ("grammar",)
"""Corpora whose trained weights are kept, those of the first seed, for the lesson to look into."""


def shelf(name: str, corpus: str, folder: Path = DATA) -> Shelf[Setting]:
    """The runs called "tune" or "grid" on one corpus."""
    return Shelf(folder / f"language_{name}_{corpus}", command=COMMAND.format(name, corpus), kind=Setting)


def fill(
    place: Shelf[Setting], settings: Sequence[Setting], *, keep: bool, deadline: float, given: Text | None = None
) -> None:
    """Train what is missing, one line a run; `keep`: also arrays and looks. **Raises** TimeIsUp at the deadline."""

    def run(setting: Setting) -> Row[Setting]:
        outcome = train(setting, look=keep, given=given)
        return place.add(setting, outcome, arrays=kept_arrays(setting, outcome.arrays) if keep else ())

    filling.fill(place, settings, run, _told, over=filling.after(deadline))


def _told(row: Row[Setting]) -> str:
    """One line about a finished run."""
    text = f"loss {row['loss']:.4f}, {row['step_seconds']:.3f} s a step, {row['seconds']:.0f} s"
    return f"{row.setting.name} at {row.setting.rate:g}: {text}"


def kept_arrays(setting: Setting, arrays: dict) -> list[str]:
    """Curves always; weights of the first seed of some corpora, all kinds, at equal steps."""
    first = seeds(1)[0]
    whole = setting.corpus in SHIPPED_WEIGHTS and setting.seed == first and setting.match == "steps"
    return [name for name in arrays if whole or name != "weights"]


def tune(corpus: str, folder: Path, deadline: float) -> None:
    """The tuning runs, with extensions until no best rate lies on the edge of the grid."""
    place, settings = shelf("tune", corpus, folder), tuning_settings(corpus)
    while settings:
        fill(place, settings, keep=False, deadline=deadline)
        settings = extension(place.rows, corpus)
    for kind, rate in choose(place.rows, corpus).items():
        print(f"{corpus}, {kind}: rate {rate:g}")


def grid(corpus: str, folder: Path, deadline: float) -> None:
    """The reported runs, at the rates that the tuning runs chose."""
    tuned = choose(shelf("tune", corpus, folder).rows, corpus)
    fill(shelf("grid", corpus, folder), grid_settings(corpus, tuned), keep=True, deadline=deadline)


def show(corpora: Sequence[str], folder: Path) -> None:
    """What is on the shelves, and how long the rest takes on one core."""
    for corpus in corpora:
        tuning, finished = shelf("tune", corpus, folder), shelf("grid", corpus, folder)
        try:
            tuned = choose(tuning.rows, corpus)
            more = extension(tuning.rows, corpus)
        except ValueError:
            tuned, more = dict.fromkeys(HONEST, 0.0), []
        planned = {"tune": (tuning, tuning_settings(corpus) + more), "grid": (finished, grid_settings(corpus, tuned))}
        for name, (place, settings) in planned.items():
            left = [setting for setting in settings if place.find(setting) is None]
            print(f"{corpus}, {name}: {len(settings) - len(left)} of {len(settings)} runs; "
                  f"the rest takes about {estimate(left) / 60:.0f} minutes on one core")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the shelves; 0 when they are complete, 2 for wrong input, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m nqs_lab.lab.language_runs", description="Train the language models of lesson 14."
    )
    parser.add_argument("name", nargs="?", choices=["tune", "grid", "all", "list", "cost", "report"], default="all")
    parser.add_argument("--corpus", choices=CORPORA, nargs="+", default=list(CORPORA), help="default: both, in turn")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so long")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    deadline = time.perf_counter() + 60 * chosen.minutes
    return filling.exit_code(parser.prog, lambda: _do(chosen.name, chosen.corpus, chosen.out, deadline))


def _do(name: str, corpora: Sequence[str], out: Path, deadline: float) -> None:
    """What was asked for."""
    if name == "list":
        show(corpora, out)
    elif name == "cost":
        for line in cost_lines(corpora[0]):
            print(line, flush=True)
    elif name == "report":
        for corpus in corpora:
            print(report(shelf("grid", corpus, out), shelf("tune", corpus, out), corpus))
    for corpus in corpora:
        if name in ("tune", "all"):
            tune(corpus, out, deadline)
        if name in ("grid", "all"):
            grid(corpus, out, deadline)


if __name__ == "__main__":
    sys.exit(main())
