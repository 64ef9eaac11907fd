"""log cosh, the table, the product state, Jastrow and RBM against plain formulas; refusals."""

import cmath
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.ansatz import RBM, Jastrow, LogTable, MeanField, count_parameters, log_cosh
from nqs_lab.ansatz.base import check_dtype, sum_log_cosh
from nqs_lab.spins import Sector, SpinBasis, chain, ladder, rectangle, square, tilted


def randomised(model, rng, scale=1.0):
    """The model with every parameter drawn from a normal of deviation `scale`."""
    draw = lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


def configurations(n_sites, count, rng):
    """Random configurations of +1 and -1."""
    return jnp.asarray(rng.choice([-1, 1], (count, n_sites)), jnp.int8)


def evaluate(model, sigma):
    """log psi of many configurations."""
    return np.asarray(eqx.filter_jit(lambda m, s: jax.vmap(m)(s))(model, sigma))


def reference_log_cosh(z):
    """log cosh of one Python complex number: exact where |Re z| is moderate, its asymptotic series where it is not."""
    if abs(z.real) < 20:
        return cmath.log(cmath.cosh(z))
    z = z if z.real > 0 else -z
    return z - cmath.log(2) + cmath.exp(-2 * z)


def points(rng):
    """Numbers of all sizes, near the zeros of cosh (i pi/2 + i k pi), on both axes, and at |Re z| = 50 and 700."""
    plain = rng.normal(size=200) * 2 + 1j * rng.normal(size=200) * 4
    zeros = 1j * np.pi * (rng.integers(-3, 3, 40) + 0.5) + 1e-6 * (rng.normal(size=40) + 1j * rng.normal(size=40))
    small = 1e-7 * (rng.normal(size=40) + 1j * rng.normal(size=40))
    large = rng.choice([-700, -50, 50, 700], 40) + 1j * rng.normal(size=40) * 3
    axes = np.array([0, 1.3, -1.3, 1.3j, -1.3j, 2.9j])
    return np.concatenate([plain, zeros, small, large, axes]).astype(complex)


def test_log_cosh_is_accurate(getkey):
    z = points(np.random.default_rng(1))
    expected = np.array([reference_log_cosh(complex(value)) for value in z])
    ours = np.asarray(jax.jit(log_cosh)(jnp.asarray(z)))
    np.testing.assert_allclose(ours.real, expected.real, atol=1e-15, rtol=1e-9)
    np.testing.assert_allclose(np.exp(1j * ours.imag), np.exp(1j * expected.imag), atol=1e-9)
    moderate = np.abs(z.real) < 20
    away = moderate & (np.abs(np.cosh(z)) > 1e-3)
    np.testing.assert_allclose(np.exp(ours[away]), np.cosh(z[away]), rtol=2e-14)
    single = np.asarray(jax.jit(log_cosh)(jnp.asarray(z[away], jnp.complex64)))
    assert single.dtype == np.complex64
    np.testing.assert_allclose(np.exp(single), np.cosh(z[away].astype(np.complex64)), rtol=3e-4)


def test_the_derivative_of_log_cosh_is_tanh():
    z = points(np.random.default_rng(2))
    _, forward = jax.jit(lambda v: jax.jvp(log_cosh, (v,), (jnp.ones_like(v),)))(jnp.asarray(z))
    np.testing.assert_allclose(forward, np.where(np.abs(z.real) > 300, np.sign(z.real), np.tanh(z)), rtol=1e-8)
    assert forward[-6] == 0 and np.all(np.isfinite(forward))  # at z = 0

    plain = jnp.asarray(z[:200])
    parts = lambda x, y: sum_log_cosh(x, y)
    for component in (0, 1):
        slope = jax.jit(jax.grad(lambda x, y, c=component: parts(x, y)[c], argnums=(0, 1)))(plain.real, plain.imag)
        tanh = np.tanh(np.asarray(plain))
        expected = (tanh.real, -tanh.imag) if component == 0 else (tanh.imag, tanh.real)
        np.testing.assert_allclose(slope[0], expected[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(slope[1], expected[1], rtol=1e-9, atol=1e-12)
    h, x, y = 1e-5, 0.3, -0.7
    slope = (log_cosh(jnp.asarray(complex(x + h, y))) - log_cosh(jnp.asarray(complex(x - h, y)))) / (2 * h)
    np.testing.assert_allclose(slope, np.tanh(x + 1j * y), rtol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 7, 32, 129])
def test_the_sum_of_log_cosh_equals_the_sum_of_its_terms(size):
    rng = np.random.default_rng(size)
    x, y = rng.normal(size=size) * 3, rng.normal(size=size) * 3
    real, imag = jax.jit(sum_log_cosh)(jnp.asarray(x), jnp.asarray(y))
    expected = sum(reference_log_cosh(complex(a, b)) for a, b in zip(x, y, strict=True))
    np.testing.assert_allclose(real, expected.real, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.exp(1j * np.asarray(imag)), np.exp(1j * expected.imag), atol=1e-12)


def test_the_sum_of_log_cosh_neither_underflows_nor_fails_at_a_zero():
    many = jax.jit(sum_log_cosh)(
        jnp.full(300, 0.0), jnp.full(300, np.pi / 2 - 1e-3)
    )  # the plain product would underflow
    np.testing.assert_allclose(many[0], 300 * np.log(np.sin(1e-3)), rtol=1e-12)
    nothing = jax.jit(sum_log_cosh)(jnp.zeros(2, jnp.float32), jnp.asarray([1.0, np.pi / 2], jnp.float32))
    assert np.isfinite(nothing[1]) and nothing[0] < -15


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("n_sites, total_sz", [(6, 0), (7, 0.5), (10, -2)])
def test_a_log_table_returns_its_vector(n_sites, total_sz, kind):
    rng = np.random.default_rng(n_sites)
    basis = SpinBasis(n_sites, total_sz=total_sz)
    state = rng.normal(size=basis.dim) + (1j * rng.normal(size=basis.dim) if kind is complex else 0)
    state[3] = 0
    table = LogTable(basis, state)
    log_psi = evaluate(table, jnp.asarray(basis.configurations()))
    np.testing.assert_allclose(np.exp(log_psi), state, atol=1e-14)
    assert log_psi[3].real == -np.inf and log_psi.dtype == np.complex128
    assert count_parameters(table) == 2 * basis.dim
    outside = -basis.configurations()[:1] if total_sz else np.ones((1, n_sites), np.int8)
    assert evaluate(table, jnp.asarray(outside))[0].real == -np.inf


def test_a_log_table_differentiates_to_its_own_entry():
    basis = SpinBasis(6)
    params, static = eqx.partition(LogTable(basis), eqx.is_inexact_array)
    sigma = jnp.asarray(basis.configurations()[7])
    slope = jax.grad(lambda p: eqx.combine(p, static)(sigma).real)(params)
    np.testing.assert_array_equal(slope.real, np.arange(basis.dim) == 7)
    assert np.all(slope.imag == 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_product_state_is_a_product(dtype):
    rng = np.random.default_rng(0)
    lattice = square(4)
    sigma = configurations(16, 5, rng)
    for share, cells in (("site", 16), ("neel", 2), ("stripe", 2)):
        model = randomised(MeanField(lattice, share=share, dtype=dtype, key=jax.random.key(0)), rng)
        assert count_parameters(model) == 2 * cells
        field = np.asarray(model.real) + 1j * np.asarray(model.imag)
        label = np.arange(16) if share == "site" else (1 - lattice.order(share)) // 2
        expected = [np.prod([np.exp(field[label[i]] * s) for i, s in enumerate(row)]) for row in np.asarray(sigma)]
        np.testing.assert_allclose(
            np.exp(evaluate(model, sigma)), expected, rtol=1e-4 if dtype == jnp.float32 else 1e-12
        )


@pytest.mark.parametrize("lattice, distances", [(square(4), 5), (rectangle(4, 6), 8), (chain(9), 4), (tilted(18), 5)])
def test_jastrow_shares_couplings_by_distance(lattice, distances):
    rng = np.random.default_rng(0)
    model = randomised(Jastrow(lattice, dtype=jnp.float64, key=jax.random.key(0)), rng)
    assert count_parameters(model) == distances
    sigma = configurations(lattice.n_sites, 4, rng)
    log_psi = evaluate(model, sigma)
    assert np.all(log_psi.imag == 0) and np.std(log_psi.real) > 0.1
    for group in (lattice.translations(), lattice.point_group()):
        images = jax.vmap(group.apply)(sigma).reshape(-1, lattice.n_sites)
        np.testing.assert_allclose(evaluate(model, images).reshape(4, -1).T, np.tile(log_psi, (group.n_elements, 1)))


def test_jastrow_is_its_pair_sum():
    rng = np.random.default_rng(3)
    n = 8
    model = randomised(Jastrow(ladder(4, periodic=False), share="pair", dtype=jnp.float64, key=jax.random.key(0)), rng)
    assert count_parameters(model) == n * (n - 1) // 2
    sigma = configurations(n, 3, rng)
    coupling = np.zeros((n, n))
    coupling[np.triu_indices(n, 1)] = model.coupling
    np.testing.assert_allclose(evaluate(model, sigma), [s @ coupling @ s for s in np.asarray(sigma, float)], atol=1e-12)
    assert count_parameters(Jastrow(ladder(4, periodic=False), key=jax.random.key(0))) == 6  # 1 2 4 5 9 10


@pytest.mark.parametrize("n_sites, alpha", [(6, 1), (7, 3)])
def test_rbm_is_its_formula(n_sites, alpha):
    dtype = jnp.float32 if alpha == 1 else jnp.float64
    rng = np.random.default_rng(0)
    model = randomised(RBM(chain(n_sites), alpha=alpha, dtype=dtype, key=jax.random.key(0)), rng, 0.3)
    a, b, w = (
        np.asarray(x[0] + 1j * x[1], complex) for x in map(np.asarray, (model.visible, model.hidden, model.weight))
    )
    sigma = configurations(n_sites, 6, rng)
    spins = np.asarray(sigma, float)
    expected = np.exp(spins @ a) * np.prod(np.cosh(b + spins @ w.T), axis=1)
    log_psi = evaluate(model, sigma)
    assert log_psi.dtype == (np.complex64 if dtype == jnp.float32 else np.complex128)
    np.testing.assert_allclose(np.exp(log_psi), expected, rtol=1e-3 if dtype == jnp.float32 else 1e-10)
    assert count_parameters(model) == 2 * (n_sites + alpha * n_sites * (1 + n_sites))


@pytest.mark.parametrize("make", [RBM, Jastrow, MeanField])
def test_extreme_parameters_give_finite_amplitudes_and_slopes(make, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    model = randomised(make(square(4), dtype=dtype, key=jax.random.key(0)), rng, 1e3)
    sigma = configurations(16, 20, rng)
    assert np.all(np.isfinite(evaluate(model, sigma)))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    slopes = jax.jit(jax.vmap(jax.grad(lambda p, s: eqx.combine(p, static)(s).imag), (None, 0)))(params, sigma)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))


def test_refusals(key):
    with pytest.raises(ValueError, match="site, neel, stripe"):
        MeanField(square(4), share="all", key=key)
    with pytest.raises(ValueError, match="neel"):
        MeanField(chain(5), share="neel", key=key)
    with pytest.raises(ValueError, match="distance, pair"):
        Jastrow(square(4), share="all", key=key)
    with pytest.raises(ValueError, match="alpha"):
        RBM(square(4), alpha=0, key=key)
    for make in (MeanField, Jastrow, RBM):
        with pytest.raises(ValueError, match="parameters are real"):
            make(square(4), dtype=jnp.complex64, key=key)
    with pytest.raises(ValueError, match="float16"):
        check_dtype("float16")
    with pytest.raises(ValueError, match="two real arrays"):
        count_parameters({"weight": jnp.zeros(3, complex)})


def test_log_table_refuses():
    basis = SpinBasis(6)
    broken = [
        (basis, np.ones(3), "20 finite"),
        (basis, np.full(20, np.nan), "finite"),
        (types.SimpleNamespace(states=np.array([3, 1], np.uint64), n_sites=2), None, "ascending"),
        (types.SimpleNamespace(states=basis.states, n_sites=6, sector=Sector(flip=1)), None, "sector"),
    ]
    for given, state, message in broken:
        with pytest.raises(ValueError, match=message):
            LogTable(given, state)
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="enable_x64"):
            LogTable(basis, dtype=jnp.float32)
        with pytest.raises(ValueError, match="enable_x64"):
            RBM(chain(4), dtype=jnp.float64, key=jax.random.key(0))
