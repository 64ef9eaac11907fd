"""Single numbers of a block: a step, a friction, a momentum. Fixed, or learned within their range."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Positive(eqx.Module):
    """A number >= 0: fixed at `start`, or learned as softplus(raw) = log(1 + e^raw) from there.

    - `name`: for messages. `start`: a finite number >= 0; softplus never reaches 0, so a 0 is always fixed.
    Raises ValueError for a negative number or one that is not finite.
    """

    raw: Float[Array, ""] | None
    start: float = eqx.field(static=True)

    def __init__(self, name: str, start: float | int, *, learned: bool, dtype=jnp.float32):
        if not 0 <= start < math.inf:
            raise ValueError(f"{name} must be a finite number >= 0, got {start!r}.")
        self.start = float(start)
        inverse = start + math.log(-math.expm1(-start)) if start > 0 else None
        self.raw = jnp.asarray(inverse, dtype) if learned and inverse is not None else None

    def __call__(self, dtype) -> Float[Array, ""]:
        """The number, in the precision of the tokens."""
        return jnp.asarray(self.start, dtype) if self.raw is None else jax.nn.softplus(self.raw).astype(dtype)


class Share(eqx.Module):
    """A number in [0, 1]: fixed at `start`, or learned as the logistic function 1 / (1 + e^-raw) from there.

    - `name`: for messages. `start`: in [0, 1]; the ends are out of the logistic function's reach and stay fixed.
    Raises ValueError outside [0, 1].
    """

    raw: Float[Array, ""] | None
    start: float = eqx.field(static=True)

    def __init__(self, name: str, start: float | int, *, learned: bool, dtype=jnp.float32):
        if not 0 <= start <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {start!r}; 0.9 is usual, 0 switches it off.")
        self.start = float(start)
        inner = learned and 0 < start < 1
        self.raw = jnp.asarray(math.log(start) - math.log1p(-start), dtype) if inner else None

    def __call__(self, dtype) -> Float[Array, ""]:
        """The number, in the precision of the tokens."""
        return jnp.asarray(self.start, dtype) if self.raw is None else jax.nn.sigmoid(self.raw).astype(dtype)
