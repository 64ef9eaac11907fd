"""Training of a language model: AdamW with warm-up and cosine, steps that can be stopped and go on bit for bit."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from nqs_lab.language.batches import Batch
from nqs_lab.language.causality import check_causal
from nqs_lab.language.model import LanguageModel
from nqs_lab.vmc.cores import AXIS, core_count, on_all_cores, spread

TOGETHER = 256
"""Tokens that go through the network at once: what a processor core's cache holds; more of them take longer each."""
EMBEDDINGS = frozenset({"embed", "places", "embed_velocity", "places_velocity"})
"""The only parameters that decay."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are the small setting of the paper's public code (stein2026sympformer).

    Arguments: `rate`: largest learning rate of AdamW (betas 0.9 and 0.95). `steps`: the length of the run, spanned by a
    linear warm-up (`warm_up` steps) and a cosine (down to the share `last`). `batch`: pieces of text in a step.
    `decay`: of the embeddings alone. `clip`: largest norm of the gradient, step sizes and frictions of the blocks
    apart; those learn with `scalar_rate`, whatever the rate. `look`: steps between two evaluations.
    **Raises** ValueError for numbers that are not positive, `last` above 1, or a warm-up longer than the run.
    """

    rate: float = 3e-4
    steps: int = 1001
    batch: int = 72
    warm_up: int = 150
    last: float = 0.4
    decay: float = 0.1
    clip: float = 1.0
    scalar_rate: float = 0.03
    look: int = 100

    def __post_init__(self):
        for name in ("rate", "steps", "batch", "warm_up", "last", "clip", "scalar_rate", "look"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"expected {name} to be a positive number, got {value}.")
        if self.warm_up > self.steps or self.last > 1 or not 0 <= self.decay < math.inf:
            raise ValueError(
                f"expected warm_up at most steps ({self.steps}), last at most 1 and decay from 0, got {self.warm_up}, "
                f"{self.last} and {self.decay}."
            )

    def share(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The learning rate of a step (from 0) as a share of the largest: step 0 already moves."""
        now = step.astype(jnp.float32)
        rest = jnp.clip((now - self.warm_up) / max(1, self.steps - self.warm_up), 0.0, 1.0)
        cosine = self.last + (1 - self.last) * 0.5 * (1 + jnp.cos(jnp.pi * rest))
        return jnp.minimum((now + 1) / self.warm_up, cosine)

    @property
    def looks(self) -> tuple[int, ...]:
        """Steps after which the model is judged on the held-out text: 0, every `look` steps, and the last."""
        return (*range(0, self.steps, self.look), self.steps)

    def optimiser(self) -> optax.GradientTransformation:
        """AdamW with the parts of the parameters treated as said above."""
        is_scalar = lambda tree: jax.tree.map(lambda leaf: jnp.ndim(leaf) == 0, tree)
        is_matrix = lambda tree: jax.tree.map(lambda leaf: jnp.ndim(leaf) > 0, tree)
        return optax.chain(
            optax.masked(optax.clip_by_global_norm(self.clip), is_matrix),
            optax.scale_by_adam(b1=0.9, b2=0.95),
            optax.masked(optax.add_decayed_weights(self.decay), _embeddings),
            optax.masked(optax.scale(self.scalar_rate / self.rate), is_scalar),
            optax.scale_by_learning_rate(lambda step: self.rate * self.share(jnp.asarray(step))),
        )


class TrainState(eqx.Module):
    """A run between two steps: all of it, so that a copy on disk goes on as the original would have.

    `losses` of the steps done (nats per token, before the step), `judged` at `Recipe.looks`, NaN until then;
    `rejected`: steps that met an infinity or NaN and were not taken; `leak`: what the causality probe found.
    """

    model: LanguageModel
    moments: Any
    step: Int[Array, ""]
    rejected: Int[Array, ""]
    losses: Float[Array, " steps"]
    judged: Float[Array, " looks"]
    leak: float = eqx.field(static=True)


class StepInfo(NamedTuple):
    """Loss (nats per token) and norm of the gradient at the step's start; whether the step was taken."""

    loss: Float[Array, ""]
    norm: Float[Array, ""]
    finite: Bool[Array, ""]


def start(model: LanguageModel, recipe: Recipe, *, allow_leak: bool = False) -> TrainState:
    """The state before the first step, after the causality probe.

    **Raises** `causality.LeakError`, a ValueError, for a model that sees its future, unless `allow_leak`.
    """
    found = check_causal(model, allow_leak=allow_leak)
    blank = lambda count: jnp.full(count, jnp.nan, jnp.float32)
    none = jnp.zeros((), jnp.int32)
    moments = recipe.optimiser().init(eqx.filter(model, eqx.is_inexact_array))
    return TrainState(model, moments, none, none, blank(recipe.steps), blank(len(recipe.looks)), found)


def train_step(state: TrainState, recipe: Recipe, batch: Batch) -> tuple[TrainState, StepInfo]:
    """One step of AdamW on the mean cross-entropy of a batch; on all cores that `nqs_lab.use_cores` made visible."""
    return on_all_cores(_train_step, state, recipe, *map(jnp.asarray, batch))


def judge(model: LanguageModel, batch: Batch) -> Float[np.ndarray, "S n"]:
    """-log p of every target token in nats: S pieces of text, n places."""
    return np.asarray(on_all_cores(_losses, model, *map(jnp.asarray, batch)))


@eqx.filter_jit
def _train_step(
    state: TrainState, recipe: Recipe, inputs: Int[Array, "S n"], targets: Int[Array, "S n"]
) -> tuple[TrainState, StepInfo]:
    """Gradient, optimiser, and the refusal of what is not finite."""
    params, rest = eqx.partition(state.model, eqx.is_inexact_array)
    total, gradient = gradients(params, rest, inputs, targets)
    count = jnp.asarray(1 / inputs.size, total.dtype)
    loss, gradient = total * count, jax.tree.map(lambda leaf: leaf * count.astype(leaf.dtype), gradient)
    norm = jnp.sqrt(sum((jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient)), jnp.zeros_like(loss)))
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    with jax.numpy_dtype_promotion("standard"):  # inside, optax takes a number to the power of a whole one
        update, moments = recipe.optimiser().update(gradient, state.moments, params)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
    params, moments = keep(eqx.apply_updates(params, update), params), keep(moments, state.moments)
    new = TrainState(
        model=eqx.combine(params, rest),
        moments=moments,
        step=state.step + 1,
        rejected=state.rejected + jnp.logical_not(finite).astype(jnp.int32),
        losses=state.losses.at[state.step].set(loss.astype(jnp.float32)),
        judged=state.judged,
        leak=state.leak,
    )
    return new, StepInfo(loss, norm, finite)


def gradients(
    params: LanguageModel, rest: LanguageModel, inputs: Int[Array, "S n"], targets: Int[Array, "S n"]
) -> tuple[Float[Array, ""], LanguageModel]:
    """Sum of the losses over a batch and its gradient by the parameters, few pieces at a time.

    `params`, `rest`: a model, partitioned into its parameters and everything else.
    """
    tables, static = eqx.partition(rest, eqx.is_array)

    def walk(params, tables, inputs, targets):
        def some(params, pieces):
            return jnp.sum(losses_of(eqx.combine(params, tables, static), *pieces))

        def add(sums, pieces):
            return jax.tree.map(jnp.add, sums, jax.value_and_grad(some)(params, pieces)), None

        zero = jax.tree.map(jnp.zeros_like, (jnp.zeros((), params.embed.dtype), params))
        return jax.lax.scan(add, zero, (_in_chunks(inputs), _in_chunks(targets)))[0]

    cores = core_count()
    if cores == 1 or len(inputs) % cores:
        return walk(params, tables, inputs, targets)
    shared = lambda *arrays: jax.tree.map(lambda leaf: jax.lax.psum(leaf, AXIS), walk(*arrays))
    return spread(shared, (False, False, True, True), rows_out=False)(params, tables, inputs, targets)


def losses_of(model: LanguageModel, inputs: Int[Array, "S n"], targets: Int[Array, "S n"]) -> Float[Array, "S n"]:
    """-log p(target) at every place."""
    logits = jax.vmap(model)(inputs)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


@eqx.filter_jit
def _losses(model: LanguageModel, inputs: Int[Array, "S n"], targets: Int[Array, "S n"]) -> Float[Array, "S n"]:
    """The same for many pieces of text."""
    chunks = (_in_chunks(inputs), _in_chunks(targets))
    return jax.lax.map(lambda pieces: losses_of(model, *pieces), chunks).reshape(inputs.shape)


def _in_chunks(tokens: Int[Array, "S n"]) -> Int[Array, "chunks s n"]:
    """Pieces of text in groups of equal size, as near to TOGETHER tokens as divides their number."""
    count, n = tokens.shape
    most = max(1, min(count, TOGETHER // n))
    size = max(s for s in range(1, most + 1) if count % s == 0)
    return tokens.reshape(count // size, size, n)


def _embeddings(tree: Any) -> Any:
    """True at the embeddings of a tree of parameters."""
    named = lambda path: any(getattr(entry, "name", None) in EMBEDDINGS for entry in path)
    return jax.tree_util.tree_map_with_path(lambda path, _: named(path), tree)


def training_key(seed: int) -> PRNGKeyArray:
    """The key of the batches of a run; the weights come from `jax.random.key(seed)` itself."""
    return jax.random.fold_in(jax.random.key(seed), 1)
