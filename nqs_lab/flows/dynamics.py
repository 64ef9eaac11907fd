"""Two flows of one scalar: descent of an energy in a metric, and the same with inertia and friction.

The scalar is the Hamiltonian H(x, y) = K(x, y) + U(x). `GradientFlow` and `DampedFlow` use forces written out by hand;
their method `derived` gives the same equations by automatic differentiation of H and of nothing else.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Matrix
from nqs_lab.flows.damping import Damping
from nqs_lab.flows.energies import AbstractEnergy, Interaction, Quadratic
from nqs_lab.flows.kernels import Bilinear
from nqs_lab.flows.metrics import AbstractMetric, SoftmaxMetric, SteinMetric

Pair = tuple[Float[Array, "n d"], Float[Array, "n d"]]


class AbstractFlow(eqx.Module):
    """x' = velocity(x, y), y' = force(x, y) - alpha(t) y: what an integrator needs to know.

    x are n tokens and y their momenta, both (n, d). A flow of the first order ignores y, and its force is zero.
    """

    damping: eqx.AbstractVar[Damping]

    @abc.abstractmethod
    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """F(x, y) = x'."""

    @abc.abstractmethod
    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """G(x, y), the change of y without friction."""

    def retract(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Pair:
        """Put (x, y) back on the flow's manifold."""
        return x, y


class GradientFlow(AbstractFlow):
    """Steepest descent x' = -m(x) dU/dx of an energy in a metric: dU/dt = -2 K(x, -dU/dx) <= 0.

    With `Interaction(a)` and `SoftmaxMetric(a, b)` it is softmax attention with values V = B A; with `Quadratic(-v)`
    and `SteinMetric(Bilinear(a))` linear attention. Its friction is zero and it has no use for y.
    stein2026sympformer
    """

    energy: AbstractEnergy
    metric: AbstractMetric
    damping: Damping

    def __init__(self, energy: AbstractEnergy, metric: AbstractMetric):
        self.energy, self.metric, self.damping = energy, metric, Damping()

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """m(x) (-dU/dx), in closed form; y is not looked at."""
        return self.metric.velocity(x, self.energy.force(x))

    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Zero."""
        return jnp.zeros_like(y)

    def retract(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Pair:
        """The metric's retraction."""
        return self.metric.retract(x, y)

    def derived(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """x' by autodiff of H = K + U: dH/dy at the momentum -dH/dx(x, 0)."""
        h = lambda position, momentum: self.metric.kinetic(position, momentum) + self.energy(position)
        descent = -jax.grad(h, argnums=0)(x, jnp.zeros_like(x))
        return jax.grad(h, argnums=1)(x, descent)


class DampedFlow(AbstractFlow):
    """Hamiltonian flow with friction: x' = dH/dy, y' = -dH/dx - alpha(t) y, H(x, y) = K(x, y) + U(x).

    Friction takes out dH/dt = -2 alpha(t) K. From rest the first acceleration is x'' = -m dU/dx: with the metric of
    softmax attention, attention is a force where the gradient flow has it as a velocity.
    - `energy`, `metric`: U and m. `damping`: alpha(t), none by default.
    stein2026sympformer, wang2022accelerated
    """

    energy: AbstractEnergy
    metric: AbstractMetric
    damping: Damping

    def __init__(self, energy: AbstractEnergy, metric: AbstractMetric, damping: Damping | None = None):
        self.energy, self.metric = energy, metric
        self.damping = Damping() if damping is None else damping

    def hamiltonian(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, ""]:
        """H(x, y) = K(x, y) + U(x)."""
        return self.metric.kinetic(x, y) + self.energy(x)

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """dH/dy = m(x) y."""
        return self.metric.velocity(x, y)

    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """-dH/dx in closed form, kept tangent on a manifold."""
        pull = self.energy.force(x) + self.metric.kinetic_force(x, y)
        return self.metric.tangent(x, pull) + self.metric.bend(x, self.metric.velocity(x, y), y)

    def retract(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Pair:
        """The metric's retraction."""
        return self.metric.retract(x, y)

    def derived(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Pair:
        """(velocity, force) by autodiff of the one scalar H."""
        by_x, by_y = jax.grad(self.hamiltonian, argnums=(0, 1))(x, y)
        return by_y, self.metric.tangent(x, -by_x) + self.metric.bend(x, by_y, y)

    def scaled_hamiltonian(
        self, t: Float[Array, ""], x: Float[Array, "n d"], momentum: Float[Array, "n d"]
    ) -> Float[Array, ""]:
        """e^eta H(x, e^-eta Pi): the Hamiltonian of the rescaled momentum Pi = e^eta y, which feels no friction."""
        scale = jnp.exp(self.damping.integral(t))
        return scale * self.hamiltonian(x, momentum / scale)


def softmax_flow(a: Matrix, b: Matrix, damping: Damping | None = None) -> DampedFlow:
    """Accelerated softmax attention: x' = B y / z, y' = -alpha y + (1/2n) sum_j M_ij (s_i + s_j + 2) A x_j.

    - `a` symmetric, `b` symmetric positive definite, both (d, d); the values of the attention are V = B A.
    stein2026sympformer
    """
    return DampedFlow(Interaction(a), SoftmaxMetric(a, b), damping)


def linear_flow(a: Matrix, v: Matrix, damping: Damping | None = None, *, offset: float | int = 0.0) -> DampedFlow:
    """Accelerated linear attention: X' = (1/n) X A X^T Y, Y' = -alpha Y - (1/n) Y Y^T X A + X V.

    - `a`, `v`: symmetric (d, d), kernel and values. `offset`: c of the kernel x . A y + c.
    stein2026sympformer
    """
    return DampedFlow(Quadratic(-jnp.asarray(v)), SteinMetric(Bilinear(a, offset)), damping)


def overdamped(flow: DampedFlow) -> GradientFlow:
    """The gradient flow of the same energy in the same metric: the limit of large friction, time counted in 1/alpha."""
    return GradientFlow(flow.energy, flow.metric)


def vector_field(flow: AbstractFlow) -> Callable:
    """f(t, (x, y)) = (x', y') with friction, for an ODE solver."""

    def field(t: Float[Array, ""], state: Pair) -> Pair:
        x, y = state
        return flow.velocity(x, y), flow.force(x, y) - flow.damping(t) * y

    return field
