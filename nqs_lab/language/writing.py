"""A model writes: one token after the other, each drawn from what it expects."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nqs_lab.language.model import AbstractLanguageModel
from nqs_lab.language.tokens import AbstractTokens


def write(
    model: AbstractLanguageModel,
    prompt: Int[np.ndarray, " m"],
    count: int,
    key: PRNGKeyArray,
    *,
    temperature: float | int = 1.0,
) -> Int[np.ndarray, " count"]:
    """`count` tokens after a prompt, drawn from softmax(logits / temperature); the model sees the last n tokens.

    While there are fewer than n, the rest of what it reads is filled with token 0 behind them: a causal model cannot
    see that. To be fair to one that can, give it at least n tokens.
    - `prompt`: at least one token. `temperature`: > 0; below 1 it keeps closer to the most probable.
    **Raises** ValueError for an empty prompt, tokens that do not exist, a count below 1 or temperature <= 0.
    """
    size = model.vocabulary
    if len(prompt) < 1 or min(prompt) < 0 or max(prompt) >= size:
        raise ValueError(f"expected a prompt of tokens from 0 to {size - 1}, at least one; got {len(prompt)}.")
    if count < 1 or not temperature > 0:
        raise ValueError(f"expected at least one token and a temperature > 0, got {count} and {temperature}.")
    kept = np.asarray(prompt[-model.block :], np.int32)
    window = np.zeros(model.block, np.int32)
    window[: len(kept)] = kept
    heat = jnp.asarray(temperature, jnp.float32)
    return np.asarray(_write(model, jnp.asarray(window), jnp.asarray(len(kept), jnp.int32), key, heat, count))


def write_text(
    model: AbstractLanguageModel,
    tokens: AbstractTokens,
    prompt: str,
    count: int,
    key: PRNGKeyArray,
    *,
    temperature: float = 1.0,
) -> str:
    """What a model writes after a text, as text, without the prompt. **Raises** ValueError as `write` does."""
    return tokens.decode(write(model, tokens.encode(prompt), count, key, temperature=temperature))


@eqx.filter_jit
def _write(
    model: AbstractLanguageModel,
    window: Int[Array, " n"],
    filled: Int[Array, ""],
    key: PRNGKeyArray,
    temperature: Float[Array, ""],
    count: int,
) -> Int[Array, " count"]:
    """Tokens one after the other; a full window moves on by one."""

    def add(state, key):
        window, filled = state
        logits = model(window)[filled - 1]
        token = jax.random.categorical(key, logits / temperature.astype(logits.dtype)).astype(jnp.int32)
        full = filled == model.block
        window = jnp.where(full, jnp.roll(window, -1), window)
        place = jnp.minimum(filled, model.block - 1)
        return (window.at[place].set(token), jnp.minimum(filled + 1, model.block)), token

    return jax.lax.scan(add, (window, filled), jax.random.split(key, count))[1]
