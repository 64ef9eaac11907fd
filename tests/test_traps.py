"""Lesson 05's network, its shipped runs, the sign classes, and the dashboard without a kernel."""

import io
import json
import threading
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latency import answer_times
from PIL import Image

import nqs_lab as nl
from nqs_lab.lab import plots_05, signs, trap_results
from nqs_lab.lab.comparison.setting import problem
from nqs_lab.lab.comparison.training import sign_accuracy
from nqs_lab.lab.notebook import figure, panels, png_bytes
from nqs_lab.lab.torus_rbm import TorusRBM
from nqs_lab.lab.trap_dashboard import TrapDashboard, in_words
from nqs_lab.lab.trap_settings import RULES, Setting, all_settings, make_model, make_vmc


@pytest.fixture(scope="module")
def runs():
    return trap_results.load_traps()


def wild(model, seed=0):
    """The model with parameters of order one half."""
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


def balanced(n_sites, count, seed=0):
    """Random configurations at Sz = 0."""
    row = np.where(np.arange(n_sites) < n_sites // 2, 1, -1).astype(np.int8)
    return jnp.asarray(np.random.default_rng(seed).permuted(np.tile(row, (count, 1)), axis=1))


@eqx.filter_jit
def evaluate(model, sigma):
    """log psi of many configurations."""
    return jax.vmap(model)(sigma)


# --- the network


@pytest.mark.parametrize(("lattice", "alpha"), [(nl.chain(6), 2), (nl.square(4), 1), (nl.rectangle(2, 4), 3)])
def test_torus_rbm_is_an_rbm_with_translated_rows(lattice, alpha):
    n = lattice.n_sites
    model = wild(TorusRBM(lattice, alpha=alpha, key=jax.random.key(0)))
    rows = np.zeros((2, alpha * n, n))
    for t, places in enumerate(lattice.translations().permutations):
        for f in range(alpha):
            rows[:, t * alpha + f, places] = np.asarray(model.weight)[:, f]
    hidden = np.tile(np.asarray(model.hidden), (1, n))
    twin = nl.RBM(lattice, alpha=alpha, dtype=jnp.float64, key=jax.random.key(0))
    parts = (jnp.zeros_like(twin.visible), jnp.asarray(hidden), jnp.asarray(rows))
    twin = eqx.tree_at(lambda m: (m.visible, m.hidden, m.weight), twin, parts)
    sigma = balanced(n, 6)
    ours, theirs = (np.asarray(evaluate(m, sigma)) for m in (model, twin))
    np.testing.assert_allclose(np.exp(ours - theirs), 1.0, atol=1e-10)
    assert nl.count_parameters(model) == 2 * alpha * (n + 1)


def test_torus_rbm_is_invariant_and_says_so():
    lattice = nl.square(4)
    model = wild(TorusRBM(lattice, alpha=2, key=jax.random.key(1)))
    group = model.invariances()
    images = jax.vmap(group.apply)(balanced(16, 3)).reshape(-1, 16)
    psi = np.exp(np.asarray(evaluate(model, images))).reshape(3, -1)
    np.testing.assert_allclose(psi, psi[:, :1].repeat(psi.shape[1], axis=1), rtol=1e-9)
    assert group.n_elements == 16
    with pytest.raises(ValueError, match="alpha"):
        TorusRBM(lattice, alpha=0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="float32 or float64"):
        TorusRBM(lattice, dtype=jnp.int32, key=jax.random.key(0))


# --- sign classes


@pytest.mark.parametrize("j2", [0.0, 0.5, 1.0])
def test_classes_divide_the_exact_state_by_the_two_rules(j2):
    magnet = problem(j2)
    exact = np.real(magnet.ground.state)
    place = signs.classes(magnet)
    weight = np.array([np.sum(exact[place == k] ** 2) for k in range(4)])
    for order, members in (("neel", (0, 1)), ("stripe", (0, 2))):
        assert weight[list(members)].sum() == pytest.approx(nl.sign_weight(exact, magnet.basis, order), abs=1e-9)
    found = signs.judge_signs(np.exp(0.7j) * exact, magnet)
    np.testing.assert_allclose(found.exact, weight, atol=1e-12)
    np.testing.assert_allclose(found.right, weight, atol=1e-12)
    assert np.sum(found.overlap) == pytest.approx(1.0) and np.sum(found.weight) == pytest.approx(1.0)


def test_classes_of_a_state_with_wrong_signs_add_up():
    magnet, rng = problem(0.5), np.random.default_rng(2)
    exact = np.real(magnet.ground.state)
    psi = exact * np.where(rng.random(len(exact)) < 0.2, -1, 1) * np.exp(1j * rng.normal(size=len(exact)))
    psi = psi / np.linalg.norm(psi)
    found = signs.judge_signs(psi, magnet)
    assert np.sum(found.right) == pytest.approx(sign_accuracy(psi, magnet))
    assert np.sum(found.overlap) == pytest.approx(abs(np.vdot(exact, psi)))
    assert all(0 <= r <= e + 1e-12 for r, e in zip(found.right, found.exact, strict=True))


def test_marshall_holds_for_every_configuration_without_frustration():
    magnet = problem(0.0)
    found = signs.agrees(magnet, "neel") | (np.abs(magnet.ground.state) < 1e-10)
    assert np.all(found)


# --- settings and files


def test_settings_are_distinct_and_complete(runs):
    wanted = all_settings()
    assert len(set(wanted)) == len(wanted) == len({s.name for s in wanted})
    assert [run.setting for run in runs.runs] == wanted
    for j2 in (0.0, 0.5, 1.0):
        assert all(len(runs.select(network="RBM 4", j2=j2, sign=sign, samples=0, rate=0.1)) == 5 for sign in RULES)
    with pytest.raises(ValueError, match="networks are"):
        make_model(Setting("GPT", 0.5, "none", 1, 0, 10))
    with pytest.raises(ValueError, match="no run with"):
        runs.select(network="RBM 4", j2=0.3)


def test_every_run_says_where_it_came_from_and_obeys_the_variational_bound(runs):
    assert runs.provenance["command"] == trap_results.COMMAND
    for run in runs.runs:
        assert {"versions", "machine", "date", "commit"} <= set(run.provenance)
        assert run["energy"] > run["exact"] - 1e-6 and 0 <= run["sign_accuracy"] <= 1 + 1e-9
        assert len(run.energy) == len(run.variance) == run.setting.steps
        assert run["relative_error"] == pytest.approx(1 - run["energy"] / run["exact"], abs=1e-9)
        assert 0 <= run["infidelity"] <= 1 + 1e-9


def test_what_an_exact_sum_reports_is_the_truth(runs):
    """The last steps and the state after them differ by one step; a collapsed or settled run agrees closely."""
    for run in runs.runs:
        if run.setting.samples == 0:
            assert run["energy_seen"] == pytest.approx(run["energy"], abs=0.05), run.setting.name


@pytest.mark.parametrize(
    "wanted",
    [
        {"network": "RBM 4", "j2": 0.5, "sign": "none", "samples": 256},
        {"network": "RBM 4", "j2": 0.5, "sign": "stripe", "samples": 0},
        {"network": "Jastrow", "j2": 1.0},
    ],
    ids=["sampled", "exact", "Jastrow"],
)
def test_shipped_numbers_follow_from_shipped_weights(runs, wanted):
    run = runs.select(**wanted)[0]
    again = trap_results.judge(run.model(), run.setting.j2)
    for name in ("energy", "variance", "infidelity", "sign_accuracy"):
        assert again[name] == pytest.approx(run[name], rel=1e-6, abs=1e-8), name
    assert again["crowd"] == run["crowd"]
    for name, values in again["classes"].items():
        assert values == pytest.approx(run["classes"][name], abs=1e-6)


@pytest.mark.optimised
@pytest.mark.timeout(600)
def test_a_small_entry_is_rebuilt_from_scratch(runs, tmp_path):
    """The Jastrow run is a convex enough problem to end at the same energy on any machine."""
    setting = Setting("Jastrow", 0.5, "neel", 11, 0, 200)
    path = tmp_path / "again.json"
    (again,) = trap_results.build([setting], path)
    (shipped,) = [run for run in runs.runs if run.setting == setting]
    assert again["energy"] == pytest.approx(shipped["energy"], rel=1e-5)
    (read,) = trap_results.read(path).runs
    assert read.setting == setting and read.numbers == again.numbers
    np.testing.assert_allclose(read.weights, again.weights)
    (kept,) = trap_results.build([setting], path)  # a second build finds it done
    assert kept.provenance == again.provenance
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": "other"}))
    with pytest.raises(ValueError, match="format"):
        trap_results.read(path)


def test_samplers_follow_the_setting():
    exact, sampled = Setting("RBM 4", 0.5, "none", 11, 0, 10), Setting("RBM 4", 0.5, "none", 11, 64, 10)
    assert make_vmc(exact).sampler.exact and make_vmc(sampled).sampler.n_chains == 64
    assert make_vmc(exact).sampler.representatives.shape == (822, 16)
    assert make_vmc(replace(exact, network="mean field")).sampler.representatives.shape == (12870, 16)


# --- what the lesson says about the runs


def test_sampled_runs_without_a_rule_are_trapped_and_do_not_see_it(runs):
    found = runs.select(network="RBM 4", j2=0.5, sign="none", samples=256)
    assert all(run["relative_error"] > 0.1 and run["variance"] > 1.0 for run in found)
    assert sum(run["variance_seen"] < 0.01 * run["variance"] for run in found) >= 3
    levels = np.array([-0.528620, -0.508690, -0.476740, -0.474550, -0.472490])  # the lowest, E/N
    assert all(np.min(np.abs(run["energy"] / 16 - levels)) > 1e-3 for run in found)


def test_the_right_rule_helps_at_each_coupling(runs):
    for j2, best in ((0.0, "neel"), (0.5, "neel"), (1.0, "stripe")):
        mean = lambda sign, j2=j2: np.mean(
            [np.log10(r["relative_error"]) for r in runs.select(network="RBM 4", j2=j2, sign=sign, samples=0, rate=0.1)]
        )
        assert mean(best) < min(mean(sign) for sign in RULES if sign != best)


# --- the dashboard


@pytest.fixture
def dashboard(runs):
    board = TrapDashboard(runs)
    yield board
    board.close()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def test_every_control_changes_picture_and_words(dashboard):
    dashboard.choose(j2=0.5, sign="none")
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    moves = [(dashboard.seed, 3), (dashboard.sampling, "256 samples"), (dashboard.sign, "stripe")]
    moves += [(dashboard.sampling, "exact sum"), (dashboard.j2, 1.0), (dashboard.j2, 0.0)]
    for control, value in moves:
        control.value = value
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    assert len(pictures) == len(words) == 7


def test_it_answers_within_a_tenth_of_a_second(dashboard):
    for control, values in ((dashboard.j2, (0.0, 0.5, 1.0)), (dashboard.sign, RULES), (dashboard.seed, (1, 2, 3))):
        processor, wall = answer_times(control, values)
        assert processor < 0.1 and wall < 0.6, (control.description, processor, wall)


def test_summary_holds_the_numbers_of_the_run(dashboard, runs):
    dashboard.choose(j2=0.5, sign="none", sampling="256 samples", seed=2)
    run = runs.select(network="RBM 4", j2=0.5, sign="none", samples=256)[1]
    assert dashboard.shown is run
    for text in (
        f"{run['energy'] / 16:.5f}",
        "-0.52862",
        "units of J1",
        f"infidelity {run['infidelity']:.4f}",
        f"{run['crowd']:,} of 12,870",
        f"variance reported {run['variance_seen']:.4f}, over the whole basis {run['variance']:.4f}",
        "256 samples a step, seed",
    ):
        assert text in dashboard.summary.value
    assert 'aria-live="polite"' in dashboard.summary.value and "<p" not in in_words(run)


def test_a_combination_that_was_not_run_is_said_and_nothing_is_drawn(dashboard):
    dashboard.choose(j2=0.5, sign="neel", sampling="256 samples")
    before = dashboard.png
    dashboard.j2.value = 1.0
    assert "was not run" in dashboard.status.value and 'role="alert"' in dashboard.status.value
    assert dashboard.png == before
    dashboard.sampling.value = "exact sum"
    assert dashboard.status.value == "" and dashboard.png != before


def test_bad_arguments_are_refused(dashboard):
    before = dashboard.png
    for arguments in (
        {"j2": 0.3, "sign": "neel"},
        {"j2": 0.5, "sign": "up"},
        {"j2": 0.5, "sign": "neel", "seed": 6},
        {"j2": 0.5, "sign": "neel", "sampling": "no samples"},
        {"j2": 0.0, "sign": "none", "sampling": "256 samples"},
    ):
        with pytest.raises(ValueError, match=r"was not run|seeds run|sampling should"):
            dashboard.choose(**arguments)
        assert dashboard.png == before


def test_fast_redraw_leaves_no_trace(runs):
    boards = [TrapDashboard(runs) for _ in range(2)]
    boards[0].choose(j2=1.0, sign="stripe", seed=4)
    for j2, sign in ((0.0, "none"), (0.5, "stripe")):
        boards[1].choose(j2=j2, sign=sign)
    boards[1].choose(j2=1.0, sign="stripe", seed=4)
    np.testing.assert_array_equal(pixels(boards[0].png), pixels(boards[1].png))
    for board in boards:
        board.close()


def test_moves_from_several_threads_and_no_thread_of_its_own(runs):
    before = threading.active_count()
    board, errors = TrapDashboard(runs), []
    assert threading.active_count() == before

    def move(k):
        try:
            for seed in (1, 2, 3, 4, 5):
                board.choose(j2=(0.0, 1.0)[k], sign=RULES[k], seed=seed)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    board.close()
    board.close()


def test_controls_have_names_and_jupyter_gets_a_view(dashboard):
    for control in (dashboard.j2, dashboard.sign, dashboard.sampling, dashboard.seed):
        assert control.description and control.tooltip
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()
    png = png_bytes(dashboard.static())
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10


# --- pictures


def test_pictures_show_what_they_are_given():
    _, axes = panels(1, 2)
    plots_05.machine(axes[0, 0], visible=5, hidden=3)
    assert sum(text.get_text() == "?" for text in axes[0, 0].texts) == 3
    plots_05.hidden_unit(axes[0, 1])
    x, y = axes[0, 1].lines[0].get_data()
    np.testing.assert_allclose(y, np.log(np.cosh(x)))

    _, ax = figure()
    plots_05.rules({(0.0, "none"): [0.1, 0.2, 0.3], (0.0, "neel"): [1e-9] * 3}, ax)
    assert ax.lines[1].get_ydata() == pytest.approx([0.2, 0.2]) and ax.lines[3].get_ydata() == pytest.approx([1e-5] * 2)

    _, ax = figure()
    weight, residual = np.array([0.9, 0.1, 0.0]), np.array([0.0, 0.25, 2.0])
    plots_05.hidden_variance(weight, residual, 100, ax)
    assert ax.lines[0].get_ydata() == pytest.approx([2.0, 2.25, 2.25])

    _, ax = figure()
    exact = np.array([0.8, -0.6])
    plots_05.signs(exact, np.array([0.8 + 0j, 1e-20 + 0j]), ax)
    wrong, right = ax.lines[:2]
    assert wrong.get_data() == (pytest.approx([0.6]), pytest.approx([1e-12]))  # drawn on the floor
    assert right.get_data() == (pytest.approx([0.8]), pytest.approx([0.8]))
