"""How a mix moves tokens: encoder blocks by the name of their dynamics, (x, v) -> (x, v)."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_lab.attention.layers import (
    MLP as MLP,
    AbstractBlock as AbstractBlock,
    LayerNorm as LayerNorm,
    Residual as Residual,
    gelu as gelu,
)
from nqs_lab.attention.mixers import AbstractMixer
from nqs_lab.attention.momentum import HamiltonianMomentum as HamiltonianMomentum
from nqs_lab.attention.nesterov import Nesterov as Nesterov

BLOCKS: Mapping[str, Callable[..., AbstractBlock]] = MappingProxyType(
    {"residual": Residual, "nesterov": Nesterov, "momentum": HamiltonianMomentum}
)
"""The blocks by the name of their dynamics, each called with (mixer, width, mlp_ratio, *, dtype, key) and options."""

OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        name: frozenset(inspect.signature(block).parameters) - {"mixer", "width", "mlp_ratio", "dtype", "key"}
        for name, block in BLOCKS.items()
    }
)
"""The names of each block's own options."""


def make_block(
    dynamics: str,
    mixer: AbstractMixer,
    width: int,
    mlp_ratio: int,
    *,
    layer: int = 0,
    dtype=jnp.float32,
    key: PRNGKeyArray,
    **options: Any,
) -> AbstractBlock:
    """The block called `dynamics` around a mixer; `layer` counts blocks from 0 (for the clock of "momentum").

    `options`: those of the block's class. Blocks made from one key share their MLP.
    **Raises** ValueError for an unknown name or option, a ratio below 1, or a mixer that the dynamics cannot take.
    """
    if dynamics not in BLOCKS:
        raise ValueError(f"dynamics must be one of {', '.join(BLOCKS)}; got {dynamics!r}.")
    if mlp_ratio < 1:
        raise ValueError(f"mlp_ratio must be a whole number >= 1, got {mlp_ratio}.")
    if dynamics == "momentum":
        options["layer"] = layer
    known = OPTIONS[dynamics]
    if unknown := sorted(set(options) - known):
        raise ValueError(f"{dynamics!r} blocks have the options {', '.join(sorted(known))}; got {', '.join(unknown)}.")
    return BLOCKS[dynamics](mixer, width, mlp_ratio, dtype=dtype, key=key, **options)
