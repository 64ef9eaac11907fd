"""Softmax, factored and linear attention that are the gradient of an energy, for blocks with inertia and for any other.

Written for one head: x and y are its (n, r) coordinates, A, B and V are (r, r), P_ij is a symmetric position table.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nqs_lab.attention.gradient import EnergyMixer, Heads, PositiveMaps, SymmetricMaps, split
from nqs_lab.attention.mixers import Mask, Positions, Table
from nqs_lab.attention.prefix import causal_mask, is_causal, prefix_counts, softmax_prefix_force


class EnergySoftmax(EnergyMixer):
    """Softmax attention in its own metric: alpha_ij = softmax_j(x_i . A x_j + P_ij), V = B A.

    With M_ij = exp(x_i . A x_j + P_ij), z_i = (1/n) sum_j M_ij and s_i = y_i . B y_i / z_i^2:
    H = (1/2) sum_i (y_i . B y_i / z_i - z_i), F_i = B y_i / z_i, G_i = (1/2n) sum_j M_ij (s_i + s_j + 2) A x_j.
    - `a`: A. `b`: B, positive definite. `positions`: P ("t5"), or None ("dot-product").
    stein2026sympformer
    """

    a: SymmetricMaps
    b: PositiveMaps
    positions: Positions | None
    heads: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def values(self) -> Float[Array, "h r r"]:
        """V^T = A B."""
        return self.a() @ self.b()

    def logits(self, x: Heads) -> Float[Array, "h n n"]:
        """x_i . A x_j + P_ij, symmetric in i and j."""
        content = x @ self.a() @ x.transpose(0, 2, 1)
        return content if self.positions is None else content + self.positions()

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """softmax_j of the logits."""
        logits = self.logits(split(x, self.heads))
        if self.causal:
            seen = jnp.broadcast_to(jnp.asarray(causal_mask(len(x))), logits.shape)
            logits = jnp.where(seen, logits, jnp.asarray(-jnp.inf, logits.dtype))
        return jax.nn.softmax(logits, axis=-1)

    def energy(self, x: Heads, y: Heads, seen: Float[Array, "n n"]) -> Float[Array, ""]:
        """(1/2) sum_i (y_i . B y_i / z_i - z_i) with z_i the mean of M_ij over what i sees."""
        member = jnp.diag(seen)[None]
        count = jnp.maximum(jnp.sum(seen, axis=1), 1)[None]
        z = jnp.sum(jnp.exp(self.logits(x)) * seen[None], axis=2) / count
        square = jnp.sum(y * (y @ self.b()), axis=2)
        # tokens outside may see nobody: no division by their z = 0
        return jnp.sum(member * (square / jnp.where(member > 0, z, jnp.ones_like(z)) - z)) / 2

    def drift(self, x: Heads, y: Heads) -> Heads:
        """B y_i / z_i."""
        m = jnp.exp(self.logits(x))
        if self.causal:
            m = m * jnp.asarray(causal_mask(m.shape[-1]), m.dtype)[None]
        z = jnp.sum(m, axis=2, keepdims=True) / self._counts(x)
        return y @ self.b() / z

    def kick(self, x: Heads, y: Heads) -> Heads:
        """(1/2n) sum_j M_ij (s_i + s_j + 2) A x_j; causal: of the prefix of i."""
        m = jnp.exp(self.logits(x))
        if self.causal:
            return softmax_prefix_force(m, x, y, self.b()) @ self.a()
        pull = y / jnp.mean(m, axis=2, keepdims=True)
        s = jnp.sum(pull * (pull @ self.b()), axis=2, keepdims=True) + 1
        return (s * (m @ x) + m @ (s * x)) @ self.a() / (2 * x.shape[1])

    def _counts(self, x: Heads) -> Float[Array, "1 n 1"]:
        """How many tokens each token sees."""
        return prefix_counts(x) if self.causal else jnp.full((1, x.shape[1], 1), x.shape[1], x.dtype)


class EnergyFactored(EnergyMixer):
    """Positions alone: alpha_ij = P_ij, V = B A. A quadratic energy in a flat metric, so that H is separable.

    H = (1/2) sum_i y_i . B y_i - (1/2) sum_ij P_ij x_i . A x_j, F_i = B y_i, G_i = sum_j P_ij A x_j.
    - `a`: A. `b`: B, positive definite. `positions`: P. rende2025queries
    """

    a: SymmetricMaps
    b: PositiveMaps
    positions: Positions
    heads: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def values(self) -> Float[Array, "h r r"]:
        """V^T = A B."""
        return self.a() @ self.b()

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """The position table; x is not looked at."""
        table = self.positions()
        return table * jnp.asarray(causal_mask(len(x)), table.dtype)[None] if self.causal else table

    def energy(self, x: Heads, y: Heads, seen: Float[Array, "n n"]) -> Float[Array, ""]:
        """(1/2) sum_i y_i . B y_i - (1/2) sum_ij P_ij x_i . A x_j over what is seen."""
        kinetic = jnp.sum(jnp.diag(seen)[None] * jnp.sum(y * (y @ self.b()), axis=2))
        return (kinetic - jnp.sum(x * ((self.positions() * seen[None]) @ x @ self.a()))) / 2

    def drift(self, x: Heads, y: Heads) -> Heads:
        """B y_i."""
        return y @ self.b()

    def kick(self, x: Heads, y: Heads) -> Heads:
        """sum_j P_ij A x_j; causal: over j <= i."""
        return self.weights(x[0]) @ x @ self.a()


class EnergyLinear(EnergyMixer):
    """Linear attention in the Stein metric: alpha_ij = x_i . A x_j / n, a mean over tokens, V symmetric.

    H = (1/2n) sum_ij (x_i . A x_j)(y_i . y_j) - (1/2) sum_i x_i . V x_i,
    F_i = (1/n) sum_j (x_i . A x_j) y_j, G_i = V x_i - (1/n) sum_j (y_i . y_j) A x_j. Causal: n is i + 1, and j <= i.
    - `a`: A. `v`: V. stein2026sympformer, liu2018moment
    """

    a: SymmetricMaps
    v: SymmetricMaps
    heads: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def values(self) -> Float[Array, "h r r"]:
        """V."""
        return self.v()

    def weights(self, x: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """x_i . A x_j / n."""
        x = split(x, self.heads)
        return self._mean(x @ self.a(), x)

    def energy(self, x: Heads, y: Heads, seen: Float[Array, "n n"]) -> Float[Array, ""]:
        """(1/2) sum_i (mean_j (x_i . A x_j)(y_i . y_j) - x_i . V x_i) over what is seen."""
        member = jnp.diag(seen)[None]
        count = jnp.maximum(jnp.sum(seen, axis=1), 1)[None]
        pairs = (x @ self.a() @ x.transpose(0, 2, 1)) * (y @ y.transpose(0, 2, 1)) * seen[None]
        return jnp.sum(member * (jnp.sum(pairs, axis=2) / count - jnp.sum(x * (x @ self.v()), axis=2))) / 2

    def drift(self, x: Heads, y: Heads) -> Heads:
        """(1/n) sum_j (x_i . A x_j) y_j."""
        return self._mean(x @ self.a(), x) @ y

    def kick(self, x: Heads, y: Heads) -> Heads:
        """V x_i - (1/n) sum_j (y_i . y_j) A x_j."""
        return x @ self.v() - self._mean(y, y) @ x @ self.a()

    def _mean(self, left: Heads, right: Heads) -> Float[Array, "h n n"]:
        """left_i . right_j over the number of tokens that i sees, 0 for those it does not see."""
        products = left @ right.transpose(0, 2, 1)
        if not self.causal:
            return products / products.shape[-1]
        return products * jnp.asarray(causal_mask(products.shape[-1]), products.dtype)[None] / prefix_counts(left)


ENERGY_MIXERS = ("t5", "factored", "dot-product", "linear")
"""The attentions that have an energy."""

NOT_A_GRADIENT = (
    "'decoupled' attention is not the gradient of an energy: its softmax part is one in the metric B / z_i, its "
    "positions one in the flat metric B, and their sum in neither. Take 't5', 'factored', 'dot-product' or 'linear'."
)


def make_energy_mixer(
    name: str,
    width: int,
    heads: int,
    displacement: Table,
    *,
    mask: Mask | None = None,
    dtype=jnp.float32,
    key: PRNGKeyArray,
) -> EnergyMixer:
    """A new mixer of the kind `name` that is the gradient of an energy, to be called as `make_mixer` is.

    Symmetric A, V = B A with positive definite B ("linear": V symmetric), heads on disjoint subspaces, no biases, and
    one entry of the position table for a displacement and its reverse. `mask`: None, or the causal one.
    A network of such mixers cannot tell an order of its tokens from the reversed one. Where a token is more than one
    site that is no symmetry of the lattice, and costs energy: single-site patches have no such price.

    **Raises** ValueError for an attention that has no energy, another mask, heads that do not divide the width.
    """
    if name == "decoupled":
        raise ValueError(NOT_A_GRADIENT)
    if name not in ENERGY_MIXERS:
        raise ValueError(f"attention must be one of {', '.join(ENERGY_MIXERS)} to have an energy; got {name!r}.")
    if heads < 1 or width < 1 or width % heads:
        raise ValueError(
            f"heads must divide width, got width={width}, heads={heads}. Take a multiple of heads as width."
        )
    rank, causal = width // heads, is_causal(mask, len(displacement))
    a_key, v_key, position_key = jax.random.split(key, 3)
    # Entries of A of deviation 1/r give logits of order one; B = sqrt(r) then gives V x the size of x.
    parts: dict[str, Any] = {"a": SymmetricMaps(_random(heads, rank, 1 / rank, dtype, a_key), rank)}
    parts |= {"heads": heads, "causal": causal}
    if name == "linear":
        return EnergyLinear(v=SymmetricMaps(_random(heads, rank, rank**-0.5, dtype, v_key), rank), **parts)
    diagonal = np.eye(rank)[np.tril_indices(rank)] * rank**0.25
    parts["b"] = PositiveMaps(jnp.tile(jnp.asarray(diagonal, dtype)[None], (heads, 1)), rank)
    if name == "dot-product":
        return EnergySoftmax(positions=None, **parts)
    std = 1.0 if name == "t5" else None
    positions = Positions(heads, mirrored(displacement, causal), std=std, dtype=dtype, key=position_key)
    return (EnergySoftmax if name == "t5" else EnergyFactored)(positions=positions, **parts)


def mirrored(displacement: Table, causal: bool) -> Int[np.ndarray, "n n"]:
    """A displacement table that is symmetric: a displacement and its reverse share one number, counted from 0.

    With `causal` only i >= j is ever asked for as a weight, so that the lower triangle keeps its numbers, mirrored.
    """
    table = np.asarray(displacement)
    there, back = (np.where(np.tri(len(table), dtype=bool), table, table.T),) * 2 if causal else (table, table.T)
    pairs = np.stack([np.minimum(there, back), np.maximum(there, back)], axis=-1).reshape(-1, 2)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(table.shape)


def _random(heads: int, rank: int, std: float, dtype, key: PRNGKeyArray) -> Float[Array, "h t"]:
    """Packed symmetric matrices with normal entries."""
    return jnp.asarray(std, dtype) * jax.random.normal(key, (heads, rank * (rank + 1) // 2), dtype)
