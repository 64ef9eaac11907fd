"""Sine and cosine in polynomials, against the C library and the identities they must obey."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.ansatz.base import sum_log_cosh
from nqs_lab.ansatz.circular import sin_cos


@pytest.mark.parametrize(("dtype", "reach"), [(jnp.float32, 1e4), (jnp.float64, 1e6)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0, 1.0e9])
def test_they_are_the_sine_and_the_cosine(dtype, reach, scale):
    rng = np.random.default_rng(7)
    y = jnp.asarray(rng.uniform(-1, 1, 20_000) * min(scale, reach), dtype)
    near = jnp.asarray(rng.integers(-4000, 4000, 20_000) * (np.pi / 2) * (1 + 1e-9 * rng.normal(size=20_000)), dtype)
    for values in (y, near, jnp.zeros(3, dtype)):
        exact = np.asarray(values, np.longdouble)
        sin, cos = (np.asarray(v, np.longdouble) for v in jax.jit(sin_cos)(values))
        eps = float(jnp.finfo(dtype).eps)
        assert np.abs(sin - np.sin(exact)).max() < 1.5 * eps and np.abs(cos - np.cos(exact)).max() < 1.5 * eps
        assert np.abs(sin**2 + cos**2 - 1).max() < 4 * eps


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_parity_shape_type_and_what_is_not_a_number(dtype):
    y = jnp.linspace(-9, 9, 12, dtype=dtype).reshape(3, 4)
    sin, cos = sin_cos(y)
    minus, plus = sin_cos(-y)
    assert sin.shape == cos.shape == (3, 4) and sin.dtype == cos.dtype == dtype
    np.testing.assert_array_equal(np.asarray(minus), -np.asarray(sin))
    np.testing.assert_array_equal(np.asarray(plus), np.asarray(cos))
    assert np.all(np.isnan(np.asarray(sin_cos(jnp.asarray([jnp.inf, -jnp.inf, jnp.nan], dtype)))))


def test_their_derivatives_are_each_other():
    """The head's second derivatives run through them."""
    y = jnp.linspace(-20, 20, 401)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda t: sin_cos(t)[0]))(y), np.cos(y), atol=1e-10)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda t: sin_cos(t)[1]))(y), -np.sin(y), atol=1e-10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("size", [1, 7, 8, 33])
def test_many_terms_beside_a_zero_of_cosh_do_not_underflow(dtype, size):
    """Every term as near to i pi/2 as rounding allows: the product of their moduli leaves the range of the type."""
    y = jnp.full(size, np.pi / 2, dtype)
    found, _ = sum_log_cosh(jnp.zeros(size, dtype), y)
    modulus = abs(float(np.cos(np.asarray(y[0], np.float64))))  # cos of the rounded pi/2
    assert float(found) == pytest.approx(size * np.log(modulus), rel=2e-3 if dtype == jnp.float32 else 1e-3)
