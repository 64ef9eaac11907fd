"""Evaluating an ansatz on many configurations in chunks that fit the cache, with one compiled body."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, Complex, Float, Int8

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.vmc.cores import core_count, spread

CACHE_BYTES = 4 * 2**20
"""Bytes that the largest intermediate of one chunk may take: about the second-level cache of two cores."""
CORE_CACHE_BYTES = 2**20
"""The same where every core walks chunks of its own."""


def map_chunks(function: Callable, chunk: int, *rows: Array):
    """`vmap(function)` over the leading axis of every array, `chunk` rows at a time, compiled once.

    The last chunk is filled up with copies of the first row, whose results are dropped.
    """
    size = rows[0].shape[0]
    if size <= chunk:
        return jax.vmap(function)(*rows)
    count = -(-size // chunk)
    pieces = tuple(_fill_up(array, count * chunk).reshape(count, chunk, *array.shape[1:]) for array in rows)
    out = jax.lax.map(lambda piece: jax.vmap(function)(*piece), pieces)
    return jax.tree.map(lambda leaf: leaf.reshape(count * chunk, *leaf.shape[2:])[:size], out)


def _fill_up(array: Array, size: int) -> Array:
    """The array with copies of its first row at the end, `size` rows in all."""
    return jnp.concatenate([array, jnp.broadcast_to(array[:1], (size - len(array), *array.shape[1:]))])


def log_amplitudes(model: AbstractAnsatz, sigma: Int8[Array, "S N"], chunk: int) -> Complex[Array, " S"]:
    """log psi of S configurations, in complex128 whatever the precision of the network; shared among the cores."""
    cores, size = core_count(), sigma.shape[0]
    if cores == 1:
        return map_chunks(model, chunk, sigma).astype(jnp.complex128)
    arrays, static = eqx.partition(model, eqx.is_array)
    share = spread(lambda a, rows: map_chunks(eqx.combine(a, static), chunk, rows), (False, True), rows_out=True)
    return share(arrays, _fill_up(sigma, -(-size // cores) * cores))[:size].astype(jnp.complex128)


def weighted_mean(weights: Float[Array, " S"], values: Complex[Array, " S"]) -> Complex[Array, ""]:
    """sum_s w_s f_s; the weights sum to one."""
    return jnp.sum(weights.astype(values.dtype) * values)


class Work(eqx.Module):
    """What one evaluation of log psi costs: `flops` (matrix products, additions counted), `widest` (bytes of the
    largest intermediate) and `stored` (bytes that a backward pass keeps)."""

    flops: int
    widest: int
    stored: int


def count_work(model: AbstractAnsatz) -> Work:
    """Cost of one log psi, read off its traced program; nothing is compiled or run."""
    arrays, static = eqx.partition(model, eqx.is_array)
    sigma = jax.ShapeDtypeStruct((model.n_sites,), jnp.int8)
    jaxpr = jax.make_jaxpr(lambda a, s: eqx.combine(a, static)(s))(arrays, sigma)
    return _walk(jaxpr.jaxpr)


def _walk(jaxpr) -> Work:
    """Sum of the work of every equation, inner programs included."""
    flops, widest, stored = 0, 0, 0
    for equation in jaxpr.eqns:
        inner = [_walk(sub) for value in equation.params.values() for sub in _programs(value)]
        repeat = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        flops += repeat * sum(work.flops for work in inner)
        stored += repeat * sum(work.stored for work in inner)
        widest = max([widest, *(work.widest for work in inner)])
        if not inner:
            size = sum(math.prod(out.aval.shape) * out.aval.dtype.itemsize for out in equation.outvars)
            widest, stored = max(widest, size), stored + size
            flops += _flops(equation)
    return Work(flops, widest, stored)


def _programs(value):
    """The traced programs inside a parameter of an equation."""
    for item in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(item, core.ClosedJaxpr):
            yield item.jaxpr
        elif isinstance(item, core.Jaxpr):
            yield item


def _flops(equation) -> int:
    """Two operations for each multiply-add of a matrix product, one for each element otherwise."""
    out = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name != "dot_general":
        return out
    (contracted, _), _ = equation.params["dimension_numbers"]
    return 2 * out * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)


def choose_chunk(model: AbstractAnsatz, *, backward: bool = False, cores: int = 1) -> int:
    """Configurations per chunk, a power of two between 16 and 4,096, so that a chunk's work stays in cache.

    `cores`: among how many the forward chunks are dealt out.
    """
    work = count_work(model)
    forward = CACHE_BYTES if cores == 1 else CORE_CACHE_BYTES
    budget = forward if not backward else 4 * CACHE_BYTES
    size = work.widest if not backward else work.stored
    return int(2 ** min(12, max(4, round(math.log2(budget / max(1, size))))))
