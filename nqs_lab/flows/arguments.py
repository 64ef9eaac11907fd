"""Checks of what an energy, a metric or a kernel is made of."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

Matrix = Float[Array, "d d"] | Float[np.ndarray, "d d"]
Square = Float[Array, "w w"] | Float[np.ndarray, "w w"]
Number = float | int | Float[Array, ""]
Vector = Float[Array, " d"] | Float[np.ndarray, " d"]


def symmetric(name: str, matrix: Matrix, why: str) -> Float[Array, "d d"]:
    """The matrix as an array. **Raises** ValueError if it is not symmetric; inside a trace nothing can be checked."""
    matrix = jnp.asarray(matrix)
    if not isinstance(matrix, Tracer):
        values = np.asarray(matrix)
        gap, scale = np.abs(values - values.T).max(initial=0.0), np.abs(values).max(initial=0.0)
        if not gap <= 1e3 * float(jnp.finfo(matrix.dtype).eps) * scale:
            raise ValueError(
                f"{name} must be symmetric, since {why}; got |{name} - {name}^T| up to {gap:.2g} beside entries up to "
                f"{scale:.2g}. Take ({name} + {name}^T) / 2."
            )
    return matrix


def positive(name: str, matrix: Matrix, why: str) -> Float[Array, "d d"]:
    """The matrix as an array. **Raises** ValueError if it is not symmetric with positive eigenvalues."""
    matrix = symmetric(name, matrix, why)
    if not isinstance(matrix, Tracer):
        least = np.linalg.eigvalsh(np.asarray(matrix)).min(initial=np.inf)
        if not least > 0:
            raise ValueError(
                f"{name} must be positive definite, since {why}; its smallest eigenvalue is {least:.2g}. "
                "Add a multiple of the identity that exceeds it, or start from M M^T."
            )
    return matrix


def number(value: Number) -> Float[Array, ""]:
    """A Python number in the default precision, an array as it is."""
    return value if isinstance(value, jax.Array) else jnp.asarray(value, float)
