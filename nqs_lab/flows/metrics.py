"""Metrics on clouds of tokens: how a covector y_i (a momentum) at each token becomes a velocity.

A metric is given by its mobility, x' = m(x) y, linear and symmetric in y; K(x, y) = (1/2) sum_i y_i . (m(x) y)_i is the
kinetic energy. On the sphere velocities are tangent.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Matrix, Number, Square, number, positive, symmetric
from nqs_lab.flows.energies import exponentials
from nqs_lab.flows.kernels import AbstractKernel


class AbstractMetric(eqx.Module):
    """A mobility m(x) on n tokens x (n, d), and what follows from it."""

    @abc.abstractmethod
    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """m(x) y."""

    @abc.abstractmethod
    def kinetic_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-dK/dx at fixed y, written out by hand: what a metric that changes with x does to the momenta."""

    def kinetic(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, ""]:
        """K(x, y) = (1/2) sum_i y_i . (m(x) y)_i."""
        return jnp.sum(y * self.velocity(x, y)) / 2

    def tangent(self, x: Float[Array, "n d"], u: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """The part of u that the manifold allows at x: all of it in R^d."""
        return u

    def bend(
        self, x: Float[Array, "n d"], velocity: Float[Array, "n d"], y: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """What must be added to y' so that y stays a covector of the manifold: nothing in R^d."""
        return jnp.zeros_like(y)

    def retract(
        self, x: Float[Array, "n d"], y: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """Tokens and momenta put back on the manifold after a step; unchanged in R^d."""
        return x, y


class Flat(AbstractMetric):
    """The Wasserstein metric with a constant mobility: (m y)_i = B y_i; each token moves for itself.

    In it softmax attention is no gradient flow. - `b`: symmetric positive definite (d, d). Raises ValueError otherwise.
    sander2022sinkformers
    """

    b: Float[Array, "d d"]

    def __init__(self, b: Matrix):
        self.b = positive("B", b, "it is a mobility")

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """B y_i."""
        return y @ self.b

    def kinetic_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Zero: the same mobility everywhere."""
        return jnp.zeros_like(x)


class SoftmaxMetric(AbstractMetric):
    """The metric that makes softmax attention a gradient flow: (m y)_i = B y_i / z_i, z_i = (1/n) sum_j M_ij.

    M_ij = exp(x_i . A x_j). A token that sees much of the others is slow to move. K = (1/2) sum_i y_i . B y_i / z_i,
    and with s_i = y_i . B y_i / z_i^2
    -dK/dx_i = (1/2n) sum_j M_ij (s_i + s_j) A x_j: s_i for x_i as the query of z_i, s_j for x_i as a key of z_j.
    - `a`: symmetric (d, d), the A of the energy. `b`: symmetric positive definite (d, d); the values are V = B A.
    Raises ValueError otherwise. The mean over tokens in z_i (not the sum) makes the flow independent of n.
    stein2026sympformer, geshkovski2023perspective
    """

    a: Float[Array, "d d"]
    b: Float[Array, "d d"]

    def __init__(self, a: Matrix, b: Square):
        self.a = symmetric("A", a, "z_i and z_j share one kernel")
        self.b = positive("B", b, "it is a mobility")
        if self.a.shape != self.b.shape:
            raise ValueError(f"A and B must act on tokens of one width; got shapes {self.a.shape} and {self.b.shape}.")

    def normaliser(self, x: Float[Array, "n d"]) -> Float[Array, "n 1"]:
        """z_i."""
        return jnp.mean(exponentials(x, self.a), axis=1, keepdims=True)

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """B y_i / z_i."""
        return y @ self.b / self.normaliser(x)

    def kinetic_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/2n) sum_j M_ij (s_i + s_j) A x_j."""
        m = exponentials(x, self.a)
        z = jnp.mean(m, axis=1, keepdims=True)
        s = jnp.sum(y * (y @ self.b), axis=1, keepdims=True) / (z * z)
        return (s * (m @ x) + m @ (s * x)) @ self.a / (2 * len(x))


class SteinMetric(AbstractMetric):
    """The Stein metric of a kernel k: (m y)_i = (1/n) sum_j k(x_i, x_j) y_j + eps y_i.

    -dK/dx_i = -(1/n) sum_j (y_i . y_j) grad_1 k(x_i, x_j). With k = x . A y it carries linear attention.
    - `kernel`: a kernel. `regularisation`: eps >= 0, the weight of a Wasserstein part: it makes the metric invertible.
    With fewer features than tokens (the bilinear kernel has d) the metric alone is degenerate: many y, one velocity.
    Raises ValueError for a negative eps. liu2017gradientflow, stein2025accelerated
    """

    kernel: AbstractKernel
    regularisation: Float[Array, ""]

    def __init__(self, kernel: AbstractKernel, regularisation: Number = 0.0):
        if not isinstance(regularisation, jax.Array) and not regularisation >= 0:
            raise ValueError(f"regularisation must be >= 0 for a metric, got {regularisation!r}; 1e-2 is usual.")
        self.kernel, self.regularisation = kernel, number(regularisation)

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(1/n) sum_j k_ij y_j + eps y_i."""
        return self.kernel.smooth(x, y) + self.regularisation.astype(y.dtype) * y

    def kinetic_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-(1/n) sum_j (y_i . y_j) grad_1 k_ij."""
        return -self.kernel.pull_pairs(x, y)


class Sphere(AbstractMetric):
    """A metric restricted to tokens on the unit sphere: m_S(x) = P m(x) P, P_i = 1 - x_i x_i^T / |x_i|^2.

    Momenta are tangent, x_i . y_i = 0; along a flow y_i' gets the extra term -x_i (x_i' . y_i), which keeps them so.
    - `metric`: the metric of R^d that is restricted. geshkovski2023perspective
    """

    metric: AbstractMetric

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """P m(x) P y."""
        return self.tangent(x, self.metric.velocity(x, self.tangent(x, y)))

    def kinetic_force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-P dK/dx for tangent y: the metric's own, plus y_i (x_i . (m y)_i), since P turns with x as well."""
        y = self.tangent(x, y)
        normal = jnp.sum(x * self.metric.velocity(x, y), axis=1, keepdims=True)
        return self.tangent(x, self.metric.kinetic_force(x, y)) + normal * y

    def tangent(self, x: Float[Array, "n d"], u: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """P u."""
        return u - x * (jnp.sum(x * u, axis=1, keepdims=True) / jnp.sum(x * x, axis=1, keepdims=True))

    def bend(
        self, x: Float[Array, "n d"], velocity: Float[Array, "n d"], y: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """-x_i (x_i' . y_i)."""
        return -x * jnp.sum(velocity * y, axis=1, keepdims=True)

    def retract(
        self, x: Float[Array, "n d"], y: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """x_i / |x_i|, and the tangent part of y there."""
        x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        return x, self.tangent(x, y)
