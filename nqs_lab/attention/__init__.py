"""Attention: how tokens mix (mixers) and how a mix moves them (blocks)."""

from nqs_lab.attention.blocks import (
    BLOCKS as BLOCKS,
    MLP as MLP,
    AbstractBlock as AbstractBlock,
    LayerNorm as LayerNorm,
    Residual as Residual,
    gelu as gelu,
    make_block as make_block,
)
from nqs_lab.attention.mixers import (
    MIXERS as MIXERS,
    T5 as T5,
    AbstractMixer as AbstractMixer,
    Decoupled as Decoupled,
    Dense as Dense,
    DotProduct as DotProduct,
    Factored as Factored,
    Frozen as Frozen,
    Linear as Linear,
    make_mixer as make_mixer,
)
