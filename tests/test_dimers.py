"""The dimer state, the networks that are it, and the numbers that the dashboard shows."""

import json
from itertools import permutations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.ansatz.dimer_network import (
    PARTNER,
    dimer_amplitudes,
    dimer_network,
    dimer_pairs,
    draw_dimer_state,
    partner_displacement,
)
from nqs_lab.ansatz.transformer import patch_tables
from nqs_lab.lab import dimer_results as results, partner


@pytest.fixture(scope="module")
def small():
    """The 4x4 torus, all its configurations with Sz = 0, and the dimer state on them."""
    lattice = nl.square(4)
    sigma = nl.SpinBasis(lattice).configurations()
    return lattice, sigma, dimer_amplitudes(sigma, lattice)


# Compiled once for each kind of network and number of configurations.
_amplitudes = eqx.filter_jit(lambda model, sigma: jax.lax.map(model, sigma, batch_size=1024))
_maps = eqx.filter_jit(lambda model, sigma: jax.vmap(lambda s: nl.attention_maps(model, s)[0, 0])(sigma))


def evaluate(model, sigma):
    """Amplitudes of a network on many configurations."""
    return np.exp(np.asarray(_amplitudes(model, jnp.asarray(sigma))))


# --- the state


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (6, 6), (4, 8)])
def test_dimers_are_those_of_the_hamiltonian(shape):
    lattice = nl.rectangle(*shape)
    ham = nl.shastry_sutherland(lattice, j=0.0, j_dimer=1.0)
    theirs = {tuple(pair) for pair in np.asarray(ham.bonds)[np.asarray(ham.coupling) == 1].tolist()}
    pairs = dimer_pairs(lattice)
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == theirs
    assert sorted(pairs.ravel().tolist()) == list(range(lattice.n_sites))
    assert np.all(np.array(lattice.coordinates)[pairs[:, 0], 0] % 2 == 0)  # the sign is the stripe rule


@pytest.mark.parametrize("j", [0.0, 0.37, 0.9, -1.3])
def test_exact_eigenstate_for_every_coupling(small, j):
    lattice, _, psi = small
    h = nl.matrix(nl.shastry_sutherland(lattice, j=j, j_dimer=1.0), nl.SpinBasis(lattice))
    assert abs(psi @ psi - 1) < 1e-13
    assert np.linalg.norm(h @ psi + 6 * psi) < 1e-13  # E = -3/8 N
    assert nl.sign_weight(psi, nl.SpinBasis(lattice), "stripe") == pytest.approx(1, abs=1e-12)


def test_samples_are_fair_coins_on_the_support():
    lattice, rng = nl.square(6), np.random.default_rng(1)
    sigma = draw_dimer_state(lattice, 2000, rng)
    np.testing.assert_allclose(np.abs(dimer_amplitudes(sigma, lattice)), 2.0**-9, rtol=1e-12)
    assert np.all(sigma.sum(axis=1) == 0)
    first = sigma[:, dimer_pairs(lattice)[:, 0]].astype(float)
    assert np.abs(np.corrcoef(first.T) - np.eye(18)).max() < 0.12 and np.abs(first.mean(axis=0)).max() < 0.12


@pytest.mark.parametrize("lattice", [nl.square(5), nl.chain(8), nl.square(4, periodic=False), nl.tilted(20)])
def test_other_lattices_are_refused(lattice):
    with pytest.raises(ValueError, match="even sides"):
        dimer_pairs(lattice)


# --- the network


@pytest.mark.parametrize("penalty", [50.0, 1000.0])
def test_network_is_the_state_on_all_configurations(small, penalty):
    lattice, sigma, psi = small
    assert np.abs(evaluate(dimer_network(lattice, penalty=penalty), sigma) - psi).max() < 1e-12


@pytest.mark.parametrize("side", [6, 10])
def test_same_weights_on_every_lattice(side):
    lattice, rng = nl.square(side), np.random.default_rng(side)
    model = dimer_network(lattice)
    sigma = draw_dimer_state(lattice, 64, rng)
    broken = partner.break_dimers(sigma, lattice, rng)
    exact = dimer_amplitudes(np.concatenate([sigma, broken]), lattice)
    error = np.abs(evaluate(model, np.concatenate([sigma, broken])) - exact)
    assert error.max() * 2 ** (side**2 / 4) < 1e-12 and np.sum(exact == 0) > 50
    parts = lambda m: eqx.filter((m.embed, m.blocks[0].mlp, m.blocks[0].mixer.value, m.head), eqx.is_array)
    for mine, theirs in zip(
        jax.tree.leaves(parts(model)), jax.tree.leaves(parts(dimer_network(nl.square(4)))), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_the_network_is_made_of_library_parts():
    model = dimer_network(nl.square(6))
    assert isinstance(model, nl.ViT) and len(model.blocks) == 1
    assert type(model.blocks[0].mixer).__name__ == "Factored" and model.blocks[0].mixer.heads == 1
    table = np.asarray(model.blocks[0].mixer.positions.table)[0]
    assert np.flatnonzero(table).tolist() == [partner_displacement(nl.square(6))]
    assert model.invariances().n_elements == 9


@pytest.mark.parametrize("side", [6, 8])
def test_attention_points_at_the_partner(side):
    lattice = nl.square(side)
    patches, _ = patch_tables(lattice, 2)
    where = {int(site): token for token, sites in enumerate(patches) for site in sites}
    alpha = np.asarray(dimer_network(lattice).blocks[0].mixer.positions())[0]
    for first, second in dimer_pairs(lattice)[lattice.n_sites // 4 :]:
        assert alpha[where[int(first)], where[int(second)]] == 1
    assert alpha.sum() == len(patches) and not np.array_equal(alpha, alpha.T)
    g = side // 2
    x, y = np.arange(g * g) % g, np.arange(g * g) // g
    np.testing.assert_array_equal(np.argmax(alpha, axis=1), (x + PARTNER[0]) % g + g * ((y + PARTNER[1]) % g))


def test_a_wrong_displacement_is_noticed():
    """The checks above can fail: a 1 in any other place of the table breaks the state on 6x6."""
    lattice, rng = nl.square(6), np.random.default_rng(3)
    sigma = draw_dimer_state(lattice, 32, rng)
    exact = dimer_amplitudes(sigma, lattice)
    model = dimer_network(lattice)
    run = eqx.filter_jit(lambda row: jax.vmap(_with_row(model, row))(jnp.asarray(sigma)))
    for place in range(9):
        error = np.abs(np.exp(run(jnp.eye(9)[place])) - exact).max() / np.abs(exact).max()
        assert (error < 1e-12) == (place == partner_displacement(lattice)), place


def _with_row(model, row):
    """The network with another position table."""
    return eqx.tree_at(lambda m: m.blocks[0].mixer.positions.table, model, row[None])


# --- contents: what permutations cost


def test_permutations_and_the_bound(small):
    lattice, sigma, psi = small
    sites = patch_tables(lattice, 2)[0]
    overlaps = []
    for order in permutations(range(4)):
        moved = sigma.copy()
        moved[:, sites] = sigma[:, sites[list(order)]]
        overlaps.append(psi @ dimer_amplitudes(moved, lattice))
    assert sorted({round(float(value), 12) for value in overlaps}) == [0.25, 1.0]
    assert np.mean(overlaps) == pytest.approx(0.5, abs=1e-12)


# --- T5


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_t5_with_living_contents_is_exact_above_the_bound(small, spread):
    lattice, sigma, psi = small
    enough = partner.sufficient_bias(4, spread)
    model = dimer_network(lattice, attention="t5", bias=enough + 0.15, spread=spread)
    assert np.abs(evaluate(model, sigma) - psi).max() < 1e-12
    maps = np.asarray(_maps(model, jnp.asarray(sigma[::40])))
    assert (maps.std(axis=0).max() > 0.02) == (spread > 0)
    if spread == 3.0:
        weak = dimer_network(lattice, attention="t5", bias=0.0, spread=spread)
        assert np.abs(evaluate(weak, sigma) - psi).max() > 0.01
        linear = dimer_network(lattice, attention="t5", bias=enough + 0.15, spread=spread, threshold=0.0, penalty=20.0)
        assert 1 - nl.fidelity(evaluate(linear, sigma), psi) > 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"attention": "linear"},
        {"bias": 1.0},
        {"spread": 1.0},
        {"threshold": 2.0},
        {"attention": "t5", "spread": -1.0},
        {"penalty": 0.0},
    ],
)
def test_bad_settings_are_explained(wrong):
    with pytest.raises(ValueError, match="got|belong"):
        dimer_network(nl.square(4), **wrong)


@pytest.mark.parametrize(("side", "spread", "bias"), [(6, 2.0, 3.0)])
def test_numbers_of_the_dashboard_are_those_of_the_library(side, spread, bias):
    lattice, rng = nl.square(side), np.random.default_rng(side)
    sigma = partner.break_dimers(draw_dimer_state(lattice, 6, rng), lattice, rng)
    contents = partner.read_contents(sigma, lattice, spread)
    model = dimer_network(lattice, attention="t5", bias=bias, spread=spread, threshold=0.5, penalty=7.0)
    maps = np.asarray(_maps(model, jnp.asarray(sigma)))
    chosen = maps[:, patch_tables(lattice, 2)[1] == partner_displacement(lattice)]
    np.testing.assert_allclose(np.sort(chosen), np.sort(partner.partner_weights(contents, bias)), atol=1e-12)
    assert chosen.min() >= partner.guaranteed(side**2 // 4, bias, spread) - 1e-12
    # relu in place of steep GELUs, and only the dimers between patches: compare at a steep slope, inside ones intact
    steep = dimer_network(lattice, attention="t5", bias=bias, spread=spread, threshold=0.5, penalty=1e4)
    cost = partner.costs(contents, np.array([bias]), 0.5)[0]
    modulus = -np.asarray(_amplitudes(steep, jnp.asarray(sigma))).real - side**2 / 4 * np.log(2)
    kappa = modulus / 1e4 / np.where(cost > 0, cost, 1.0)  # LayerNorm enlarges a token with a small A by at most 1.1
    assert np.all((kappa > 1 - 1e-3) & (kappa < 1.1)) or np.allclose(modulus, 0)


def test_the_bound_is_reached_by_the_worst_contents():
    n, spread, bias = 9, 2.5, 4.0
    logits = np.full(n, spread / 2)
    logits[3] = -spread / 2 + bias
    weight = np.exp(logits[3]) / np.exp(logits).sum()
    assert weight == pytest.approx(float(partner.guaranteed(n, bias, spread)), rel=1e-12)
    assert weight > 1 - (n - 1) * np.exp(spread - bias)
    assert float(partner.guaranteed(n, partner.sufficient_bias(n, spread), spread)) == pytest.approx(0.5)


def test_error_falls_with_the_bias_and_stops_at_the_bound():
    sample, bias = partner.make_sample(16, 2.0, count=30), np.linspace(0, 16, 33)
    with_it, without = (partner.state_error(sample, bias, threshold=flag) for flag in (True, False))
    enough = partner.sufficient_bias(16, 2.0)
    assert np.all(with_it[bias > enough] < 1e-12) and with_it[0] == 1
    late = bias > 9
    assert np.all(without[late] > 1e-5) and np.all(np.diff(without[late]) < 0)
    slope = np.polyfit(bias[late], np.log(without[late]), 1)[0]
    assert -1.1 < slope < -0.8  # e^-P, up to the logarithm that the best penalty costs
    spread = partner.partner_weights(sample.support, bias).std(axis=(1, 2))
    top = int(np.argmax(spread))
    assert 0 < top < 20 and spread[0] < spread[top] / 2 and spread[-1] < 1e-3


@pytest.mark.parametrize("n", [1, 3, 5, 10])
def test_numbers_of_patches_that_are_no_square_are_refused(n):
    with pytest.raises(ValueError, match="square"):
        partner.make_sample(n, 1.0)


# --- shipped


def test_shipped_runs_are_complete_and_say_where_they_come_from():
    runs = results.load_dimer_runs()
    assert [run.setting for run in runs] == list(results.settings())
    for run in runs:
        assert run["energy"] > -6 - 1e-5 and 0 <= run["infidelity"] < 1 and run["not_finite"] == 0
        assert len(run.energies) == run.setting.steps == run["steps"] and len(run.weights) == run["parameters"]
        assert {"versions", "machine", "commit", "date"} <= set(run.provenance)
        # a state with this infidelity has at least this energy: the next level is above by more than the gap 0.6 J_D
        assert run["energy"] + 6 > 0.6 * run["infidelity"] - 1e-5
    files = [results.FOLDER / name for name in (results.INDEX, results.WEIGHTS)]
    assert sum(file.stat().st_size for file in files) < 200_000
    assert {run.setting.attention for run in results.load_dimer_runs(sign="none")} == {"factored", "t5"}


@pytest.mark.parametrize("name", ["factored-none-seed11", "t5-none-seed37"])
def test_shipped_weights_give_the_shipped_numbers(name):
    run = next(run for run in results.load_dimer_runs() if run.setting.name == name)
    assert results.infidelity(results.trained(run)) == pytest.approx(run["infidelity"], abs=2e-5)
    lattice = nl.square(4)
    psi = nl.state_vector(results.trained(run), nl.SpinBasis(lattice))
    ham = nl.shastry_sutherland(lattice, j=results.J, j_dimer=1.0)
    assert nl.expectation(ham, psi, nl.SpinBasis(lattice)).real == pytest.approx(run["energy"], abs=2e-4)
    if run.setting.attention == "factored":
        np.testing.assert_allclose(results.table(run), run.map_mean, atol=1e-6)


@pytest.mark.slow
def test_a_short_run_from_scratch_repeats_the_shipped_one():
    run = results.load_dimer_runs(attention="factored", sign="none")[0]
    again = results.train(run.setting, stop=3)
    np.testing.assert_allclose(again.energies, run.energies[:3], rtol=1e-4)
    assert again["steps"] == 3


def test_files_are_written_and_read_back(tmp_path):
    runs = results.load_dimer_runs()
    results.write_dimer_runs(runs[:2], tmp_path)
    again = results.load_dimer_runs(tmp_path)
    assert [run.setting for run in again] == [run.setting for run in runs[:2]]
    for mine, theirs in zip(again, runs, strict=False):
        assert mine.numbers == theirs.numbers and mine.provenance == theirs.provenance
        np.testing.assert_array_equal(mine.weights, theirs.weights)
    content = json.loads((tmp_path / results.INDEX).read_text())
    (tmp_path / results.INDEX).write_text(json.dumps(content | {"format": "old"}))
    with pytest.raises(ValueError, match="rebuild"):
        results.load_dimer_runs(tmp_path)


def test_command_line_names_the_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        results.main(["--out", str(tmp_path), "--name", "nobody"])
    assert "factored-none-seed11" in capsys.readouterr().err
    results.write_dimer_runs(results.load_dimer_runs(), tmp_path)
    assert results.main(["--out", str(tmp_path)]) == 0  # everything is there: nothing is trained again
    assert "wrote" in capsys.readouterr().out
