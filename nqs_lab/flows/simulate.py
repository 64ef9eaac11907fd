"""Long runs: one compiled scan, with what is to be kept of it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_lab.flows.arguments import Number
from nqs_lab.flows.dynamics import AbstractFlow
from nqs_lab.flows.integrators import AbstractIntegrator, FlowState, runge_kutta


class Run(eqx.Module):
    """The end of a run and its records: `state`, `records` (stacked, the start first), the bill.

    `oracle_calls`: of the whole run. `refused`: steps that were not finite and so not taken; from the first of them on
    the tokens stand still. `time` and all other arrays of `records` begin at the start of the run.
    """

    state: FlowState
    records: Any
    oracle_calls: int = eqx.field(static=True)
    refused: Int[Array, ""]


def positions(state: FlowState) -> Float[Array, "n d"]:
    """The tokens: what a run records if nothing else is asked for."""
    return state.x


def simulate(
    integrator: AbstractIntegrator,
    flow: AbstractFlow,
    state: FlowState,
    h: Number | Float[Array, " steps"],
    steps: int,
    *,
    record: Callable[[FlowState], Any] = positions,
    every: int = 1,
) -> Run:
    """`steps` steps of the time h as one `lax.scan`, recording every `every` of them.

    - `h`: one step size, or one for each step. `record`: a function of the state that gives any pytree of arrays;
      compiled once for each function object, so pass the same one again.
    Raises ValueError where steps is no multiple of `every`, or where there are not as many step sizes as steps.
    """
    if steps < 1 or every < 1 or steps % every:
        raise ValueError(f"steps must be a positive multiple of every; got steps={steps}, every={every}.")
    sizes = jnp.asarray(h, state.x.dtype)
    if sizes.ndim and sizes.shape != (steps,):
        raise ValueError(f"h must be one number or one for each of {steps} steps, got shape {sizes.shape}.")
    state, records, calls, refused = _scan(integrator, flow, state, sizes, (steps // every, every), record)
    return Run(state, records, calls, refused)


@eqx.filter_jit
def _scan(integrator, flow, state, sizes, shape, record):
    """Rows of step sizes: a record after each row."""
    calls, sizes = [], jnp.broadcast_to(sizes, (shape[0] * shape[1],)).reshape(shape)

    def one(carry, h):
        state, refused = carry
        state, info = integrator.step(flow, state, h)
        calls.append(info.oracle_calls)
        return (state, refused + (~info.finite).astype(jnp.int32)), None

    def row(carry, sizes):
        carry, _ = jax.lax.scan(one, carry, sizes)
        return carry, record(carry[0])

    first = record(state)
    (state, refused), rest = jax.lax.scan(row, (state, jnp.zeros((), jnp.int32)), sizes)
    records = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), first, rest)
    return state, records, calls[0] * sizes.size, refused


@eqx.filter_jit
def integrate(field: Callable, state, start: Number, h: Number, steps: int, *, every: int = 1):
    """Classical Runge-Kutta for u' = field(t, u), u any pytree of floats: u at start, start + every h, ... (stacked).

    For closures and other small systems. Returns (times, states). **Raises** ValueError where steps % every != 0.
    """
    if steps % every:
        raise ValueError(f"steps must be a multiple of every; got steps={steps}, every={every}.")
    kind = jax.tree.leaves(state)[0].dtype
    start, h = jnp.asarray(start, kind), jnp.asarray(h, kind)

    def one(carry, _):
        count, state = carry
        state = runge_kutta(field, start + count * h, state, h)
        return (count + 1, state), None

    def row(carry, _):
        carry, _ = jax.lax.scan(one, carry, length=every)
        return carry, carry[1]

    (_, _), rest = jax.lax.scan(row, (jnp.zeros((), kind), state), length=steps // every)
    states = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), state, rest)
    return start + h * every * jnp.arange(steps // every + 1, dtype=kind), states
