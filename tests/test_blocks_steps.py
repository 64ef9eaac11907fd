"""Blocks as time steps: each equals one step of its integrator on its flow, and the options do what they say."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_cases import cloud, energy_mixer
from flow_cases import compiled, error

from nqs_lab import flows
from nqs_lab.attention import HamiltonianMomentum, LayerNorm, Nesterov, Residual, make_block, make_mixer

BARE = dict(norm=False, mlp=False, dtype=jnp.float64)


def build(kind, mixer, width, ratio=2, **options):
    """A block with every LayerNorm and MLP number random, drawn by NumPy."""
    options = {"dtype": jnp.float64} | options
    block = eqx.filter_eval_shape(lambda key: kind(mixer, width, ratio, key=key, **options), jax.random.key(0))
    block = eqx.tree_at(lambda b: b.mixer, block, mixer)
    rng = np.random.default_rng(8)
    fill = lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape) / max(1, len(leaf.shape)) ** 3, leaf.dtype)
    return jax.tree.map(lambda leaf: fill(leaf) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf, block)


def softmax_case(n=7, d=3):
    """A mixer of one head without positions, its A and B, tokens and momenta."""
    mixer = energy_mixer("dot-product", n, 1, d)
    return mixer, mixer.a()[0], mixer.b()[0], *cloud(n, 1, d)


SCHEMES = [flows.KickDampDrift(), flows.Euler(), flows.ExponentialEuler(), flows.Strang(), flows.RungeKutta()]


@pytest.mark.parametrize(
    "scheme, name, n, d",
    [(scheme, "dot-product", 7, 3) for scheme in SCHEMES] + [(SCHEMES[0], "linear", 5, 2)],
)
def test_a_bare_momentum_block_is_one_step_of_its_integrator(scheme, name, n, d):
    mixer = energy_mixer(name, n, 1, d)
    x, y = cloud(n, 1, d)
    options = dict(step=0.3, c_log=3.0, c_lin=0.2, layer=2, integrator=scheme)
    block = HamiltonianMomentum(mixer, d, 2, key=jax.random.key(0), **options, **BARE)

    def step(x, y):
        damping = flows.Damping(3.0, 0.2, start=1.6)  # the third layer: two steps after t = 1
        a = mixer.a()[0]
        if name == "linear":
            flow = flows.linear_flow(a, mixer.v()[0], damping)
        else:
            flow = flows.softmax_flow(a, mixer.b()[0], damping)
        state, info = scheme.step(flow, scheme.init(flow, x, y), 0.3)
        return state.x, state.y, info.finite

    (found_x, found_y), (new_x, new_y, finite) = compiled(lambda b, x, y: (b(x, y), step(x, y)), block, x, y)
    assert finite and error(found_x, new_x) < 1e-10 and error(found_y, new_y) < 1e-10
    assert error(new_x, x) > 1e-3


def test_a_bare_residual_block_is_one_euler_step_of_the_gradient_flow():
    mixer, a, b, x, y = softmax_case()
    flow = flows.GradientFlow(flows.Interaction(a), flows.SoftmaxMetric(a, b))
    block = Residual(mixer, 3, 2, key=jax.random.key(0), **BARE)
    scheme = flows.Euler()
    (found, same), state = compiled(
        lambda b, x, y: (b(x, y), scheme.step(flow, scheme.init(flow, x, y), 1.0)[0]), block, x, y
    )
    assert error(found, state.x) < 1e-10
    np.testing.assert_array_equal(same, y)


def test_a_bare_nesterov_block_is_nesterovs_step_on_the_gradient_flow():
    """v+ = beta v + gamma F(x + mu v), x+ = x + v+; with mu = 0 kick, damp, drift of a force that is attention."""
    mixer, a, b, x, v = softmax_case()
    flow = flows.GradientFlow(flows.Interaction(a), flows.SoftmaxMetric(a, b))
    numbers = dict(mu=0.7, beta=0.8, gamma=0.4, norm_velocity=False)
    block = Nesterov(mixer, 3, 2, key=jax.random.key(0), **numbers, **BARE)
    (found_x, found_v), push = compiled(lambda b, x, v: (b(x, v), flow.velocity(x + 0.7 * v, v)), block, x, v)
    assert error(found_v, 0.8 * v + 0.4 * push) < 1e-10 and error(found_x, x + 0.8 * v + 0.4 * push) < 1e-10


def test_without_a_look_ahead_it_is_the_heavy_ball():
    """mu = 0 on factored mixing: kick, damp, drift in the metric B with v = h y B, beta = sigma, gamma = sigma h^2."""
    h, friction = 0.3, 0.5
    mixer = energy_mixer("factored", 6, 2, 2)
    x, y = cloud(6, 2, 2)
    sigma = float(np.exp(-friction * h))
    numbers = dict(mu=0.0, beta=sigma, gamma=sigma * h**2, norm_velocity=False)
    ball = Nesterov(mixer, 4, 2, key=jax.random.key(0), **numbers, **BARE)
    kicked = HamiltonianMomentum(mixer, 4, 2, step=h, c_log=0.0, c_lin=friction, key=jax.random.key(0), **BARE)

    def both(blocks, x, y):
        ball, kicked = blocks
        first, second = ball(x, h * mixer.velocity(x, y)), kicked(x, y)
        return first, (second[0], h * mixer.velocity(x, second[1]))

    first, second = compiled(both, (ball, kicked), x, y)
    assert error(first[0], second[0]) < 1e-10 and error(first[1], second[1]) < 1e-10


def test_nesterov_without_momentum_is_the_residual_block(getkey):
    n, d = 6, 4
    mixer = make_mixer("t5", d, 2, (np.arange(n)[:, None] - np.arange(n)) % n, dtype=jnp.float64, key=getkey())
    options = dict(dtype=jnp.float64, key=getkey())
    residual = Residual(mixer, d, 2, **options)
    nesterov = Nesterov(mixer, d, 2, mu=0.0, beta=0.0, gamma=1.0, learned=False, norm_velocity=False, **options)
    x, v = cloud(n, 2, 2)

    def two_layers(block, x, v):
        return block(*block(x, v)), block.weights(x, v)

    both = compiled(lambda pair, x, v: [two_layers(block, x, v) for block in pair], (residual, nesterov), x, v)
    ((first, _), one), ((second, _), other) = both
    np.testing.assert_allclose(second, first, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(one, other)
    assert not jax.tree.leaves((nesterov.ahead, nesterov.kept, nesterov.step))


def test_nesterov_with_everything_is_its_formula():
    """LayerNorms, MLP, LN_v and both look-aheads, line by line, with numbers that differ between the two steps."""
    mixer = energy_mixer("t5", 5, 2, 2)
    block = build(Nesterov, mixer, 4)
    x, v = cloud(5, 2, 2)
    share = lambda raw: 1 / (1 + np.exp(-float(raw)))
    mu, beta = ([share(s.raw) for s in group] for group in (block.ahead, block.kept))
    gamma = [np.log1p(np.exp(float(s.raw))) for s in block.step]
    assert len({*mu, *beta, *gamma}) == 6

    def by_hand(block, x, v):
        push = block.mixer(block.norm_mix(x + mu[0] * v))
        v = block.norm_velocity(beta[0] * v + gamma[0] * push)
        x = x + v
        v = block.norm_velocity(beta[1] * v + gamma[1] * block.mlp(block.norm_mlp(x + mu[1] * v)))
        return x + v, v

    found, expected = compiled(lambda b, x, v: (b(x, v), by_hand(b, x, v)), block, x, v)
    assert error(found[0], expected[0]) < 1e-12 and error(found[1], expected[1]) < 1e-12
    start = Nesterov(mixer, 4, 2, key=jax.random.key(0))
    np.testing.assert_allclose([s(jnp.float32) for s in (*start.ahead, *start.kept)], 0.9, rtol=1e-6)
    np.testing.assert_allclose([s(jnp.float32) for s in start.step], 1.0, rtol=1e-6)


@pytest.mark.parametrize("name, through", [("t5", False), ("t5", True), ("linear", False)])
def test_momentum_with_everything_is_its_formula(name, through):
    """Kick, damp, drift with forces from autodiff of H, of LN x as a position or of H(LN x, y) by x; LN y; the MLP."""
    mixer = energy_mixer(name, 5, 2, 2)
    options = dict(step=0.5, c_log=2.0, c_lin=0.3, learn_friction=True, layer=3, norm_momentum=True)
    block = build(HamiltonianMomentum, mixer, 4, through_norm=through, **options)
    h, c_log, c_lin = (np.log1p(np.exp(float(s.raw))) for s in (block.step, block.c_log, block.c_lin))
    t = 1 + 3 * 0.5
    sigma = (t / (t + h)) ** c_log * np.exp(-c_lin * h)
    x, y = cloud(5, 2, 2)

    def by_hand(block, x, y):
        energy, norm = block.mixer.hamiltonian, block.norm_mix
        by_norm = jax.grad(energy, argnums=0)
        slope = jax.grad(lambda x: energy(norm(x), y))(x) if through else by_norm(norm(x), y)
        y = sigma * (y - h * slope)
        x = x + h * jax.grad(energy, argnums=1)(norm(x), y)
        return x + block.mlp(block.norm_mlp(x)), block.norm_momentum(y)

    found, expected = compiled(lambda b, x, y: (b(x, y), by_hand(b, x, y)), block, x, y)
    assert error(found[0], expected[0]) < 1e-11 and error(found[1], expected[1]) < 1e-11


def test_autodiff_and_closed_forces_give_the_same_block():
    mixer = energy_mixer("t5", 5, 2, 2, causal=True)
    x, y = cloud(5, 2, 2)
    closed, autodiff = (build(HamiltonianMomentum, mixer, 4, force=force) for force in ("closed", "autodiff"))
    for one, other in zip(compiled(closed, x, y), compiled(autodiff, x, y), strict=True):
        assert error(one, other) < 1e-11


def test_from_rest_the_block_moves_by_attention_as_a_force():
    """x+ = x + h^2 sigma A(LN x): the residual block's own mix, scaled."""
    mixer = energy_mixer("t5", 6, 2, 2)
    block = build(HamiltonianMomentum, mixer, 4, step=0.5, learn_step=False, mlp=False)
    x, _ = cloud(6, 2, 2)
    (moved, _), mix = compiled(lambda b, x: (b(x, jnp.zeros_like(x)), b.mixer(b.norm_mix(x))), block, x)
    assert error(moved - x, 0.25 * (1 / 1.5) ** 3 * mix) < 1e-12


def twist(block, x, y):
    """J^T Omega J and det J of a block as a map of (x, y), and sigma Omega."""
    size = x.size
    flat = lambda u: jnp.concatenate([z.ravel() for z in block(*(p.reshape(x.shape) for p in jnp.split(u, 2)))])
    jacobian = np.asarray(jax.jit(jax.jacfwd(flat))(jnp.concatenate([x.ravel(), y.ravel()])))
    omega = np.block([[np.zeros((size, size)), np.eye(size)], [-np.eye(size), np.zeros((size, size))]])
    return jacobian.T @ omega @ jacobian, omega, np.linalg.det(jacobian)


def test_only_the_separable_energy_gives_a_conformally_symplectic_block():
    """Factored: J^T Omega J = sigma Omega, det J = sigma^(n d). Softmax, and Euler in place of the kick: not."""
    x, y = cloud(4, 1, 2)
    sigma = (1 / 1.5) ** 3
    make = lambda name, **more: HamiltonianMomentum(
        energy_mixer(name, 4, 1, 2), 2, 2, step=0.5, key=jax.random.key(0), **more, **BARE
    )
    form, omega, volume = twist(make("factored"), x, y)
    np.testing.assert_allclose(form, sigma * omega, atol=1e-11)
    np.testing.assert_allclose(volume, sigma**8, rtol=1e-11)
    for block in (make("dot-product"), make("factored", integrator=flows.Euler())):
        form, _, _ = twist(block, x, y)
        assert np.abs(form - sigma * omega).max() > 1e-3


def test_every_learned_number_of_a_block_has_a_slope():
    mixer = energy_mixer("t5", 5, 2, 2)
    x, y = cloud(5, 2, 2)
    blocks = [
        build(Nesterov, mixer, 4),
        build(HamiltonianMomentum, mixer, 4, c_lin=0.1, learn_friction=True, norm_momentum=True, layer=1),
    ]
    for block in blocks:
        slopes = eqx.filter_jit(eqx.filter_grad(lambda b: sum(jnp.sum(z * z * z) for z in b(x, y))))(block)
        for leaf in jax.tree.leaves(slopes):
            assert np.all(np.isfinite(leaf)) and np.abs(leaf).max() > 0
    fixed = HamiltonianMomentum(mixer, 4, 2, learn_step=False, key=jax.random.key(0), **BARE)
    assert len(jax.tree.leaves(eqx.filter(fixed, eqx.is_inexact_array))) == 3  # A, B and the table alone


@pytest.mark.parametrize(
    "dynamics, options, message",
    [
        ("nesterov", dict(mu=1.5), r"\[0, 1\]"),
        ("nesterov", dict(beta=-0.1), r"\[0, 1\]"),
        ("nesterov", dict(gamma=-1.0), ">= 0"),
        ("nesterov", dict(step=0.1), "'nesterov' blocks have the options beta, gamma"),
        ("residual", dict(mu=0.5), "'residual' blocks have the options mlp, norm; got mu"),
        ("momentum", dict(step=0.0), "step must be > 0"),
        ("momentum", dict(c_log=-1.0), "c_log"),
        ("momentum", dict(c_lin=float("inf")), "c_lin"),
        ("momentum", dict(force="global"), "closed, autodiff, leaking"),
        ("momentum", dict(layer=-1), "from 0"),
        ("momentum", dict(integrator=flows.AdamsBashforth()), "AdamsBashforth needs the step before"),
        ("momentum", dict(integrator=flows.Restarted(flows.Euler())), "Restarted needs the step before"),
    ],
)
def test_options_out_of_range_are_refused(dynamics, options, message):
    mixer = energy_mixer("dot-product", 4, 2, 2)
    with pytest.raises(ValueError, match=message):
        make_block(dynamics, mixer, 4, 2, key=jax.random.key(0), **options)


def causal_blocks(name, n):
    """A momentum block, its leaking witness and a Nesterov block around one causal mixer."""
    mixer = energy_mixer(name, n, 2, 2, causal=True)
    momentum = build(HamiltonianMomentum, mixer, 4)
    return momentum, build(HamiltonianMomentum, mixer, 4, force="leaking"), build(Nesterov, mixer, 4)


def test_causal_blocks_have_a_triangular_jacobian_and_the_witness_has_not():
    """LayerNorms and MLP included, in x and in v; in float64. The mixers have the same test without them."""
    n = 5
    (x, y), blocks = cloud(n, 2, 2), causal_blocks("t5", n)

    @jax.jit
    @jax.vmap
    def derivative(dx, dy):
        return jax.jvp(lambda x, y: [block(x, y) for block in blocks], (x, y), (dx, dy))[1]

    directions = np.eye(2 * x.size).reshape(2, x.size, 2, *x.shape)  # (of x or y, which entry, x or y, n, d)
    rows = derivative(*(jnp.asarray(directions[:, :, k].reshape(-1, *x.shape)) for k in (0, 1)))
    closed, leaking, nesterov = (
        max(
            np.abs(np.asarray(z).reshape(2, n, 4, n, 4)).max(axis=(0, 2, 4))[np.tril_indices(n, -1)].max() for z in pair
        )
        for pair in rows
    )
    assert closed < 1e-12 and nesterov < 1e-12 and leaking > 1e-4


def test_a_changed_future_changes_nothing_before_it_in_float32():
    n = 6
    narrow = lambda tree: jax.tree.map(lambda z: z.astype(jnp.float32) if eqx.is_inexact_array(z) else z, tree)
    run = eqx.filter_jit(lambda blocks, x, y: [block(*block(x, y))[0] for block in blocks])
    x, y = cloud(n, 2, 2)
    blocks, x, y, changed = narrow((causal_blocks("linear", n), x, y, jnp.concatenate([x[:4], y[4:]])))
    changes = [
        np.abs(np.asarray(a) - np.asarray(b)) for a, b in zip(*(run(blocks, z, y) for z in (x, changed)), strict=True)
    ]
    momentum, leaking, nesterov = (change[:4].max() for change in changes)
    assert momentum < 1e-6 and nesterov < 1e-6 and leaking > 1e-4
    assert min(change[4:].max() for change in changes) > 1e-2


def test_the_norm_of_the_momentum_bounds_it():
    mixer = energy_mixer("t5", 5, 2, 2)
    norm = LayerNorm(4, dtype=jnp.float64)
    block = eqx.tree_at(lambda b: b.norm_momentum, build(HamiltonianMomentum, mixer, 4, norm_momentum=True), norm)
    x, y = cloud(5, 2, 2)
    _, after = compiled(block, x, 1e3 * y)
    assert np.all(np.linalg.norm(after, axis=1) <= np.sqrt(4) + 1e-9)
