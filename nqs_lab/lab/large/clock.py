"""Time that may be spent, and a word about how it goes."""

import sys
import time
from typing import Any

import nqs_lab as nl
from nqs_lab.vmc.callbacks import StepRecord, relative_error


class Clock(nl.Callback):
    """Ends a run when `seconds` have passed since the clock was made, and says so to whoever asks."""

    def __init__(self, seconds: float = float("inf")):
        self.start, self.seconds = time.monotonic(), seconds

    @property
    def over(self) -> bool:
        """Whether the time is spent."""
        return time.monotonic() - self.start > self.seconds

    def on_step(self, record: StepRecord, state: Any) -> bool:
        """True ends the run."""
        return self.over


class Ticker(nl.Callback):
    """A line on stderr every `seconds`, for output that goes into a file; a bar is better on a screen."""

    def __init__(self, steps: int, reference: float | None, *, seconds: float = 60.0):
        self.steps, self.reference, self.seconds = steps, reference, seconds
        self.told = time.monotonic()

    def on_step(self, record: StepRecord, state: Any) -> None:
        """Say where the run stands, if it is time."""
        if time.monotonic() - self.told < self.seconds:
            return
        self.told = time.monotonic()
        text = f"  step {record.step}/{self.steps}: E/N {record.energy / record.n_sites:.5f}"
        if self.reference is not None:
            text += f", relative error {relative_error(record.energy, self.reference):.1e}"
        print(text, file=sys.stderr, flush=True)


def progress(name: str, steps: int, reference: float | None) -> nl.Callback:
    """A bar where someone looks at it, else a line a minute."""
    if sys.stderr.isatty():
        return nl.ProgressBar(reference=reference, label=name)
    return Ticker(steps, reference)
