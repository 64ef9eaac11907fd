"""A small masked-word Transformer on an open sentence, built of the library's mixers and blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nqs_lab.attention.blocks import AbstractBlock, LayerNorm, make_block
from nqs_lab.attention.mixers import T5, Decoupled, Dense, Factored, Frozen, make_mixer

REACH = 8
"""Displacements are told apart up to so many words; all farther ones share one number for each side."""


class Reader(eqx.Module):
    """Predicts what is hidden in a sentence: logits_i = W LN(y_i) + b, y = blocks(sum of the features' embeddings).

    **Arguments** `sizes`: how many values each feature of a word has; `n_answers`: possible answers. `n`: words in a
    sentence (`lengthen` changes it). `attention`: "t5", "decoupled", "factored", "dot-product" or "linear".
    `width` d, `heads` h, `depth`: number of blocks. `reach`: relative positions i - j are cut off at -reach and +reach,
    so that the number of parameters does not depend on n. `mlp_ratio`: the MLP is d -> mlp_ratio d -> d.

    No absolute positions, no mask: each word sees all words, itself too.

    **Raises** ValueError for unknown names, heads that do not divide the width, or sizes below 1.
    """

    embed: tuple[Float[Array, "_ d"], ...]
    blocks: tuple[AbstractBlock, ...]
    norm: LayerNorm
    head: Dense
    reach: int = eqx.field(static=True)

    def __init__(
        self,
        sizes: tuple[int, ...],
        n_answers: int,
        n: int,
        *,
        attention: str,
        width: int = 32,
        heads: int = 4,
        depth: int = 2,
        reach: int = REACH,
        mlp_ratio: int = 4,
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        if depth < 1 or n_answers < 1 or min(sizes, default=0) < 1:
            raise ValueError(f"depth, n_answers and sizes must be at least 1, got {depth}, {n_answers} and {sizes}.")
        embed_key, head_key, *block_keys = jax.random.split(key, 2 + depth)
        keys = jax.random.split(embed_key, len(sizes))
        self.embed = tuple(jax.random.normal(k, (size, width), dtype) for k, size in zip(keys, sizes, strict=True))
        blocks, table = [], displacements(n, reach)
        for block_key in block_keys:
            mixer_key, mlp_key = jax.random.split(block_key)
            mixer = make_mixer(attention, width, heads, table, dtype=dtype, key=mixer_key)
            blocks.append(make_block("residual", mixer, width, mlp_ratio, dtype=dtype, key=mlp_key))
        self.blocks = tuple(blocks)
        self.norm = LayerNorm(width, dtype=dtype)
        self.head = Dense(width, n_answers, std=0.02, dtype=dtype, key=head_key)
        self.reach = reach

    def tokens(self, words: Int[Array, "n f"]) -> Float[Array, "n d"]:
        """The words as vectors: the embeddings of their features, added."""
        parts = [table.at[words[:, f]].get(mode="promise_in_bounds") for f, table in enumerate(self.embed)]
        return sum(parts[1:], start=parts[0])

    def __call__(self, words: Int[Array, "n f"]) -> Float[Array, "n q"]:
        x = self.tokens(words)
        v = jnp.zeros_like(x)
        for block in self.blocks:
            x, v = block(x, v)
        return self.head(self.norm(x))


def displacements(n: int, reach: int | None = None) -> Int[np.ndarray, "n n"]:
    """Number of the displacement i - j in an open sentence of n words, counted from 0.

    Without `reach` all 2n - 1 differ; with it they are cut off at -reach and +reach: 2 reach + 1 numbers for every n.
    Raises ValueError for n < 1 or reach < 1.
    """
    if n < 1 or (reach is not None and reach < 1):
        raise ValueError(f"n and reach must be at least 1, got {n} and {reach}.")
    shift = np.subtract.outer(np.arange(n), np.arange(n))
    limit = n - 1 if reach is None else reach
    return np.clip(shift, -limit, limit) + limit


def lengthen(model: Reader, n: int) -> Reader:
    """The same parameters for sentences of n words: only the table of displacements is written anew."""
    if not isinstance(model.blocks[0].mixer, T5 | Decoupled | Factored):
        return model  # content alone does not know how long the sentence is
    tables = lambda m: [block.mixer.positions.displacement for block in m.blocks]
    new = jnp.asarray(displacements(n, model.reach), jnp.int32)
    return eqx.tree_at(tables, model, [new] * len(model.blocks))


def reader_maps(model: Reader, words: Int[Array, "n f"]) -> Float[Array, "depth h n n"]:
    """Mixing weights of every block and head while the model reads a sentence, receiver i, sender j."""
    x = model.tokens(words)
    v = jnp.zeros_like(x)
    maps = []
    for block in model.blocks:
        maps.append(block.weights(x, v))
        x, v = block(x, v)
    return jnp.stack(maps)


def freeze_reader(model: Reader, maps: Float[Array, "depth h n n"]) -> Reader:
    """The model with its mixing weights replaced by constants, which are no parameters.

    Raises ValueError if there is not one set of maps for each block.
    """
    if len(maps) != len(model.blocks):
        raise ValueError(f"expected maps for {len(model.blocks)} blocks, got {len(maps)}.")
    mixers = [Frozen(block.mixer, weights) for block, weights in zip(model.blocks, maps, strict=True)]
    return eqx.tree_at(lambda m: [block.mixer for block in m.blocks], model, mixers)
