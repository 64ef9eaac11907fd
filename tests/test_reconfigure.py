"""SR, minSR and SPRING against finite differences, autodiff and explicit dense solves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM
from nqs_lab.spins.exact import matrix
from nqs_lab.vmc.batching import log_amplitudes
from nqs_lab.vmc.reconfigure import (
    LinearSystem,
    apply,
    apply_transpose,
    centred_system,
    energy_gradient,
    kernel,
    log_derivatives,
    metric,
    trace,
)  # fmt: skip


def dense(system):
    """X and eps as plain NumPy arrays, by the definition."""
    jacobian, root = np.asarray(system.jacobian, float), np.asarray(system.root_weight)
    mean = np.einsum("s,scp->cp", root**2, jacobian)
    return ((jacobian - mean) * root[:, None, None]).reshape(-1, jacobian.shape[2]), np.asarray(system.eps).reshape(-1)


def random_system(key, size, components, parameters, dtype=jnp.float64):
    """A system with random rows of unequal weight and a large common mean."""
    keys = jax.random.split(key, 3)
    jacobian = 2 + jax.random.normal(keys[0], (size, components, parameters), dtype)
    weights = jax.random.uniform(keys[1], (size,), jnp.float64, 0.1, 1.0)
    e_loc = jax.lax.complex(*jax.random.normal(keys[2], (2, size), jnp.float64))
    return centred_system(jacobian, e_loc, weights / jnp.sum(weights))


def exact_case(key, n_sites=8, alpha=2):
    """An RBM on all configurations of a ring, with weights and local energies."""
    lattice = nl.chain(n_sites)
    ham, basis = nl.j1j2(lattice, j2=0.4), nl.SpinBasis(lattice)
    model = RBM(lattice, alpha=alpha, dtype=jnp.float64, key=key)
    model = jax.tree.map(lambda x: 4 * x if jnp.issubdtype(x.dtype, jnp.inexact) else x, model)
    sigma, h = jnp.asarray(basis.configurations()), matrix(ham, basis)
    psi = np.exp(np.asarray(log_amplitudes(model, sigma, 128)))
    weights = np.abs(psi) ** 2 / np.sum(np.abs(psi) ** 2)
    return model, sigma, h, jnp.asarray(h @ psi / psi), jnp.asarray(weights)


@pytest.mark.parametrize("chunk", [1, 16, 33, 1000])
def test_log_derivatives_equal_forward_mode(chunk, key):
    model, sigma, *_ = exact_case(key, 6)
    keep = jnp.ones(len(sigma), bool).at[3].set(False)
    jacobian = log_derivatives(model, sigma, keep, chunk_size=chunk)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)
    forward = jax.jacfwd(lambda p: jax.vmap(eqx.combine(unravel(p), static))(sigma))(flat)
    expected = np.stack([forward.real, forward.imag], axis=1)
    expected[3] = 0
    np.testing.assert_allclose(jacobian, expected, atol=1e-12)
    real = log_derivatives(model, sigma, keep, mode="real", chunk_size=chunk)
    np.testing.assert_allclose(real, expected[:, :1], atol=1e-12)


@pytest.mark.parametrize("n_sites", [6, 8])
def test_energy_gradient_is_2_x_eps_and_the_finite_difference(n_sites, key):
    model, sigma, h, e_loc, weights = exact_case(key, n_sites)
    system = centred_system(log_derivatives(model, sigma, weights > 0), e_loc, weights)
    gradient = 2 * apply_transpose(system, system.eps)
    direct = energy_gradient(model, sigma, e_loc, weights, chunk_size=13)
    np.testing.assert_allclose(gradient, direct, rtol=1e-10, atol=1e-12)

    params, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)

    def energy(theta):
        psi = np.exp(np.asarray(log_amplitudes(eqx.combine(unravel(theta), static), sigma, 512)))
        return (np.vdot(psi, h @ psi) / np.vdot(psi, psi)).real

    step = 1e-5
    for k in np.random.default_rng(0).choice(flat.size, 12, replace=False):
        shift = step * jnp.zeros_like(flat).at[k].set(1.0)
        difference = (energy(flat + shift) - energy(flat - shift)) / (2 * step)
        assert float(gradient[k]) == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize(("size", "components", "parameters"), [(5, 2, 3), (40, 2, 9), (70, 1, 1500), (33, 2, 2100)])
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_products_equal_the_dense_ones(size, components, parameters, dtype, key):
    system = random_system(key, size, components, parameters, dtype)
    x, eps = dense(system)
    tolerance = {"rtol": 1e-11, "atol": 1e-11} if dtype == jnp.float64 else {"rtol": 2e-3, "atol": 2e-4}
    np.testing.assert_allclose(kernel(system), x @ x.T, **tolerance)
    np.testing.assert_allclose(metric(system), x.T @ x, **tolerance)
    np.testing.assert_allclose(apply_transpose(system, system.eps), x.T @ eps, **tolerance)
    vector = jax.random.normal(key, (parameters,), jnp.float64)
    np.testing.assert_allclose(apply(system, vector).reshape(-1), x @ np.asarray(vector), **tolerance)
    np.testing.assert_allclose(trace(system), np.sum(x * x), rtol=1e-10 if dtype == jnp.float64 else 1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("shift", [1e-3, 1e-1])
@pytest.mark.parametrize(("size", "parameters"), [(30, 100), (100, 30)])
def test_minsr_equals_sr_equals_the_explicit_metric(momentum, shift, size, parameters, key):
    system = random_system(key, size, 2, parameters)
    previous = jax.random.normal(key, (parameters,), jnp.float64)
    x, eps = dense(system)
    step = jnp.asarray(0)
    explicit = np.linalg.solve(
        x.T @ x + shift * np.eye(parameters), x.T @ eps + shift * momentum * np.asarray(previous)
    )
    for form in ("dual", "primal"):
        for solver in ("cholesky", "eigh"):
            sr = nl.SR(shift, momentum=momentum, form=form, solver=solver)
            ours, info = sr.direction(system, previous if momentum else None, step)
            assert np.linalg.norm(ours - explicit) < 1e-9 * np.linalg.norm(explicit), (form, solver)
            assert not bool(info.fallback)
    schedule = nl.SR(lambda step: shift + 0.0 * step, momentum=momentum)
    np.testing.assert_allclose(schedule.direction(system, previous if momentum else None, step)[0], explicit, rtol=1e-8)


def test_a_small_step_along_the_direction_lowers_the_energy_like_imaginary_time(key):
    """theta -> theta - tau x changes E by -2 tau (F.x) to first order."""
    model, sigma, h, e_loc, weights = exact_case(key)
    system = centred_system(log_derivatives(model, sigma, weights > 0), e_loc, weights)
    x, _ = nl.SR(1e-4).direction(system, None, jnp.asarray(0))
    flat, unravel = ravel_pytree(eqx.filter(model, eqx.is_inexact_array))

    def energy(tau):
        moved = eqx.combine(unravel(flat - tau * x), eqx.filter(model, eqx.is_inexact_array, inverse=True))
        psi = np.exp(np.asarray(log_amplitudes(moved, sigma, 512)))
        return (np.vdot(psi, h @ psi) / np.vdot(psi, psi)).real

    tau = 1e-5
    expected = -2 * float(apply_transpose(system, system.eps) @ x)
    assert expected < 0
    assert (energy(tau) - energy(-tau)) / (2 * tau) == pytest.approx(expected, rel=1e-5)


def test_meaning_of_zero_variance_zero_jacobian_and_zero_shift(key):
    size, parameters = 20, 7
    system = random_system(key, size, 2, parameters)
    still = LinearSystem(system.jacobian, system.mean, system.root_weight, jnp.zeros_like(system.eps))
    flat = LinearSystem(jnp.zeros_like(system.jacobian), jnp.zeros_like(system.mean), system.root_weight, system.eps)
    for form in ("dual", "primal"):
        for shift in (1e-3, 0.0):
            for case in (still, flat):
                x, _ = nl.SR(shift, form=form).direction(case, None, jnp.asarray(0))
                np.testing.assert_array_equal(x, np.zeros(parameters))
        x, eps = dense(system)
        least_squares = np.linalg.lstsq(x, eps, rcond=None)[0]
        np.testing.assert_allclose(
            nl.SR(0.0, form=form).direction(system, None, jnp.asarray(0))[0], least_squares, rtol=1e-8
        )


def test_cholesky_falls_back_to_eigh_on_an_indefinite_matrix():
    """Rows whose products overflow the shift: duplicated rows at a shift below rounding."""
    jacobian = jnp.repeat(1e8 * jax.random.normal(jax.random.key(0), (8, 1, 400), jnp.float64), 8, axis=0)
    weights = jnp.full((64,), 1 / 64)
    e_loc = jax.random.normal(jax.random.key(1), (64,), jnp.float64).astype(jnp.complex128)
    x, info = nl.SR(1e-12, mode="real").direction(centred_system(jacobian, e_loc, weights), None, jnp.asarray(0))
    assert bool(info.fallback) and bool(jnp.all(jnp.isfinite(x)))


def test_non_finite_input_stays_visible(key):
    system = random_system(key, 10, 2, 5)
    broken = LinearSystem(system.jacobian.at[0].set(jnp.nan), system.mean, system.root_weight, system.eps)
    x, _ = nl.SR(1e-3).direction(broken, None, jnp.asarray(0))
    assert not bool(jnp.all(jnp.isfinite(x)))


def test_the_float32_kernel_is_taken_only_where_the_shift_dominates(key):
    """A float32 system whose float32 kernel is indefinite at a small shift, and harmless at a large one."""
    jacobian = jax.random.normal(key, (150, 2, 40), jnp.float32) @ jax.random.normal(key, (40, 3000), jnp.float32)
    weights = jnp.full((150,), 1 / 150)
    e_loc = jax.random.normal(key, (150,), jnp.float64).astype(jnp.complex128)
    system = centred_system(jacobian, e_loc, weights)
    step = jnp.asarray(0)
    for shift, single in ((1e-3, False), (1e3, True)):
        x, info = nl.SR(shift).direction(system, None, step)
        exact, _ = nl.SR(shift, kernel_dtype="float64").direction(system, None, step)
        assert bool(info.float32) is single and not bool(info.fallback)
        assert np.linalg.norm(x - exact) < 1e-3 * np.linalg.norm(exact)
    forced, info = nl.SR(1e-3, kernel_dtype="float32").direction(system, None, step)
    exact, _ = nl.SR(1e-3, kernel_dtype="float64").direction(system, None, step)
    assert bool(info.fallback) or np.linalg.norm(forced - exact) > 0.01 * np.linalg.norm(exact), "the control"


def test_refusals():
    for arguments, message in [
        ({"diag_shift": -1e-3}, "diag_shift must be a number >= 0"),
        ({"diag_shift": float("nan")}, "diag_shift"),
        ({"momentum": 1.0}, "momentum"),
        ({"mode": "holomorphic"}, "mode must be one of complex, real"),
        ({"form": "triple"}, "form"),
        ({"solver": "cg"}, "solver"),
        ({"kernel_dtype": "float16"}, "kernel_dtype"),
    ]:
        with pytest.raises(ValueError, match=message):
            nl.SR(**arguments)
