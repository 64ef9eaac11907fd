"""Initial weights without a compilation for every shape."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

SMALLEST = 1024
"""Numbers drawn at once at least; more come in powers of four times as many, so that few programs are compiled."""


def normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype, std: float) -> Float[Array, "*shape"]:
    """The numbers of `std * jax.random.normal(key, shape, dtype)`, bit for bit."""
    return _head(functools.partial(jax.random.normal, key, dtype=dtype), key, shape, np.asarray(std, dtype))


def uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype, limit: float) -> Float[Array, "*shape"]:
    """The numbers of `jax.random.uniform(key, shape, dtype, -limit, limit)`, bit for bit."""
    draw = functools.partial(jax.random.uniform, key, dtype=dtype, minval=-limit, maxval=limit)
    return _head(draw, key, shape, np.asarray(1, dtype))


def _head(draw: Callable[..., Array], key: PRNGKeyArray, shape: tuple[int, ...], factor: np.ndarray) -> Array:
    """`factor * draw(shape=shape)`, from the head of a longer row: JAX's k-th number depends on the key and on k alone.

    Each new shape would cost a tenth of a second of compilation, two seconds for a small Transformer.
    """
    if isinstance(key, Tracer):  # inside jit or vmap nothing is compiled by itself
        return jnp.asarray(factor) * draw(shape=shape)
    size = math.prod(shape)
    row = SMALLEST
    while row < size:
        row *= 4
    return jax.device_put((factor * np.asarray(draw(shape=(row,)))[:size]).reshape(shape))
