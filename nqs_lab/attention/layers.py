"""The parts that every block shares: LayerNorm, the MLP, the abstract block, and the residual block."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.attention.mixers import AbstractMixer, Dense

Pair = tuple[Float[Array, "n d"], Float[Array, "n d"]]


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
    - `norm`, `mlp`: False leaves out both LayerNorms, or the MLP with its own. With neither, and a mixer that is the
      gradient of an energy, it is one Euler step of `flows.GradientFlow`.
    """

    mixer: AbstractMixer
    mlp: MLP | None
    norm_mix: LayerNorm | None
    norm_mlp: LayerNorm | None

    def __init__(
        self,
        mixer: AbstractMixer,
        width: int,
        mlp_ratio: int,
        *,
        norm: bool = True,
        mlp: bool = True,
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        self.mixer = mixer
        self.mlp, self.norm_mix, self.norm_mlp = make_layers(width, mlp_ratio, norm, mlp, dtype=dtype, key=key)

    def __call__(
        self, x: Float[Array, "n d"], v: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        x = x + self.mixer(normed(self.norm_mix, x))
        return mlp_step(self.mlp, self.norm_mlp, x), v

    def weights(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """alpha(LN x)."""
        return self.mixer.weights(normed(self.norm_mix, x))


def make_layers(
    width: int, mlp_ratio: int, norm: bool, mlp: bool, *, dtype, key: PRNGKeyArray
) -> tuple[MLP | None, LayerNorm | None, LayerNorm | None]:
    """The MLP and the LayerNorms before mixing and before the MLP, or None for what is left out."""
    return (
        MLP(width, mlp_ratio, dtype=dtype, key=key) if mlp else None,
        LayerNorm(width, dtype=dtype) if norm else None,
        LayerNorm(width, dtype=dtype) if norm and mlp else None,
    )


def normed(norm: LayerNorm | None, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """LN x, or x where there is no LayerNorm."""
    return x if norm is None else norm(x)


def mlp_step(mlp: MLP | None, norm: LayerNorm | None, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """x + MLP(LN x), or x where there is no MLP."""
    return x if mlp is None else x + mlp(normed(norm, x))
