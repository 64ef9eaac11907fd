"""Train the readers of lesson 09b, where they are not on the shelf yet.

python -m nqs_lab.lab.sentences          # everything: tune, then the grid, then the controls
python -m nqs_lab.lab.sentences tune     # the learning rate of every type and language: 36 runs or more
python -m nqs_lab.lab.sentences grid     # the reported runs and the controls; Ctrl-C keeps what is finished
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nqs_lab
from nqs_lab.lab import filling
from nqs_lab.lab.sentences.setting import Setting, control_settings, grid_settings, tuning_settings
from nqs_lab.lab.sentences.training import train
from nqs_lab.lab.sentences.tuning import choose, extension
from nqs_lab.lab.shelf import Row, Shelf

DATA = Path(__file__).resolve().parents[1] / "data"
COMMAND = "python -m nqs_lab.lab.sentences {}"


def shelf(name: str, folder: Path = DATA) -> Shelf[Setting]:
    """The runs called "tune" or "grid"; the controls stand on the shelf of the grid."""
    return Shelf(folder / f"sentences_{name}", command=COMMAND.format(name), kind=Setting)


def fill(place: Shelf[Setting], settings: Sequence[Setting], *, keep: bool, deadline: float) -> None:
    """Train what is missing, one line a run; `keep`: also arrays and maps. Raises TimeIsUp at the deadline."""
    run = lambda setting: place.add(setting, train(setting, look=keep), arrays=None if keep else ())
    filling.fill(place, settings, run, _told, over=filling.after(deadline))


def _told(row: Row[Setting]) -> str:
    """One line about a finished run."""
    found = ", ".join(f"{stage['n']}: {stage['excess']:.3f}" for stage in row["stages"])
    return f"{row.setting.name} at {row.setting.rate:g}: excess {found}; {row['seconds']:.0f} s"


def tune(place: Shelf[Setting], deadline: float) -> None:
    """The tuning runs, with extensions until no best rate lies on the edge of the grid."""
    settings = tuning_settings()
    while settings:
        fill(place, settings, keep=False, deadline=deadline)
        settings = extension(place.rows)
    for (language, kind), rate in choose(place.rows).items():
        print(f"{language}, {kind}: rate {rate:g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the shelves; 0 when they are complete, 2 for wrong input, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=COMMAND.format("").strip(), description="Train the readers of lesson 09b.")
    parser.add_argument("name", nargs="?", choices=["tune", "grid", "all"], default="all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so long")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    deadline = time.perf_counter() + 60 * chosen.minutes
    return filling.exit_code(parser.prog, lambda: _do(chosen.name, chosen.out, deadline))


def _do(name: str, out: Path, deadline: float) -> None:
    """The tuning runs, the reported ones, or both."""
    tuning = shelf("tune", out)
    if name != "grid":
        tune(tuning, deadline)
    if name != "tune":
        tuned = choose(tuning.rows)
        settings = grid_settings(tuned) + control_settings(tuned)
        fill(shelf("grid", out), settings, keep=True, deadline=deadline)


if __name__ == "__main__":
    sys.exit(main())
