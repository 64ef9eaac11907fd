"""Nesterov blocks: the oracles of a residual block, with a velocity and a look ahead."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.attention.layers import MLP, AbstractBlock, LayerNorm, make_layers, normed
from nqs_lab.attention.mixers import AbstractMixer
from nqs_lab.attention.scalars import Positive, Share


class Nesterov(AbstractBlock):
    """YuriiFormer's block: Nesterov's accelerated step, first for the mixing, then for the MLP (Lie-Trotter).

    v <- LN_v(beta v + gamma A(LN(x + mu v))), x <- x + v; then the same with the MLP and with numbers of its own.
    Each oracle is called once, as in the residual block; one velocity serves both. mu = beta = 0 and gamma = 1 without
    LN_v moves x as the residual block does; mu = 0 is Polyak's heavy ball.
    - `mixer`: any. `mu`: how far it looks ahead, `beta`: what is left of v, both in [0, 1]; `gamma`: the step, >= 0.
    - `learned`: whether these, one set for each step, are learned (logistic mu and beta, softplus gamma).
    - `norm_velocity`: LN_v, a LayerNorm shared by both steps: each velocity then has about sqrt(d) times its scale.
    - `norm`, `mlp`: False leaves out both LayerNorms of x, or the MLP step.
    Raises ValueError for numbers out of range. zimin2026yuriiformer, polyak1964
    """

    mixer: AbstractMixer
    mlp: MLP | None
    norm_mix: LayerNorm | None
    norm_mlp: LayerNorm | None
    norm_velocity: LayerNorm | None
    ahead: tuple[Share, ...]
    kept: tuple[Share, ...]
    step: tuple[Positive, ...]

    def __init__(
        self,
        mixer: AbstractMixer,
        width: int,
        mlp_ratio: int,
        *,
        mu: float | int = 0.9,
        beta: float | int = 0.9,
        gamma: float | int = 1.0,
        learned: bool = True,
        norm_velocity: bool = True,
        norm: bool = True,
        mlp: bool = True,
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        self.mixer = mixer
        self.mlp, self.norm_mix, self.norm_mlp = make_layers(width, mlp_ratio, norm, mlp, dtype=dtype, key=key)
        self.norm_velocity = LayerNorm(width, dtype=dtype) if norm_velocity else None
        parts = range(2 if mlp else 1)
        self.ahead = tuple(Share("mu", mu, learned=learned, dtype=dtype) for _ in parts)
        self.kept = tuple(Share("beta", beta, learned=learned, dtype=dtype) for _ in parts)
        self.step = tuple(Positive("gamma", gamma, learned=learned, dtype=dtype) for _ in parts)

    def __call__(
        self, x: Float[Array, "n d"], v: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        x, v = self._move(0, x, v, self.mixer(normed(self.norm_mix, self._ahead(0, x, v))))
        if self.mlp is None:
            return x, v
        return self._move(1, x, v, self.mlp(normed(self.norm_mlp, self._ahead(1, x, v))))

    def weights(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """alpha(LN(x + mu v))."""
        return self.mixer.weights(normed(self.norm_mix, self._ahead(0, x, v)))

    def _ahead(self, which: int, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """x + mu v."""
        return x + self.ahead[which](x.dtype) * v

    def _move(
        self, which: int, x: Float[Array, "n d"], v: Float[Array, "n d"], push: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """v <- LN_v(beta v + gamma push), x <- x + v."""
        v = normed(self.norm_velocity, self.kept[which](x.dtype) * v + self.step[which](x.dtype) * push)
        return x + v, v
