"""How tokens mix: attention weights from contents and positions, and the mixing itself, kept apart."""

import abc
import math
from collections.abc import Mapping
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from nqs_lab.attention.drawing import normal, uniform

Table = Int[Array, "n n"] | Int[np.ndarray, "n n"]
Mask = Bool[Array, "_ _"] | Bool[np.ndarray, "_ _"]


class Dense(eqx.Module):
    """An affine map of the last axis, y = x W + b. W is Xavier-uniform, or normal with deviation `std`; b = 0."""

    weight: Float[Array, "d_in d_out"]
    bias: Float[Array, " d_out"]

    def __init__(self, d_in: int, d_out: int, *, std: float | None = None, dtype=jnp.float32, key: PRNGKeyArray):
        if std is None:
            limit = math.sqrt(6 / (d_in + d_out))
            self.weight = uniform(key, (d_in, d_out), dtype, limit)
        else:
            self.weight = normal(key, (d_in, d_out), dtype, std)
        self.bias = jnp.zeros(d_out, dtype)

    def __call__(self, x: Float[Array, "*tokens d_in"]) -> Float[Array, "*tokens d_out"]:
        y = x @ self.weight
        return y + jnp.broadcast_to(self.bias, y.shape)


class AbstractMixer(eqx.Module):
    """Multi-head mixing of n tokens of width d: A_i = concat_mu( sum_j alpha^mu_ij V^mu x_j ) W.

    `weights(x)` gives alpha, shape (h, n, n), row i the receiver; `mix(weights, x)` applies given weights. Kept
    apart so that weights can be looked at, averaged and frozen. `mixer(x)` is `mix(weights(x), x)`.
    rende2025queries
    """

    value: eqx.AbstractVar[Dense]
    output: eqx.AbstractVar[Dense]
    heads: eqx.AbstractVar[int]

    @abc.abstractmethod
    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """Attention weights alpha^mu_ij of every head."""

    def mix(self, weights: Float[Array, "h n n"], x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Values of the tokens, mixed head by head with the given weights, through the output map."""
        n, d = x.shape
        # Heads first, then tokens: XLA takes half the time of einsum("hij,jhr->ihr") on a CPU.
        values = self.value(x).reshape(n, self.heads, d // self.heads).transpose(1, 0, 2)
        return self.output(jnp.einsum("hij,hjr->hir", weights, values).transpose(1, 0, 2).reshape(n, d))

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.mix(self.weights(x), x)


class Content(eqx.Module):
    """Queries and keys: logits^mu_ij = (Q^mu x_i) . (K^mu x_j) / sqrt(r), with r = d / h."""

    queries: Dense
    keys: Dense
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, dtype=jnp.float32, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.queries = Dense(width, width, dtype=dtype, key=first)
        self.keys = Dense(width, width, dtype=dtype, key=second)
        self.heads = heads

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        n, d = x.shape
        r = d // self.heads
        q = self.queries(x).reshape(n, self.heads, r) * jnp.asarray(1 / math.sqrt(r), x.dtype)
        k = self.keys(x).reshape(n, self.heads, r)
        return jnp.einsum("ihr,jhr->hij", q, k)


class Positions(eqx.Module):
    """Relative positions: p^mu_{i-j} = table[mu, displacement[i, j]], one learned row per head.

    `displacement` (n, n) numbers the displacement from j to i: on a torus modulo its periods, in a text i - j. Rows
    start normal with deviation `std`, 1/sqrt(n) if not given, so that a sum over n tokens keeps its size; inside a
    softmax 1, since 1/sqrt(n) leaves its weights nearly uniform: T5 would start blind to positions.
    """

    table: Float[Array, "h m"]
    displacement: Int[Array, "n n"]

    def __init__(self, heads: int, displacement: Table, *, std=None, dtype=jnp.float32, key: PRNGKeyArray):
        displacement = np.asarray(displacement)
        if displacement.size == 0 or displacement.min() < 0:
            raise ValueError(
                f"displacement must be an (n, n) table of row numbers >= 0, got shape {displacement.shape} with "
                f"smallest entry {displacement.min(initial=0)}. Number the displacements from 0."
            )
        std = 1 / math.sqrt(len(displacement)) if std is None else std
        self.table = normal(key, (heads, int(displacement.max()) + 1), dtype, std)
        self.displacement = jnp.asarray(displacement, jnp.int32)

    def __call__(self) -> Float[Array, "h n n"]:
        return self.table.at[:, self.displacement].get(mode="promise_in_bounds")


class T5(AbstractMixer):
    """Attention with a learned relative bias inside the softmax: alpha_ij = softmax_j(q_i.k_j / sqrt(r) + p_{i-j}).

    The paper's "T5"; its standard attention together with "decoupled". With Q = K = 0 the weights are the softmax
    of the position table: positive, each row summing to one. (The T5 language model leaves out 1/sqrt(r).)
    rende2025queries
    """

    value: Dense
    output: Dense
    content: Content
    positions: Positions
    mask: Bool[Array, "n n"] | None
    heads: int = eqx.field(static=True)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """softmax_j(content + position)."""
        return _softmax(self.content(x) + self.positions(), self.mask)


class Decoupled(AbstractMixer):
    """Softmax of the content, positions added outside it: alpha_ij = softmax_j(q_i.k_j / sqrt(r)) + p_{i-j}.

    The paper's "decoupled". Its exact formula could not be read when this was written; this is one of the possible
    readings (the other leaves out the softmax). With Q = K = 0 it equals `Factored` with its table shifted by 1/n.
    rende2025queries
    """

    value: Dense
    output: Dense
    content: Content
    positions: Positions
    mask: Bool[Array, "n n"] | None
    heads: int = eqx.field(static=True)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """softmax_j(content) + position."""
        return _softmax(self.content(x), self.mask) + _masked(self.positions(), self.mask)


class Factored(AbstractMixer):
    """Positions alone: alpha_ij = p_{i-j}, real, of either sign, no softmax; no queries and no keys.

    A_i = sum_j p_{i-j} V x_j (the paper's factored attention). The weights do not depend on x at all.
    rende2025queries, rende2024simple
    """

    value: Dense
    output: Dense
    positions: Positions
    mask: Bool[Array, "n n"] | None
    heads: int = eqx.field(static=True)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """The position table; x is not looked at."""
        return _masked(self.positions(), self.mask)


class DotProduct(AbstractMixer):
    """Content alone: alpha_ij = softmax_j(q_i.k_j / sqrt(r)). A control: it cannot tell one position from another.

    Equivariant under *every* permutation of the tokens, so a network built of it is too.
    """

    value: Dense
    output: Dense
    content: Content
    mask: Bool[Array, "n n"] | None
    heads: int = eqx.field(static=True)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """softmax_j(content)."""
        return _softmax(self.content(x), self.mask)


class Linear(AbstractMixer):
    """Content alone, no softmax: alpha_ij = q_i.k_j / (sqrt(r) n). A control like `DotProduct`.

    Divided by n (with a mask: by the number of tokens that i sees), so that the mix is a *mean* over tokens. It keeps
    its size when n grows and has the 1/n of a softmax with equal logits; without it the sum would grow with n.
    """

    value: Dense
    output: Dense
    content: Content
    mask: Bool[Array, "n n"] | None
    heads: int = eqx.field(static=True)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """content / n."""
        content = self.content(x)
        if self.mask is None:
            return content * jnp.asarray(1 / len(x), x.dtype)
        seen = jnp.sum(self.mask, axis=1, dtype=x.dtype)[None, :, None]
        return _masked(content, self.mask) / jnp.broadcast_to(seen, content.shape)


class Frozen(AbstractMixer):
    """Constant weights in place of computed ones, with the values and the output map of a trained mixer.

    The weights are kept as their bit pattern: an integer array is no parameter, so no optimiser moves or counts it.
    """

    value: Dense
    output: Dense
    bits: Int[Array, "h n n"]
    heads: int = eqx.field(static=True)

    def __init__(self, mixer: AbstractMixer, weights: Float[Array, "h n n"]):
        if len(weights) != mixer.heads:
            raise ValueError(f"weights must have one (n, n) map for each of {mixer.heads} heads, got {weights.shape}.")
        self.value, self.output, self.heads = mixer.value, mixer.output, mixer.heads
        weights = weights.astype(mixer.value.weight.dtype)
        self.bits = jax.lax.bitcast_convert_type(weights, jnp.int32 if weights.dtype == jnp.float32 else jnp.int64)

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """The stored weights; x is not looked at."""
        stored = jnp.float32 if self.bits.dtype == jnp.int32 else jnp.float64
        return jax.lax.bitcast_convert_type(self.bits, stored).astype(x.dtype)


MIXERS: Mapping[str, type[AbstractMixer]] = MappingProxyType(
    {"t5": T5, "decoupled": Decoupled, "factored": Factored, "dot-product": DotProduct, "linear": Linear}
)
"""The mixers by name."""


def make_mixer(
    name: str,
    width: int,
    heads: int,
    displacement: Table,
    *,
    mask: Mask | None = None,
    dtype=jnp.float32,
    key: PRNGKeyArray,
) -> AbstractMixer:
    """A new mixer of the kind `name` for n tokens of the given width.

    `displacement` (n, n) numbers the displacement from token j to token i, from 0; `mask` (n, n) is True where token i
    may see token j. The controls "dot-product" and "linear" have no positions and do not use `displacement`. Mixers
    made from one key share V and W, and where they have them Q, K and (T5's scaled by sqrt(n)) the position table.

    **Raises** ValueError for an unknown name, heads that do not divide the width, a mask with an empty row.
    """
    if name not in MIXERS:
        raise ValueError(f"attention must be one of {', '.join(MIXERS)}; got {name!r}.")
    if heads < 1 or width < 1 or width % heads:
        raise ValueError(
            f"heads must divide width, got width={width}, heads={heads}. Take a multiple of heads as width."
        )
    kind = MIXERS[name]
    value_key, output_key, content_key, position_key = jax.random.split(key, 4)
    parts = {
        "value": Dense(width, width, dtype=dtype, key=value_key),
        "output": Dense(width, width, dtype=dtype, key=output_key),
        "mask": _check_mask(mask, len(displacement)),
        "heads": heads,
    }
    if kind is not Factored:
        parts["content"] = Content(width, heads, dtype=dtype, key=content_key)
    if kind in (T5, Decoupled, Factored):
        std = 1.0 if kind is T5 else None
        parts["positions"] = Positions(heads, displacement, std=std, dtype=dtype, key=position_key)
    return kind(**parts)


def _check_mask(mask: Mask | None, n: int) -> Bool[Array, "n n"] | None:
    """The mask as an array; a row without a single True would make a softmax over nothing."""
    if mask is None:
        return None
    if mask.shape != (n, n):
        raise ValueError(f"mask must have the shape {(n, n)} of the displacement table, got {mask.shape}.")
    if not np.all(np.any(np.asarray(mask), axis=1)):
        raise ValueError("mask must let every token see at least one token, got an all-False row. Allow the diagonal.")
    return jnp.asarray(mask)


def _masked(weights: Float[Array, "h n n"], mask: Bool[Array, "n n"] | None) -> Float[Array, "h n n"]:
    """Weights with zeros where the mask forbids."""
    if mask is None:
        return weights
    return jnp.where(jnp.broadcast_to(mask, weights.shape), weights, jnp.zeros((), weights.dtype))


def _softmax(logits: Float[Array, "h n n"], mask: Bool[Array, "n n"] | None) -> Float[Array, "h n n"]:
    """Softmax over the senders j that the mask allows."""
    if mask is not None:
        logits = jnp.where(jnp.broadcast_to(mask, logits.shape), logits, jnp.asarray(-jnp.inf, logits.dtype))
    return jax.nn.softmax(logits, axis=-1)
