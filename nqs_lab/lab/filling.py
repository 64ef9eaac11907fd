"""How a script fills a shelf: run after run, until all is there or the time is over, and how it ends."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nqs_lab.lab.shelf import Row, Shelf

S = TypeVar("S", bound=Any)


class TimeIsUp(Exception):
    """The time is over; what was done is kept."""


def fill(
    place: Shelf[S],
    settings: Sequence[S],
    run: Callable[[S], Row[S]],
    told: Callable[[Row[S]], str],
    *,
    over: Callable[[], bool],
) -> None:
    """`run` what is missing on a shelf, in order, and print a line about each. Raises TimeIsUp once `over` says so.

    `run`: trains a setting and adds it to the shelf. `told`: what to say of a finished run.
    """
    missing = [setting for setting in settings if place.find(setting) is None]
    print(f"{len(settings) - len(missing)} of {len(settings)} runs are there, {len(missing)} to go", flush=True)
    for number, setting in enumerate(missing, 1):
        if over():
            raise TimeIsUp(f"{len(missing) - number + 1} runs to go")
        print(f"{number}/{len(missing)} {told(run(setting))}", flush=True)


def after(deadline: float) -> Callable[[], bool]:
    """Whether `time.perf_counter()` has passed the deadline."""
    return lambda: time.perf_counter() > deadline


def exit_code(program: str, work: Callable[[], Any]) -> int:
    """Do the work: 0 when it is complete, 2 for wrong input, 3 when time ran out, 130 after Ctrl-C, each in words."""
    try:
        work()
    except TimeIsUp as told:
        print(f"time is up ({told}); what was done is kept, the same command goes on")
        return 3
    except KeyboardInterrupt:
        print("stopped; what was done is kept, the same command goes on")
        return 130
    except ValueError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0
