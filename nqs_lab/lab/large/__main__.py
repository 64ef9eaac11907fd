"""Train the runs beyond 4x4 that lessons 07 to 09 show, where they are not on the shelf yet.

python -m nqs_lab.lab.large torus --minutes 60   # 6x6, six runs; the same command goes on where the time ended
python -m nqs_lab.lab.large chains --only ring16 # rings of 16, 32 and 64 sites: 36 runs, here those of one length
python -m nqs_lab.lab.large sqrt20 --list        # 20 sites by full summation, four runs: what is done of them
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nqs_lab
from nqs_lab.lab import filling
from nqs_lab.lab.large.clock import Clock
from nqs_lab.lab.large.measuring import Effort
from nqs_lab.lab.large.running import run
from nqs_lab.lab.large.setting import FAMILIES, Setting, settings_of
from nqs_lab.lab.large.training import steps_done
from nqs_lab.lab.shelf import Row, Shelf
from nqs_lab.vmc.estimate import with_error

DATA = Path(__file__).resolve().parents[1] / "data"
WORK = Path("runs") / "large"
COMMAND = "python -m nqs_lab.lab.large {}"


def shelf(family: str, folder: Path = DATA) -> Shelf[Setting]:
    """The finished runs of "torus", "chains" or "sqrt20"."""
    return Shelf(folder / f"large_{family}", command=COMMAND.format(family), kind=Setting)


def fill(
    place: Shelf[Setting], settings: Sequence[Setting], work: Path, clock: Clock, *, effort: Effort | None = None
) -> None:
    """Train and measure what is missing, in order, one line a run. Raises TimeIsUp when the clock says so."""
    train = lambda setting: place.add(setting, run(setting, work / setting.name, clock, effort=effort))
    filling.fill(place, settings, train, summary, over=lambda: clock.over)


def summary(row: Row[Setting]) -> str:
    """One line about a finished run."""
    frozen, spread = row["freeze"]["mean"], row["relative_error_error"]
    text = f"{row.setting.name}: relative error {with_error(row['relative_error'], spread)}, "
    text += f"V-score {row['v_score']:.1e}, frozen {frozen['lost']:+.1e} J1, {row['seconds']:.0f} s"
    for name, more in row.numbers.get("symmetrised", {}).items():
        text += f"; {name} {with_error(more['relative_error'], more['relative_error_error'])}"
    return text


def show(place: Shelf[Setting], settings: Sequence[Setting], work: Path) -> None:
    """What is finished and how far the others are."""
    for setting in settings:
        row, done = place.find(setting), steps_done(work / setting.name)
        print(f"  {setting.name}: {done} of {setting.steps} steps" if row is None else f"x {summary(row)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill one shelf; 0 when it is complete, 2 for wrong input, 3 when time ran out, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=COMMAND.format("").strip(), description="Train the runs beyond 4x4.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, between two steps")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="runs whose names hold all these words")
    parser.add_argument("--list", action="store_true", help="show what is done, and train nothing")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder of the shelves (default: the shipped ones)")
    parser.add_argument("--work", type=Path, default=WORK, help=f"where unfinished runs are kept (default: {WORK})")
    chosen = parser.parse_args(arguments)
    nqs_lab.enable_x64()
    nqs_lab.use_cores()
    return filling.exit_code(parser.prog, lambda: _do(chosen))


def _do(chosen: argparse.Namespace) -> None:
    """What was asked for."""
    settings = [s for s in settings_of(chosen.family) if all(word in s.name for word in chosen.only)]
    if not settings:
        raise ValueError(f"no run of {chosen.family} has {' and '.join(chosen.only)} in its name; try --list")
    place = shelf(chosen.family, chosen.out)
    if chosen.list:
        show(place, settings, chosen.work)
    else:
        fill(place, settings, chosen.work, Clock(60 * chosen.minutes))


if __name__ == "__main__":
    sys.exit(main())
