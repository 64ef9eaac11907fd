"""T20: attention on the sphere: tokens stay there, the energy falls, clusters form, and for large beta they linger."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flow_cases import Cases, error

from nqs_lab import flows


def unit_tokens(seeds, n, d):
    x = np.stack([Cases(51, seed, n, d).rng.normal(size=(n, d)) for seed in range(seeds)])
    return jnp.asarray(x / np.linalg.norm(x, axis=2, keepdims=True))


def self_attention(beta, d):
    """x_i' = P_i sum_j softmax_j(beta x_i . x_j) x_j: A = beta, B = 1 / beta, V = 1. geshkovski2023perspective"""
    a, b = beta * np.eye(d), np.eye(d) / beta
    return flows.GradientFlow(flows.Interaction(a), flows.Sphere(flows.SoftmaxMetric(a, b)))


def histories(flow, x, h, steps, every):
    """Tokens and energies of several clouds."""
    scheme = flows.RungeKutta()
    record = lambda state: (state.x, flow.energy(state.x))
    run = lambda x: flows.simulate(scheme, flow, scheme.init(flow, x), h, steps, every=every, record=record).records
    return [np.asarray(r) for r in jax.vmap(run)(x)]


def arcs(x, gap=0.3):
    """Clusters on the circle: the number of gaps wider than `gap`."""
    angles = np.sort(np.arctan2(x[:, 1], x[:, 0]))
    return max(1, int(np.sum(np.diff(np.append(angles, angles[0] + 2 * np.pi)) > gap)))


@pytest.mark.parametrize("beta, d", [(1.0, 3), (4.0, 2)])
def test_projected_attention_on_the_sphere(beta, d):
    x = unit_tokens(1, 7, d)[0]
    weights = np.exp(beta * x @ x.T)
    mix = weights / weights.sum(1, keepdims=True) @ np.asarray(x)
    by_hand = mix - x * np.sum(x * mix, axis=1, keepdims=True)
    assert error(self_attention(beta, d).velocity(x, x), by_hand) < 1e-12


def test_one_cluster_for_small_beta():
    """N = 32, d = 3, beta = 1: all inner products above 0.999 at t = 30, the interaction energy monotone."""
    x, energy = histories(self_attention(1.0, 3), unit_tokens(10, 32, 3), 0.1, 300, 10)
    assert np.abs(np.linalg.norm(x, axis=3) - 1).max() < 1e-12
    inner = np.einsum("sid,sjd->sij", x[:, -1], x[:, -1]).min((1, 2))
    assert np.sum(inner > 0.999) >= 9 and np.all(np.einsum("sid,sjd->sij", x[:, 0], x[:, 0]).min((1, 2)) < 0)
    # monotone up to rounding: once all tokens agree, the energy is constant
    assert np.diff(energy, axis=1).max() < 1e-12 * np.abs(energy).max() and np.all(energy[:, -1] < energy[:, 0])


def test_several_clusters_linger_for_large_beta():
    """beta = 9, d = 2: 2 to 5 clusters from t = 30 to 100, the same ones for long; the energy falls in stairs."""
    x, energy = histories(self_attention(9.0, 2), unit_tokens(8, 32, 2), 0.1, 1000, 50)
    found = np.array([[arcs(cloud) for cloud in history] for history in x])
    assert np.all((found[:, 6:] >= 2) & (found[:, 6:] <= 5)), found
    longest = [max(len(run) for run in np.split(row, np.flatnonzero(np.diff(row)) + 1)) for row in found[:, 6:]]
    assert min(longest) >= 8, found  # each cloud keeps its number for a time of 40 at least
    moved = np.abs(np.diff(energy, axis=1)) / np.ptp(energy, axis=1)[:, None]
    assert np.median(moved[:, 6:]) < 1e-3 and np.all(moved[:, 0] > 0.2)


def test_momenta_stay_tangent_and_friction_leads_to_the_cluster():
    flow = self_attention(1.0, 3)
    fast = flows.DampedFlow(flow.energy, flow.metric, flows.Damping(3, 0.3))
    scheme = flows.KickDampDrift()
    record = lambda state: (state.x, state.y, fast.hamiltonian(state.x, state.y))
    run = flows.simulate(scheme, fast, scheme.init(fast, unit_tokens(1, 12, 3)[0]), 0.05, 800, every=40, record=record)
    x, y, total = (np.asarray(r) for r in run.records)
    assert np.abs(np.linalg.norm(x, axis=2) - 1).max() < 1e-12 and np.abs(np.sum(x * y, axis=2)).max() < 1e-12
    assert np.all(np.diff(total) < 1e-9) and (x[-1] @ x[-1].T).min() > 0.999
    # already the equations keep x . y = 0, before anything is put back on the sphere
    x, y = fast.retract(jnp.asarray(x[3]), jnp.asarray(y[3]))
    velocity, force = fast.velocity(x, y), fast.force(x, y)
    assert np.abs(np.sum(x * velocity, axis=1)).max() < 1e-12
    assert np.abs(np.sum(velocity * y + x * force, axis=1)).max() < 1e-12 < np.abs(np.sum(velocity * y, axis=1)).max()
