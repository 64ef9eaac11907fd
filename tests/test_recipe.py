"""The shared optimiser: its schedule read off the steps it makes, its limit on the length, its refusals."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqs_lab as nl


def steps_made(optimiser, direction, count):
    """The changes that `count` equal directions lead to, as an array (count, P)."""
    theta = {"a": jnp.zeros(2, jnp.float32), "b": jnp.zeros((), jnp.float32)}
    gradient = {"a": jnp.asarray(direction[:2], jnp.float32), "b": jnp.asarray(direction[2], jnp.float32)}
    state, made = optimiser.init(theta), []
    for _ in range(count):
        update, state = optimiser.update(gradient, state, theta)
        moved = optax.apply_updates(jnp.zeros(3, jnp.float32), jnp.concatenate([update["a"], update["b"][None]]))
        made.append(np.asarray(moved, np.float64))
    return np.array(made)


@pytest.mark.parametrize(("rate", "n_steps", "warm_up"), [(0.1, 100, 20), (0.2, 37, 5), (0.05, 12, 20), (1.0, 2, 0)])
def test_the_rate_rises_in_a_line_falls_as_a_cosine_and_stays_at_the_floor(rate, n_steps, warm_up):
    direction = np.array([0.003, -0.002, 0.001])  # so short that the limit never acts
    optimiser = nl.imaginary_time(rate, n_steps, warm_up=warm_up, floor=0.1)
    rates = -steps_made(optimiser, direction, n_steps + 30) @ direction / (direction @ direction)
    rise = max(1, min(warm_up, n_steps // 3))
    expected = []
    for step in range(n_steps + 30):
        share = min(max((step - rise) / max(1, n_steps - rise), 0.0), 1.0)
        expected.append(rate * min((step + 1) / rise, 0.1 + 0.45 * (1 + np.cos(np.pi * share))))
    np.testing.assert_allclose(rates, expected, rtol=2e-5)
    assert rates[rise - 1] == pytest.approx(rate, rel=1e-5) and np.argmax(rates) in (rise - 1, rise)
    np.testing.assert_allclose(rates[n_steps:], 0.1 * rate, rtol=1e-5)  # a prolonged run goes on at the floor


@pytest.mark.parametrize("length", [0.5, 40.0, 1e6])
def test_a_long_step_is_cut_to_the_limit_and_keeps_its_direction(length):
    direction = length * np.array([2.0, -1.0, 2.0]) / 3
    made = steps_made(nl.imaginary_time(0.5, 10, warm_up=1, max_norm=0.2), direction, 3)
    assert np.linalg.norm(made, axis=1) == pytest.approx(0.2, rel=1e-5)
    np.testing.assert_allclose(made / 0.2, -np.tile(direction / length, (3, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rate": 0.0, "n_steps": 10}, "rate"),
        ({"rate": float("nan"), "n_steps": 10}, "rate"),
        ({"rate": 0.1, "n_steps": 0}, "n_steps"),
        ({"rate": 0.1, "n_steps": 10, "warm_up": -1}, "warm_up"),
        ({"rate": 0.1, "n_steps": 10, "max_norm": 0.0}, "max_norm"),
    ],
)
def test_bad_numbers_are_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        nl.imaginary_time(**arguments)
