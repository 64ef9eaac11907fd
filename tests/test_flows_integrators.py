"""Orders of the schemes, what they preserve, what they cost, and long runs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import Cases, compiled, error, reference

from nqs_lab import flows

LINEAR, SOFTMAX = "linear", "softmax"
SCHEMES = {
    "Euler": flows.Euler(),
    "exponential Euler": flows.ExponentialEuler(),
    "kick-damp-drift": flows.KickDampDrift(),
    "AB2": flows.AdamsBashforth(),
    "exponential AB2": flows.ExponentialAdamsBashforth(),
    "exponential AB2, published drift": flows.ExponentialAdamsBashforth("new-momentum"),
    "Strang": flows.Strang(rotation=5.0),
}
FIRST = {"exponential AB2, published drift"}


def case(name, n, d, damping):
    cases = Cases(21, n, d)
    x, y = cases.tokens(n, d), cases.tokens(n, d)
    if name == LINEAR:
        return flows.linear_flow(cases.positive(d), cases.symmetric(d), damping), x, y
    return flows.softmax_flow(cases.symmetric(d), cases.positive(d), damping), x, y


def ends(scheme, flow, x, y, sizes):
    """(x, y) at the end for several lists of step sizes, by one program: zero steps fill the shorter lists up."""
    longest = max(len(h) for h in sizes)
    padded = [np.concatenate([h, np.zeros(longest - len(h))]) for h in sizes]
    runs = [
        flows.simulate(scheme, flow, scheme.init(flow, x, y), jnp.asarray(h), longest, every=longest) for h in padded
    ]
    assert not any(int(run.refused) for run in runs)
    return [np.stack([run.state.x, run.state.y]) for run in runs]


@pytest.mark.parametrize("name, n, d", [(LINEAR, 9, 3), (SOFTMAX, 6, 2)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_measured_orders(scheme, name, n, d, cache={}):  # noqa: B006
    """T14: alpha = 3/t, t from 1 to 2, h = 0.04, 0.02, 0.01, against DOP853: slopes 1 and 2 within 0.15."""
    flow, x, y = case(name, n, d, flows.Damping(3))
    if name not in cache:
        cache[name] = reference(flow, x, y / 2, 1.0, 2.0)
    sizes = [np.full(steps, 1 / steps) for steps in (25, 50, 100)]
    errors = [error(end, cache[name]) for end in ends(SCHEMES[scheme], flow, x, y / 2, sizes)]
    slopes = np.diff(np.log2(errors[::-1]))
    order = 1 if scheme in FIRST else SCHEMES[scheme].order
    assert np.all(np.abs(slopes - order) < 0.15), (slopes, errors)


@pytest.mark.parametrize("scheme", ["AB2", "exponential AB2"])
def test_two_step_schemes_keep_their_order_on_alternating_steps(scheme):
    """Steps h, h/2, h, ...: order two with weights for variable steps; the fixed 3/2 and -1/2 lose it."""
    flow, x, y = case(LINEAR, 8, 2, flows.Damping(3))
    exact = reference(flow, x, y, 1.0, 2.0)
    sizes = [np.tile([2 / 3, 1 / 3], k) / k for k in (20, 40, 80)]
    errors = [error(end, exact) for end in ends(SCHEMES[scheme], flow, x, y, sizes)]
    assert np.all(np.diff(np.log2(errors[::-1])) > 1.8), errors

    class Fixed(type(SCHEMES[scheme])):
        def advance(self, flow, state, h):
            memory = state.memory
            memory = type(memory)(memory.first, memory.second, jnp.where(memory.known, h, memory.step), memory.known)
            return super().advance(flow, type(state)(state.x, state.y, state.time, state.age, memory), h)

    if scheme == "AB2":
        errors = [error(end, exact) for end in ends(Fixed(), flow, x, y, sizes)]
        assert np.all(np.diff(np.log2(errors[::-1])) < 1.3), errors


@pytest.mark.parametrize("c_log, c_lin", [(3, 0), (3, 0.5), (0, 4.0)])
def test_friction_with_a_constant_force_is_solved_exactly(c_log, c_lin):
    """One step of 1.5 of exponential Euler gives the momentum to 1e-11; the other schemes do not."""
    flow = flows.DampedFlow(flows.Potential(lambda x: -jnp.sum(x)), flows.Flat(np.eye(2)), flows.Damping(c_log, c_lin))
    x, y = Cases(25).tokens(3, 2), Cases(26).tokens(3, 2)
    exact = reference(flow, x, y, 1.0, 2.5)[1]
    end = lambda scheme: eqx.filter_jit(lambda f, x, y: scheme.step(f, scheme.init(f, x, y), 1.5)[0].y)(flow, x, y)
    assert error(end(flows.ExponentialEuler()), exact) < 1e-11
    assert error(end(flows.Euler()), exact) > 1e-2 and error(end(flows.KickDampDrift()), exact) > 1e-2


def jacobian(step, *arrays):
    """d(after) / d(before) of a map of several (n, d) arrays, flattened."""
    flat = jnp.concatenate([jnp.ravel(a) for a in arrays])
    split = lambda u: [part.reshape(arrays[0].shape) for part in jnp.split(u, len(arrays))]
    wrap = lambda u: jnp.concatenate([jnp.ravel(a) for a in step(*split(u))])
    return np.asarray(jax.jit(jax.jacfwd(wrap))(flat))


def omega(size):
    """The symplectic form of (positions, momenta)."""
    return np.block([[np.zeros((size, size)), np.eye(size)], [-np.eye(size), np.zeros((size, size))]])


@pytest.mark.parametrize("n, d", [(3, 2), (2, 3)])
def test_kick_damp_drift_is_conformally_symplectic_where_h_is_separable(n, d):
    """T13: J^T Omega J = sigma Omega and det J = sigma^(n d); Euler fails, and so does any x-dependent metric."""
    cases = Cases(22, n, d)
    damping, h = flows.Damping(3, 0.2), 0.1
    flat = flows.DampedFlow(flows.Quadratic(cases.positive(d)), flows.Flat(cases.positive(d)), damping)
    curved = flows.softmax_flow(cases.symmetric(d), cases.positive(d), damping)
    x, y, form = cases.tokens(n, d), cases.tokens(n, d), omega(n * d)
    sigma = float(damping.decay(jnp.asarray(1.0), jnp.asarray(h)))

    def defect(scheme, flow):
        def step(x, y):
            state, _ = scheme.step(flow, scheme.init(flow, x, y), h)
            return state.x, state.y

        j = jacobian(step, x, y)
        return np.abs(j.T @ form @ j - sigma * form).max(), np.linalg.det(j) / sigma ** (n * d) - 1

    good, volume = defect(flows.KickDampDrift(), flat)
    assert good < 1e-11 and abs(volume) < 1e-11
    assert defect(flows.Euler(), flat)[0] > 1e-3
    assert defect(flows.KickDampDrift(), curved)[0] > 1e-3


@pytest.mark.parametrize("n, d", [(3, 2), (2, 3)])
def test_the_doubled_step_is_symplectic_and_reversible(n, d):
    """T15: J^T Omega J = Omega on (x, x~, y, y~) for the non-separable H of softmax attention; back by the step -h."""
    flow, x, y = case(SOFTMAX, n, d, None)
    cases = Cases(23, n, d)
    p, q = x + 0.1 * cases.tokens(n, d), y + 0.1 * cases.tokens(n, d)
    h = jnp.asarray(0.1)

    def step(x, p, y, q):
        (x, y), (p, q) = flows.doubled_step(flow, (x, y), (p, q), h, 5.0)
        return x, p, y, q

    form = omega(2 * n * d)
    j = jacobian(step, x, p, y, q)
    assert np.abs(j.T @ form @ j - form).max() < 1e-10
    twice = lambda h: flows.doubled_step(flow, *flows.doubled_step(flow, (x, y), (p, q), h, 5.0), -h, 5.0)
    back = np.stack([np.asarray(a) for pair in compiled(twice, h) for a in pair])
    assert error(back, np.stack([x, y, p, q])) < 1e-12

    euler = lambda x, y: (x + h * flow.velocity(x, y), y + h * flow.force(x, y))
    j, form = jacobian(euler, x, y), omega(n * d)
    assert np.abs(j.T @ form @ j - form).max() > 1e-3


def test_energy_stays_near_its_value_over_a_long_run():
    """T15: no friction, 1,000 steps: with living copies |H - H0| does not grow, with Euler it does."""
    cases = Cases(24)
    metric = flows.SoftmaxMetric(0.2 * cases.symmetric(2), cases.positive(2))
    flow = flows.DampedFlow(flows.Quadratic(np.diag([1.0, 2.0])), metric)
    x, y = cases.tokens(5, 2), cases.tokens(5, 2)
    drift = {}
    for name, scheme in {"doubled": flows.Strang(rotation=5.0, keep=True), "Euler": flows.Euler()}.items():
        run = flows.simulate(
            scheme, flow, scheme.init(flow, x, y), 0.02, 1000, record=lambda s: flow.hamiltonian(s.x, s.y)
        )
        drift[name] = np.abs(np.asarray(run.records) - float(run.records[0]))
    early, late = drift["doubled"][:250].max(), drift["doubled"][750:].max()
    assert late < 2 * early and late < 0.05, (early, late)
    assert drift["Euler"][-1] > 3 * drift["Euler"][250] and drift["Euler"][-1] > 100 * late


def test_the_bill_and_the_shape_of_a_run():
    """Oracle calls, one trace for a run, records that begin at the start, step sizes of every kind."""
    flow, x, y = case(LINEAR, 5, 2, flows.Damping(3))
    calls = {name: scheme.oracle_calls for name, scheme in SCHEMES.items()}
    assert calls.pop("Strang") == 4 and set(calls.values()) == {1} and flows.RungeKutta().oracle_calls == 4
    traces = []

    def record(state):
        traces.append(1)
        return {"x": state.x, "time": state.time}

    scheme = flows.Strang()
    run = flows.simulate(scheme, flow, scheme.init(flow, x, y), 0.01, 60, record=record, every=20)
    again = flows.simulate(scheme, flow, scheme.init(flow, 2 * x, y), 0.02, 60, record=record, every=20)
    assert len(traces) == 2  # the start and the loop, once each
    assert run.oracle_calls == 240 and run.records["x"].shape == (4, 5, 2) and error(run.records["x"][0], x) == 0
    np.testing.assert_allclose(run.records["time"], [1, 1.2, 1.4, 1.6], rtol=1e-12)
    np.testing.assert_allclose(again.records["time"][-1], 2.2, rtol=1e-12)
    for bad, says in (((0.01, 50), "multiple of every"), ((jnp.ones(3), 60), "one for each")):
        with pytest.raises(ValueError, match=says):
            flows.simulate(scheme, flow, scheme.init(flow, x), *bad, every=20)
    with pytest.raises(ValueError, match="drift must be"):
        flows.ExponentialAdamsBashforth("magic")
    with pytest.raises(ValueError, match="on the sphere"):
        sphere = flows.DampedFlow(flow.energy, flows.Sphere(flow.metric))
        scheme.init(sphere, x)


def test_single_precision_stays_single():
    """A layer's dtype is not changed by step, friction or clock."""
    a, b = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)
    flow = flows.softmax_flow(a, b, flows.Damping(3, 0.1))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    for scheme in (flows.ExponentialEuler(), flows.ExponentialAdamsBashforth(), flows.Strang()):
        state = eqx.filter_jit(lambda flow, x, s=scheme: s.step(flow, s.init(flow, x), 0.1)[0])(flow, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} <= {jnp.dtype("float32"), jnp.dtype("bool")}


@pytest.mark.parametrize("scheme", ["exponential AB2"])
def test_step_sizes_and_friction_can_be_learned(scheme):
    """Two steps from rest: derivatives to the step size and to both frictions are finite and those of differences."""
    x, one = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2))), np.eye(2)

    def end(parameters):
        h, c_log, c_lin = parameters
        flow, s = flows.softmax_flow(one, one, flows.Damping(c_log, c_lin)), SCHEMES[scheme]
        state = s.step(flow, s.init(flow, x), h)[0]
        return jnp.sum(s.step(flow, state, h)[0].x ** 2)

    at = np.array([0.1, 3.0, 0.2])
    value, program = jax.jit(end), jax.jit(jax.grad(end))
    slopes = np.asarray(program(jnp.asarray(at)))
    eps = 1e-6 * np.eye(3)
    differences = [float(value(at + e) - value(at - e)) / 2e-6 for e in eps]
    np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-8)
    assert np.abs(slopes).min() > 1e-6
