"""Batches for a causal model: what is seen, and what comes next."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, PRNGKeyArray


class Batch(NamedTuple):
    """S pieces of text of n tokens: targets[s, i] is the token that comes after inputs[s, i]; both int32."""

    inputs: Int[np.ndarray, "S n"]
    targets: Int[np.ndarray, "S n"]


def batch_at(tokens: Int[np.ndarray, " length"], block: int, batch: int, key: PRNGKeyArray, step: int) -> Batch:
    """The training batch of one step, a function of key and step alone: a resumed run sees what it would have seen.

    Each of the `batch` pieces of `block` tokens starts anywhere, uniformly and with repetition, drawn from
    fold_in(key, step).

    **Raises** ValueError for sizes below 1, a negative step, or a text of fewer than block + 1 tokens.
    """
    if batch < 1 or not 0 <= step < 2**32:
        raise ValueError(f"expected at least one piece and a step from 0, got {batch} and {step}.")
    places = _room(tokens, block)
    starts = jax.random.randint(jax.random.fold_in(key, step), (batch,), 0, places, jnp.int32)
    return _cut(tokens, block, np.asarray(starts))


def batches(
    tokens: Int[np.ndarray, " length"], block: int, batch: int, key: PRNGKeyArray, start: int = 0
) -> Iterator[Batch]:
    """Training batches without end, those of step `start`, `start` + 1, ...; see `batch_at`, which also raises."""
    first = batch_at(tokens, block, batch, key, start)  # here, so that a wrong size is told before the first step

    def rest() -> Iterator[Batch]:
        yield first
        step = start + 1
        while True:
            yield batch_at(tokens, block, batch, key, step)
            step += 1

    return rest()


def fixed_blocks(tokens: Int[np.ndarray, " length"], block: int, count: int) -> Batch:
    """`count` pieces of a held-out text, spread evenly over it, without overlap, the same for every model and seed.

    **Raises** ValueError for sizes below 1 or a text too short for so many.
    """
    places = _room(tokens, block)
    if count < 1 or count * block > len(tokens) - 1:
        raise ValueError(
            f"expected 1 to {(len(tokens) - 1) // block} blocks of {block} tokens in a text of {len(tokens)}, got "
            f"{count}: ask for fewer or shorter ones, or hold out more text"
        )
    return _cut(tokens, block, np.arange(count) * (places - 1) // max(count - 1, 1))


def _room(tokens: Int[np.ndarray, " length"], block: int) -> int:
    """How many places a block with the token after it can start at."""
    if block < 1 or len(tokens) < block + 1:
        raise ValueError(
            f"expected a block of at least 1 token and a text longer than it, got {block} and {len(tokens)} tokens: "
            "take a shorter block or more text"
        )
    return len(tokens) - block


def _cut(tokens: Int[np.ndarray, " length"], block: int, starts: Int[np.ndarray, " S"]) -> Batch:
    """The blocks that start there."""
    pieces = np.asarray(tokens)[starts[:, None] + np.arange(block + 1)].astype(np.int32)
    return Batch(pieces[:, :-1], pieces[:, 1:])
