"""The parameters of a network as one row of numbers, which is how trained networks are shipped."""

from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

M = TypeVar("M", bound=eqx.Module)


def flat_weights(model: eqx.Module) -> Float[np.ndarray, " P"]:
    """All parameters of a model in a row, in JAX's order of its leaves."""
    return np.asarray(ravel_pytree(eqx.filter(model, eqx.is_inexact_array))[0])


def with_flat_weights(model: M, weights: Float[np.ndarray, " P"], name: str = "this model") -> M:
    """The model with these parameters, in the order of `flat_weights`; `name` is for the message.

    Raises ValueError if their number does not fit.
    """
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)
    if flat.shape != weights.shape:
        raise ValueError(f"{name} has {flat.size} parameters, got {weights.size} weights.")
    return eqx.combine(unravel(jnp.asarray(weights, flat.dtype)), rest)
