"""T16: friction, its integral, and the exact weight of a constant force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from nqs_lab import flows

TIMES = [(1.0, 0.01), (1.0, 0.7), (5.0, 0.3), (40.0, 0.5), (0.2, 1.5)]


@pytest.mark.parametrize("c_log, c_lin", [(3, 0), (0, 0.7), (0, 0), (3, 0.2), (1.5, 2.0)])
def test_weight_and_decay_against_quadrature_and_closed_forms(c_log, c_lin):
    damping = flows.Damping(c_log, c_lin)
    eta = lambda t: c_log * np.log(t) + c_lin * (t - 1)
    both = jax.jit(lambda t, h: (damping.weight(t, h), damping.decay(t, h), damping.integral(t), damping(t)))
    for t, h in TIMES:
        weight, decay, integral, alpha = (float(v) for v in both(jnp.asarray(t), jnp.asarray(h)))
        end = t + h
        exact = quad(lambda s: np.exp(eta(s) - eta(end)), t, end, epsabs=1e-14, epsrel=1e-13)[0]  # noqa: B023
        assert weight == pytest.approx(exact, rel=1e-11)
        assert decay == pytest.approx(np.exp(eta(t) - eta(end)), rel=1e-12)
        assert integral == pytest.approx(eta(t), rel=1e-12, abs=1e-14) and alpha == pytest.approx(c_log / t + c_lin)
        if not c_lin:
            closed = end / (c_log + 1) * (1 - (t / end) ** (c_log + 1))
            assert weight == pytest.approx(closed, rel=1e-11)
        elif not c_log:
            assert weight == pytest.approx((1 - np.exp(-c_lin * h)) / c_lin, rel=1e-11)
        # the control: the weight for a constant alpha, used for one that changes, is another number
        if c_log and h > 0.1 * t:
            assert abs((1 - decay) * h / (eta(end) - eta(t)) / weight - 1) > 1e-4


def test_constant_friction_may_start_at_zero():
    damping, zero, h = flows.Damping(0, 0.5), jnp.asarray(0.0), jnp.asarray(0.4)
    values = lambda t, h: (damping(t), damping.decay(t, h), damping.weight(t, h), flows.Damping(3)(t))
    alpha, decay, weight, infinite = (float(v) for v in jax.jit(values)(zero, h))
    assert alpha == 0.5 and decay == pytest.approx(np.exp(-0.2))
    assert weight == pytest.approx((1 - np.exp(-0.2)) / 0.5, rel=1e-12)
    assert np.isinf(infinite)


def test_step_sizes_can_be_learned_through_the_damping():
    """sigma and the weight have derivatives with respect to h and to the coefficients: finite, and not zero."""
    found = jax.jit(
        jax.grad(lambda h, c, k: sum((flows.Damping(c, k).decay(jnp.asarray(1.0), h),
                                      flows.Damping(c, k).weight(jnp.asarray(1.0), h))), argnums=(0, 1, 2))
    )  # fmt: skip
    for c in (3.0, 0.0):
        h, by_c, by_k = found(jnp.asarray(0.3), jnp.asarray(c), jnp.asarray(0.1))
        assert np.isfinite([h, by_c, by_k]).all() and min(abs(float(v)) for v in (h, by_c, by_k)) > 1e-3
    by_h = jax.grad(lambda h: flows.Damping(3, 0.1).decay(jnp.asarray(1.0), h))(jnp.asarray(0.3))
    assert float(by_h) == pytest.approx(-(3 / 1.3 + 0.1) * np.exp(-3 * np.log(1.3) - 0.03), rel=1e-12)
