"""Kernels k(x, y) of Stein flows: bilinear (linear attention's) and Gaussian."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Matrix, Number, number, symmetric


class AbstractKernel(eqx.Module):
    """A symmetric kernel k(x, y) = k(y, x) with the sums over tokens that flows need.

    Sums are products of matrices: the n x n x d array of gradients is never made.
    """

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
        """k(x_i, y_j)."""

    @abc.abstractmethod
    def pull(self, x: Float[Array, "n d"], weights: Float[Array, "n n"]) -> Float[Array, "n d"]:
        """(1/n) sum_j w_ij grad_1 k(x_i, x_j): gradients with respect to the token that stays."""

    @abc.abstractmethod
    def push(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j grad_1 k(x_j, x_i): gradients with respect to the token summed over, Stein's repulsion."""

    @abc.abstractmethod
    def mixed_trace(self, x: Float[Array, "n d"]) -> Float[Array, "n n"]:
        """tr grad_1 grad_2 k(x_i, x_j)."""

    def smooth(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j k(x_i, x_j) y_j."""
        return self(x, x) @ y / len(x)

    def pull_pairs(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j (y_i . y_j) grad_1 k(x_i, x_j)."""
        return self.pull(x, y @ y.T)


class Bilinear(AbstractKernel):
    """k(x, y) = x . A y + c: the kernel of linear attention (c = 0), of rank d (+ 1), so that d + 1 features suffice.

    - `a`: symmetric (d, d). `offset`: c; 1 lets a Stein flow move the mean. Raises ValueError where A is not symmetric.
    liu2018moment, stein2025analysis
    """

    a: Float[Array, "d d"]
    offset: Float[Array, ""]

    def __init__(self, a: Matrix, offset: Number = 0.0):
        self.a = symmetric("A", a, "k(x, y) = k(y, x)")
        self.offset = jnp.asarray(offset, self.a.dtype)

    def __call__(self, x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
        return x @ self.a @ y.T + self.offset

    def pull(self, x: Float[Array, "n d"], weights: Float[Array, "n n"]) -> Float[Array, "n d"]:
        """(1/n) sum_j w_ij A x_j."""
        return weights @ x @ self.a / len(x)

    def push(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """A x_i."""
        return x @ self.a

    def mixed_trace(self, x: Float[Array, "n d"]) -> Float[Array, "n n"]:
        """tr A."""
        return jnp.broadcast_to(jnp.trace(self.a), (len(x), len(x)))

    def smooth(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """x_i . A (1/n) sum_j x_j y_j + c mean(y): d x d sums first, n d^2 operations instead of n^2 d."""
        return x @ self.a @ (x.T @ y) / len(x) + self.offset * jnp.mean(y, axis=0, keepdims=True)

    def pull_pairs(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j A x_j (y_j . y_i), d x d sums first."""
        return y @ (y.T @ x) @ self.a / len(x)


class Gaussian(AbstractKernel):
    """k(x, y) = exp(-|x - y|^2 / (2 l^2)).

    - `bandwidth`: l > 0, in units of the tokens; see `median_bandwidth`. Raises ValueError for l <= 0.
    liu2016stein
    """

    bandwidth: Float[Array, ""]

    def __init__(self, bandwidth: Number):
        if not isinstance(bandwidth, jax.Array) and not bandwidth > 0:
            raise ValueError(f"bandwidth must be > 0, got {bandwidth!r}; median_bandwidth(x) suggests one.")
        self.bandwidth = number(bandwidth)

    def __call__(self, x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
        return jnp.exp(-squared_distances(x, y) / (2 * self._square(x)))

    def pull(self, x: Float[Array, "n d"], weights: Float[Array, "n n"]) -> Float[Array, "n d"]:
        """(1/n) sum_j w_ij k_ij (x_j - x_i) / l^2."""
        w = weights * self(x, x)
        return (w @ x - jnp.sum(w, axis=1, keepdims=True) * x) / (len(x) * self._square(x))

    def push(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j k_ij (x_i - x_j) / l^2: away from the neighbours."""
        return -self.pull(x, jnp.ones((len(x), len(x)), x.dtype))

    def mixed_trace(self, x: Float[Array, "n d"]) -> Float[Array, "n n"]:
        """k_ij (d - |x_i - x_j|^2 / l^2) / l^2."""
        square = self._square(x)
        return self(x, x) * (x.shape[1] - squared_distances(x, x) / square) / square

    def _square(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        """l^2 in the tokens' precision."""
        return self.bandwidth.astype(x.dtype) ** 2


def squared_distances(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """|x_i - y_j|^2 by the expanded square: a product of matrices; rounding may leave a little below zero."""
    square_x, square_y = jnp.sum(x * x, axis=1)[:, None], jnp.sum(y * y, axis=1)[None, :]
    return square_x + square_y - 2 * (x @ y.T)


def median_bandwidth(x: Float[Array, "n d"]) -> Float[Array, ""]:
    """l with 2 l^2 = (median distance)^2 / log(n + 1): each token then feels a few neighbours. liu2016stein"""
    n = len(x)
    distances = squared_distances(x, x)[jnp.triu_indices(n, 1)]
    return jnp.sqrt(jnp.median(distances) / (2 * jnp.log(jnp.asarray(n + 1, x.dtype))))
