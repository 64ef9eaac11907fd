"""What a training step costs: measured, and from that the time of runs that are still to come."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from nqs_lab.ansatz import count_parameters
from nqs_lab.lab.language_runs.setting import BATCH, BLOCK, KINDS, RELATIVE_COST, VOCABULARY, Setting, model_of
from nqs_lab.language.batches import Batch
from nqs_lab.language.training import start, train_step

GPT_TOKEN_SECONDS = 21e-6
"""Processor seconds of a GPT training step for each token, for estimates: measured where RELATIVE_COST was."""
OVERHEAD = 20.0
"""Seconds of a run besides its steps: compilation, the probe, evaluations, samples."""


class Cost(NamedTuple):
    """One kind: its parameters, the median wall and processor seconds of a training step, and of the first call."""

    kind: str
    parameters: int
    seconds: float
    cpu_seconds: float
    first: float


def step_cost(kind: str, corpus: str, *, batch: int = BATCH, block: int = BLOCK, steps: int = 8) -> Cost:
    """Time the training step of one kind on random tokens; the first call, which compiles, is told apart."""
    size = VOCABULARY[corpus]
    setting = Setting(corpus, kind, 0, 1e-3, batch=batch, block=block)
    model = model_of(setting, size)
    state = start(model, setting.recipe, allow_leak=True)
    tokens = np.random.default_rng(0).integers(size, size=(batch, block + 1)).astype(np.int32)
    pieces, walls, works = Batch(tokens[:, :-1], tokens[:, 1:]), [], []
    for _ in range(steps + 1):
        begin, work = time.perf_counter(), time.process_time()
        state, _ = jax.block_until_ready(train_step(state, setting.recipe, pieces))
        walls.append(time.perf_counter() - begin)
        works.append(time.process_time() - work)
    return Cost(kind, count_parameters(model), float(np.median(walls[1:])), float(np.median(works[1:])), walls[0])


def cost_lines(corpus: str, *, batch: int = BATCH, steps: int = 40) -> Iterator[str]:
    """A head, then every kind in a line as soon as it is measured, GPT first, with its processor time against GPT's."""
    yield f"a training step of {batch * BLOCK:,} tokens, {corpus}, medians of {steps}"
    yield f"{'kind':<22}{'parameters':>12}{'wall (s)':>10}{'cpu (s)':>10}{'to gpt':>8}{'first (s)':>11}"
    base = None
    for kind in KINDS:
        found = step_cost(kind, corpus, batch=batch, steps=steps)
        base = found.cpu_seconds if base is None else base
        yield (
            f"{kind:<22}{found.parameters:>12,}{found.seconds:>10.4f}{found.cpu_seconds:>10.4f}"
            f"{found.cpu_seconds / base:>8.2f}{found.first:>11.1f}"
        )


def estimate(settings: Sequence[Setting]) -> float:
    """Seconds that runs take on one core, about."""
    each = lambda s: s.steps * s.batch * s.block * GPT_TOKEN_SECONDS * RELATIVE_COST[s.kind]
    return sum(each(setting) + OVERHEAD for setting in settings)
