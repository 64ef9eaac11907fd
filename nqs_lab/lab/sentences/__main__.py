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
from nqs_lab.lab.sentences.setting import Setting, control_settings, grid_settings, tuning_settings
from nqs_lab.lab.sentences.training import train
from nqs_lab.lab.sentences.tuning import choose, extension
from nqs_lab.lab.shelf import Shelf

DATA = Path(__file__).resolve().parents[1] / "data"
COMMAND = "python -m nqs_lab.lab.sentences {}"


class TimeIsUp(Exception):
    """No time is left to start another run."""


def shelf(name: str, folder: Path = DATA) -> Shelf[Setting]:
    """The runs called "tune" or "grid"; the controls stand on the shelf of the grid."""
    return Shelf(folder / f"sentences_{name}", command=COMMAND.format(name), kind=Setting)


def fill(place: Shelf[Setting], settings: Sequence[Setting], *, keep: bool, deadline: float) -> None:
    """Train what is missing, one line a run; `keep`: also arrays and maps. Raises TimeIsUp at the deadline."""
    missing = [setting for setting in settings if place.find(setting) is None]
    print(f"{len(settings) - len(missing)} of {len(settings)} runs are there, {len(missing)} to go", flush=True)
    for done, setting in enumerate(missing, 1):
        if time.perf_counter() > deadline:
            raise TimeIsUp(f"{len(missing) - done + 1} runs to go")
        outcome = train(setting, look=keep)
        place.add(setting, outcome, arrays=None if keep else ())
        found = ", ".join(f"{stage['n']}: {stage['excess']:.3f}" for stage in outcome.numbers["stages"])
        seconds = outcome.numbers["seconds"]
        print(f"{done}/{len(missing)} {setting.name} at {setting.rate:g}: excess {found}; {seconds:.0f} s", flush=True)


def tune(place: Shelf[Setting], deadline: float) -> None:
    """The tuning runs, with extensions until no best rate lies on the edge of the grid."""
    settings = tuning_settings()
    while settings:
        fill(place, settings, keep=False, deadline=deadline)
        settings = extension(place.rows)
    for (language, kind), rate in choose(place.rows).items():
        print(f"{language}, {kind}: rate {rate:g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the shelves; 0 when they are complete, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=COMMAND.format("").strip(), description="Train the readers of lesson 09b.")
    parser.add_argument("name", nargs="?", choices=["tune", "grid", "all"], default="all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so long")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    deadline = time.perf_counter() + 60 * chosen.minutes
    tuning = shelf("tune", chosen.out)
    try:
        if chosen.name != "grid":
            tune(tuning, deadline)
        if chosen.name != "tune":
            tuned = choose(tuning.rows)
            settings = grid_settings(tuned) + control_settings(tuned)
            fill(shelf("grid", chosen.out), settings, keep=True, deadline=deadline)
    except TimeIsUp as told:
        print(f"time is up ({told}); the same command goes on")
        return 3
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, the same command goes on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
