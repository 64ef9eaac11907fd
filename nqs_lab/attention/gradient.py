"""What a mixer must be to be the gradient of an energy, which a block with inertia needs.

Head mu sees the coordinates mu r, ..., mu r + r - 1 of the tokens and nothing else (r = d / h), so that H is a sum over
heads. Below x and y stand for the (n, r) part of one head; `A`, `B`, `V` are (r, r), and P_ij is a symmetric table.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nqs_lab.attention.mixers import AbstractMixer, Dense
from nqs_lab.attention.prefix import causal_mask

Heads = Float[Array, "h n r"]


def triangle(r: int) -> tuple[Int[np.ndarray, "r r"], Bool[np.ndarray, "r r"]]:
    """Where entry (a, b) of a symmetric matrix stands among its r (r + 1) / 2 numbers, and which are a >= b."""
    row, column = np.indices((r, r))
    high, low = np.maximum(row, column), np.minimum(row, column)
    return high * (high + 1) // 2 + low, row >= column


class SymmetricMaps(eqx.Module):
    """One symmetric matrix (r, r) for each head, kept as r (r + 1) / 2 numbers: no parameter twice."""

    packed: Float[Array, "h t"]
    rank: int = eqx.field(static=True)

    def __call__(self) -> Float[Array, "h r r"]:
        return self.packed[:, triangle(self.rank)[0]]


class PositiveMaps(eqx.Module):
    """One matrix B = L L^T for each head, L lower triangular: symmetric, and positive definite while no L_aa is 0."""

    packed: Float[Array, "h t"]
    rank: int = eqx.field(static=True)

    def __call__(self) -> Float[Array, "h r r"]:
        index, lower = triangle(self.rank)
        root = self.packed[:, index] * jnp.asarray(lower, self.packed.dtype)[None]
        return root @ root.transpose(0, 2, 1)


class EnergyMixer(AbstractMixer):
    """A mixer whose mix is -m(x) dU/dx for an energy U and a metric m: attention as descent.

    It is used like any mixer, and it knows its Hamiltonian H(x, y) = K(x, y) + U(x) with the velocity dH/dy and the
    force -dH/dx, by hand and (`derived`) by autodiff of H. From rest, the velocity of the force is the mix.
    With `causal`, token i feels the Hamiltonian of its prefix 0..i alone: F_i = dH_i/dy_i, G_i = -dH_i/dx_i with H_i
    the H of tokens 0..i. The last token's is the force of the whole sequence, and no token sees its future.
    stein2026sympformer
    """

    heads: eqx.AbstractVar[int]
    causal: eqx.AbstractVar[bool]

    @property
    def value(self) -> Dense:
        """V as one (d, d) map, zero between heads: for a frozen copy of the mixer."""
        return _dense(jax.scipy.linalg.block_diag(*self.values()))

    @property
    def output(self) -> Dense:
        """The identity: no map mixes the heads."""
        maps = self.values()
        return _dense(jnp.eye(maps.shape[0] * maps.shape[1], dtype=maps.dtype))

    @abc.abstractmethod
    def values(self) -> Float[Array, "h r r"]:
        """V^T of every head: rows of x are multiplied by it from the right."""

    @abc.abstractmethod
    def energy(self, x: Heads, y: Heads, seen: Float[Array, "n n"]) -> Float[Array, ""]:
        """H of the tokens i with seen_ii = 1, each token i summing over the tokens j with seen_ij = 1 alone."""

    @abc.abstractmethod
    def drift(self, x: Heads, y: Heads) -> Heads:
        """dH/dy by hand."""

    @abc.abstractmethod
    def kick(self, x: Heads, y: Heads) -> Heads:
        """-dH/dx by hand."""

    def mix(self, weights: Float[Array, "h n n"], x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """sum_j alpha^mu_ij V^mu x_j, head beside head."""
        return join(weights @ (split(x, self.heads) @ self.values()))

    def hamiltonian(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, ""]:
        """H(x, y) of all tokens together, whether causal or not."""
        return self._energy(x, y, jnp.ones((len(x), len(x)), x.dtype))

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """F(x, y), by hand."""
        return join(self.drift(split(x, self.heads), split(y, self.heads)))

    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """G(x, y) without friction, by hand."""
        return join(self.kick(split(x, self.heads), split(y, self.heads)))

    def derived(
        self, x: Float[Array, "n d"], y: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """(F, G) by autodiff of H; causal: of the n Hamiltonians of the prefixes, n times the work."""
        if not self.causal:
            by_x, by_y = jax.grad(self.hamiltonian, argnums=(0, 1))(x, y)
            return by_y, -by_x

        def row(i):
            inside = (jnp.arange(len(x)) <= i).astype(x.dtype)
            by_x, by_y = jax.grad(self._energy, argnums=(0, 1))(x, y, inside[:, None] * inside[None, :])
            return by_y[i], -by_x[i]

        return jax.vmap(row)(jnp.arange(len(x)))

    def leaking_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """A WITNESS, not for use: -d/dx of ONE masked H of the whole sequence. It shows token i its future.

        Every sum of H is masked causally, yet x_i is also a key of later tokens: dH/dx_i holds their z_j and y_j. The
        force of the first version of the paper's public code. stein2026sympformer
        """
        seen = jnp.asarray(causal_mask(len(x)), x.dtype)
        return -jax.grad(lambda position: self._energy(position, y, seen))(x)

    def _energy(self, x: Float[Array, "n d"], y: Float[Array, "n d"], seen: Float[Array, "n n"]) -> Float[Array, ""]:
        return self.energy(split(x, self.heads), split(y, self.heads), seen)


def split(x: Float[Array, "n d"], heads: int) -> Heads:
    """Coordinates dealt out to the heads in runs of r = d / h."""
    n, d = x.shape
    return x.reshape(n, heads, d // heads).transpose(1, 0, 2)


def join(x: Heads) -> Float[Array, "n d"]:
    """Head beside head again."""
    h, n, r = x.shape
    return x.transpose(1, 0, 2).reshape(n, h * r)


def _dense(weight: Float[Array, "d d"]) -> Dense:
    """A Dense map with a given weight and no bias."""
    dense = Dense(*weight.shape, std=0.0, dtype=weight.dtype, key=jax.random.key(0))
    return eqx.tree_at(lambda m: m.weight, dense, weight)
