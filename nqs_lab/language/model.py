"""A small causal language model: embeddings, blocks of any dynamics and attention, the embeddings again as output."""

import abc
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nqs_lab.attention import (
    ENERGY_MIXERS,
    MIXERS,
    AbstractBlock,
    LayerNorm,
    causal_mask,
    make_block,
    make_energy_mixer,
    make_mixer,
)
from nqs_lab.attention.drawing import normal

SPREAD = 0.02
"""Deviation of the embeddings at the start: with them as output layer, every token is at first about as likely."""
RELATIVE = ("t5", "decoupled", "factored")
"""Attentions with a table of relative positions; the others get a learned vector for each place."""
PUBLISHED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "residual": MappingProxyType({}),
        "nesterov": MappingProxyType({}),
        "momentum": MappingProxyType({"step": 0.3, "c_lin": 1e-4, "learn_friction": True, "norm_momentum": True}),
    }
)
"""Options of the blocks in a language model: starting values of the paper's public code (stein2026sympformer)."""


class AbstractLanguageModel(eqx.Module):
    """Reads a block of n tokens, tells the logits of the next one at every place; `vocabulary`: tokens that exist."""

    vocabulary: eqx.AbstractVar[int]
    block: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, tokens: Int[Array, " n"]) -> Float[Array, "n V"]:
        """Logits of what follows each token."""


class LanguageModel(AbstractLanguageModel):
    """Logits of the next token at every place of a text of n tokens: E LN(x_i), x = blocks(E[tokens] + P).

    - `vocabulary` V: tokens that exist. `block`: n, the number of tokens that it reads, always all of them.
    - `width` d, `heads`, `depth`, `mlp_ratio`: as of `ansatz.ViT`. The output layer is the embedding E (V, d) itself.
    - `attention`: "dot-product" and "linear" get a learned vector P_i for each place, "t5", "decoupled" and "factored"
      a learned table over i - j instead. `dynamics`: "residual" (GPT), "nesterov" or "momentum".
    - `dynamics_options`: of the block, on top of `PUBLISHED[dynamics]`. `constrained`: mixers that are the gradient of
      an energy, as "momentum" always has them (with the other dynamics: the control).
    - `velocity`: whether the velocity starts from token and position embeddings of its own, and not from rest. None:
      as published, with "nesterov" and with linear "momentum". They are parameters like any other, and counted.
    Causal by construction, except with the witness {"force": "leaking"}; `causality.leak` measures it.
    **Raises** ValueError for sizes below 1, unknown names, or a velocity where the dynamics ignore it.
    zimin2026yuriiformer, stein2026sympformer
    """

    embed: Float[Array, "V d"]
    places: Float[Array, "n d"] | None
    embed_velocity: Float[Array, "V d"] | None
    places_velocity: Float[Array, "n d"] | None
    blocks: tuple[AbstractBlock, ...]
    norm: LayerNorm
    vocabulary: int = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __init__(
        self,
        vocabulary: int,
        block: int,
        *,
        width: int = 64,
        heads: int = 4,
        depth: int = 4,
        mlp_ratio: int = 4,
        attention: str = "dot-product",
        dynamics: str = "residual",
        dynamics_options: Mapping[str, Any] | None = None,
        constrained: bool = False,
        velocity: bool | None = None,
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        if min(vocabulary, block, depth, width) < 1:
            raise ValueError(
                f"vocabulary, block, width and depth must be at least 1, got {vocabulary}, {block}, {width}, {depth}."
            )
        _check_names(attention, dynamics, constrained)
        token_key, velocity_key, *block_keys = jax.random.split(key, 2 + depth)
        draw = lambda key, rows: normal(key, (rows, width), dtype, SPREAD)
        both = lambda key: (
            draw(key, vocabulary),
            None if attention in RELATIVE else draw(jax.random.split(key)[0], block),
        )
        self.embed, self.places = both(token_key)
        own = has_velocity(attention, dynamics) if velocity is None else velocity
        if own and dynamics == "residual":
            raise ValueError("residual blocks have no velocity to start: leave velocity out, or choose other dynamics.")
        self.embed_velocity, self.places_velocity = both(velocity_key) if own else (None, None)
        displacement, mask = causal_displacement(block), causal_mask(block)
        make = make_energy_mixer if constrained or dynamics == "momentum" else make_mixer
        options = dict(PUBLISHED[dynamics]) | dict(dynamics_options or {})
        blocks = []
        for layer, block_key in enumerate(block_keys):
            mixer_key, mlp_key = jax.random.split(block_key)
            mixer = make(attention, width, heads, displacement, mask=mask, dtype=dtype, key=mixer_key)
            blocks.append(
                make_block(dynamics, mixer, width, mlp_ratio, layer=layer, dtype=dtype, key=mlp_key, **options)
            )
        self.blocks, self.norm = tuple(blocks), LayerNorm(width, dtype=dtype)
        self.vocabulary, self.block = vocabulary, block

    def __call__(self, tokens: Int[Array, " n"]) -> Float[Array, "n V"]:
        x, v = self.start(tokens)
        for block in self.blocks:
            x, v = block(x, v)
        return self.norm(x) @ self.embed.T

    def start(self, tokens: Int[Array, " n"]) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Positions and velocities before the first block. **Raises** ValueError for another number of tokens."""
        if tokens.shape != (self.block,):
            raise ValueError(
                f"expected {self.block} tokens, got {tokens.shape[0]}: cut the text, or fill it up behind."
            )
        x = _looked_up(self.embed, self.places, tokens)
        own = self.embed_velocity
        return x, jnp.zeros_like(x) if own is None else _looked_up(own, self.places_velocity, tokens)


def text_maps(model: LanguageModel, tokens: Int[Array, " n"]) -> Float[Array, "depth h n n"]:
    """Attention weights of every block and head while the model reads the tokens, as receiver i, sender j <= i."""
    x, v = model.start(tokens)
    maps = []
    for block in model.blocks:
        maps.append(block.weights(x, v))
        x, v = block(x, v)
    return jnp.stack(maps)


def has_velocity(attention: str, dynamics: str) -> bool:
    """Whether the published model of this kind starts with velocity embeddings: softmax "momentum" starts from rest."""
    return dynamics == "nesterov" or (dynamics == "momentum" and attention == "linear")


def causal_displacement(block: int) -> Int[np.ndarray, "n n"]:
    """Table number of the displacement from j to i: i - j, and 0 for the future, which no causal mixer asks for."""
    places = np.arange(block)
    return np.maximum(places[:, None] - places[None], 0)


def _looked_up(
    table: Float[Array, "V d"], places: Float[Array, "n d"] | None, tokens: Int[Array, " n"]
) -> Float[Array, "n d"]:
    """The vectors of the tokens, with those of their places where there are any."""
    x = table.at[tokens].get(mode="clip")
    return x if places is None else x + places


def _check_names(attention: str, dynamics: str, constrained: bool) -> None:
    """Names that exist and go together; `make_block` and the mixers check the rest."""
    if dynamics not in PUBLISHED:
        raise ValueError(f"dynamics must be one of {', '.join(PUBLISHED)}; got {dynamics!r}.")
    if attention not in MIXERS:
        raise ValueError(f"attention must be one of {', '.join(MIXERS)}; got {attention!r}.")
    if attention not in ENERGY_MIXERS and (constrained or dynamics == "momentum"):
        raise ValueError(
            f"momentum and constrained models need attention that is the gradient of an energy, one of "
            f"{', '.join(ENERGY_MIXERS)}; got {attention!r}."
        )
