"""One run of the comparison: train, judge on the held-out text, read whole stories, let the model write."""

import time
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from nqs_lab.ansatz import count_parameters
from nqs_lab.lab.language_runs.setting import KINDS, Setting, model_of
from nqs_lab.lab.language_runs.texts import Text, kept_things, text
from nqs_lab.lab.shelf import Outcome
from nqs_lab.lab.weights import flat_weights, with_flat_weights
from nqs_lab.language.model import LanguageModel
from nqs_lab.language.running import OnStep, fit
from nqs_lab.language.training import judge, start, training_key
from nqs_lab.language.writing import write

SAMPLES, WRITTEN = 4, 330
"""Texts that a trained model writes, and their tokens: of stories, at least two whole ones each."""


def train(setting: Setting, *, look: bool = True, given: Text | None = None, on_step: OnStep | None = None) -> Outcome:
    """The whole run. `look=False` leaves out everything beyond the held-out loss (tuning runs); `given`: another text.

    **Raises** `causality.LeakError`, a ValueError, for a model that sees its future and is not the witness.
    """
    source = text(setting.corpus) if given is None else given
    model = model_of(setting, source.tokens.size)
    state = start(model, setting.recipe, allow_leak=KINDS[setting.kind].leaking)
    clock = time.process_time()
    fitted = fit(state, setting.recipe, source.material, training_key(setting.seed), on_step=on_step)
    state = fitted.state
    losses = judge(state.model, source.material.held_out).astype(np.float64)
    numbers: dict[str, Any] = {
        "loss": _rounded(losses.mean()),
        "parameters": count_parameters(model),
        "oracle_calls": setting.oracle_calls * setting.steps,
        "tokens": setting.steps * setting.batch * setting.block,
        "leak": float(f"{state.leak:.1e}"),
        "rejected": int(state.rejected),
        "seconds": round(fitted.seconds, 1),
        "cpu_seconds": round(time.process_time() - clock, 1),
        "step_seconds": round(fitted.step_seconds, 4),
        "text": source.about,
    }
    arrays = {"curve": np.asarray(state.losses), "judged": np.asarray(state.judged)}
    if look:
        more, also = _looks(state.model, source, setting)
        numbers |= more
        arrays |= also | {"place_loss": losses.mean(axis=0).astype(np.float32)}
    return Outcome(numbers, arrays, state.model)


def _looks(model: LanguageModel, source: Text, setting: Setting) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The loss at the last place, where nothing can leak; whole stories against the best reader; written text."""
    last = judge(model, source.last)[:, -1].astype(np.float64)
    error = last.std() / np.sqrt(len(last))
    numbers: dict[str, Any] = {"last_loss": _rounded(last.mean()), "last_error": _rounded(error)}
    arrays = {}
    if source.stories is not None and source.best is not None:
        losses = judge(model, source.stories)[:, : source.story_tokens].astype(np.float64)
        excess = (losses.sum(axis=1) - source.best) / source.story_tokens
        numbers["excess"] = _rounded(excess.mean())
        numbers["excess_error"] = _rounded(excess.std() / np.sqrt(len(excess)))
        arrays["story_loss"] = losses.mean(axis=0).astype(np.float32)
    texts = samples(model, source, seed=setting.seed)
    numbers["samples"] = texts
    if source.grammar is not None:
        counts = [kept_things(source.grammar, written) for written in texts]
        numbers["written"] = {name: sum(count[name] for count in counts) for name in counts[0]}
    return numbers, arrays | {"weights": flat_weights(model).astype(np.float16)}


def samples(model: LanguageModel, source: Text, *, seed: int, count: int = SAMPLES, length: int = WRITTEN) -> list[str]:
    """What a model writes after held-out blocks, each as long as it can read: nothing is left to leak."""
    prompts = source.last.inputs[np.linspace(0, len(source.last.inputs) - 1, count).astype(int)]
    keys = jax.random.split(jax.random.key(seed), count)
    return [source.tokens.decode(write(model, p, length, key)) for p, key in zip(prompts, keys, strict=True)]


def with_weights(setting: Setting, weights: Float[np.ndarray, " P"], vocabulary: int) -> LanguageModel:
    """The trained model of a setting from its shipped weights. Raises ValueError if their number does not fit."""
    return with_flat_weights(model_of(setting, vocabulary), weights, setting.name)


def _rounded(value: float) -> float:
    """Six decimals; a value that is not finite stays what it is."""
    return round(float(value), 6)
