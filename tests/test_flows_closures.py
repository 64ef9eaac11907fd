"""A cloud of finite size obeys a few exact equations: means, covariances, affine maps, elliptical contours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import Cases, compiled, error
from scipy.integrate import solve_ivp
from scipy.stats import norm

from nqs_lab import flows

FLOWS = {
    "linear": lambda c, d, k: flows.linear_flow(c.positive(d), c.symmetric(d), k),
    "linear with offset": lambda c, d, k: flows.linear_flow(c.positive(d), c.symmetric(d), k, offset=1.0),
    "divergence": lambda c, d, k: flows.DampedFlow(
        flows.GaussianKL(c.positive(d), np.ones(d) / 2), flows.SteinMetric(flows.Bilinear(c.positive(d), 1.0), 0.1), k
    ),
    "Wasserstein": lambda c, d, k: flows.DampedFlow(
        flows.GaussianKL(c.positive(d), np.ones(d) / 2), flows.Flat(c.positive(d)), k
    ),
}


def cloud(cases, n, d):
    """n tokens with the moments that they have."""
    x = 0.9 * cases.tokens(n, d) + 0.3
    return x, *(jnp.asarray(m) for m in compiled(flows.moments, x))


@pytest.mark.parametrize(
    "name, n, d", [*[(name, 12, 2) for name in FLOWS], ("linear", 50, 3), ("linear with offset", 50, 3)]
)
def test_particles_obey_the_closure(name, n, d):
    """T8: the same RK4, h = 0.01, 60 steps: moments to 1e-7, Y = X P + b, one affine map for all tokens."""
    cases = Cases(31, n, d)
    flow = FLOWS[name](cases, d, flows.Damping(3))
    x, mean, covariance = cloud(cases, n, d)
    closure = flows.Closure(flow)
    rk4 = flows.RungeKutta()
    start = closure.init(mean, covariance)
    if n > 12:  # with momenta that already are P x + b
        start = closure.init(mean, covariance, cases.symmetric(d) / 2, jnp.asarray(cases.rng.normal(size=d)))
    y = jnp.asarray(np.asarray(x) @ np.asarray(start.slope) + np.asarray(start.offset))
    run = flows.simulate(rk4, flow, rk4.init(flow, x, y), 0.01, 60, every=60)
    _, moments = flows.integrate(closure, start, 1.0, 0.01, 60, every=60)
    end = jax.tree.map(lambda a: np.asarray(a)[-1], moments)
    found, y = np.asarray(run.state.x), np.asarray(run.state.y)
    assert np.abs(found - x).max() > 0.1  # something moved
    assert np.abs(found.mean(0) - end.mean).max() < 1e-7
    assert np.abs(np.cov(found.T, bias=True) - end.covariance).max() < 1e-7
    assert np.abs(y - (found @ end.slope + end.offset[None, :])).max() < 1e-7
    assert np.abs(end.slope - end.slope.T).max() < 1e-12
    assert np.abs(found - (np.asarray(x) @ end.map.T + end.shift)).max() < 1e-7
    ones = np.column_stack([x, np.ones(n)])
    fit = np.linalg.lstsq(ones, found, rcond=None)[0]
    assert np.abs(ones @ fit - found).max() < 1e-10


@pytest.mark.parametrize("n, d", [(4, 2), (9, 3), (16, 8)])
def test_matrix_form_of_the_linear_flow(n, d):
    """T7: X' = X A S P, Y' = X' P + X P' for Y = X P; the control: a P that is not symmetric does not close."""
    cases = Cases(32, n, d)
    x, a, v, p = (
        np.asarray(m) for m in (cases.tokens(n, d), cases.positive(d), cases.symmetric(d), cases.symmetric(d))
    )
    flow = flows.linear_flow(a, v)
    closure = flows.Closure(flow)

    def values(p):
        mean, covariance = flows.moments(jnp.asarray(x))
        y = x @ p
        u = flows.Moments(mean, covariance, p, jnp.zeros(d), jnp.eye(d), jnp.zeros(d))
        return flow.velocity(jnp.asarray(x), y), flow.force(jnp.asarray(x), y), closure(jnp.asarray(1.0), u)

    s = x.T @ x / n
    velocity, force, change = compiled(values, jnp.asarray(p))
    by_hand = -a @ s @ p @ p - p @ p @ s @ a + v
    assert error(velocity, x @ a @ s @ p) < 1e-12
    assert error(change.slope, by_hand) < 1e-12
    assert error(force, velocity @ p + x @ by_hand) < 1e-12
    skew = np.asarray(cases.general(d))
    velocity, force, change = compiled(values, jnp.asarray(skew))
    assert error(force, velocity @ skew + x @ np.asarray(change.slope)) > 1e-2


@pytest.mark.parametrize("law, accelerated", [("gaussian", True), ("student", True), ("ellipse", False)])
def test_elliptical_contours_stay_elliptical(law, accelerated, key):
    """T8: (x - mu) Sigma^-1 (x - mu) of each token does not change; softmax attention changes it."""
    cases = Cases(33)
    d, n = 2, 60
    mean, covariance = jnp.asarray([0.3, -0.2]), jnp.asarray([[0.5, 0.2], [0.2, 0.3]])
    flow = flows.linear_flow(cases.positive(d), cases.symmetric(d), flows.Damping(3), offset=1)
    bent = flows.softmax_flow(flow.metric.kernel.a, np.eye(d), flows.Damping(3))
    if not accelerated:
        flow, bent = flows.overdamped(flow), flows.overdamped(bent)
    x = compiled(lambda key: flows.sample_elliptical(law, mean, covariance, n, key=key), key)
    rk4 = flows.RungeKutta()
    radii = jax.jit(lambda x: flows.mahalanobis(x, *flows.moments(x)))
    end = lambda flow: flows.simulate(rk4, flow, rk4.init(flow, x), 0.01, 60, every=60).state.x
    assert np.abs(radii(end(flow)) / radii(x) - 1).max() < 1e-7
    assert np.abs(radii(end(bent)) / radii(x) - 1).max() > 1e-2


def test_elliptical_laws_have_their_moments_and_their_radii(key):
    mean, covariance, n = jnp.asarray([1.0, -2.0, 0.5]), Cases(34).positive(3), 20_000
    fourth = {"gaussian": 15.0, "ellipse": 9.0, "student": 15.0 * 8 / 6}  # E r^4 with dof = 10: d (d + 2) (v-2)/(v-4)
    for law, expected in fourth.items():
        x = compiled(lambda key, law=law: flows.sample_elliptical(law, mean, covariance, n, dof=10, key=key), key)
        x, centre = np.asarray(x), np.asarray(mean)
        assert np.abs(x.mean(0) - centre).max() < 0.05 and error(np.cov(x.T), covariance) < 0.05
        radius = np.sum((x - centre) * np.linalg.solve(covariance, (x - centre).T).T, axis=1)
        assert radius.mean() == pytest.approx(3, rel=0.03)
        assert (radius**2).mean() == pytest.approx(expected, rel=0.1)
    for bad, says in ((("cauchy", 5), "law must be"), (("student", 2), "dof must be > 2")):
        with pytest.raises(ValueError, match=says):
            flows.sample_elliptical(bad[0], mean, covariance, 5, dof=bad[1], key=key)


@pytest.mark.parametrize("n, d", [(10, 2), (30, 3)])
def test_gradient_flow_of_linear_attention_closes(n, d):
    """T9: S' = V S A S + S A S V against the particles, by DOP853 on S."""
    cases = Cases(35, n, d)
    flow = flows.overdamped(flows.linear_flow(cases.positive(d), cases.symmetric(d)))
    a, v = np.asarray(flow.metric.kernel.a), -np.asarray(flow.energy.q)
    x, mean, covariance = cloud(cases, n, d)
    s = np.asarray(x.T @ x) / n
    right = lambda t, u: (lambda s: (v @ s @ a @ s + s @ a @ s @ v).ravel())(u.reshape(d, d))
    exact = solve_ivp(right, (0, 0.4), s.ravel(), method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1].reshape(d, d)
    rk4, closure = flows.RungeKutta(), flows.Closure(flow)
    found = flows.simulate(rk4, flow, rk4.init(flow, x), 0.005, 80, every=80).state.x
    assert error(found.T @ found / n, exact) < 1e-8
    _, states = flows.integrate(closure, closure.init(mean, covariance), 0.0, 0.005, 80, every=80)
    end = jax.tree.map(lambda u: np.asarray(u)[-1], states)
    assert error(end.covariance + np.outer(end.mean, end.mean), exact) < 1e-8


def test_softmax_attention_on_a_gaussian_is_affine(key):
    """T9: d = 1 by Gauss-Hermite quadrature to 1e-8; d = 2 by samples to 3 / sqrt(n)."""
    a, v, mu, var = 0.7, 1.3, 0.4, 0.8
    closure = flows.SoftmaxClosure(np.array([[a]]), np.array([[v]]))
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    y = mu + np.sqrt(var) * nodes
    x = np.linspace(-1.5, 2, 9)
    m = weights * np.exp(a * x[:, None] * y)
    matrix, shift = closure.velocity(jnp.asarray([mu]), jnp.asarray([[var]]))
    assert error(v * (m @ y) / m.sum(1), x * float(matrix[0, 0]) + float(shift[0])) < 1e-8
    # the equations of the moments: quadrature over x of x' and 2 (x - mu) x'
    m = weights * np.exp(a * y[:, None] * y)
    velocity, w = v * (m @ y) / m.sum(1), weights / weights.sum()
    change = closure(jnp.asarray(0.0), (jnp.asarray([mu]), jnp.asarray([[var]])))
    assert float(change[0][0]) == pytest.approx(w @ velocity, rel=1e-8)
    assert float(change[1][0, 0]) == pytest.approx(w @ (2 * (y - mu) * velocity), rel=1e-8)

    n, cases = 4000, Cases(36)
    a, b = cases.symmetric(2) / 2, cases.positive(2)
    mean, covariance = jnp.asarray([0.3, -0.1]), jnp.asarray([[0.5, 0.1], [0.1, 0.4]])
    x = flows.sample_elliptical("gaussian", mean, covariance, n, key=key)

    def values(x):
        velocity, gap = flows.softmax_attention(x, a, b @ a), x - jnp.mean(x, axis=0, keepdims=True)
        turn = gap.T @ velocity / n
        return (
            jnp.mean(velocity, axis=0),
            turn + turn.T,
            flows.SoftmaxClosure(a, b @ a)(0.0 * x[0, 0], (mean, covariance)),
        )

    by_mean, by_covariance, change = compiled(values, x)
    assert np.abs(by_mean - change[0]).max() < 3 / np.sqrt(n)
    assert np.abs(by_covariance - change[1]).max() < 3 / np.sqrt(n)
    wrong = np.asarray(change[1] - 2 * b @ a @ covariance)  # the control: the equation without the softmax's Sigma
    assert np.abs(by_covariance - wrong).max() > 10 / np.sqrt(n)


def test_accelerated_softmax_does_not_stay_gaussian():
    """x' = B y / z is not affine: the kurtosis leaves that of a Gaussian ten times as far as under attention itself.

    Both runs let the variance grow from 0.20 to 0.33. The tokens are quantiles: no sampling noise.
    """
    n, one = 300, np.eye(1)
    x = jnp.asarray(np.sqrt(0.2) * norm.ppf((np.arange(n) + 0.5) / n))[:, None]
    fast = flows.softmax_flow(one, one)
    kurtosis = lambda x: float(np.mean((x - x.mean()) ** 4) / np.var(x) ** 2)
    moved, rk4 = [], flows.RungeKutta()
    for flow, h in ((fast, 0.04), (flows.overdamped(fast), 0.025)):
        end = np.asarray(flows.simulate(rk4, flow, rk4.init(flow, x), h, 40, every=40).state.x)
        assert 0.32 < np.var(end) < 0.34
        moved.append(kurtosis(end) - kurtosis(np.asarray(x)))
    assert moved[0] < -0.02 and abs(moved[0]) > 5 * abs(moved[1]), moved


def test_a_closure_refuses_what_does_not_close():
    for flow in (
        flows.softmax_flow(np.eye(2), np.eye(2)),
        flows.DampedFlow(flows.Quartic(1), flows.Flat(np.eye(2))),
        flows.DampedFlow(flows.Quadratic(np.eye(2)), flows.SteinMetric(flows.Gaussian(1.0))),
    ):
        with pytest.raises(ValueError, match="moments close only"):
            flows.Closure(flow)
