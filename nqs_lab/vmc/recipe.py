"""The optimiser that the demo, the command line and the lessons share."""

import jax.numpy as jnp
import optax


def imaginary_time(
    rate: float | int, n_steps: int, *, warm_up: int = 20, floor: float | int = 0.1, max_norm: float | int = 0.3
) -> optax.GradientTransformation:
    """SGD along the SR direction: linear warm-up, cosine decay to a share of the rate, a limit on the step's length.

    - `rate`: eta, the imaginary time of a step (units of 1/J1). `n_steps`: length of the run that the decay spans.
    - `warm_up`: steps to reach the full rate. `floor`: share of the rate left at the end, so that
      a run can be prolonged.
    - `max_norm`: limit on |theta_new - theta|, put last because it limits the step and not the direction.
    Raises ValueError for a rate or limit that is not positive, or n_steps < 1.
    """
    if not rate > 0 or not max_norm > 0:
        raise ValueError(f"rate and max_norm must be positive, got {rate} and {max_norm}.")
    if n_steps < 1 or warm_up < 0:
        raise ValueError(f"n_steps must be at least 1 and warm_up at least 0, got {n_steps} and {warm_up}.")
    return optax.chain(optax.sgd(_schedule(rate, n_steps, warm_up, floor)), optax.clip_by_global_norm(max_norm))


def imaginary_time_span(rate: float | int, n_steps: int, *, warm_up: int = 20, floor: float | int = 0.1) -> float:
    """The imaginary time of a whole run, units of 1/J1: the sum of its rates, before any limit on the step's length.

    A network that could follow every direction would end in exp(-time H) of its first state, and no nearer to the
    ground state than that. sorella1998
    """
    return float(jnp.sum(_schedule(rate, n_steps, warm_up, floor)(jnp.arange(n_steps))))


def _schedule(rate: float | int, n_steps: int, warm_up: int, floor: float | int) -> optax.Schedule:
    """Linear rise, then a cosine down to a share of the rate."""
    rise = max(1, min(warm_up, n_steps // 3))

    def schedule(count):
        done = jnp.asarray(count, jnp.float32)
        angle = jnp.pi * jnp.clip((done - rise) / max(1, n_steps - rise), 0.0, 1.0)
        decay = floor + (1 - floor) * 0.5 * (1 + jnp.cos(angle))
        return rate * jnp.minimum((done + 1) / rise, decay)

    return schedule
