"""How fast: 1/t against 1/t^2 for linear attention, critical damping to a Gaussian, a stiff bowl with attention."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import Cases, error
from scipy.integrate import solve_ivp
from scipy.optimize import curve_fit

from nqs_lab import flows


def linear_closure(a, q, damping):
    return flows.Closure(flows.linear_flow(a, -q, damping))


@pytest.mark.parametrize("values", [[1.0], [0.7, 1.0, 1.5]])
def test_inertia_turns_one_over_t_into_one_over_t_squared(values):
    """T10: V = -Q, alpha = 3/t: s t^2 a q / 2 in [0.9, 1.1] for t >= 40; gradient flow s0 / (1 + 2 a q s0 t)."""
    d = len(values)
    a, q, s0 = 0.8 * np.eye(d), np.diag(values), np.eye(d)
    closure = linear_closure(a, q, flows.Damping(3))
    t, states = flows.integrate(closure, closure.init(jnp.zeros(d), jnp.asarray(s0)), 1.0, 0.05, 3200, every=40)
    t, s = np.asarray(t), np.asarray(states.covariance)[:, range(d), range(d)]
    scaled = s * (t[:, None] ** 2 * 0.8 * np.array(values) / 2)
    assert np.all(np.abs(scaled[t >= 40] - 1) < 0.1), scaled[t >= 40]
    late = t >= 40
    slope = np.polyfit(np.log(t[late]), np.log(s[late]), 1)[0]
    assert np.all(np.abs(slope + 2) < 0.1), slope
    slow = flows.Closure(flows.overdamped(closure.flow))
    u, states = flows.integrate(slow, slow.init(jnp.zeros(d), jnp.asarray(s0)), 0.0, 0.02, 8000, every=80)
    s = np.asarray(states.covariance)[:, range(d), range(d)]
    exact = np.stack([flows.collapse(u, 0.8, value, 1.0) for value in values], axis=1)
    assert error(s, exact) < 1e-8
    late = np.asarray(u) >= 40
    slope = np.polyfit(np.log(np.asarray(u)[late]), np.log(s[late]), 1)[0]
    assert np.all(np.abs(slope + 1) < 0.05), slope


@pytest.mark.parametrize("r", [2.0, 3.0, 5.0])
def test_the_attractor_solves_the_equation_for_every_friction(r):
    """T10: s = (r - 1) / (a q t^2) solves u'' + (r/t) u' = -2 a q e^u, and DOP853 from elsewhere finds it."""
    a, q = jnp.asarray(0.7), jnp.asarray(1.4)
    mode = flows.LogMode(a, -q, flows.Damping(r))
    u = lambda t: jnp.log(flows.accelerated_collapse(t, a, q, r))
    t = jnp.asarray(3.7)
    change, second = jax.jit(lambda t: (mode(t, (u(t), jax.grad(u)(t)))[1], jax.grad(jax.grad(u))(t)))(t)
    assert float(change) == pytest.approx(float(second), rel=1e-11)
    field = jax.jit(lambda t, w: jnp.stack(mode(t, (w[0], w[1]))))
    done = solve_ivp(field, (1, 200), [0.3, 0.0], method="DOP853", rtol=1e-10, atol=1e-12, t_eval=[100, 200])
    ratio = np.exp(done.y[0]) / np.asarray(flows.accelerated_collapse(jnp.asarray([100.0, 200.0]), a, q, r))
    assert np.all(np.abs(ratio - 1) < (0.25 if r < 3 else 0.05)), ratio
    with pytest.raises(ValueError, match="c_log must be > 1"):
        flows.accelerated_collapse(t, a, q, 1)


def test_constant_friction_is_no_faster_and_none_escapes():
    """Constant alpha: s ~ alpha / (2 a q t), still 1/t. No friction at all: exponential, at constant energy."""
    mode = lambda damping: flows.LogMode(jnp.asarray(1.0), jnp.asarray(-1.0), damping)
    start = (jnp.asarray(0.0), jnp.asarray(0.0))
    t, (u, _) = flows.integrate(mode(flows.Damping(0, 1.0)), start, 0.0, 0.02, 8000, every=400)
    assert abs(float(jnp.exp(u[-1]) * 2 * t[-1]) - 1) < 0.06
    t, (u, rate) = flows.integrate(mode(flows.Damping()), start, 0.0, 0.005, 4000, every=200)
    energy = np.exp(u) / 2 + np.asarray(rate) ** 2 / 8  # q s / 2 + u'^2 / (8 a)
    np.testing.assert_allclose(energy, energy[0], rtol=1e-8)
    late = np.polyfit(np.asarray(t)[-5:], np.asarray(u)[-5:], 1)[0]
    assert late == pytest.approx(-2.0, rel=1e-3)  # K = u'^2 / 8 has all of the energy 1/2


@pytest.mark.parametrize("a", [0.5, 2.0])
def test_critical_damping_does_not_know_the_target(a):
    """T11: all of Q = 0.1, 1, 10 decay at sqrt(2a) within 10 %, w ~ (c + c' t) e^-rate t; gradient flow at 2a."""
    target = np.diag([0.1, 1.0, 10.0])
    alpha, rate, critical = float(flows.critical_damping(a)), np.sqrt(2 * a), np.inf
    flow = flows.DampedFlow(
        flows.GaussianKL(target), flows.SteinMetric(flows.Bilinear(a * np.eye(3))), flows.Damping(0, alpha)
    )
    start = jnp.asarray(np.diag([0.13, 0.8, 12.0]))
    for closure, expected, inertia in (
        (flows.Closure(flow), rate, True),
        (flows.Closure(flows.overdamped(flow)), 2 * a, False),
    ):
        t, states = flows.integrate(closure, closure.init(jnp.zeros(3), start), 0.0, 0.01 / rate, 1600, every=16)
        w = np.log(np.asarray(states.covariance)[:, range(3), range(3)] / np.diag(target))
        t, found = np.asarray(t), []
        window = (t * expected > 3) & (t * expected < 12)
        double = lambda t, c, slope, r: np.log(np.abs(c + slope * t)) - r * t
        for k in range(3):
            logs = np.log(np.abs(w[window, k]))
            if inertia:
                found.append(curve_fit(double, t[window], logs, p0=(0.3, 0.3, expected), maxfev=20_000)[0][2])
            else:
                found.append(-np.polyfit(t[window], logs, 1)[0])
        assert np.all(np.abs(np.array(found) / expected - 1) < 0.1), found
        assert np.ptp(found) < 0.05 * expected
        if inertia:
            critical = np.abs(w[-1]).max()
    for factor in (0.5, 2.0):  # either side of the critical friction is slower
        other = flows.Closure(eqx.tree_at(lambda f: f.damping, flow, flows.Damping(0, factor * alpha)))
        _, states = flows.integrate(other, other.init(jnp.zeros(3), start), 0.0, 0.01 / rate, 1600, every=16)
        end = np.log(np.asarray(states.covariance)[-1, range(3), range(3)] / np.diag(target))
        assert np.abs(end).max() > 20 * critical


@pytest.mark.optimised
def test_inertia_pays_in_a_stiff_bowl_with_attention():
    """T12: x.diag(0.01, 1)x / 2 in the softmax metric, A = eps, B = 1, alpha = 0.2, N = 16: time to 1e-3 U(0)."""
    seeds, h, steps = 5, 0.05, 10_000
    # about equal energies in the soft and in the stiff direction
    x = jnp.asarray(np.stack([Cases(41, seed).rng.normal(size=(16, 2)) * [1, 0.1] for seed in range(seeds)]))
    bowl, rk4 = flows.Quadratic(np.diag([0.01, 1.0])), flows.RungeKutta()
    record = lambda state: bowl(state.x)

    @eqx.filter_jit
    def hits(flow):
        def one(x):
            state = rk4.init(flow, x)
            energies = flows.simulate(rk4, flow, state, h, steps, record=record).records
            return h * jnp.argmax(energies < 1e-3 * energies[0]).astype(x.dtype), jnp.any(energies < 1e-3 * energies[0])

        return jax.vmap(one)(x)

    for eps in (0.0, 0.05, 0.2):
        metric = flows.SoftmaxMetric(eps * np.eye(2), np.eye(2))
        slow, there = hits(flows.GradientFlow(bowl, metric))
        fast, also = hits(flows.DampedFlow(bowl, metric, flows.Damping(0, 0.2)))
        assert np.all(there) and np.all(also)
        print(eps, np.asarray(slow), np.asarray(fast))
        assert np.all(np.asarray(fast) < 0.75 * np.asarray(slow)), (slow, fast)
        if eps == 0:
            soft = 0.01 * np.sum(np.asarray(x)[:, :, 0] ** 2, axis=1)
            share = soft / (soft + np.sum(np.asarray(x)[:, :, 1] ** 2, axis=1))
            np.testing.assert_allclose(slow, np.log(1000 * share) / 0.02, atol=0.1)
