"""How a mix moves tokens: encoder blocks that carry the pair (x, v) of token positions and velocities."""

import abc
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.attention.mixers import AbstractMixer, Dense


class LayerNorm(eqx.Module):
    """y = scale * (x - mean x) / sqrt(var x + 1e-6) + bias over the last axis."""

    scale: Float[Array, " d"]
    bias: Float[Array, " d"]

    def __init__(self, width: int, *, dtype=jnp.float32):
        self.scale, self.bias = jnp.ones(width, dtype), jnp.zeros(width, dtype)

    def __call__(self, x: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d"]:
        # Two passes (mean, then mean square of the rest): one pass would subtract large squares from each other.
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        unit = centred * jax.lax.rsqrt(variance + jnp.asarray(1e-6, x.dtype))
        return unit * jnp.broadcast_to(self.scale, x.shape) + jnp.broadcast_to(self.bias, x.shape)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """GELU in its tanh form, x (1 + tanh(c x (1 + 0.044715 x^2))) / 2 with c = sqrt(2 / pi)."""
    c = math.sqrt(2 / math.pi)
    half = x / 2
    return half + half * jnp.tanh(x * (c + 0.044715 * c * (x * x)))


class MLP(eqx.Module):
    """The same two-layer map for every token: x -> GELU(x W1 + b1) W2 + b2, GELU in its tanh form."""

    expand: Dense
    contract: Dense

    def __init__(self, width: int, ratio: int, *, dtype=jnp.float32, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.expand = Dense(width, ratio * width, dtype=dtype, key=first)
        self.contract = Dense(ratio * width, width, dtype=dtype, key=second)

    def __call__(self, x: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d"]:
        return self.contract(gelu(self.expand(x)))


class AbstractBlock(eqx.Module):
    """One encoder block, (x, v) -> (x, v): n tokens x and their velocities v, both (n, d).

    A block of the first order ignores v; blocks with momentum move it. A network starts from v = 0.
    """

    mixer: eqx.AbstractVar[AbstractMixer]

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "n d"], v: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Tokens and velocities after the block."""

    @abc.abstractmethod
    def weights(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """The attention weights this block uses at (x, v)."""


class Residual(AbstractBlock):
    """The pre-LayerNorm encoder block: x <- x + A(LN x), then x <- x + MLP(LN x); v passes through unchanged.

    One explicit Euler step of size 1 for the mixing and one for the MLP.
    """

    mixer: AbstractMixer
    mlp: MLP
    norm_mix: LayerNorm
    norm_mlp: LayerNorm

    def __init__(self, mixer: AbstractMixer, width: int, mlp_ratio: int, *, dtype=jnp.float32, key: PRNGKeyArray):
        self.mixer = mixer
        self.mlp = MLP(width, mlp_ratio, dtype=dtype, key=key)
        self.norm_mix, self.norm_mlp = LayerNorm(width, dtype=dtype), LayerNorm(width, dtype=dtype)

    def __call__(
        self, x: Float[Array, "n d"], v: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        x = x + self.mixer(self.norm_mix(x))
        return x + self.mlp(self.norm_mlp(x)), v

    def weights(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """alpha(LN x)."""
        return self.mixer.weights(self.norm_mix(x))


BLOCKS: Mapping[str, Callable[..., AbstractBlock]] = MappingProxyType({"residual": Residual})
"""The blocks by the name of their dynamics, each called with (mixer, width, mlp_ratio, *, dtype, key)."""


def make_block(
    dynamics: str, mixer: AbstractMixer, width: int, mlp_ratio: int, *, dtype=jnp.float32, key: PRNGKeyArray
) -> AbstractBlock:
    """The block called `dynamics` around a mixer. **Raises** ValueError for an unknown name or a ratio below 1."""
    if dynamics not in BLOCKS:
        raise ValueError(f"dynamics must be one of {', '.join(BLOCKS)}; got {dynamics!r}.")
    if mlp_ratio < 1:
        raise ValueError(f"mlp_ratio must be a whole number >= 1, got {mlp_ratio}.")
    return BLOCKS[dynamics](mixer, width, mlp_ratio, dtype=dtype, key=key)
