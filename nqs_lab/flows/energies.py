"""Energies of n tokens: attention's interaction energy, potentials, and the Kullback-Leibler divergence to a Gaussian.

An energy functional E(rho) of the cloud rho = (1/n) sum_i delta(x_i) is given as the total U(x) = n E(rho): with it
`-dU/dx_i` is minus the gradient of E's first variation at token i, and no factor of n is left over. Dimensionless.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Matrix, Number, Vector, number, positive, symmetric


def exponentials(x: Float[Array, "n d"], a: Float[Array, "d d"]) -> Float[Array, "n n"]:
    """M_ij = exp(x_i . A x_j), row i the query."""
    return jnp.exp(x @ a @ x.T)


def softmax_attention(x: Float[Array, "n d"], a: Float[Array, "d d"], v: Float[Array, "d d"]) -> Float[Array, "n d"]:
    """sum_j softmax_j(x_i . A x_j) V x_j, for any A and V; with A = Q^T K / sqrt(r) one head of attention.

    vaswani2017attention
    """
    return jax.nn.softmax(x @ a @ x.T, axis=1) @ x @ v.T


def linear_attention(x: Float[Array, "n d"], a: Float[Array, "d d"], v: Float[Array, "d d"]) -> Float[Array, "n d"]:
    """(1/n) sum_j (x_i . A x_j) V x_j, for any A and V: attention without the exponential."""
    return x @ a @ (x.T @ x) @ v.T / len(x)


def moments(x: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Mean (d,) and covariance (d, d) of the cloud, the latter with 1/n: the tokens *are* the distribution."""
    mean = jnp.mean(x, axis=0)
    centred = x - mean[None, :]
    return mean, centred.T @ centred / len(x)


def gaussian_kl(
    mean: Float[Array, " d"],
    covariance: Float[Array, "d d"],
    target_mean: Float[Array, " d"],
    target_covariance: Float[Array, "d d"],
) -> Float[Array, ""]:
    """KL( N(mu, Sigma) | N(m, Q) ) in nats, with g = mu - m:

    ( tr Q^-1 Sigma + g . Q^-1 g - d + log det Q - log det Sigma ) / 2.
    """
    inverse = jnp.linalg.inv(target_covariance)
    gap = mean - target_mean
    logarithms = jnp.linalg.slogdet(target_covariance)[1] - jnp.linalg.slogdet(covariance)[1]
    return (jnp.trace(inverse @ covariance) + gap @ inverse @ gap - len(mean) + logarithms) / 2


class AbstractEnergy(eqx.Module):
    """The total energy U(x) = n E(rho) of n tokens x, shape (n, d), and the force -dU/dx in closed form.

    Energies add up: `Interaction(a) + Quadratic(q)`.
    """

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        """U(x)."""

    @abc.abstractmethod
    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-dU/dx, written out by hand."""

    def __add__(self, other: "AbstractEnergy") -> "Sum":
        return Sum((self, other))


class Sum(AbstractEnergy):
    """U = sum of the parts."""

    parts: tuple[AbstractEnergy, ...]

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        return sum((part(x) for part in self.parts), jnp.zeros((), x.dtype))

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Sum of the forces."""
        return sum((part.force(x) for part in self.parts), jnp.zeros_like(x))


class Interaction(AbstractEnergy):
    """The energy that softmax attention descends: E(rho) = -(s/2) iint exp(x . A y) drho(x) drho(y).

    U(x) = -(s/2n) sum_ij M_ij, force_i = (s/n) sum_j M_ij A x_j, with M_ij = exp(x_i . A x_j).
    - `a`: symmetric (d, d). `strength`: s; 1 attracts (attention), -1 is the repulsive energy of the same kernel.
    It has no minimum: tokens that move outwards lower it without end. Exponents above 700 (float32: 88) overflow.
    Raises ValueError where A is not symmetric, since U then sees only its symmetric part, attention all of it.
    stein2026sympformer, geshkovski2023perspective
    """

    a: Float[Array, "d d"]
    strength: Float[Array, ""]

    def __init__(self, a: Matrix, strength: Number = 1.0):
        self.a = symmetric("A", a, "the interaction energy sees only its symmetric part")
        self.strength = jnp.asarray(strength, self.a.dtype)

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        return -self.strength * jnp.sum(exponentials(x, self.a)) / (2 * len(x))

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(s/n) sum_j M_ij A x_j."""
        return self.strength * (exponentials(x, self.a) @ x @ self.a) / len(x)


class Quadratic(AbstractEnergy):
    """A potential energy, each token for itself: E(rho) = (1/2) int (x - c) . Q (x - c) drho(x).

    force_i = -Q (x_i - c). With Q positive it confines; with Q = -V it is the energy of linear attention with values V.
    - `q`: symmetric (d, d). `centre`: c (d,), the origin if not given. Raises ValueError where Q is not symmetric.
    stein2026sympformer
    """

    q: Float[Array, "d d"]
    centre: Float[Array, " d"]

    def __init__(self, q: Matrix, centre: Vector | None = None):
        self.q = symmetric("Q", q, "a quadratic form sees only its symmetric part")
        self.centre = jnp.zeros(len(self.q), self.q.dtype) if centre is None else jnp.asarray(centre, self.q.dtype)

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        gap = x - self.centre[None, :]
        return jnp.sum(gap * (gap @ self.q)) / 2

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-Q (x_i - c)."""
        return (self.centre[None, :] - x) @ self.q

    def affine_force(
        self, mean: Float[Array, " d"], covariance: Float[Array, "d d"]
    ) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """The force as V x + f: V = -Q and f = Q c, whatever the moments."""
        return -self.q, self.q @ self.centre


class Quartic(AbstractEnergy):
    """A confining potential without direction: E(rho) = (g/4) int |x|^4 drho(x), force_i = -g |x_i|^2 x_i.

    - `strength`: g >= 0. Raises ValueError for a negative g, which would not confine.
    """

    strength: Float[Array, ""]

    def __init__(self, strength: Number):
        if not isinstance(strength, jax.Array) and not strength >= 0:
            raise ValueError(f"strength must be >= 0, or tokens would be pushed outwards; got {strength!r}.")
        self.strength = number(strength)

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        return self.strength.astype(x.dtype) / 4 * jnp.sum(jnp.sum(x * x, axis=1) ** 2)

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-g |x_i|^2 x_i."""
        return -self.strength.astype(x.dtype) * jnp.sum(x * x, axis=1, keepdims=True) * x


class Potential(AbstractEnergy):
    """Any potential energy E(rho) = int f(x) drho(x): U = sum_i f(x_i), with the force by autodiff of f.

    - `function`: maps one token (d,) to a scalar, for instance minus a log-density. It may be an `eqx.Module`.
    """

    function: Callable

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        return jnp.sum(jax.vmap(self.function)(x))

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-grad f(x_i)."""
        return -jax.vmap(jax.grad(self.function))(x)


class GaussianKL(AbstractEnergy):
    """The free energy of a Gaussian with the moments of the cloud: E(rho) = KL( N(mu, Sigma) | N(m, Q) ).

    force_i = Sigma^-1 (x_i - mu) - Q^-1 (x_i - m): spread against confinement. A cloud of n tokens has no entropy of
    its own; on Gaussians this E is the true divergence, and a flow that keeps them Gaussian needs no more.
    - `covariance`: Q (d, d), positive definite. `mean`: m (d,), the origin if not given.
    Raises ValueError where Q is not positive definite. Needs n > d tokens in general position (Sigma is inverted).
    stein2025analysis, wang2022accelerated
    """

    precision: Float[Array, "d d"]
    covariance: Float[Array, "d d"]
    mean: Float[Array, " d"]

    def __init__(self, covariance: Matrix, mean: Vector | None = None):
        self.covariance = positive("Q", covariance, "it is a covariance")
        self.precision = jnp.linalg.inv(self.covariance)
        self.precision = (self.precision + self.precision.T) / 2
        zero = np.zeros(len(self.covariance))
        self.mean = jnp.asarray(zero if mean is None else mean, self.covariance.dtype)

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, ""]:
        return len(x) * gaussian_kl(*moments(x), self.mean, self.covariance)

    def force(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Sigma^-1 (x_i - mu) - Q^-1 (x_i - m)."""
        slope, offset = self.affine_force(*moments(x))
        return x @ slope + offset[None, :]

    def affine_force(
        self, mean: Float[Array, " d"], covariance: Float[Array, "d d"]
    ) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """The force as V x + f: V = Sigma^-1 - Q^-1 and f = Q^-1 m - Sigma^-1 mu."""
        inverse = jnp.linalg.inv(covariance)
        inverse = (inverse + inverse.T) / 2
        return inverse - self.precision, self.precision @ self.mean - inverse @ mean
