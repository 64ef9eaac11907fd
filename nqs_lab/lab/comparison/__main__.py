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
from nqs_lab.lab.comparison.setting import Setting, grid_settings, tuning_settings
from nqs_lab.lab.comparison.shelf import Shelf
from nqs_lab.lab.comparison.training import train
from nqs_lab.lab.comparison.tuning import choose, extension

DATA = Path(__file__).resolve().parents[1] / "data"
COMMAND = "python -m nqs_lab.lab.comparison {}"


def shelf(name: str, folder: Path = DATA) -> Shelf:
    """The runs called "tune" or "grid"."""
    return Shelf(folder / f"comparison_{name}", command=COMMAND.format(name))


def fill(place: Shelf, settings: Sequence[Setting], *, look: bool, seconds: float) -> int:
    """Train what is missing, one line a run, until all is done or the time is over; returns how many are missing."""
    missing = [setting for setting in settings if place.find(setting) is None]
    print(f"{len(settings) - len(missing)} of {len(settings)} runs are there, {len(missing)} to go", flush=True)
    start = time.perf_counter()
    for done, setting in enumerate(missing):
        if time.perf_counter() - start > seconds:
            return len(missing) - done
        outcome = train(setting, look=look)
        place.add(setting, outcome, arrays=None if look else ())
        numbers = outcome.numbers
        text = f"rate {setting.rate:g}, shift {setting.diag_shift:g}: relative error {numbers['relative_error']:.1e}"
        print(f"{done + 1}/{len(missing)} {setting.name}, {text}, {numbers['seconds']:.0f} s", flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill one shelf; 0 when it is complete, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=COMMAND.format(""), description="Train the runs behind lessons 07 to 09.")
    parser.add_argument("name", choices=["tune", "grid"])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so long")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    budget, start = 60 * chosen.minutes, time.perf_counter()
    tuning = shelf("tune", chosen.out)
    try:
        if chosen.name == "grid":
            left = fill(shelf("grid", chosen.out), grid_settings(choose(tuning.rows)), look=True, seconds=budget)
            return 3 if left else 0
        settings = tuning_settings()
        while settings:
            if fill(tuning, settings, look=False, seconds=budget - (time.perf_counter() - start)):
                return 3
            settings = extension(tuning.rows)
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, the same command goes on")
        return 130
    for kind, (rate, shift) in choose(tuning.rows).items():
        print(f"{kind}: rate {rate:g}, shift {shift:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
