"""Time steps for flows: explicit Euler, exponential Euler, kick-damp-drift, two Adams-Bashforth schemes, Strang, RK4.

One step of the time h, `step(flow, state, h) -> (state, info)`, for any `AbstractFlow`. F is the velocity, G the force
without friction, sigma the decay by friction. An oracle call is one evaluation of the tokens' interaction, the n x n
matrix, at new positions, F and G together; it costs more where G is asked for, so equal calls are not equal cost.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from nqs_lab.flows.arguments import Number
from nqs_lab.flows.dynamics import AbstractFlow, Pair, vector_field
from nqs_lab.flows.metrics import Sphere


class Memory(eqx.Module):
    """What a two-step scheme keeps of the last step: two slopes, the step size, and whether there was one."""

    first: Float[Array, "n d"]
    second: Float[Array, "n d"]
    step: Float[Array, ""]
    known: Bool[Array, ""]


Advanced = tuple[Float[Array, "n d"], Float[Array, "n d"], Memory]
"""(x, y) after a step, and what the next step must know of this one."""


class FlowState(eqx.Module):
    """Tokens x and momenta y at a time t; `age` is the time that friction sees, set back by a restart."""

    x: Float[Array, "n d"]
    y: Float[Array, "n d"]
    time: Float[Array, ""]
    age: Float[Array, ""]
    memory: Memory


class StepInfo(eqx.Module):
    """`oracle_calls` of the step; `finite`: if False, the step met an infinity or NaN and was not taken."""

    oracle_calls: int = eqx.field(static=True)
    finite: Bool[Array, ""]


class AbstractIntegrator(eqx.Module):
    """A scheme; `advance` is its formula. `order`: of its error at a fixed time, error ~ h^order for smooth flows."""

    oracle_calls: eqx.AbstractVar[int]
    order: eqx.AbstractVar[int]

    def init(self, flow: AbstractFlow, x: Float[Array, "n d"], y: Float[Array, "n d"] | None = None) -> FlowState:
        """Tokens x at the friction's start time, at rest unless momenta y are given."""
        start = flow.damping.start.astype(x.dtype)
        y = jnp.zeros_like(x) if y is None else y
        nothing = Memory(jnp.zeros_like(x), jnp.zeros_like(x), jnp.ones((), x.dtype), jnp.asarray(False))
        return FlowState(x, y, start, start, nothing)

    def step(self, flow: AbstractFlow, state: FlowState, h: Number) -> tuple[FlowState, StepInfo]:
        """One step of the time h. A step that is not finite is not taken: the state stays, and the info says so."""
        h = jnp.asarray(h, state.x.dtype)
        x, y, memory = self.advance(flow, state, h)
        x, y = flow.retract(x, y)
        finite = jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(y))
        new = FlowState(x, y, state.time + h, state.age + h, memory)
        return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state), StepInfo(self.oracle_calls, finite)

    @abc.abstractmethod
    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """(x, y) after the step, and what the next step must know of this one."""


class Euler(AbstractIntegrator):
    """Explicit Euler: x+ = x + h F(x, y), y+ = y + h (G(x, y) - alpha(t) y)."""

    oracle_calls: ClassVar[int] = 1
    order: ClassVar[int] = 1

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """Both slopes at the old point."""
        x, y = state.x, state.y
        slope = flow.force(x, y) - flow.damping(state.age) * y
        return x + h * flow.velocity(x, y), y + h * slope, state.memory


class ExponentialEuler(AbstractIntegrator):
    """Friction solved exactly: x+ = x + h F(x, y), y+ = sigma y + w G(x, y), w the exact weight of `Damping.weight`."""

    oracle_calls: ClassVar[int] = 1
    order: ClassVar[int] = 1

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """Stable for any friction; still explicit in the force."""
        x, y = state.x, state.y
        kick = flow.damping.weight(state.age, h) * flow.force(x, y)
        return x + h * flow.velocity(x, y), flow.damping.decay(state.age, h) * y + kick, state.memory


class KickDampDrift(AbstractIntegrator):
    """Presymplectic Euler: y+ = sigma (y + h G(x, y)), x+ = x + h F(x, y+).

    Where H is separable (a flat metric) each step scales the symplectic form by exactly sigma, as the flow does; where
    the metric depends on x it does not. F and G are taken at one x, so the interaction is evaluated once.
    franca2021dissipative
    """

    oracle_calls: ClassVar[int] = 1
    order: ClassVar[int] = 1

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """Kick, damp, drift."""
        y = flow.damping.decay(state.age, h) * (state.y + h * flow.force(state.x, state.y))
        return state.x + h * flow.velocity(state.x, y), y, state.memory


class AdamsBashforth(AbstractIntegrator):
    """Two-step Adams-Bashforth (AB2) with steps that may vary: u+ = u + h ((1 + r) R_k - r R_{k-1}), r = h / (2 h').

    R = (F, G - alpha y), h' the last step. The first step, and the first after a restart, is explicit Euler.
    With equal steps the weights are 3/2 and -1/2. hairer1993solving
    """

    oracle_calls: ClassVar[int] = 1
    order: ClassVar[int] = 2

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """Extrapolate both slopes to the middle of the step."""
        x, y = state.x, state.y
        first, second = flow.velocity(x, y), flow.force(x, y) - flow.damping(state.age) * y
        r = _ratio(state.memory, h)
        x = x + h * ((1 + r) * first - r * state.memory.first)
        y = y + h * ((1 + r) * second - r * state.memory.second)
        return x, y, Memory(first, second, h, jnp.asarray(True))


class ExponentialAdamsBashforth(AbstractIntegrator):
    """AB2 for the momentum without friction, Pi = e^eta y: y+ = sigma (y + h ((1 + r) G_k - r sigma' G_{k-1})).

    sigma is the decay over this step, sigma' over the last one. The drift decides the order:
    - `drift="adams"` (default): x+ = x + h ((1 + r) F_k - r F_{k-1}), second order.
    - `drift="new-momentum"`: x+ = x + h F(x, y+) with the old positions, as the public code of the paper has it: first
      order, whatever the kick. Raises ValueError for another name. cox2002exponential, stein2026sympformer
    """

    oracle_calls: ClassVar[int] = 1
    order: ClassVar[int] = 2
    drift: str = eqx.field(static=True, default="adams")

    def __check_init__(self):
        if self.drift not in ("adams", "new-momentum"):
            raise ValueError(f"drift must be 'adams' (order 2) or 'new-momentum' (order 1), got {self.drift!r}.")

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """The kick extrapolated with its decay, then the drift."""
        x, y, memory = state.x, state.y, state.memory
        first, second = flow.velocity(x, y), flow.force(x, y)
        r = _ratio(memory, h)
        # sigma' over the last step; before the first there is none, and a finite value keeps derivatives finite
        before = jnp.where(memory.known, state.age - memory.step, state.age)
        past = flow.damping.decay(before, state.age - before)
        y = flow.damping.decay(state.age, h) * (y + h * ((1 + r) * second - r * past * memory.second))
        slope = (1 + r) * first - r * memory.first if self.drift == "adams" else flow.velocity(x, y)
        return x + h * slope, y, Memory(first, second, h, jnp.asarray(True))


class Strang(AbstractIntegrator):
    """Half a step of friction, a conservative step by doubled variables, half a step of friction: second order.

    H(x, y) with an x-dependent metric cannot be split. On two copies it can, as H(x, y~) + H(x~, y) +
    (xi / 2)(|x - x~|^2 + |y - y~|^2): each part is solved exactly, the last by a rotation of angle 2 xi h.
    - `rotation`: xi, in units of 1 / time; it binds the copies. `keep`: whether the copies live on from step to step
      (then the conservative step is symplectic on the doubled space) or are made anew (as in a layer).
    tao2016explicit, stein2026sympformer
    """

    oracle_calls: ClassVar[int] = 4
    order: ClassVar[int] = 2
    rotation: float = eqx.field(static=True, default=5.0)
    keep: bool = eqx.field(static=True, default=False)

    def init(self, flow: AbstractFlow, x: Float[Array, "n d"], y: Float[Array, "n d"] | None = None) -> FlowState:
        """As for every scheme. **Raises** ValueError on the sphere: a copy's momenta are not tangent at the other."""
        if isinstance(getattr(flow, "metric", None), Sphere):
            raise ValueError("Strang doubles the variables of R^d; on the sphere take KickDampDrift or RungeKutta.")
        return super().init(flow, x, y)

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """Damp, double, damp."""
        t, half = state.age, h / 2
        first, last = flow.damping.decay(t, half), flow.damping.decay(t + half, half)
        x, y = state.x, first * state.y
        other_x, other_y = x, y
        if self.keep:
            other_x = jnp.where(state.memory.known, state.memory.first, x)
            other_y = jnp.where(state.memory.known, first * state.memory.second, y)
        (x, y), (other_x, other_y) = doubled_step(flow, (x, y), (other_x, other_y), h, self.rotation)
        return x, last * y, Memory(other_x, last * other_y, h, jnp.asarray(True))


class RungeKutta(AbstractIntegrator):
    """The classical Runge-Kutta scheme of fourth order, friction included: four evaluations a step; the yardstick."""

    oracle_calls: ClassVar[int] = 4
    order: ClassVar[int] = 4

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """One RK4 step of (x', y')."""
        x, y = runge_kutta(vector_field(flow), state.age, (state.x, state.y), h)
        return x, y, state.memory


class Restarted(AbstractIntegrator):
    """Another scheme with restarts: the momenta are set to zero and friction starts anew when inertia works against us.

    - `rule="energy"`: where the potential energy rises, -(dU/dx) . x' < 0. `rule="speed"`: where the speed |x'| has
      fallen since the last step. Both look at the whole cloud. Raises ValueError for another rule.
    Costs one more evaluation of F (and of the energy's force) at the new point. odonoghue2015adaptive, suboyd2016
    """

    inner: AbstractIntegrator
    rule: str = eqx.field(static=True, default="energy")

    @property
    def oracle_calls(self) -> int:
        """Those of the inner scheme, and one at the new point."""
        return self.inner.oracle_calls + 1

    @property
    def order(self) -> int:
        """The inner scheme's, between restarts."""
        return self.inner.order

    def __check_init__(self):
        if self.rule not in ("energy", "speed"):
            raise ValueError(f"rule must be 'energy' or 'speed', got {self.rule!r}.")

    def advance(self, flow: AbstractFlow, state: FlowState, h: Float[Array, ""]) -> Advanced:
        """The inner scheme's step."""
        return self.inner.advance(flow, state, h)

    def step(self, flow: AbstractFlow, state: FlowState, h: Number) -> tuple[FlowState, StepInfo]:
        """One step, then the question."""
        new, info = self.inner.step(flow, state, h)
        velocity = flow.velocity(new.x, new.y)
        if self.rule == "energy":
            power = jnp.sum(flow.force(new.x, jnp.zeros_like(new.y)) * velocity)
            again = power < 0
        else:
            again = jnp.sum(velocity**2) < jnp.sum(flow.velocity(state.x, state.y) ** 2)
        again = again & info.finite
        start = flow.damping.start.astype(new.age.dtype)
        memory = eqx.tree_at(lambda m: m.known, new.memory, new.memory.known & ~again)
        y = jnp.where(again, jnp.zeros_like(new.y), new.y)
        new = FlowState(new.x, y, new.time, jnp.where(again, start, new.age), memory)
        return new, StepInfo(self.oracle_calls, info.finite)


def doubled_step(flow: AbstractFlow, one: Pair, two: Pair, h: Float[Array, ""], rotation: float) -> tuple[Pair, Pair]:
    """A(h/2) B(h/2) C(h) B(h/2) A(h/2) on the doubled space: a symplectic map of (x, y, x~, y~). tao2016explicit"""
    (x, y), (p, q) = one, two
    half = h / 2
    y, p = y + half * flow.force(x, q), p + half * flow.velocity(x, q)
    q, x = q + half * flow.force(p, y), x + half * flow.velocity(p, y)
    cosine, sine = jnp.cos(2 * rotation * h), jnp.sin(2 * rotation * h)
    mean_x, mean_y, gap_x, gap_y = (x + p) / 2, (y + q) / 2, (x - p) / 2, (y - q) / 2
    gap_x, gap_y = cosine * gap_x + sine * gap_y, cosine * gap_y - sine * gap_x
    x, p, y, q = mean_x + gap_x, mean_x - gap_x, mean_y + gap_y, mean_y - gap_y
    q, x = q + half * flow.force(p, y), x + half * flow.velocity(p, y)
    y, p = y + half * flow.force(x, q), p + half * flow.velocity(x, q)
    return (x, y), (p, q)


def runge_kutta(field, t: Float[Array, ""], state, h: Float[Array, ""]):
    """One classical Runge-Kutta step of u' = field(t, u) for any pytree u. hairer1993solving"""

    def stage(carry, coefficients):
        total, slope = carry
        at, weight = coefficients
        slope = field(t + at * h, jax.tree.map(lambda u, k: u + at * h * k, state, slope))
        return (jax.tree.map(lambda u, k: u + weight * h * k, total, slope), slope), None

    # A scan compiles the field once, not four times.
    nodes, weights = jnp.asarray([0, 0.5, 0.5, 1], h.dtype), jnp.asarray([1 / 6, 1 / 3, 1 / 3, 1 / 6], h.dtype)
    (total, _), _ = jax.lax.scan(stage, (state, jax.tree.map(jnp.zeros_like, state)), (nodes, weights))
    return total


def _ratio(memory: Memory, h: Float[Array, ""]) -> Float[Array, ""]:
    """h / (2 h'), zero where there was no last step, or one of no length."""
    known = memory.known & (memory.step != 0)
    return jnp.where(known, h / (2 * jnp.where(known, memory.step, jnp.ones_like(h))), jnp.zeros_like(h))
