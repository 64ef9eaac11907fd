"""Does a model look into the future? Asked of every model before it is trained: it changes the tokens to come."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nqs_lab.language.model import AbstractLanguageModel

ALLOWED = 1e-6
"""Change of a logit, relative to the largest one, that rounding in float32 may cause."""
SHAKE = 0.1
"""Deviation of what is added to every parameter in the second probe: no path is closed by a weight that starts at 0."""
AT_ONCE = 4
M = TypeVar("M", bound=eqx.Module)


class LeakError(ValueError):
    """A model that sees tokens which it is to predict."""


def leak(model: AbstractLanguageModel, seed: int = 0) -> float:
    """Largest change of a logit before a place c when all tokens from c on are drawn anew, over all places c.

    Relative to the largest logit. Two probes on random tokens, the larger is returned: the model as it is, and a copy
    with all parameters shaken, so that no path stays hidden behind a weight that starts at zero. 0 up to rounding for a
    causal model. Infinite if a logit is not finite. `seed`: of tokens and noise.
    """
    rng, size = np.random.default_rng(seed), model.vocabulary
    tokens = rng.integers(size, size=model.block)
    others = (tokens + rng.integers(1, max(size, 2), size=model.block)) % size  # none stays: it would tell nothing
    cuts = np.arange(1, max(model.block, 2))
    # Rows of equal length: one loop, so that the model is compiled once.
    cuts = np.resize(cuts, (-(-len(cuts) // AT_ONCE), min(AT_ONCE, len(cuts))))
    arguments = [jnp.asarray(a, jnp.int32) for a in (tokens, others, cuts)]
    found = [float(_largest_change(m, *arguments)) for m in (model, shaken(model, rng))]
    return max(found) if np.all(np.isfinite(found)) else float("inf")


def leak_at(
    model: AbstractLanguageModel, tokens: Int[Array, " n"], others: Int[Array, " n"], cut: Int[Array, ""]
) -> Float[Array, ""]:
    """The same for one place: tokens from `cut` on replaced by `others`, logits before it compared."""
    before = jnp.arange(tokens.shape[0], dtype=jnp.int32) < cut
    # Both in one batch: alone, the old one would be rounded differently.
    old, new = jax.vmap(model)(jnp.stack([tokens, jnp.where(before, tokens, others)]))
    change = jnp.where(before[:, None], jnp.abs(new - old), jnp.zeros_like(old))
    size = jnp.max(jnp.abs(old))
    return jnp.max(change) / jnp.maximum(size, jnp.finfo(old.dtype).tiny)


def check_causal(model: AbstractLanguageModel, *, allow_leak: bool = False, seed: int = 0) -> float:
    """The leak of a model. **Raises** LeakError, a ValueError, if it sees its future, unless `allow_leak`.

    Logits that are not finite are refused in any case.
    """
    found = leak(model, seed)
    if np.isinf(found):
        raise ValueError("the model's logits are not finite before training: take smaller steps or weights.")
    if found > ALLOWED and not allow_leak:
        raise LeakError(
            f"this model sees the tokens that it is to predict: those to come change its logits by {found:.1e} of "
            f"their size, allowed is {ALLOWED:.0e}. Its loss would mean nothing. Make its mixing causal, or pass "
            "allow_leak=True to study the leak."
        )
    return found


def shaken(model: M, rng: np.random.Generator) -> M:
    """A copy with normal noise of deviation `SHAKE` on every parameter, drawn by NumPy: nothing is compiled for it."""
    noise = lambda leaf: jnp.asarray(np.asarray(leaf) + SHAKE * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: noise(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


@eqx.filter_jit
def _largest_change(
    model: AbstractLanguageModel, tokens: Int[Array, " n"], others: Int[Array, " n"], cuts: Int[Array, "rows c"]
) -> Float[Array, ""]:
    """`leak_at` for many places; a NaN stays a NaN."""
    row = jax.vmap(lambda cut: leak_at(model, tokens, others, cut))
    return jnp.max(jax.lax.map(row, cuts))
