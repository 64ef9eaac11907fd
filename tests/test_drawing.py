"""Initial weights are those of jax.random, whatever the shape, eagerly and inside jit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.attention.drawing import SMALLEST, normal, uniform

SHAPES = [(4, 9), (5, SMALLEST // 4), (2, 3, 7)]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_numbers_are_those_of_jax(shape, dtype):
    for seed in (0, 11):
        key = jax.random.key(seed)
        limit = 0.1 + seed / 7
        want = jnp.asarray(limit, dtype) * jax.random.normal(key, shape, dtype)
        assert np.array_equal(normal(key, shape, dtype, limit), want)
        drawn = uniform(key, shape, dtype, limit)
        assert np.array_equal(drawn, jax.random.uniform(key, shape, dtype, -limit, limit))
        assert drawn.dtype == dtype and np.abs(drawn).max() <= limit


def test_it_can_be_traced():
    key = jax.random.key(3)
    inside = jax.jit(lambda k: normal(k, (4, 5), jnp.float64, 0.5))(key)
    assert np.allclose(inside, normal(key, (4, 5), jnp.float64, 0.5), rtol=1e-14)
    many = jax.vmap(lambda k: uniform(k, (4, 5), jnp.float32, 0.3))(jax.random.split(key, 3))
    assert many.shape == (3, 4, 5) and not np.array_equal(many[0], many[1])


def test_few_programs_serve_all_shapes(caplog):
    """Shapes below the smallest row compile nothing new after the first."""
    normal(jax.random.key(0), (2, 3), jnp.float32, 0.1)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        normal(jax.random.key(1), (7, 11), jnp.float32, 0.2)
        normal(jax.random.key(1), (13,), jnp.float32, 0.3)
    assert not [record for record in caplog.records if "ompil" in record.getMessage()]
    with jax.log_compiles(), caplog.at_level("WARNING"):
        jax.random.normal(jax.random.key(1), (7, 11), jnp.float32)
    assert [record for record in caplog.records if "ompil" in record.getMessage()], "the measure itself"
