"""Energy mixers: forces by hand against autodiff of H and against the flows, prefixes, causality, the witness."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_cases import SIZES, cloud, energy_mixer, per_head, ring
from flow_cases import compiled, error

from nqs_lab import flows
from nqs_lab.attention import ENERGY_MIXERS, Frozen, make_energy_mixer
from nqs_lab.attention.prefix import softmax_prefix_force

KINDS = [(name, causal) for name in ENERGY_MIXERS for causal in (False, True)]
SIZES_OF_KINDS = [(*kind, *SIZES[1]) for kind in KINDS] + [("t5", True, 2, 1, 3), ("linear", False, 12, 1, 2)]


def both(mixer, x, y):
    """Velocity and force by hand."""
    return mixer.velocity(x, y), mixer.force(x, y)


@eqx.filter_jit
def everything(mixer, x, y):
    """(F, G) by hand and by autodiff; from rest the push, the mix, a frozen copy's mix, and the weights."""
    weights = mixer.weights(x)
    push = mixer.velocity(x, mixer.force(x, jnp.zeros_like(x)))
    return both(mixer, x, y), mixer.derived(x, y), push, mixer(x), Frozen(mixer, weights)(x), weights


@pytest.mark.parametrize("name, causal, n, h, r", SIZES_OF_KINDS)
def test_forces_by_hand_are_derivatives_of_h_and_from_rest_they_push_by_attention(name, causal, n, h, r):
    """The second for every n: the mean-field normalisation leaves no factor of n."""
    mixer = energy_mixer(name, n, h, r, causal=causal)
    by_hand, by_autodiff, push, mix, frozen, weights = everything(mixer, *cloud(n, h, r))
    for found, expected in zip(by_hand, by_autodiff, strict=True):
        assert error(found, expected) < 1e-11
    assert error(push, mix) < 1e-12 and error(frozen, mix) < 1e-12
    if causal:
        assert np.all(np.triu(np.asarray(weights), 1) == 0)
    if name in ("t5", "dot-product"):
        np.testing.assert_allclose(np.sum(weights, axis=2), 1, atol=1e-13)


def flow_of(mixer, head):
    """One head of a mixer without positions, as one of the flows."""
    a = mixer.a()[head]
    if hasattr(mixer, "v"):
        return flows.linear_flow(a, mixer.v()[head])
    return flows.softmax_flow(a, mixer.b()[head])


def heads_alone(mixer, x, y):
    """Velocities and forces of the heads' flows side by side, and the sum of their Hamiltonians."""
    h, r = mixer.heads, x.shape[1] // mixer.heads
    parts = [(flow_of(mixer, k), x[:, k * r : k * r + r], y[:, k * r : k * r + r]) for k in range(h)]
    velocity = jnp.concatenate([flow.velocity(u, w) for flow, u, w in parts], axis=1)
    force = jnp.concatenate([flow.force(u, w) for flow, u, w in parts], axis=1)
    return velocity, force, sum(flow.hamiltonian(u, w) for flow, u, w in parts)


@pytest.mark.parametrize("name, n, h, r", [("dot-product", 7, 2, 2), ("linear", 6, 3, 1)])
def test_heads_are_flows_side_by_side(name, n, h, r):
    mixer = energy_mixer(name, n, h, r)
    x, y = cloud(n, h, r)
    found, expected = compiled(
        lambda m, x, y: ((*both(m, x, y), m.hamiltonian(x, y)), heads_alone(m, x, y)), mixer, x, y
    )
    for one, other in zip(found, expected, strict=True):
        assert error(one, other) < 1e-11


def by_loops(name, maps, x, y, i):
    """Velocity and force of the last token of the tokens 0..i, written out in NumPy."""
    velocity, force, n = [], [], i + 1
    for mu, (u, w) in enumerate(per_head(len(maps["a"]), x[:n], y[:n])):
        a, b, v, p = (maps[k][mu] if k in maps else None for k in "abvp")
        p = 0.0 if p is None else p[:n, :n]
        if name == "linear":
            velocity.append(sum((u[i] @ a @ u[j]) * w[j] for j in range(n)) / n)
            force.append(v @ u[i] - sum((w[i] @ w[j]) * (a @ u[j]) for j in range(n)) / n)
        elif name == "factored":
            velocity.append(b @ w[i])
            force.append(sum(p[i, j] * (a @ u[j]) for j in range(n)))
        else:
            m = np.exp(u @ a @ u.T + p)
            z = m.mean(axis=1)
            s = np.array([w[j] @ b @ w[j] / z[j] ** 2 for j in range(n)])
            velocity.append(b @ w[i] / z[i])
            force.append(sum(m[i, j] * (s[i] + s[j] + 2) * (a @ u[j]) for j in range(n)) / (2 * n))
    return np.concatenate(velocity), np.concatenate(force)


@pytest.mark.parametrize("name, n, h, r", [(name, *SIZES[1]) for name in ENERGY_MIXERS] + [("t5", *SIZES[0])])
def test_a_causal_token_feels_the_whole_force_of_its_prefix(name, n, h, r):
    """The definition, token by token: cut the sequence after token i and take the last token of what is left."""
    mixer = energy_mixer(name, n, h, r, causal=True)
    x, y = cloud(n, h, r)
    names = {"a": "a", "b": "b", "v": "v", "p": "positions"}
    maps = {k: np.asarray(part()) for k, part in ((k, getattr(mixer, m, None)) for k, m in names.items()) if part}
    found = everything(mixer, x, y)[0]
    expected = zip(*(by_loops(name, maps, np.asarray(x), np.asarray(y), i) for i in range(n)), strict=True)
    for one, rows in zip(found, expected, strict=True):
        assert error(one, np.stack(rows)) < 1e-11


def reach(jacobians):
    """Largest derivative of output token i by token j, over x and y: (n, n)."""
    return np.maximum(*(np.abs(np.asarray(j)).max(axis=(1, 3)) for j in jacobians))


@pytest.mark.parametrize("name", ENERGY_MIXERS)
def test_prefix_forces_are_causal_and_the_witness_is_not(name):
    n = 5
    mixer = energy_mixer(name, n, 2, 2, causal=True)
    x, y = cloud(n, 2, 2)

    def outputs(x, y):
        return mixer.velocity(x, y), mixer.force(x, y), mixer.leaking_force(x, y)

    velocity, force, leak = (reach(j) for j in jax.jit(jax.jacrev(outputs, argnums=(0, 1)))(x, y))
    assert np.abs(np.triu(velocity, 1)).max() < 1e-12 and np.abs(np.triu(force, 1)).max() < 1e-12
    assert force[np.tril_indices(n, -1)].min() > 1e-6  # not causal because blind
    assert np.triu(leak, 1).max() > 1e-2


def test_the_witness_tells_a_token_its_future_in_numbers():
    """Moving the last token moves the force on the earlier ones by O(1); the prefix force stays as it is."""
    mixer = energy_mixer("dot-product", 8, 1, 3, causal=True)
    x, y = (jnp.asarray(np.random.default_rng(seed).normal(size=(8, 3))) for seed in (4, 5))
    moved = jnp.asarray(np.asarray(x) + np.eye(8)[-1][:, None])
    forces = eqx.filter_jit(lambda m, x: (m.force(x, y), m.leaking_force(x, y)))
    prefix, leaking = (
        np.abs(np.asarray(a) - np.asarray(b))[:-1].max()
        for a, b in zip(forces(mixer, moved), forces(mixer, x), strict=True)
    )
    assert prefix == 0.0 and leaking > 0.1


@pytest.mark.parametrize("name", ["t5", "factored"])
def test_a_table_with_directions_is_not_a_gradient(name):
    """Why the table must be symmetric: with p_{i-j} != p_{j-i} the force by hand is no derivative of H."""
    mixer = energy_mixer(name, 7, 2, 2)
    skew = eqx.tree_at(lambda m: m.positions.displacement, mixer, jnp.asarray(ring(7), jnp.int32))
    skew = eqx.tree_at(lambda m: m.positions.table, skew, jnp.asarray(np.random.default_rng(3).normal(size=(2, 7))))
    x, y = cloud(7, 2, 2)
    found, expected = compiled(lambda m, x, y: (m.force(x, y), m.derived(x, y)[1]), skew, x, y)
    assert error(found, expected) > 1e-2


def test_the_other_sign_of_the_potential_is_another_energy():
    """s_i + s_j - 2 belongs to the repulsive energy: for attention it is wrong by O(1)."""
    mixer = energy_mixer("dot-product", 7, 1, 3)
    x, y = cloud(7, 1, 3)

    @eqx.filter_jit
    def forces(mixer, x, y):
        a, b = mixer.a()[0], mixer.b()[0]
        attract, repel = (flows.DampedFlow(flows.Interaction(a, s), flows.SoftmaxMetric(a, b)) for s in (1.0, -1.0))
        return mixer.force(x, y), attract.derived(x, y)[1], repel.derived(x, y)[1], attract.energy.force(x)

    plus, attract, repel, pull = forces(mixer, x, y)
    assert error(plus, attract) < 1e-11
    assert error(plus - 2 * pull, attract) > 1e-2 and error(plus - 2 * pull, repel) < 1e-11


def test_extreme_prefixes_do_not_disturb_the_past():
    """A later token with huge logits: earlier forces and their gradients stay finite and unchanged."""
    mixer = energy_mixer("dot-product", 5, 1, 2, causal=True, dtype=jnp.float32)
    x, y = (jnp.asarray(z, jnp.float32) for z in cloud(5, 1, 2))
    far = x.at[-1].set(jnp.asarray([20.0, 20.0], jnp.float32))
    total = jax.jit(jax.value_and_grad(lambda x: jnp.sum(mixer.force(x, y)[:-1])))
    value, slope = total(far)
    np.testing.assert_allclose(value, total(x)[0], rtol=1e-5)
    assert np.all(np.isfinite(slope[:-1]))


def test_sizes_types_and_parameter_counts():
    n, h, r = 6, 2, 4
    triangle = h * r * (r + 1) // 2
    counts = {"t5": 2 * triangle + h * 4, "factored": 2 * triangle + h * 4, "dot-product": 2 * triangle}
    x = jnp.asarray(np.random.default_rng(2).normal(size=(n, h * r)), jnp.float32)
    for name in ENERGY_MIXERS:
        make = partial(make_energy_mixer, name, h * r, h, ring(n))
        mixer = eqx.filter_eval_shape(lambda key, make=make: make(key=key), jax.random.key(1))
        outputs = eqx.filter_eval_shape(both, mixer, x, x)
        sizes = [leaf.size for leaf in jax.tree.leaves(mixer) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert sum(sizes) == counts.get(name, 2 * triangle)  # a ring of 6 has 4 undirected displacements
        assert {leaf.dtype for leaf in outputs} == {np.dtype("float32")}
        if name == "t5":  # tokens of size one keep their size
            assert 0.05 < np.std(jax.jit(lambda key, make=make: make(key=key)(x))(jax.random.key(1))) < 5
    b = jnp.asarray(np.eye(2)[None])
    one = softmax_prefix_force(jnp.ones((1, 1, 1)), jnp.ones((1, 1, 2)), jnp.zeros((1, 1, 2)), b)
    np.testing.assert_allclose(one, 1.0)  # one token alone: (0 + 0 + 2) / 2
