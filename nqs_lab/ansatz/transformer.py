"""The vision-Transformer wave function: patches, encoder blocks, a complex log-cosh head."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8, PRNGKeyArray

from nqs_lab.ansatz.base import AbstractAnsatz, check_dtype, sum_log_cosh
from nqs_lab.attention.blocks import AbstractBlock, HamiltonianMomentum, LayerNorm, make_block
from nqs_lab.attention.energy_mixers import make_energy_mixer
from nqs_lab.attention.mixers import Dense, Frozen, make_mixer
from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.symmetry import Group

SMALL = 0.03
"""Deviation of the small-init head's weights: psi starts nearly constant, yet its gradients are not tiny."""


class SmallInitHead(eqx.Module):
    """sum_a log cosh(z_a), z = w LN(pooled) + b with complex w (d, d) and b started near zero: psi nearly constant."""

    norm: LayerNorm
    real: Dense
    imag: Dense

    def __init__(self, width: int, *, dtype=jnp.float32, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.norm = LayerNorm(width, dtype=dtype)
        self.real = Dense(width, width, std=SMALL, dtype=dtype, key=first)
        self.imag = Dense(width, width, std=SMALL, dtype=dtype, key=second)

    def __call__(self, pooled: Float[Array, " d"]) -> Complex[Array, ""]:
        z = self.norm(pooled)
        return jax.lax.complex(*sum_log_cosh(self.real(z), self.imag(z)))


class LayerNormHead(eqx.Module):
    """sum_a log cosh(z_a), z = LN(Dense_re y) + i LN(Dense_im y), y = LN(pooled): the authors' published layout."""

    norm: LayerNorm
    real: Dense
    imag: Dense
    norm_real: LayerNorm
    norm_imag: LayerNorm

    def __init__(self, width: int, *, dtype=jnp.float32, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.norm, self.norm_real, self.norm_imag = (LayerNorm(width, dtype=dtype) for _ in range(3))
        self.real = Dense(width, width, dtype=dtype, key=first)
        self.imag = Dense(width, width, dtype=dtype, key=second)

    def __call__(self, pooled: Float[Array, " d"]) -> Complex[Array, ""]:
        z = self.norm(pooled)
        return jax.lax.complex(*sum_log_cosh(self.norm_real(self.real(z)), self.norm_imag(self.imag(z))))


HEADS: Mapping[str, type] = MappingProxyType({"small-init": SmallInitHead, "layernorm": LayerNormHead})
"""The complex heads by name."""


class ViT(AbstractAnsatz):
    """A Transformer wave function: log psi(sigma) = head(sum_i y_i), y = blocks(embed(patches of sigma)).

    **Arguments** `lattice`: periodic. `patch`: b; a token is b x b sites (on a chain b sites; on a tilted cluster
    b = 1). `width` d, `heads` h, `depth`: number of blocks. `mlp_ratio` r: the MLP is d -> r d -> d.
    `attention`: "t5", "decoupled", "factored", "dot-product" or "linear" (see attention.mixers). `dynamics`:
    "residual", "nesterov" or "momentum" (see attention.blocks); `dynamics_options`: those of the block, by name.
    `constrained`: mixers that are the gradient of an energy (attention.make_energy_mixer), as "momentum" always has
    them (with the other dynamics: the control). Psi is then unchanged when the order of the tokens is reversed: a
    symmetry of the lattice only for patch = 1 (and harmless with two patches a side, where no order is left).
    `head`: "small-init" starts at a nearly constant psi; "layernorm" is the published layout with its parameter
    counts. `dtype`: float32 or float64, of all parameters.

    Exactly invariant under translations by a whole patch. There are no absolute positions: they would break it.

    **Raises** ValueError for an open lattice, a patch that does not tile it, heads that do not divide the width,
    unknown names, sizes below 1, "momentum" with an attention that has no energy, or float64 in JAX's 32-bit mode.

    Notation: p^mu_{i-j} of the paper is `blocks[l].mixer.positions.table[mu]`. rende2025queries, rende2024simple,
    viteritti2023transformer, stein2026sympformer, zimin2026yuriiformer
    """

    patches: Int[Array, "n b"]
    embed: Dense
    blocks: tuple[AbstractBlock, ...]
    head: SmallInitHead | LayerNormHead
    lattice: Lattice = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    n_sites: int = eqx.field(static=True)

    def __init__(
        self,
        lattice: Lattice,
        *,
        patch: int = 2,
        width: int = 32,
        heads: int = 4,
        depth: int = 2,
        mlp_ratio: int = 4,
        attention: str = "factored",
        dynamics: str = "residual",
        dynamics_options: Mapping[str, Any] | None = None,
        constrained: bool = False,
        head: str = "small-init",
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        check_dtype(dtype)
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}; got {head!r}.")
        if depth < 1:
            raise ValueError(f"depth must be a whole number >= 1, got {depth}.")
        patches, displacement = patch_tables(lattice, patch)
        embed_key, head_key, *block_keys = jax.random.split(key, 2 + depth)
        self.patches = jnp.asarray(patches, jnp.int32)
        self.embed = Dense(patches.shape[1], width, dtype=dtype, key=embed_key)
        make = make_energy_mixer if constrained or dynamics == "momentum" else make_mixer
        options = {} if dynamics_options is None else dynamics_options
        blocks = []
        for layer, block_key in enumerate(block_keys):
            mixer_key, mlp_key = jax.random.split(block_key)
            mixer = make(attention, width, heads, displacement, dtype=dtype, key=mixer_key)
            block = make_block(dynamics, mixer, width, mlp_ratio, layer=layer, dtype=dtype, key=mlp_key, **options)
            blocks.append(block)
        self.blocks = tuple(blocks)
        self.head = HEADS[head](width, dtype=dtype, key=head_key)
        self.lattice, self.patch, self.n_sites = lattice, patch, lattice.n_sites

    def tokens(self, sigma: Int8[Array, " N"]) -> Float[Array, "n d"]:
        """The embedded patches, before the first block."""
        spins = sigma.at[self.patches].get(mode="promise_in_bounds")
        return self.embed(spins.astype(self.embed.weight.dtype))

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        x = self.tokens(sigma)
        v = jnp.zeros_like(x)
        for block in self.blocks:
            x, v = block(x, v)
        return self.head(jnp.sum(x, axis=0))

    def invariances(self) -> Group | None:
        """The translations by a whole patch; None once mixing weights are frozen (constants need not respect them)."""
        if any(isinstance(block.mixer, Frozen) for block in self.blocks):
            return None
        return self.lattice.translations(step=self.patch)


def attention_maps(model: ViT, sigma: Int8[Array, " N"]) -> Float[Array, "depth h n n"]:
    """Mixing weights alpha^mu_ij of every block and head while the model reads sigma, tokens as receiver i, sender j.

    **Raises** ValueError if the model is not a ViT (pass the ViT inside a wrapper, e.g. `model.ansatz`).
    """
    _check_vit(model)
    x = model.tokens(sigma)
    v = jnp.zeros_like(x)
    maps = []
    for block in model.blocks:
        maps.append(block.weights(x, v))
        x, v = block(x, v)
    return jnp.stack(maps)


def freeze(model: ViT, maps: Float[Array, "depth h n n"]) -> ViT:
    """The model with its mixing weights replaced by constants: the maps of one configuration, or a mean over many.

    If attention has become independent of the input, this changes nothing. The constants are not parameters.
    **Raises** ValueError if the model is not a ViT, the maps do not fit it, or its blocks need an energy ("momentum").
    """
    _check_vit(model)
    if any(isinstance(block, HamiltonianMomentum) for block in model.blocks):
        raise ValueError(
            "momentum blocks need weights that are the gradient of an energy; constants are not. Freeze a "
            "model with dynamics='residual' or 'nesterov'."
        )
    n, heads = len(model.patches), model.blocks[0].mixer.heads
    if maps.shape != (len(model.blocks), heads, n, n):
        raise ValueError(f"maps must have shape {(len(model.blocks), heads, n, n)} for this model, got {maps.shape}.")
    mixers = [Frozen(block.mixer, weights) for block, weights in zip(model.blocks, maps, strict=True)]
    return eqx.tree_at(lambda m: [block.mixer for block in m.blocks], model, mixers)


def patch_tables(lattice: Lattice, patch: int) -> tuple[Int[np.ndarray, "n b"], Int[np.ndarray, "n n"]]:
    """Sites of every patch, and the table that numbers the displacement from patch j to patch i on the torus.

    A rectangle is cut in b x b squares, a chain in runs of b sites, a tilted cluster only in single sites.
    """
    if not lattice.is_periodic or not any(lattice.periodic):
        raise ValueError(f"relative positions need a periodic lattice, got open {lattice.name}. Use periodic=True.")
    coordinates = np.asarray(lattice.coordinates)
    if lattice.shape is None or patch == 1:
        if patch != 1:
            raise ValueError(f"a tilted cluster takes patch=1, got patch={patch} on {lattice.name}.")
        shift = coordinates[:, None] - coordinates[None]
        table = [[lattice.site(int(x), int(y)) for x, y in row] for row in shift]
        return np.arange(lattice.n_sites)[:, None], np.asarray(table)
    cut = tuple(patch if active else 1 for active in lattice.active)
    if patch < 1 or lattice.shape[0] % cut[0] or lattice.shape[1] % cut[1]:
        raise ValueError(f"patch={patch} does not tile {lattice.name}: it must divide {lattice.shape}.")
    grid = (lattice.shape[0] // cut[0], lattice.shape[1] // cut[1])
    cells = coordinates // np.asarray(cut)
    order = np.lexsort((np.arange(lattice.n_sites), cells[:, 0] + grid[0] * cells[:, 1]))
    patches = order.reshape(grid[0] * grid[1], cut[0] * cut[1])
    x, y = np.arange(len(patches)) % grid[0], np.arange(len(patches)) // grid[0]
    table = (x[:, None] - x[None]) % grid[0] + grid[0] * ((y[:, None] - y[None]) % grid[1])
    return patches, table


def _check_vit(model) -> None:
    """Refuse anything but a bare ViT."""
    if not isinstance(model, ViT):
        raise ValueError(f"attention maps belong to a ViT, got {type(model).__name__}. Pass the ViT inside a wrapper.")
