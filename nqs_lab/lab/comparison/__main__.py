"""Train the runs behind lessons 07 to 09, where they are not on the shelf yet.

python -m nqs_lab.lab.comparison tune     # rates and shifts of every type: 96 runs, about 75 minutes on one core
python -m nqs_lab.lab.comparison grid     # the reported runs: 225, two to three hours; Ctrl-C keeps what is finished
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nqs_lab
from nqs_lab.lab import filling
from nqs_lab.lab.comparison.setting import Setting, grid_settings, tuning_settings
from nqs_lab.lab.comparison.shelf import Row, Shelf
from nqs_lab.lab.comparison.training import train
from nqs_lab.lab.comparison.tuning import choose, extension

DATA = Path(__file__).resolve().parents[1] / "data"
COMMAND = "python -m nqs_lab.lab.comparison {}"


def shelf(name: str, folder: Path = DATA) -> Shelf:
    """The runs called "tune" or "grid"."""
    return Shelf(folder / f"comparison_{name}", command=COMMAND.format(name))


def fill(place: Shelf, settings: Sequence[Setting], *, look: bool, deadline: float) -> None:
    """Train what is missing, one line a run; `look`: also arrays and maps. Raises TimeIsUp at the deadline."""
    run = lambda setting: place.add(setting, train(setting, look=look), arrays=None if look else ())
    filling.fill(place, settings, run, _told, over=filling.after(deadline))


def _told(row: Row[Setting]) -> str:
    """One line about a finished run."""
    recipe = f"rate {row.setting.rate:g}, shift {row.setting.diag_shift:g}"
    return f"{row.setting.name}, {recipe}: relative error {row['relative_error']:.1e}, {row['seconds']:.0f} s"


def tune(place: Shelf, deadline: float) -> None:
    """The tuning runs, with extensions until no best setting lies on the edge of the grid."""
    settings = tuning_settings()
    while settings:
        fill(place, settings, look=False, deadline=deadline)
        settings = extension(place.rows)
    for kind, (rate, shift) in choose(place.rows).items():
        print(f"{kind}: rate {rate:g}, shift {shift:g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill one shelf; 0 when it is complete, 2 for wrong input, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=COMMAND.format(""), description="Train the runs behind lessons 07 to 09.")
    parser.add_argument("name", choices=["tune", "grid"])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so long")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    deadline = time.perf_counter() + 60 * chosen.minutes
    return filling.exit_code(parser.prog, lambda: _do(chosen.name, chosen.out, deadline))


def _do(name: str, out: Path, deadline: float) -> None:
    """The tuning runs or the reported ones."""
    tuning = shelf("tune", out)
    if name == "tune":
        tune(tuning, deadline)
    else:
        fill(shelf("grid", out), grid_settings(choose(tuning.rows)), look=True, deadline=deadline)


if __name__ == "__main__":
    sys.exit(main())
