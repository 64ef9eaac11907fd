"""Attention is a metric gradient, both flows follow from one scalar, and forces written by hand are its derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import SIZES, SOME, Cases, compiled, error

from nqs_lab import flows
from nqs_lab.attention import DotProduct, make_mixer


def energies(cases, d):
    return {
        "interaction": flows.Interaction(cases.symmetric(d)),
        "repulsion": flows.Interaction(cases.symmetric(d), -1.0),
        "quadratic": flows.Quadratic(cases.symmetric(d), jnp.asarray(np.arange(1.0, d + 1))),
        "quartic": flows.Quartic(0.7),
        "potential": flows.Potential(lambda x: jnp.sum(jnp.cos(x))),
        "divergence": flows.GaussianKL(cases.positive(d), np.ones(d)),
        "sum": flows.Interaction(cases.symmetric(d)) + flows.Quartic(1) + flows.Quadratic(np.eye(d)),
    }


def metrics(cases, d):
    return {
        "flat": flows.Flat(cases.positive(d)),
        "softmax": flows.SoftmaxMetric(cases.symmetric(d), cases.positive(d)),
        "bilinear": flows.SteinMetric(flows.Bilinear(cases.symmetric(d), 1.0)),
        "gaussian": flows.SteinMetric(flows.Gaussian(0.8), 0.1),
    }


@pytest.mark.parametrize("n, d", SOME + [(2, 3)])
def test_softmax_attention_is_minus_the_metric_gradient(n, d):
    """T1: x' = -(B / z) dU/dx = sum_j softmax_j(x A x) V x_j with V = B A, and only for symmetric A."""
    cases = Cases(1, n, d)
    x, a, b, wrong = cases.tokens(n, d), cases.symmetric(d), cases.positive(d), cases.general(d)
    energy, metric = flows.Interaction(a), flows.SoftmaxMetric(a, b)

    def values(energy, metric, x, wrong):
        flow = flows.GradientFlow(energy, metric)
        gradient = lambda e, m: m.velocity(x, -jax.grad(e)(x))
        loose = eqx.tree_at(lambda m: m.a, energy, wrong), eqx.tree_at(lambda m: m.a, metric, wrong)
        good = gradient(energy, metric), flow.velocity(x, x), flow.derived(x)
        return (
            good,
            flows.softmax_attention(x, a, b @ a),
            gradient(*loose),
            flows.softmax_attention(x, wrong, b @ wrong),
        )

    good, attention, bad, other = compiled(values, energy, metric, x, wrong)
    assert max(error(found, attention) for found in good) < 1e-12
    if d > 1:  # the control: with a general A the gradient sees (A + A^T) / 2 alone
        assert error(bad, other) > 1e-2


@pytest.mark.parametrize("n, d", SOME)
def test_linear_attention_is_minus_the_stein_gradient(n, d):
    cases = Cases(2, n, d)
    x, a, v = cases.tokens(n, d), cases.symmetric(d), cases.symmetric(d)
    by_hand = sum(np.outer(x @ a @ x[j], v @ x[j]) for j in range(n)) / n
    flow = flows.overdamped(flows.linear_flow(a, v))
    values = lambda flow, x: (flows.linear_attention(x, a, v), flow.velocity(x, x), flow.derived(x))
    assert max(error(found, by_hand) for found in compiled(values, flow, x)) < 1e-12


@pytest.mark.parametrize("n, d", [(5, 4), (9, 6)])
def test_it_is_the_attention_of_the_mixers(n, d, key):
    """T18: one head of `DotProduct` with Q = sqrt(d) A, K = 1, V = B A, W = 1; a residual layer is an Euler step."""
    cases = Cases(3, n, d)
    x, a, b = cases.tokens(n, d), cases.symmetric(d), cases.positive(d)
    mixer = make_mixer("dot-product", d, 1, np.zeros((n, n), int), dtype=jnp.float64, key=key)
    assert isinstance(mixer, DotProduct)
    where = lambda m: (m.content.queries.weight, m.content.keys.weight, m.value.weight, m.output.weight)
    mixer = eqx.tree_at(where, mixer, (np.sqrt(d) * a, jnp.asarray(np.eye(d)), (b @ a).T, jnp.asarray(np.eye(d))))
    flow = flows.overdamped(flows.softmax_flow(a, b))
    step = lambda flow, mixer, x: (flows.Euler().step(flow, flows.Euler().init(flow, x), 0.3)[0].x, x + 0.3 * mixer(x))
    found, layer = compiled(step, flow, mixer, x)
    assert error(found, layer) < 1e-12


@pytest.mark.parametrize("n, d", SOME)
def test_forces_are_derivatives(n, d):
    n = n if n > d else d + 3  # the divergence inverts the cloud's covariance
    cases = Cases(4, n, d)
    values = lambda all, x: {name: (energy.force(x), -jax.grad(energy)(x)) for name, energy in all.items()}
    found = compiled(values, energies(cases, d), cases.tokens(n, d))
    assert {name: pair for name, pair in found.items() if error(*pair) > 1e-11} == {}


@pytest.mark.parametrize("n, d, sphere", [(*size, False) for size in SIZES] + [(7, 3, True), (2, 8, True)])
def test_both_equations_follow_from_one_scalar(n, d, sphere):
    """T2, T7: (F, G) = (dH/dy, -dH/dx), and x' of the gradient flow, by autodiff of H alone; on the sphere too."""
    cases = Cases(5, n, d)
    x, y, other, energy = (
        cases.tokens(n, d),
        cases.tokens(n, d),
        cases.tokens(n, d),
        flows.Interaction(cases.symmetric(d)),
    )

    def values(metrics, energy, x, y, other):
        found = {}
        for name, metric in metrics.items():
            if sphere and n == 2 and name != "softmax":
                continue  # programs for the sphere take long to compile
            if sphere:
                metric = flows.Sphere(metric)
                x, y = metric.retract(x, y)
            flow = flows.DampedFlow(energy, metric)
            pairs = list(zip(flow.derived(x, y), (flow.velocity(x, y), flow.force(x, y)), strict=True))
            pairs += [(flows.overdamped(flow).derived(x), flows.overdamped(flow).velocity(x, y))]
            # the mobility is symmetric, so that K = y . m y / 2 is the kinetic energy
            pairs += [(jnp.sum(other * metric.velocity(x, y)), jnp.sum(y * metric.velocity(x, other)))]
            found[name] = pairs
        return found

    found = compiled(values, metrics(cases, d), energy, x, y, other)
    worst = {name: [error(b, a) for a, b in pairs] for name, pairs in found.items()}
    assert max(max(errors) for errors in worst.values()) < 1e-11, worst


@pytest.mark.parametrize("n, d", [(2, 3), (16, 8)])
def test_the_sign_is_plus_two(n, d):
    """T2: y' = (1/2n) sum_j M_ij (s_i + s_j + 2) A x_j; "-2" belongs to the energy of opposite sign."""
    cases = Cases(6, n, d)
    x, y, a, b = cases.tokens(n, d), cases.tokens(n, d), cases.symmetric(d), cases.positive(d)

    def force(two):
        m = np.exp(x @ a @ x.T)
        s = np.sum(y * (y @ b), axis=1) / m.mean(1) ** 2
        return (m * (s[:, None] + s[None, :] + two)) @ x @ a / (2 * n)

    program = eqx.filter_jit(lambda flow: flow.derived(x, y)[1])
    derived = lambda strength: program(flows.DampedFlow(flows.Interaction(a, strength), flows.SoftmaxMetric(a, b)))
    assert error(force(2), derived(1)) < 1e-11
    assert error(force(-2), derived(1)) > 1e-2
    assert error(force(-2), derived(-1)) < 1e-11


@pytest.mark.parametrize("n, d", SOME)
def test_permutations_and_rotations_commute_with_the_flow(n, d):
    """T6; the control: rotating the tokens but not A and B."""
    cases = Cases(7, n, d)
    x, y, a, b, r = cases.tokens(n, d), cases.tokens(n, d), cases.symmetric(d), cases.positive(d), cases.orthogonal(d)
    order, turned = cases.rng.permutation(n), (r.T @ a @ r, r.T @ b @ r)
    symmetric = lambda m: (m + m.T) / 2
    for make in (flows.softmax_flow, flows.linear_flow):
        both = eqx.filter_jit(lambda flow, x, y: jnp.stack([flow.velocity(x, y), flow.force(x, y)]))
        found = np.asarray(both(make(a, b), x, y))
        assert error(both(make(a, b), x[order], y[order]), found[:, order]) < 1e-12
        assert error(both(make(*map(symmetric, turned)), x @ r, y @ r), found @ np.asarray(r)) < 1e-12
        if d > 1:
            assert error(both(make(a, b), x @ r, y @ r), found @ np.asarray(r)) > 1e-2


@pytest.mark.parametrize("n, d", [(5, 3), (8, 4)])
def test_the_normaliser_belongs_into_the_metric(n, d):
    """T21: attention's joint Jacobian is not symmetric, so it is no gradient in the plain metric; z times it is one."""
    cases = Cases(8, n, d)
    x, a = cases.tokens(n, d), cases.symmetric(d)

    def values(x, a):
        attention = lambda x: flows.softmax_attention(x, a, a)
        weighted = lambda x: flows.SoftmaxMetric(a, jnp.eye(d)).normaliser(x) * attention(x)
        skew = lambda f: (lambda j: jnp.abs(j - j.T).max())(jax.jacfwd(f)(x).reshape(n * d, n * d))
        frozen = jax.jacfwd(lambda p: jax.nn.softmax(p @ a @ x.T) @ x @ a)(x[0])
        return skew(weighted), skew(attention), jnp.abs(frozen - frozen.T).max()

    weighted, plain, frozen = compiled(values, x, a)
    assert weighted < 1e-12 and plain > 1e-3
    assert frozen < 1e-12  # the field of a cloud that stands still is a gradient, grad log z


def test_divergence_of_gaussians_against_quadrature():
    """gaussian_kl in two dimensions against the integral of p log(p / q) on a grid."""
    cases = Cases(9)
    mean, cov, m, q = np.array([0.3, -0.2]), cases.positive(2), np.array([-0.1, 0.4]), cases.positive(2)
    grid = np.linspace(-40, 40, 801)
    points = jnp.asarray(np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2))
    p, r = (
        np.asarray(compiled(lambda t, p: jax.vmap(t.log_density)(p), flows.GaussianTarget(c, u), points))
        for c, u in ((cov, mean), (q, m))
    )
    integral = np.sum(np.exp(p) * (p - r)) * (grid[1] - grid[0]) ** 2
    mean, m = jnp.asarray(mean), jnp.asarray(m)
    program = jax.jit(flows.gaussian_kl)
    assert float(program(mean, cov, m, q)) == pytest.approx(integral, abs=1e-9)
    assert float(program(m, q, m, q)) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: flows.Interaction(np.array([[1.0, 2.0], [0.0, 1.0]])), "A must be symmetric"),
        (lambda: flows.Quadratic(np.array([[1.0, 2.0], [0.0, 1.0]])), "Q must be symmetric"),
        (lambda: flows.SoftmaxMetric(np.eye(2), np.diag([1.0, -1.0])), "B must be positive definite"),
        (lambda: flows.SoftmaxMetric(np.eye(2), np.eye(3)), "one width"),
        (lambda: flows.GaussianKL(np.diag([1.0, 0.0])), "Q must be positive definite"),
        (lambda: flows.Quartic(-1.0), "strength must be >= 0"),
        (lambda: flows.Gaussian(0.0), "bandwidth must be > 0"),
        (lambda: flows.SteinMetric(flows.Gaussian(1.0), -1.0), "regularisation must be >= 0"),
        (lambda: flows.Damping(-1), "c_log must be >= 0"),
        (lambda: flows.Damping(3, start=0), "start must be > 0"),
    ],
)
def test_what_cannot_be_built_says_why(make, says):
    with pytest.raises(ValueError, match=says):
        make()
