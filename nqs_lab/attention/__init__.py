"""Attention: how tokens mix (mixers), when a mix is a force (energy mixers), and how it moves tokens (blocks)."""

from nqs_lab.attention.blocks import (
    BLOCKS as BLOCKS,
    MLP as MLP,
    AbstractBlock as AbstractBlock,
    HamiltonianMomentum as HamiltonianMomentum,
    LayerNorm as LayerNorm,
    Nesterov as Nesterov,
    Residual as Residual,
    gelu as gelu,
    make_block as make_block,
)
from nqs_lab.attention.conversion import as_energy_mixer as as_energy_mixer
from nqs_lab.attention.energy_mixers import (
    ENERGY_MIXERS as ENERGY_MIXERS,
    EnergyFactored as EnergyFactored,
    EnergyLinear as EnergyLinear,
    EnergySoftmax as EnergySoftmax,
    make_energy_mixer as make_energy_mixer,
)
from nqs_lab.attention.gradient import EnergyMixer as EnergyMixer
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
from nqs_lab.attention.prefix import causal_mask as causal_mask
