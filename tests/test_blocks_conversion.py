"""Which ordinary mixers are the gradient of an energy: accepted and unchanged, or refused with the reason."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from block_cases import cloud, ring, text
from flow_cases import Cases, compiled, error

from nqs_lab.attention import (
    ENERGY_MIXERS,
    MIXERS,
    EnergyMixer,
    Frozen,
    HamiltonianMomentum,
    as_energy_mixer,
    causal_mask,
    make_block,
    make_energy_mixer,
    make_mixer,
)

N, H, R = 6, 2, 3
D = H * R


def ordinary(name, *, causal=False):
    """A mixer of make_mixer whose maps are set so that it is the gradient of an energy, and its A and B or V."""
    cases = Cases(N, H, R, ENERGY_MIXERS.index(name))
    table, mask = (text(N), causal_mask(N)) if causal else (ring(N), None)
    mixer = make_mixer(name, D, H, table, mask=mask, dtype=jnp.float64, key=jax.random.key(0))
    a, b, q = ([np.asarray(draw(R)) for _ in range(H)] for draw in (cases.symmetric, cases.positive, cases.general))
    v = a if name == "factored" else [np.asarray(cases.symmetric(R)) for _ in range(H)]
    if name in ("t5", "dot-product"):
        v = [b[k] @ a[k] for k in range(H)]
    put = lambda blocks: jnp.asarray(scipy.linalg.block_diag(*blocks))
    wo = [np.linalg.inv(q[k]) for k in range(H)]  # V W = v^T, whatever the split
    change = {"value.weight": put([v[k].T @ q[k] for k in range(H)]), "output.weight": put(wo)}
    if name != "factored":
        change["content.queries.weight"] = put([a[k] @ q[k] for k in range(H)])
        change["content.keys.weight"] = put([np.sqrt(R) * np.linalg.inv(q[k]).T for k in range(H)])
    if name in ("t5", "factored"):
        rows = cases.rng.normal(size=mixer.positions.table.shape)
        change["positions.table"] = jnp.asarray(rows if causal else (rows + rows[:, -np.arange(N)]) / 2)
    for path, value in change.items():
        mixer = put_at(mixer, path, lambda _, value=value: value)
    return mixer


def put_at(mixer, path, change):
    """The mixer with one array changed."""

    def where(m):
        for part in path.split("."):
            m = getattr(m, part)
        return m

    return eqx.tree_at(where, mixer, change(where(mixer)))


@pytest.mark.parametrize("name, causal", [(name, False) for name in ENERGY_MIXERS] + [("t5", True), ("factored", True)])
def test_a_mixer_that_is_a_gradient_is_read_as_one(name, causal):
    mixer = ordinary(name, causal=causal)
    read = as_energy_mixer(mixer)
    assert isinstance(read, EnergyMixer) and read.causal is causal and as_energy_mixer(read) is read
    x, y = cloud(N, H, R)
    found, expected = compiled(lambda m, x: ((m[0](x), m[0].weights(x)), (m[1](x), m[1].weights(x))), (read, mixer), x)
    assert error(found[0], expected[0]) < 1e-11 and error(found[1], expected[1]) < 1e-11
    block = HamiltonianMomentum(mixer, D, 2, key=jax.random.key(0), dtype=jnp.float64)
    assert isinstance(block.mixer, EnergyMixer)


def bump(row, column, by=0.1):
    """Change one entry."""
    return lambda m: m.at[row, column].add(by)


@pytest.mark.parametrize(
    "name, path, change, message",
    [
        ("t5", "content.queries.weight", bump(0, D - 1), "disjoint subspaces.*A = Q K.*of head 2"),
        ("linear", "value.weight", bump(D - 1, 0), "disjoint subspaces.*values V W of head 1"),
        ("factored", "output.weight", bump(0, D - 1), "disjoint subspaces.*values V W of head 1"),
        ("dot-product", "content.keys.weight", bump(0, 1), "A = Q K.*must be symmetric.*head 1"),
        ("t5", "value.weight", bump(0, 1), "B = V A.*must be symmetric.*head 1"),
        ("t5", "value.weight", lambda m: -m, "positive definite.*eigenvalue -"),
        ("linear", "value.weight", bump(D - 1, D - 2), "V must be symmetric.*head 2"),
        ("factored", "value.weight", bump(0, 1), "V must be symmetric.*head 1"),
        ("t5", "positions.table", bump(0, 1), "position table must be symmetric"),
        ("factored", "positions.table", bump(1, 2), "position table must be symmetric"),
        ("t5", "content.keys.bias", lambda b: b.at[2].set(0.3), "no biases.*0.3"),
        ("factored", "value.bias", lambda b: b.at[0].set(0.3), "no biases"),
        ("dot-product", "content.queries.weight", lambda m: m.at[0, :R].set(0.0), "symmetric|singular"),
    ],
)
def test_one_broken_condition_is_named(name, path, change, message):
    broken = put_at(ordinary(name), path, change)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        as_energy_mixer(broken)
    with pytest.raises(ValueError, match="make_energy_mixer"):
        make_block("momentum", broken, D, 2, dtype=jnp.float64, key=jax.random.key(0))


def test_a_singular_a_leaves_b_open():
    mixer = put_at(ordinary("dot-product"), "content.queries.weight", lambda m: m.at[:R, :R].set(0.0))
    with pytest.raises(ValueError, match="A of head 1 is singular"):
        as_energy_mixer(mixer)


@pytest.mark.parametrize("name", MIXERS)
def test_mixers_as_they_are_made_are_no_gradients(name, key):
    mixer = make_mixer(name, D, H, ring(N), key=key)
    reason = "B / z_i" if name == "decoupled" else "disjoint subspaces"
    with pytest.raises(ValueError, match=reason):
        make_block("momentum", mixer, D, 2, key=key)
    frozen = Frozen(mixer, jnp.zeros((H, N, N), jnp.float32))
    with pytest.raises(ValueError, match="constant weights"):
        as_energy_mixer(frozen)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(name="decoupled"), "not the gradient of an energy"),
        (dict(name="softmax"), "t5, factored, dot-product, linear"),
        (dict(heads=4), "heads must divide width"),
        (dict(heads=0), "heads must divide width"),
        (dict(mask=np.triu(np.ones((N, N), bool))), "two masks"),
        (dict(mask=np.ones((N + 1, N + 1), bool)), "two masks"),
    ],
)
def test_energy_mixers_refuse(change, message):
    options = dict(name="t5", width=D, heads=H, displacement=ring(N), mask=None, key=jax.random.key(0)) | change
    with pytest.raises(ValueError, match=message):
        make_energy_mixer(**options)


def test_a_mask_that_hides_nothing_is_none():
    mixer = make_energy_mixer("linear", D, H, ring(N), mask=np.ones((N, N), bool), key=jax.random.key(0))
    assert mixer.causal is False
