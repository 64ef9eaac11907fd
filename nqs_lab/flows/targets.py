"""Distributions to sample from: normalised log-densities whose scores, moments and exact samples are known."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.flows.arguments import Matrix, Vector, positive
from nqs_lab.flows.energies import moments


class AbstractTarget(eqx.Module):
    """A probability density on R^d, normalised."""

    @abc.abstractmethod
    def log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """log pi(x) of one point."""

    @abc.abstractmethod
    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """n exact, independent samples."""

    @abc.abstractmethod
    def moments(self) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Exact mean and covariance."""

    def score(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """grad log pi at n points, by autodiff."""
        return jax.vmap(jax.grad(self.log_density))(x)


class GaussianTarget(AbstractTarget):
    """N(m, Q). - `covariance`: Q (d, d), positive definite. `mean`: m (d,). Raises ValueError otherwise."""

    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]

    def __init__(self, covariance: Matrix, mean: Vector | None = None):
        self.covariance = positive("Q", covariance, "it is a covariance")
        zero = np.zeros(len(self.covariance))
        self.mean = jnp.asarray(zero if mean is None else mean, self.covariance.dtype)

    def log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """-(x - m) . Q^-1 (x - m) / 2 - log det(2 pi Q) / 2."""
        return _log_gaussian(x - self.mean, self.covariance)

    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """m + Q^(1/2) noise."""
        noise = jax.random.normal(key, (n, len(self.mean)), self.mean.dtype)
        return self.mean[None, :] + noise @ jnp.linalg.cholesky(self.covariance).T

    def moments(self) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """(m, Q)."""
        return self.mean, self.covariance


class Mixture(AbstractTarget):
    """sum_k w_k N(m_k, Q): modes that a cloud must find. - `means`: (k, d). `covariance`: Q (d, d), shared.

    - `weights`: (k,), positive, made to sum to one; equal if not given. Raises ValueError for weights that do not fit.
    """

    means: Float[Array, "k d"]
    covariance: Float[Array, "d d"]
    weights: Float[Array, " k"]

    def __init__(self, means: Float[Array, "k d"] | Float[np.ndarray, "k d"], covariance: Matrix, weights=None):
        self.covariance = positive("Q", covariance, "it is a covariance")
        self.means = jnp.asarray(means, self.covariance.dtype)
        weights = np.ones(len(self.means)) if weights is None else np.asarray(weights, float)
        if weights.shape != (len(self.means),) or not np.all(weights > 0):
            raise ValueError(f"weights must be {len(self.means)} positive numbers, one for each mean; got {weights}.")
        self.weights = jnp.asarray(weights / weights.sum(), self.covariance.dtype)

    def log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """log sum_k w_k N(x; m_k, Q)."""
        logs = jax.vmap(lambda m: _log_gaussian(x - m, self.covariance))(self.means)
        return jax.nn.logsumexp(logs + jnp.log(self.weights))

    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """A mode by its weight, then a Gaussian."""
        first, second = jax.random.split(key)
        mode = jax.random.categorical(first, jnp.log(self.weights), shape=(n,))
        noise = jax.random.normal(second, (n, self.means.shape[1]), self.means.dtype)
        return self.means[mode] + noise @ jnp.linalg.cholesky(self.covariance).T

    def moments(self) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Those of the modes' centres, widened by Q."""
        mean = self.weights @ self.means
        gap = self.means - mean[None, :]
        return mean, self.covariance + gap.T @ (self.weights[:, None] * gap)


class Banana(AbstractTarget):
    """A bent Gaussian in the plane: x_1 ~ N(0, s^2), x_2 = c (x_1^2 - s^2) + N(0, w^2).

    - `curvature`: c, in units of 1 / length. `length`: s > 0. `width`: w > 0. Raises ValueError otherwise.
    haario1999adaptive
    """

    curvature: float = eqx.field(static=True, default=1.0)
    length: float = eqx.field(static=True, default=1.0)
    width: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not (self.length > 0 and self.width > 0):
            raise ValueError(f"length and width must be > 0, got {self.length} and {self.width}.")

    def log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Gaussian in x_1, Gaussian in x_2 about the parabola."""
        across = x[1] - self.curvature * (x[0] ** 2 - self.length**2)
        norm = math.log(2 * math.pi * self.length * self.width)
        return -((x[0] / self.length) ** 2 + (across / self.width) ** 2) / 2 - norm

    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """Two Gaussians, bent."""
        noise = jax.random.normal(key, (n, 2))
        first = self.length * noise[:, 0]
        second = self.curvature * (first**2 - self.length**2) + self.width * noise[:, 1]
        return jnp.stack([first, second], axis=1)

    def moments(self) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Mean zero, no correlation: moments alone do not see the bend."""
        second = 2 * self.curvature**2 * self.length**4 + self.width**2
        return jnp.zeros(2), jnp.diag(jnp.asarray([self.length**2, second], float))


class StudentTarget(AbstractTarget):
    """Student's t in d dimensions, density ~ (1 + (x - m) . R^-1 (x - m) / dof)^(-(dof + d) / 2): a heavy tail.

    - `scatter`: R (d, d), positive definite. `mean`: m (d,). `dof`: > 2, so that the covariance dof / (dof - 2) R
      exists. Raises ValueError otherwise.
    """

    mean: Float[Array, " d"]
    scatter: Float[Array, "d d"]
    dof: float = eqx.field(static=True)

    def __init__(self, scatter: Matrix, mean: Vector | None = None, *, dof: float | int = 3):
        if not dof > 2:
            raise ValueError(f"dof must be > 2, or there is no covariance; got {dof}.")
        self.scatter, self.dof = positive("scatter", scatter, "it is a covariance up to a factor"), float(dof)
        zero = np.zeros(len(self.scatter))
        self.mean = jnp.asarray(zero if mean is None else mean, self.scatter.dtype)

    def log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """With its norm."""
        d, gap = len(self.mean), x - self.mean
        norm = math.lgamma((self.dof + d) / 2) - math.lgamma(self.dof / 2) - d / 2 * math.log(self.dof * math.pi)
        radius = gap @ jnp.linalg.solve(self.scatter, gap)
        logdet = jnp.linalg.slogdet(self.scatter)[1]
        return norm - logdet / 2 - (self.dof + d) / 2 * jnp.log1p(radius / self.dof)

    def sample(self, n: int, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """A Gaussian over the root of an independent chi^2 / dof."""
        first, second = jax.random.split(key)
        kind = self.mean.dtype
        noise = jax.random.normal(first, (n, len(self.mean)), kind) @ jnp.linalg.cholesky(self.scatter).T
        chi2 = 2 * jax.random.gamma(second, jnp.asarray(self.dof / 2, kind), (n, 1), kind)
        return self.mean[None, :] + noise * jnp.sqrt(self.dof / chi2)

    def moments(self) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """(m, dof / (dof - 2) R)."""
        return self.mean, self.dof / (self.dof - 2) * self.scatter


def moment_error(x: Float[Array, "n d"], target: AbstractTarget) -> Float[Array, " 2"]:
    """How far a cloud's moments are from the target's: |mu - m| / sqrt(tr Q) and |Sigma - Q| / |Q| (Frobenius)."""
    (mean, covariance), (m, q) = moments(x), target.moments()
    m, q = m.astype(x.dtype), q.astype(x.dtype)
    first = jnp.linalg.norm(mean - m) / jnp.sqrt(jnp.trace(q))
    return jnp.stack([first, jnp.linalg.norm(covariance - q) / jnp.linalg.norm(q)])


def _log_gaussian(gap: Float[Array, " d"], covariance: Float[Array, "d d"]) -> Float[Array, ""]:
    """log N(gap; 0, Q)."""
    root = jnp.linalg.cholesky(covariance)
    white = jax.scipy.linalg.solve_triangular(root, gap, lower=True)
    return -(white @ white + len(gap) * math.log(2 * math.pi)) / 2 - jnp.sum(jnp.log(jnp.diag(root)))
