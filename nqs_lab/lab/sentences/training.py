"""One run: a reader learns at one length after another, and is judged at each by the exact best reader."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from nqs_lab.ansatz import count_parameters
from nqs_lab.lab.maps import input_dependence
from nqs_lab.lab.sentences.languages import LANGUAGES, Batch, Language
from nqs_lab.lab.sentences.models import Reader, freeze_reader, lengthen, reader_maps
from nqs_lab.lab.sentences.setting import WORDS, Setting, make_reader
from nqs_lab.lab.shelf import Outcome
from nqs_lab.lab.weights import flat_weights, with_flat_weights

WARM_UP, LAST = 20, 0.1  # steps to the full rate, and the share of it that is left at the end of a length
TEST_WORDS, MAP_SENTENCES = 32768, 64
SHIPPED_LENGTH = 64  # trained weights are kept at this length
EXAMPLES = 4  # sentences of each length whose attention is kept for the dashboard
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())


class Score(NamedTuple):
    """A reader on a test set, in nats per hidden word: its cross-entropy, that of the best reader on the same
    sentences, their difference with its standard error, and the share of right answers."""

    loss: float
    best: float
    excess: float
    error: float
    accuracy: float


def rate_at(step: int, steps: int, rate: float | int) -> float:
    """Linear warm-up, then half a cosine down to a share of the rate."""
    decay = LAST + (1 - LAST) * 0.5 * (1 + np.cos(np.pi * step / steps))
    return float(rate * min((step + 1) / WARM_UP, decay))


def losses(
    model: Callable[..., Array], words: Int[Array, "S n f"], answers: Int[Array, "S n"]
) -> tuple[Float[Array, "S n"], Bool[Array, "S n"]]:
    """-log p of the answers in nats at every word, and whether the most probable answer is the right one."""
    logits = jax.vmap(model)(words)
    log_p = jax.nn.log_softmax(logits)
    right = jnp.argmax(logits, axis=-1).astype(answers.dtype) == answers
    return -jnp.take_along_axis(log_p, answers[..., None], axis=-1)[..., 0], right


@eqx.filter_jit
def train_step(
    model: Reader, state: Any, batch: tuple[Array, Array, Array], rate: Float[Array, ""]
) -> tuple[Reader, Any, Float[Array, ""]]:
    """One step of Adam on the mean cross-entropy of the hidden words."""

    def mean_loss(reader: Reader) -> Array:
        words, answers, hidden = batch
        at_hidden = jnp.where(hidden, losses(reader, words, answers)[0], 0.0)
        return jnp.sum(at_hidden) / jnp.maximum(jnp.sum(hidden), 1).astype(at_hidden.dtype)

    loss, gradient = eqx.filter_value_and_grad(mean_loss)(model)
    update, state = OPTIMISER.update(gradient, state)
    return eqx.apply_updates(model, jax.tree.map(lambda u: -rate * u, update)), state, loss


def learn(
    model: Reader,
    language: Language,
    n: int,
    steps: int,
    rate: float | int,
    rng: np.random.Generator,
    *,
    until: int | None = None,
) -> tuple[Reader, Float[np.ndarray, " steps"]]:
    """Train at one length on ever new sentences; returns the reader and the loss of every step (nats per hidden word).

    `steps`: what the decay of the rate spans. `until`: stop after so many of them.
    """
    state = OPTIMISER.init(eqx.filter(model, eqx.is_inexact_array))
    curve = []
    for step in range(steps if until is None else min(until, steps)):
        batch = as_arrays(language.sample(rng, n, max(1, WORDS // n)))
        now = jnp.asarray(rate_at(step, steps, rate), jnp.float32)
        model, state, loss = train_step(model, state, batch, now)
        curve.append(loss)
    return model, np.asarray(jnp.stack(curve))


def as_arrays(batch: Batch) -> tuple[Array, Array, Array]:
    """A batch for JAX."""
    return jnp.asarray(batch.words, jnp.int32), jnp.asarray(batch.answers, jnp.int32), jnp.asarray(batch.hidden)


@eqx.filter_jit
def _all_losses(model: Callable[..., Array], words: Array, answers: Array) -> tuple[Array, Array]:
    """Losses chunk by chunk, (chunks, S, n)."""
    return jax.lax.map(lambda pair: losses(model, *pair), (words, answers))


def score(model: Callable[..., Array], language: Language, batch: Batch) -> Score:
    """A reader against the best one on the same sentences. Raises ValueError if nothing is hidden."""
    if not batch.hidden.any():
        raise ValueError("nothing is hidden in these sentences: there is nothing to score.")
    count, n, f = batch.words.shape
    chunk = max(1, min(count, WORDS // n))
    if count % chunk:
        raise ValueError(f"expected a whole number of chunks of {chunk} sentences of {n} words, got {count} sentences.")
    words, answers, _ = as_arrays(batch)
    loss, right = _all_losses(model, words.reshape(-1, chunk, n, f), answers.reshape(-1, chunk, n))
    loss = np.asarray(loss, np.float64).reshape(count, n)[batch.hidden]
    best = language.best(batch)[batch.hidden]
    excess = loss - best
    return Score(
        loss=float(loss.mean()),
        best=float(best.mean()),
        excess=float(excess.mean()),
        error=float(excess.std() / np.sqrt(len(excess))),
        accuracy=float(np.mean(np.asarray(right).reshape(count, n)[batch.hidden])),
    )


def test_batch(language: Language, n: int, seed: int) -> Batch:
    """Sentences that no run trains on, the same for all types of one seed."""
    return language.sample(np.random.default_rng([seed, n, 1]), n, TEST_WORDS // n)


@eqx.filter_jit
def _map_moments(model: Reader, words: Int[Array, "S n f"]) -> tuple[Array, Array]:
    """Mean and standard deviation of the weights over sentences, at every pair of places (depth, h, n, n)."""

    def add(total, sentence):
        maps = reader_maps(model, sentence)
        return (total[0] + maps, total[1] + maps**2), None

    shape = eqx.filter_eval_shape(reader_maps, model, words[0])
    zero = jnp.zeros(shape.shape, shape.dtype)
    (first, second), _ = jax.lax.scan(add, (zero, zero), words)
    mean = first / len(words)
    return mean, jnp.sqrt(jnp.maximum(second / len(words) - mean**2, 0.0))


def map_statistics(
    model: Reader, words: Int[np.ndarray, "S n f"]
) -> tuple[Float[np.ndarray, "depth h n n"], Float[np.ndarray, "depth h n n"]]:
    """Mean and standard deviation over sentences of the weight between two places i (receiver) and j (sender)."""
    mean, deviation = _map_moments(model, jnp.asarray(words, jnp.int32))
    return np.asarray(mean), np.asarray(deviation)


def map_ratio(
    mean: Float[np.ndarray, "depth h n n"], deviation: Float[np.ndarray, "depth h n n"]
) -> Float[np.ndarray, "depth h"]:
    """Spread of the weights over inputs against that over positions, as in lesson 08: ||s|| / ||mean - 1/n||."""
    flat = lambda maps: maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    return input_dependence(flat(mean), flat(deviation))


def frozen_scores(model: Reader, language: Language, batch: Batch) -> dict[str, Any]:
    """Maps over sentences, and what freezing costs: weights replaced by their mean, and by uniform ones (control)."""
    mean, deviation = map_statistics(model, batch.words[:MAP_SENTENCES])
    uniform = np.full_like(mean, 1 / mean.shape[-1])
    frozen = {name: freeze_reader(model, jnp.asarray(maps)) for name, maps in (("mean", mean), ("uniform", uniform))}
    out: dict[str, Any] = {f"frozen_{name}": score(m, language, batch).excess for name, m in frozen.items()}
    ratio = map_ratio(mean, deviation)
    return out | {"ratio": [[round(float(min(r, 1e6)), 4) for r in layer] for layer in ratio]}


def train(setting: Setting, *, look: bool = True) -> Outcome:
    """The whole run: learn and be judged at each length; `look=False` leaves out maps and examples (tuning runs)."""
    language, rng = LANGUAGES[setting.language], np.random.default_rng([setting.seed, 0])
    model = make_reader(setting, setting.start)
    stages, arrays = [], {}
    start = time.perf_counter()
    for n in setting.lengths:
        clock = time.process_time()
        model, curve = learn(lengthen(model, n), language, n, setting.steps(n), setting.rate, rng)
        seconds = time.process_time() - clock
        batch = test_batch(language, n, setting.seed)
        stage = {"n": n, "steps": setting.steps(n), **score(model, language, batch)._asdict()}
        if look and setting.attention != "factored":
            stage |= frozen_scores(model, language, batch)
        stages.append({k: round(v, 6) if isinstance(v, float) else v for k, v in stage.items()})
        stages[-1]["cpu_seconds"] = round(seconds, 1)
        arrays[f"curve_{n}"] = curve.astype(np.float32)
        arrays |= examples(model, language, n) if look else {}
        if n == SHIPPED_LENGTH:
            arrays["weights"] = flat_weights(model)
    numbers = {
        "stages": stages,
        "parameters": count_parameters(model),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return Outcome(numbers, arrays, model)


@eqx.filter_jit
def _look(model: Reader, words: Int[Array, "E n f"]) -> tuple[Array, Array]:
    """Maps and probabilities of the answers of a few sentences."""
    return jax.lax.map(lambda s: (reader_maps(model, s), jax.nn.softmax(model(s))), words)


def example_batch(language: Language, n: int) -> Batch:
    """The sentences of the dashboard: the same for all runs."""
    return language.sample(np.random.default_rng([9, n]), n, EXAMPLES)


def examples(model: Reader, language: Language, n: int) -> dict[str, np.ndarray]:
    """Attention of one hidden word of each example sentence, (E, depth, h, n), and its predicted answers (E, q)."""
    batch = example_batch(language, n)
    maps, p = (np.asarray(a) for a in _look(model, jnp.asarray(batch.words, jnp.int32)))
    places = [example_place(hidden) for hidden in batch.hidden]
    rows = np.stack([maps[e, :, :, i] for e, i in enumerate(places)])
    chosen = np.stack([p[e, i] for e, i in enumerate(places)])
    return {f"rows_{n}": rows.astype(np.float16), f"p_{n}": chosen.astype(np.float32)}


def example_place(hidden: Bool[np.ndarray, " n"]) -> int:
    """The hidden word shown: the one nearest to three quarters of the sentence."""
    where = np.flatnonzero(hidden)
    return int(where[np.argmin(np.abs(where - 3 * len(hidden) // 4))])


def with_weights(setting: Setting, weights: Float[np.ndarray, " P"]) -> Reader:
    """The trained reader of a setting at SHIPPED_LENGTH. Raises ValueError if the number of weights does not fit."""
    return with_flat_weights(make_reader(setting, SHIPPED_LENGTH), weights, setting.name)
