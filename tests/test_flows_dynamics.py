"""Dissipation, the first acceleration, friction without friction, and flows whose solution is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import Cases, compiled, error, reference
from scipy.integrate import simpson

from nqs_lab import flows
from nqs_lab.flows.dynamics import vector_field


def softmax(cases, n, d, damping=None):
    x, y = cases.tokens(n, d), cases.tokens(n, d)
    return flows.softmax_flow(cases.symmetric(d), cases.positive(d), damping), x, y


@pytest.mark.parametrize("n, d", [(4, 3), (8, 3), (16, 2)])
def test_from_rest_attention_is_a_force_whatever_n(n, d):
    """T3: X''(0) = attention(X) where Y = 0; with sums in place of means it is n^2 times that."""
    cases = Cases(11, n, d)
    flow, x, _ = softmax(cases, n, d)
    a, b = flow.metric.a, flow.metric.b

    def acceleration(velocity, force, x):
        y = jnp.zeros_like(x)
        return jax.jvp(velocity, (x, y), (velocity(x, y), force(x, y)))[1]

    def summed(x, y):
        m = jnp.exp(x @ a @ x.T)
        kinetic = n * jnp.sum(jnp.sum(y * (y @ b), axis=1) / jnp.sum(m, axis=1)) / 2
        return kinetic - n * jnp.sum(m) / 2

    def values(x):
        mean = acceleration(flow.velocity, flow.force, x)
        by_sum = acceleration(jax.grad(summed, argnums=1), lambda x, y: -jax.grad(summed)(x, y), x)
        twice = acceleration(flow.velocity, flow.force, jnp.concatenate([x, x]))
        return mean, by_sum, twice, flows.softmax_attention(x, a, b @ a)

    mean, by_sum, twice, attention = compiled(values, x)
    assert error(mean, attention) < 1e-12
    assert error(twice, jnp.concatenate([attention, attention])) < 1e-12  # the same cloud with twice the tokens
    assert error(by_sum, n**2 * attention) < 1e-10 and error(by_sum, attention) > 1


@pytest.mark.parametrize("n, d", [(7, 3), (16, 2)])
@pytest.mark.parametrize("sphere", [False, True], ids=["R^d", "sphere"])
def test_attention_dissipates_its_energy(n, d, sphere):
    """T4: dU/dt = -sum_i z_i x_i' . B^-1 x_i' along the gradient flow, and U falls step by step."""
    cases = Cases(12, n, d)
    flow, x, _ = softmax(cases, n, d)
    descent = flows.overdamped(flow)
    if sphere:
        descent = flows.GradientFlow(flow.energy, flows.Sphere(flow.metric))
        x = x / jnp.linalg.norm(x, axis=1, keepdims=True)

    def values(descent, x):
        energy, velocity = descent.energy, descent.velocity(x, x)
        rate = jax.jvp(energy, (x,), (velocity,))[1]
        z, inverse = flow.metric.normaliser(x), jnp.linalg.inv(flow.metric.b)
        cost = -jnp.sum(z * velocity * (velocity @ inverse))
        return rate, cost, -2 * descent.metric.kinetic(x, energy.force(x))

    rate, cost, kinetic = compiled(values, descent, x)
    assert float(rate) < 0 and float(kinetic) == pytest.approx(float(rate), rel=1e-11)
    if not sphere:  # on the sphere P B P is not invertible
        assert float(cost) == pytest.approx(float(rate), rel=1e-11)
    rk4 = flows.RungeKutta()
    run = flows.simulate(rk4, descent, rk4.init(descent, x), 0.02, 50, record=lambda state: descent.energy(state.x))
    assert np.all(np.diff(run.records) < 0) and int(run.refused) == 0


CASES = {
    "softmax": lambda c, d, damping: flows.softmax_flow(c.symmetric(d), c.positive(d), damping),
    "linear": lambda c, d, damping: flows.linear_flow(c.positive(d), c.symmetric(d), damping, offset=1),
    "sphere": lambda c, d, damping: flows.DampedFlow(
        flows.Interaction(c.symmetric(d)), flows.Sphere(flows.SoftmaxMetric(c.symmetric(d), c.positive(d))), damping
    ),
}


@pytest.mark.parametrize("n, d", [(6, 2), (9, 3)])
@pytest.mark.parametrize("name", CASES)
def test_friction_takes_out_two_alpha_k(name, n, d):
    """T5: dH/dt + 2 alpha K = 0, pointwise; integrated along RK4 the defect is of fourth order."""
    cases = Cases(13, n, d)
    flow = CASES[name](cases, d, flows.Damping(3, 0.2, start=5))
    x, y = flow.retract(cases.tokens(n, d), cases.tokens(n, d))
    t = jnp.asarray(1.7)

    def pointwise(flow, x, y):
        slopes = vector_field(flow)(t, (x, y))
        power = lambda slopes: jax.jvp(flow.hamiltonian, (x, y), slopes)[1]
        wrong = slopes[0], slopes[1] - 2 * flow.metric.tangent(x, flow.energy.force(x))  # the potential's sign turned
        return power(slopes), -2 * flow.damping(t) * flow.metric.kinetic(x, y), power(wrong)

    change, loss, wrong = compiled(pointwise, flow, x, y)
    assert abs(float(wrong - loss)) > 1e-2 * abs(float(loss))
    assert abs(float(change - loss)) < 1e-11 * abs(float(loss))
    if name == "sphere":  # there RK4 leaves the sphere and is put back, which costs energy at its own order
        return
    rk4, defects = flows.RungeKutta(), []
    record = lambda s: (flow.hamiltonian(s.x, s.y), 2 * flow.damping(s.time) * flow.metric.kinetic(s.x, s.y))
    for steps in (30, 60, 120):  # to the time 0.6; always 120 steps, so that one program does
        run = flows.simulate(rk4, flow, rk4.init(flow, x / 2, y / 2), 0.6 / steps, 120, record=record)
        h, power = (np.asarray(r)[: steps + 1] for r in run.records)
        defects.append(abs(h[-1] - h[0] + simpson(power, dx=0.6 / steps)))
    assert defects[1] < 1e-9 * max(1, abs(h[0])), defects
    assert all(10 < a / b < 20 for a, b in zip(defects, defects[1:], strict=False)), defects


@pytest.mark.parametrize("n, d", [(3, 2), (7, 3)])
def test_a_rescaled_momentum_feels_no_friction(n, d):
    """Pi = e^eta Y follows from e^eta H(X, e^-eta Pi): Pi' = e^eta G."""
    cases = Cases(14, n, d)
    flow, x, momentum = softmax(cases, n, d, flows.Damping(3, 0.2))
    t = jnp.asarray(1.9)

    def values(flow, x, momentum):
        scale = jnp.exp(flow.damping.integral(t))
        by_x, by_momentum = jax.grad(flow.scaled_hamiltonian, argnums=(1, 2))(t, x, momentum)
        y = momentum / scale
        return by_momentum, flow.velocity(x, y), -by_x, scale * flow.force(x, y), flow.force(x, y)

    velocity, f, force, scaled, unscaled = compiled(values, flow, x, momentum)
    assert error(velocity, f) < 1e-11 and error(force, scaled) < 1e-11 and error(force, unscaled) > 1


@pytest.mark.parametrize("n, d", [(5, 2), (8, 3)])
def test_large_friction_is_the_gradient_flow(n, d):
    """With alpha constant and time counted in 1/alpha the tokens follow attention, up to 1/alpha^2."""
    gaps = []
    for alpha in (15.0, 30.0):
        cases = Cases(15, n, d)
        flow, x, _ = softmax(cases, n, d, flows.Damping(0, alpha))
        slow = flows.overdamped(flow)
        # the momentum that the force and friction balance, so that no boundary layer is left
        y = flow.energy.force(x) / alpha
        fast = reference(flow, x, y, 1.0, 1.0 + alpha * 0.4)[0]
        gaps.append(error(fast, reference(slow, x, jnp.zeros_like(x), 1.0, 1.4)[0]))
    assert gaps[0] < 0.03 and 3 < gaps[0] / gaps[1] < 5, gaps


def test_a_single_token_escapes_as_it_must():
    """T19: softmax x0 e^t; linear attention x0 / sqrt(1 - 2 x0^2 t), until 0.9 of the blow-up. N = 1, A = B = V = 1."""
    one, x0, rk4 = np.eye(1), jnp.asarray([[0.8]]), flows.RungeKutta()
    escape = flows.overdamped(flows.softmax_flow(one, one))
    end = flows.simulate(rk4, escape, rk4.init(escape, x0), 0.005, 200).state.x
    assert error(end, x0 * np.e) < 1e-8
    blow = flows.overdamped(flows.linear_flow(one, one))
    last = 1 / (2 * 0.8**2)
    run = flows.simulate(rk4, blow, rk4.init(blow, x0), last * 0.9 / 4000, 4000, every=100)
    t = last * 0.9 * np.linspace(0, 1, 41)
    assert error(run.records[:, 0, 0], 0.8 / np.sqrt(1 - 2 * 0.8**2 * t)) < 1e-6
    # beyond it there is nothing to find: the step that overflows is refused, and the run says so
    run = flows.simulate(rk4, blow, rk4.init(blow, x0), last / 100, 400)
    assert int(run.refused) > 0 and np.all(np.isfinite(run.state.x))


@pytest.mark.parametrize("rule, gain", [("energy", 1e3), ("speed", 10)])
def test_restarts_help_on_an_ill_conditioned_bowl(rule, gain):
    """Nesterov's friction with restarts ends far below the same friction without."""
    bowl = flows.DampedFlow(flows.Quadratic(np.diag([0.01, 1.0])), flows.Flat(np.eye(2)), flows.Damping(3))
    x = jnp.asarray([[1.0, 1.0], [-0.5, 0.7]])
    plain = flows.KickDampDrift()
    restarted = flows.Restarted(plain, rule)
    record = lambda state: (bowl.energy(state.x), state.age, state.time)
    ends = [flows.simulate(s, bowl, s.init(bowl, x), 0.1, 2000, record=record) for s in (plain, restarted)]
    energy, age, time = (np.asarray(r) for r in ends[1].records)
    assert gain * energy[-1] < float(ends[0].records[0][-1])
    resets = np.flatnonzero(np.diff(age) < 0)
    assert len(resets) > 1 and np.all(age[resets + 1] == 1) and np.all(np.diff(time) > 0)
    assert ends[1].oracle_calls == 4000 and ends[0].oracle_calls == 2000
    with pytest.raises(ValueError, match="rule must be"):
        flows.Restarted(plain, "luck")
