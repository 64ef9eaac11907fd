"""The runs behind lessons 07 to 09: maps by displacement, the freeze test, tuning, verdicts, and the shelf of runs."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import nqs_lab as nl
from nqs_lab.ansatz.transformer import attention_maps, patch_tables
from nqs_lab.lab.comparison.freezing import freeze_test, variants
from nqs_lab.lab.comparison.setting import (
    J2_GRID,
    TYPES,
    Problem,
    Setting,
    grid_settings,
    make_model,
    problem,
    tuning_settings,
)
from nqs_lab.lab.comparison.shelf import Row, Shelf
from nqs_lab.lab.comparison.training import Outcome, sign_accuracy, train, with_weights
from nqs_lab.lab.comparison.tuning import choose, extension
from nqs_lab.lab.comparison.verdict import judge
from nqs_lab.lab.maps import by_displacement, circulant, network, relative_rows, relative_statistics, with_network
from nqs_lab.spins.observables import expectation, fidelity
from nqs_lab.vmc.samples import Samples

SETTING = Setting("t5", 0.5, "neel", 11, 0.1, 1e-3, steps=3)


def ring(n=6, kind="t5", seed=0):
    """A small magnet, and a network with parameters of order one on it, with Marshall's sign."""
    lattice = nl.chain(n)
    ham, basis = nl.j1j2(lattice, 0.3), nl.SpinBasis(lattice)
    vit = nl.ViT(
        lattice, patch=1, width=8, heads=2, depth=2, attention=kind, dtype=jnp.float64, key=jax.random.key(seed)
    )
    return Problem(lattice, ham, basis, nl.ground_state(ham, basis)), nl.MarshallSign(vit, lattice)


def everything(magnet, model):
    """All configurations of the basis with the weights |psi|^2."""
    sigma = jnp.asarray(magnet.basis.configurations())
    psi = nl.state_vector(model, magnet.basis)
    log_psi = jnp.asarray(np.log(psi))
    return Samples(sigma, log_psi, jnp.asarray(np.abs(psi) ** 2), jax.random.key(0), jnp.ones(()))


# --- maps by displacement


@pytest.mark.parametrize("lattice", [nl.chain(6), nl.square(4), nl.rectangle(4, 6), nl.tilted(18)])
def test_rows_and_circulant_maps_are_inverse(lattice):
    displacement = patch_tables(lattice, 1)[1]
    n = lattice.n_sites
    rows = np.random.default_rng(n).normal(size=(2, 3, n))
    np.testing.assert_allclose(by_displacement(circulant(rows, displacement), displacement), rows, rtol=1e-13)
    maps = np.random.default_rng(n + 1).normal(size=(2, 3, n, n))
    found, brute = by_displacement(maps, displacement), np.zeros((2, 3, n))
    for i in range(n):
        for j in range(n):
            step = np.asarray(lattice.coordinates[j]) - np.asarray(lattice.coordinates[i])
            brute[..., lattice.site(int(step[0]), int(step[1]))] += maps[..., i, j] / n
    np.testing.assert_allclose(found, brute, atol=1e-14)
    if lattice.shape == (4, 4):
        np.testing.assert_allclose(found, relative_rows(maps, (4, 4)), atol=1e-14)


@pytest.mark.parametrize("kind", ["t5", "decoupled"])
def test_statistics_over_orbits_are_those_over_all_configurations(kind):
    magnet, model = ring(kind=kind, seed=3)
    displacement = patch_tables(magnet.lattice, 1)[1]
    vmc = nl.VMC(
        magnet.ham,
        nl.ExactSampler(magnet.basis, group=magnet.lattice.translations(step=1)),
        None,
        nl.imaginary_time(0.1, 3),
    )
    orbits = vmc.init(model, key=jax.random.key(0)).samples
    mean, deviation = relative_statistics(model, orbits)
    p = np.abs(nl.state_vector(model, magnet.basis)) ** 2
    maps = np.stack([np.asarray(attention_maps(network(model), jnp.asarray(s))) for s in magnet.basis.configurations()])
    rows = np.stack([by_displacement(maps[k], displacement) for k in range(len(p))])
    squares = np.stack([by_displacement(maps[k] ** 2, displacement) for k in range(len(p))])
    expected = np.tensordot(p, rows, 1)
    np.testing.assert_allclose(mean, expected, atol=1e-10)
    np.testing.assert_allclose(deviation**2, np.tensordot(p, squares, 1) - expected**2, atol=1e-10)
    assert deviation.max() > 0.01 and len(orbits.sigma) < len(p)


def test_a_factored_map_does_not_depend_on_the_input():
    magnet, model = ring(kind="factored")
    mean, deviation = relative_statistics(model, everything(magnet, model))
    assert deviation.max() < 1e-7
    fixed = np.asarray(network(model).blocks[0].mixer.weights(jnp.zeros((6, 8))))
    np.testing.assert_allclose(mean[0], fixed[:, 0], atol=1e-12)  # receiver 0: sender j is displacement j


# --- the freeze test


def test_freezing_a_factored_network_costs_nothing_and_its_controls_do():
    magnet, model = ring(kind="factored", seed=1)
    rows, _ = relative_statistics(model, everything(magnet, model))
    losses = freeze_test(model, rows, magnet)
    psi = nl.state_vector(model, magnet.basis)
    energy = expectation(magnet.ham, psi, magnet.basis)
    for name in ("mean", "layer 1", "layer 2"):
        assert losses[name].energy == pytest.approx(energy, abs=1e-10) and losses[name].to_trained < 1e-12
    for name in ("uniform", "displaced"):
        assert losses[name].to_trained > 1e-6
    assert losses["mean"].to_exact == pytest.approx(1 - fidelity(psi, magnet.ground.state), abs=1e-12)


def test_the_variants_of_a_softmax_network_have_the_weights_they_say():
    magnet, model = ring(kind="t5", seed=2)
    vit = network(model)
    rows, _ = relative_statistics(model, everything(magnet, model))
    sigma = jnp.asarray(magnet.basis.configurations()[3])
    found = {name: np.asarray(attention_maps(v, sigma)) for name, v in variants(vit, rows).items()}
    original = np.asarray(attention_maps(vit, sigma))
    for receiver, sender in ((0, 1), (2, 5), (4, 4)):
        step = (sender - receiver) % 6
        np.testing.assert_allclose(found["mean"][..., receiver, sender], rows[..., step])
        np.testing.assert_allclose(found["displaced"][..., receiver, sender], rows[..., (step - 1) % 6])
    np.testing.assert_allclose(found["uniform"], 1 / 6, atol=1e-12)  # rows of a softmax sum to one
    np.testing.assert_allclose(found["layer 1"][0], found["mean"][0])
    np.testing.assert_allclose(found["layer 2"][0], original[0])
    np.testing.assert_allclose(found["layer 2"][1], found["mean"][1])
    losses = freeze_test(model, rows, magnet)
    assert losses["layer 1"].to_trained != losses["layer 2"].to_trained
    with pytest.raises(ValueError, match="rows must have the shape"):
        freeze_test(model, rows[:1], magnet)


def test_a_network_is_put_back_into_its_wrapper():
    magnet, model = ring()
    other = ring(seed=9)[1]
    swapped = with_network(model, network(other))
    sigma = jnp.asarray(magnet.basis.configurations()[2])
    assert swapped(sigma) == other(sigma) != model(sigma)
    assert isinstance(swapped, nl.MarshallSign) and with_network(network(model), network(other)) is not None


def test_sign_accuracy_counts_weight_and_ignores_the_global_phase():
    magnet, _ = ring(8)
    exact = magnet.ground.state.astype(complex)
    assert sign_accuracy(exact, magnet) == pytest.approx(1, abs=1e-12)
    assert sign_accuracy(exact * np.exp(2.1j), magnet) == pytest.approx(1, abs=1e-12)
    wrong = exact.copy()
    flipped = np.argsort(np.abs(exact))[:30]
    wrong[flipped] *= -1
    assert sign_accuracy(wrong, magnet) == pytest.approx(1 - np.sum(np.abs(exact[flipped]) ** 2), abs=1e-12)
    assert 0.3 < sign_accuracy(np.abs(exact).astype(complex), magnet) < 0.9


# --- verdicts


@pytest.mark.parametrize("count", [2, 5, 12])
def test_the_interval_is_that_of_the_paired_t_test(count):
    rng = np.random.default_rng(count)
    first, second = rng.normal(size=count), rng.normal(0.4, 1, size=count)
    found = judge(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.difference == pytest.approx(np.mean(first - second))


def test_the_words_of_a_verdict():
    base = np.array([0.01, -0.01, 0.02, -0.02, 0.0])
    zero = np.zeros(5)
    assert judge(base + 1, zero).word == "different" and not judge(base + 1, zero).within_margin
    assert judge(base, zero).word == "equivalent"
    assert judge(base * 40, zero).word == "undecided"
    near = judge(base + 0.1, zero)
    assert near.word == "different" and near.within_margin and "within the margin" in str(near)
    assert judge(zero, zero).word == "equivalent"
    for bad in (zero[:1], np.array([1.0, np.nan]), zero[:3]):
        with pytest.raises(ValueError, match="expected"):
            judge(bad, zero if len(bad) == 3 else zero[: len(bad)])


# --- settings and tuning


def test_the_grid_pairs_seeds_and_keeps_tuning_seeds_out():
    grid = grid_settings({kind: (0.1, 1e-3) for kind in TYPES})
    assert len({s.name for s in grid}) == len(grid) == 5 * (11 * 3 + 9 + 3)
    assert not {s.seed for s in grid} & {s.seed for s in tuning_settings()}
    for j2 in J2_GRID:
        assert {s.sign for s in grid if s.j2 == j2 and s.sign != "none"} == {"neel" if j2 <= 0.5 else "stripe"}
    first = grid[: len(grid) // 5]
    assert {s.seed for s in first} == {grid[0].seed}  # one seed after the other: an unfinished grid is balanced


def test_types_share_their_weights_and_the_wider_mlp_matches_the_parameters():
    models = {kind: network(make_model(replace(SETTING, attention=kind))) for kind in TYPES}
    for layer in range(2):
        values = [np.asarray(m.blocks[layer].mixer.value.weight) for m in models.values()]
        np.testing.assert_array_equal(values[0], values[1])
        np.testing.assert_array_equal(values[0], values[2])
    wide = nl.count_parameters(make_model(replace(SETTING, attention="factored", mlp_ratio=5)))
    assert wide == pytest.approx(nl.count_parameters(models["t5"]), rel=0.01)
    assert isinstance(make_model(replace(SETTING, sign="none")), nl.ViT)


def tuned_at(best):
    """Tuning rows whose relative error grows with the distance from the best (rate, shift)."""
    rows = []
    for s in tuning_settings():
        rate, shift = best[s.attention]
        distance = abs(np.log2(s.rate / rate)) + abs(np.log10(s.diag_shift / shift))
        rows.append(Row(s, {"relative_error": 1e-6 * 10**distance}, {"date": ""}))
    return rows


def test_tuning_chooses_the_best_and_is_prolonged_for_all_types_alike():
    inside = dict.fromkeys(TYPES, (0.1, 1e-3))
    assert choose(tuned_at(inside)) == inside and extension(tuned_at(inside)) == []
    edge = inside | {"t5": (0.05, 1e-2)}
    more = extension(tuned_at(edge))
    assert {s.rate for s in more if s.diag_shift <= 1e-2} == {0.025} and {s.diag_shift for s in more} == {
        1e-4,
        1e-3,
        1e-2,
        0.1,
    }
    counts = {kind: len([s for s in more if s.attention == kind]) for kind in TYPES}
    assert len(set(counts.values())) == 1 and counts["t5"] == 2 * (3 + 4)
    with pytest.raises(ValueError, match="no tuning runs"):
        choose([])
    rows = tuned_at(inside)
    rows[0] = Row(rows[0].setting, {"relative_error": float("nan")}, {"date": ""})
    assert choose(rows) == inside


# --- training and the shelf


@pytest.fixture(scope="module")
def outcome():
    return train(SETTING)


@pytest.mark.slow
def test_a_run_records_what_it_says(outcome):
    numbers, arrays = outcome.numbers, outcome.arrays
    assert arrays["map_steps"].tolist() == [0, 2, 3] and arrays["map_mean"].shape == (3, 2, 4, 16)
    np.testing.assert_allclose(arrays["map_mean"].sum(-1), 1, atol=1e-5)  # softmax rows
    assert np.all(arrays["map_deviation"] > 0) and len(arrays["energy"]) == 3
    assert numbers["exact"] == pytest.approx(16 * -0.528620209462, abs=1e-8) and numbers["energy"] > numbers["exact"]
    assert numbers["parameters"] == len(arrays["weights"])
    again = with_weights(SETTING, arrays["weights"])
    magnet = problem(0.5)
    psi = nl.state_vector(again, magnet.basis)
    assert expectation(magnet.ham, psi, magnet.basis) == pytest.approx(numbers["energy"], abs=1e-5)
    assert 1 - fidelity(psi, magnet.ground.state) == pytest.approx(numbers["infidelity"], abs=1e-6)
    assert set(numbers["freeze"]) == {"mean", "uniform", "displaced", "layer 1", "layer 2"}
    with pytest.raises(ValueError, match="parameters, got"):
        with_weights(SETTING, arrays["weights"][:-1])


@pytest.mark.slow
def test_a_run_can_be_repeated(outcome):
    again = train(SETTING)
    np.testing.assert_allclose(again.arrays["energy"], outcome.arrays["energy"], rtol=1e-6)
    np.testing.assert_allclose(again.arrays["map_mean"], outcome.arrays["map_mean"], atol=1e-4)


def made_up(value):
    """An outcome without a training run."""
    return Outcome({"energy": value}, {"energy": np.array([value, 1.0]), "weights": np.arange(3.0)}, None)


def test_a_shelf_keeps_runs_and_reads_them_again(tmp_path):
    shelf = Shelf(tmp_path / "runs", command="make runs")
    other = replace(SETTING, seed=23)
    shelf.add(other, made_up(-2.0))
    shelf.add(SETTING, made_up(-1.0), arrays=())
    again = Shelf(tmp_path / "runs", command="make runs")
    assert [row.setting for row in again.select(attention="t5", j2=0.5 + 1e-12)] == [SETTING, other]
    row = again.find(other)
    assert (
        row is not None and row["energy"] == -2.0 and {"versions", "machine", "date", "commit"} <= set(row.provenance)
    )
    np.testing.assert_array_equal(again.arrays(row)["energy"], [-2.0, 1.0])
    again.add(other, made_up(-3.0))
    assert [r["energy"] for r in Shelf(tmp_path / "runs", command="").select(seed=23)] == [-3.0]
    index = json.loads((tmp_path / "runs" / "index.json").read_text())
    assert len(index["provenance"]) == 1 and len(index["runs"]) == 2
    with pytest.raises(KeyError, match="not recorded"):
        row["height"]
    assert again.find(replace(SETTING, j2=0.3)) is None
    (tmp_path / "runs" / "index.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="expected an index of format"):
        Shelf(tmp_path / "runs", command="make runs")


def test_an_interrupted_write_leaves_the_old_index(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path, command="make runs")
    shelf.add(SETTING, made_up(-1.0))

    def fail(source, target):
        raise OSError("the disk is full")

    monkeypatch.setattr("nqs_lab.lab.shelf.os.replace", fail)
    with pytest.raises(OSError, match="full"):
        shelf.add(replace(SETTING, seed=23), made_up(-2.0))
    assert [row.setting.seed for row in Shelf(tmp_path, command="").rows] == [11]
