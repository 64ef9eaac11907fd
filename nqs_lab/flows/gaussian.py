"""Flows of a few numbers: mean and covariance of a cloud, exactly where the velocity is an affine map of the token."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.flows.arguments import Matrix, Number, number, symmetric
from nqs_lab.flows.damping import Damping
from nqs_lab.flows.dynamics import DampedFlow, GradientFlow
from nqs_lab.flows.kernels import Bilinear
from nqs_lab.flows.metrics import Flat, SteinMetric

LAWS = ("gaussian", "student", "ellipse")


class Moments(eqx.Module):
    """A cloud that moves as x(t) = map x(0) + shift, and its momenta y = slope x + offset.

    `mean` mu (d,), `covariance` Sigma (d, d); `slope` P (d, d), symmetric, and `offset` b (d,); all dimensionless.
    """

    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    slope: Float[Array, "d d"]
    offset: Float[Array, " d"]
    map: Float[Array, "d d"]
    shift: Float[Array, " d"]

    @property
    def second(self) -> Float[Array, "d d"]:
        """S = Sigma + mu mu^T."""
        return self.covariance + jnp.outer(self.mean, self.mean)


class Closure(eqx.Module):
    """Moments of linear attention and of Stein flows with bilinear kernels: closed equations, exact for every n.

    With y = P x + b, S = Sigma + mu mu^T and the energy's force V x + f, the kernel x . A y + c gives x' = L x + l,
    L = (P S + b mu^T) A and l = c (P mu + b), and
        P' = -alpha P - A (S P + mu b^T) P + V - P L,    b' = -alpha b - A (S P + mu b^T) b + f - P l,
        mu' = L mu + l,    Sigma' = L Sigma + Sigma L^T.
    A gradient flow has V and f in place of P and b. Every token moves by the same affine map: elliptical contours stay
    elliptical. No limit n -> infinity is taken; the cloud need not be Gaussian.
    - `flow`: a `DampedFlow` or `GradientFlow` of `Quadratic` or `GaussianKL` in `SteinMetric(Bilinear(...))` or `Flat`.
    Raises ValueError for others: their velocity is no affine map. stein2026sympformer, stein2025analysis
    """

    flow: DampedFlow | GradientFlow

    def __check_init__(self):
        metric, energy = self.flow.metric, self.flow.energy
        bilinear = isinstance(metric, SteinMetric) and isinstance(metric.kernel, Bilinear)
        if not (bilinear or isinstance(metric, Flat)) or not hasattr(energy, "affine_force"):
            raise ValueError(
                "moments close only for Quadratic or GaussianKL in SteinMetric(Bilinear(...)) or Flat; got "
                f"{type(energy).__name__} in {type(metric).__name__}. For softmax take SoftmaxClosure (n -> infinity)."
            )

    def init(
        self,
        mean: Float[Array, " d"],
        covariance: Float[Array, "d d"],
        slope: Float[Array, "d d"] | None = None,
        offset: Float[Array, " d"] | None = None,
    ) -> Moments:
        """A cloud with these moments and the momenta P x + b, at rest if not given; the map is the identity."""
        zero = jnp.zeros_like(mean)
        slope = jnp.zeros_like(covariance) if slope is None else slope
        unit = jnp.eye(len(mean), dtype=mean.dtype)
        return Moments(mean, covariance, slope, zero if offset is None else offset, unit, zero)

    def velocity(self, u: Moments) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """(L, l) of x' = L x + l."""
        slope, offset = u.slope, u.offset
        if isinstance(self.flow, GradientFlow):
            slope, offset = self._force(u)
        metric = self.flow.metric
        if isinstance(metric, Flat):
            return metric.b @ slope, metric.b @ offset
        assert isinstance(metric, SteinMetric) and isinstance(metric.kernel, Bilinear)
        eps = metric.regularisation.astype(u.mean.dtype)
        matrix = (slope @ u.second + jnp.outer(offset, u.mean)) @ metric.kernel.a + eps * slope
        return matrix, metric.kernel.offset * (slope @ u.mean + offset) + eps * offset

    def __call__(self, t: Float[Array, ""], u: Moments) -> Moments:
        """du/dt, for `integrate` or any ODE solver."""
        matrix, shift = self.velocity(u)
        drift = matrix @ u.covariance
        slope, offset = jnp.zeros_like(u.slope), jnp.zeros_like(u.offset)
        if isinstance(self.flow, DampedFlow):
            alpha = self.flow.damping(t)
            force, constant = self._force(u)
            turn = self._kinetic_force(u)
            slope = -alpha * u.slope + turn @ u.slope + force - u.slope @ matrix
            offset = -alpha * u.offset + turn @ u.offset + constant - u.slope @ shift
        return Moments(
            matrix @ u.mean + shift, drift + drift.T, slope, offset, matrix @ u.map, matrix @ u.shift + shift
        )

    def _force(self, u: Moments) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """(V, f)."""
        return self.flow.energy.affine_force(u.mean, u.covariance)  # pyright: ignore[reportAttributeAccessIssue]

    def _kinetic_force(self, u: Moments) -> Float[Array, "d d"]:
        """C of -dK/dx_i = C y_i: -A (S P + mu b^T), zero in a flat metric."""
        metric = self.flow.metric
        if isinstance(metric, Flat):
            return jnp.zeros_like(u.slope)
        assert isinstance(metric, SteinMetric) and isinstance(metric.kernel, Bilinear)
        return -metric.kernel.a @ (u.second @ u.slope + jnp.outer(u.mean, u.offset))


class SoftmaxClosure(eqx.Module):
    """Softmax attention (gradient flow) on a Gaussian cloud: mu' = V (1 + Sigma A) mu, Sigma' = L Sigma + Sigma L^T.

    For N(mu, Sigma), z(x) = exp(x . A mu + x . A Sigma A x / 2) and attention is V (mu + Sigma A x), an affine map
    with L = V Sigma A: the cloud stays Gaussian. Exact as n -> infinity only.
    With momentum it fails: x' = B y / z is not affine.
    - `a`: symmetric (d, d). `v`: values (d, d), V = B A. castin2025unified, stein2026sympformer
    """

    a: Float[Array, "d d"]
    v: Float[Array, "d d"]

    def __init__(self, a: Matrix, v: Matrix):
        self.a, self.v = symmetric("A", a, "the flow is a gradient flow only then"), jnp.asarray(v)

    def velocity(self, mean: Float[Array, " d"], covariance: Float[Array, "d d"]):
        """(L, l) of x' = L x + l: V Sigma A and V mu."""
        return self.v @ covariance @ self.a, self.v @ mean

    def __call__(self, t: Float[Array, ""], u: tuple[Float[Array, " d"], Float[Array, "d d"]]):
        """(mu', Sigma')."""
        mean, covariance = u
        matrix, shift = self.velocity(mean, covariance)
        return matrix @ mean + shift, matrix @ covariance + covariance @ matrix.T


def sample_elliptical(
    law: str,
    mean: Float[Array, " d"],
    covariance: Float[Array, "d d"],
    n: int,
    *,
    dof: float | int = 5,
    key: PRNGKeyArray,
) -> Float[Array, "n d"]:
    """n tokens of an elliptical law with given moments: x = mu + r Sigma^(1/2) u, u uniform on the unit sphere.

    - `law`: "gaussian"; "student", heavy tails with `dof` > 2 degrees of freedom; "ellipse", uniform directions on the
      surface r = sqrt(d). They differ in r alone. Raises ValueError for another law or dof <= 2 (no covariance then).
    """
    if law not in LAWS:
        raise ValueError(f"law must be one of {', '.join(LAWS)}; got {law!r}.")
    if not dof > 2:
        raise ValueError(f"dof must be > 2, or Student's law has no covariance; got {dof}.")
    first, second = jax.random.split(key)
    d = len(mean)
    noise = jax.random.normal(first, (n, d), mean.dtype)
    if law == "ellipse":
        noise = noise * (d**0.5 / jnp.linalg.norm(noise, axis=1, keepdims=True))
    if law == "student":
        chi2 = 2 * jax.random.gamma(second, jnp.asarray(dof / 2, mean.dtype), (n, 1), mean.dtype)
        noise = noise * jnp.sqrt((dof - 2) / chi2)
    return mean[None, :] + noise @ jnp.linalg.cholesky(covariance).T


def mahalanobis(
    x: Float[Array, "n d"], mean: Float[Array, " d"], covariance: Float[Array, "d d"]
) -> Float[Array, " n"]:
    """(x_i - mu) . Sigma^-1 (x_i - mu): which contour of an elliptical law token i sits on."""
    gap = x - mean[None, :]
    return jnp.sum(gap * jnp.linalg.solve(covariance, gap.T).T, axis=1)


def collapse(t: Float[Array, "*times"], a: Number, q: Number, s0: Number) -> Float[Array, "*times"]:
    """s(t) = s0 / (1 + 2 a q s0 t): a variance under linear attention with V = -q (gradient flow, kernel a): 1 / t."""
    return s0 / (1 + 2 * a * q * s0 * t)


def accelerated_collapse(t: Float[Array, "*times"], a: Number, q: Number, c_log: Number = 3) -> Float[Array, "*times"]:
    """s(t) = (r - 1) / (a q t^2) with friction r / t, r = c_log > 1: the attractor of `collapse` with inertia: 1 / t^2.

    In u = log s the metric is flat and u'' + (r / t) u' = -2 a q e^u, which this solves exactly.
    **Raises** ValueError for r <= 1. suboyd2016
    """
    if not isinstance(c_log, jax.Array) and not c_log > 1:
        raise ValueError(f"c_log must be > 1 for a power-law attractor, got {c_log}.")
    return (c_log - 1) / (a * q * t**2)


class LogMode(eqx.Module):
    """One variance s = e^u with inertia: u'' + alpha(t) u' = 2 a (v e^u + entropy); state (u, u').

    - `a`: the kernel's eigenvalue. `v`: the values' eigenvalue, -q or, for a KL target of variance Q, -1/Q.
    - `entropy`: 0 for linear attention, 1 for the divergence to a Gaussian. Its linearisation then is
      w'' + alpha w' + 2 a w = 0 and does not know Q. stein2025analysis
    """

    a: Float[Array, ""]
    v: Float[Array, ""]
    damping: Damping
    entropy: float = eqx.field(static=True, default=0.0)

    def __call__(self, t: Float[Array, ""], u: tuple[Float[Array, ""], Float[Array, ""]]):
        """(u', u'')."""
        log_s, rate = u
        return rate, 2 * self.a * (self.v * jnp.exp(log_s) + self.entropy) - self.damping(t) * rate


def critical_damping(a: Number) -> Float[Array, ""]:
    """alpha = 2 sqrt(2 a): the constant friction that is fastest near a Gaussian target, whatever its Q.

    The decay is then of rate sqrt(2 a). - `a`: the kernel's eigenvalue. stein2025analysis
    """
    return 2 * jnp.sqrt(2 * number(a))
