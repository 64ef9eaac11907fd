"""Friction that fades: alpha(t) = c_log / t + c_lin, its integral, and the weights of exponential schemes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Number, number

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
"""Gauss-Legendre on [-1, 1]."""


class Damping(eqx.Module):
    """alpha(t) = c_log / t + c_lin on t >= start, in units of 1 / time.

    Its integral is eta(t) = c_log log(t / start) + c_lin (t - start).
    - `c_log`: 3 is Nesterov's friction, 0 none of this kind. `c_lin`: constant friction, the heavy ball; 0 is none.
    - `start`: the time t0 > 0 at which a flow starts (1 by default): at t = 0 the friction c_log / t is infinite.
    Raises ValueError for a negative coefficient or t0 <= 0. suboyd2016, polyak1964
    """

    c_log: Float[Array, ""]
    c_lin: Float[Array, ""]
    start: Float[Array, ""]

    def __init__(
        self,
        c_log: Number = 0.0,
        c_lin: Number = 0.0,
        start: Number = 1.0,
    ):
        for name, value in (("c_log", c_log), ("c_lin", c_lin)):
            if not isinstance(value, jax.Array) and not value >= 0:
                raise ValueError(f"{name} must be >= 0 (friction takes energy out), got {value!r}.")
        if not isinstance(start, jax.Array) and not start > 0:
            raise ValueError(f"start must be > 0, got {start!r}: c_log / t is infinite at t = 0. Take 1.")
        self.c_log, self.c_lin, self.start = number(c_log), number(c_lin), number(start)

    def __call__(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """alpha(t)."""
        c_log, c_lin, _ = self._cast(t)
        return c_log / _away(t, c_log) + c_lin

    def integral(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """eta(t), zero at the start."""
        c_log, c_lin, start = self._cast(t)
        return c_log * jnp.log(_away(t, c_log) / start) + c_lin * (t - start)

    def decay(self, t: Float[Array, ""], h: Float[Array, ""]) -> Float[Array, ""]:
        """sigma = exp(-(eta(t + h) - eta(t))): what friction alone leaves of a momentum after the time h."""
        c_log, c_lin, _ = self._cast(t)
        return jnp.exp(-c_log * jnp.log1p(h / _away(t, c_log)) - c_lin * h)

    def weight(self, t: Float[Array, ""], h: Float[Array, ""]) -> Float[Array, ""]:
        """w = int_t^{t+h} exp(-(eta(t + h) - eta(s))) ds: what a constant force gives to a momentum in the time h.

        c_lin = 0: (t + h) / (c_log + 1) (1 - (t / (t + h))^(c_log + 1)). c_log = 0: (1 - exp(-c_lin h)) / c_lin.
        Both at once have no elementary form; 16 Gauss nodes give all cases to rounding while c_lin h is below about 5.
        """
        c_log, c_lin, _ = self._cast(t)
        end, power = t + h, c_log + 1
        nodes, weights = jnp.asarray((1 - NODES) / 2, t.dtype), jnp.asarray(WEIGHTS / 2, t.dtype)
        # In u = (s / end)^(c_log + 1) the integrand is exp(-c_lin (end - s)): constant for c_lin = 0, and s = end u for
        # c_log = 0. Else u^(1 / (c_log + 1)) is rough near u = 0, but in log s everything is smooth.
        length = -jnp.expm1(-power * jnp.log1p(h / t))
        rest = -jnp.expm1(jnp.log1p(-length * nodes) / power)
        by_power = end / power * length * jnp.sum(weights * jnp.exp(-c_lin * end * rest))
        width = jnp.log1p(h / _away(t, c_log))
        by_log = (
            end * width * jnp.sum(weights * jnp.exp(-power * width * nodes + c_lin * end * jnp.expm1(-width * nodes)))
        )
        return jnp.where((c_log == 0) | (c_lin == 0), by_power, by_log)

    def _cast(self, t: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """The coefficients in the precision of the clock."""
        return self.c_log.astype(t.dtype), self.c_lin.astype(t.dtype), self.start.astype(t.dtype)


def _away(t: Float[Array, ""], c_log: Float[Array, ""]) -> Float[Array, ""]:
    """t, but 1 where t = 0 and c_log = 0: constant friction may start at t = 0, and 0 / 0 means none."""
    return jnp.where((t == 0) & (c_log == 0), jnp.ones_like(t), t)
