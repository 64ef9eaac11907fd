"""The claims of lesson 08: pairing, words, ratios, costs, fine-tuning; and the shipped runs, once they are there."""

import dataclasses
import re
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
import made_up
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab.comparison import claims, costs, figures, pairing, report, sizes
from nqs_lab.lab.comparison.fine_tuning import fine_tune, frozen_model
from nqs_lab.lab.comparison.inputs import Courses, course, whole_ratio
from nqs_lab.lab.comparison.pairing import DECOUPLED, EQUAL_SIZE, FACTORED, STANDARD, T5, compare, log_error, pair, pool
from nqs_lab.lab.comparison.setting import Problem, Setting, make_model
from nqs_lab.lab.comparison.shelf import Shelf
from nqs_lab.lab.comparison.training import with_weights
from nqs_lab.lab.comparison.verdict import MARGIN, Verdict
from nqs_lab.lab.large import setting as large
from nqs_lab.lab.maps import input_dependence, network, relative_statistics
from nqs_lab.lab.notebook import png_bytes
from nqs_lab.lab.shelf import Outcome, Row


def verdict(low, high):
    return Verdict((low + high) / 2, low, high, "", False, 5)


# --- pairing


def test_seeds_are_paired_by_coupling_sign_and_size(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=3)
    found = compare(shelf.rows, (FACTORED, log_error), (T5, log_error))
    assert [(p.j2, p.sign, p.seeds) for p in found] == [
        (0.0, "neel", (11, 23, 37)),
        (0.5, "neel", (11, 23, 37)),
        (1.0, "stripe", (11, 23, 37)),
    ]
    row = shelf.select(attention="factored", j2=0.5, seed=23, mlp_ratio=4)[0]
    assert found[1].first[1] == pytest.approx(np.log10(row["relative_error"]))
    wide = compare(shelf.rows, (EQUAL_SIZE, log_error), (T5, log_error))
    assert [p.j2 for p in wide] == [1.0]  # only there is the wider MLP on this shelf


def test_the_pairing_takes_the_luck_of_a_seed_out(tmp_path):
    """Seeds scatter by a factor of ten, the types by much less: only the paired interval sees the difference."""
    shelf = made_up.grid(tmp_path, n_seeds=5, spread=0.02, factor=1.5)
    whole = pool(compare(shelf.rows, (FACTORED, log_error), (T5, log_error)))
    assert whole.verdict.difference == pytest.approx(np.log10(1.5), abs=0.05) and whole.verdict.low > 0
    assert np.std(whole.first) > 10 * np.std(whole.first - whole.second)


def test_runs_that_are_missing_or_diverged_are_left_out_in_pairs(tmp_path):
    shelf = Shelf(tmp_path, command="")
    for seed in (11, 23, 37):
        for kind in ("factored", "t5"):
            if (seed, kind) != (37, "t5"):
                error = float("nan") if (seed, kind) == (23, "factored") else 1e-3
                setting = Setting(kind, 0.5, "neel", seed, 0.1, 1e-3, steps=10)
                shelf.rows.append(Row(setting, {"relative_error": error}, {}))
    (found,) = compare(shelf.rows, (FACTORED, log_error), (T5, log_error))
    assert found.seeds == (11,) and found.left_out == (23,) and found.verdict is None
    assert found.standing == "too few seeds" and "too few seeds to judge (+0.00, one seed)" in claims.said(found)


def test_one_seed_has_no_verdict_and_says_so(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=1)
    findings = claims.all_findings(shelf)
    assert len(findings) == 12 and {f.word for f in findings} == {"undecided"}
    assert any("too few seeds to judge" in f.numbers and f.seeds == 1 for f in findings)
    assert "nan" not in report.paired_table(compare(shelf.rows, (FACTORED, log_error), (T5, log_error)))


def test_an_empty_shelf_is_no_error(tmp_path):
    shelf = Shelf(tmp_path / "nothing", command="make runs")
    assert all(f.word == "undecided" and f.seeds == 0 for f in claims.all_findings(shelf))
    for text in (
        report.accuracy_table([], [FACTORED], signed=True),
        report.freeze_table([], T5),
        report.ratio_table([], STANDARD, Courses(shelf)),
        report.tuning_table([]),
        report.paired_table([]),
        report.size_table([]),
    ):
        assert text == "no runs on the shelf"
    assert "make runs" in report.stock(shelf, "grid") and "0 of 225" in report.stock(shelf, "grid")
    found = {"one": [], "two": []}
    for figure in (
        figures.tuning_figure([]),
        figures.accuracy_figure([]),
        figures.difference_figure(found),
        figures.ratio_figure([], Courses(shelf), 0.1),
        figures.freeze_figure([]),
        figures.size_figure([]),
    ):
        assert any("not on the shelf" in t.get_text() for ax in figure.axes for t in ax.texts)


def test_pooling_averages_the_couplings_of_a_seed_and_needs_all_of_them():
    one = pair({11: (1.0, 0.0), 23: (2.0, 0.0), 37: (9.0, 0.0)}, j2=0.0, sign="neel")
    two = pair({11: (3.0, 1.0), 23: (0.0, 1.0)}, j2=0.5, sign="neel")
    whole = pool([one, two])
    assert whole.seeds == (11, 23) and whole.left_out == (37,)
    np.testing.assert_allclose(whole.first - whole.second, [1.5, 0.5])
    assert pool([]) is None


# --- words


@pytest.mark.parametrize(
    "low, high, word",
    [
        (-1, -0.1, "better"),
        (-0.2, 0.25, "as good"),
        (0.05, 0.2, "as good"),
        (0.1, 0.5, "worse"),
        (-0.1, 0.5, "undecided"),
    ],
)
def test_how_the_first_stands(low, high, word):
    assert pairing.standing(verdict(low, high)) == word
    assert pairing.standing(None) == "too few seeds"


@pytest.mark.parametrize("factor, word", [(0.2, "holds"), (1.0, "holds"), (30.0, "fails here")])
def test_accuracy_finds_what_was_planted(tmp_path, factor, word):
    shelf = made_up.grid(tmp_path, n_seeds=5, spread=0.05, factor=factor)
    for other in STANDARD:
        finding = claims.accuracy(shelf.rows, other)
        assert finding.word == word and finding.seeds == 5 and not finding.provisional
    assert claims.accuracy(shelf.rows, T5, signed=False).word == "undecided"  # no such runs


def test_one_bad_coupling_is_a_limit(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=5, spread=0.02)
    for k, row in enumerate(shelf.rows):
        if row.setting.attention == "factored" and row.setting.j2 == 0.5:
            shelf.rows[k] = dataclasses.replace(
                row, numbers=row.numbers | {"relative_error": 6 * row["relative_error"]}
            )
    finding = claims.accuracy(shelf.rows, T5)
    assert finding.word == "holds with limits" and "Worse at J2 = 0.5" in finding.numbers


def test_few_seeds_are_provisional(tmp_path):
    finding = claims.accuracy(made_up.grid(tmp_path, n_seeds=3, spread=0.001).rows, T5)
    assert finding.word == "holds" and finding.provisional and "3 of 5 seeds, provisional" in str(finding)


def test_time_saved(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=4)
    assert claims.time_saved(shelf.rows, T5).word == "holds"
    slow = [dataclasses.replace(r, numbers=r.numbers | {"step_seconds": 1.0}) for r in shelf.rows]
    mixed = [s if s.setting.attention == "factored" else r for s, r in zip(slow, shelf.rows, strict=True)]
    assert claims.time_saved(mixed, T5).word == "fails here"


def planted(tmp_path, **wanted):
    """Five seeds of t5 at two couplings, all with the same planted numbers but for a little noise."""
    shelf = Shelf(tmp_path, command="")
    for k, seed in enumerate((11, 23, 37, 41, 53)):
        for j2 in (0.0, 0.5):
            setting = Setting("t5", j2, "neel", seed, 0.1, 1e-3, steps=10)
            made_up.add(shelf, setting, error=1e-4 * (1 + 0.01 * k), **wanted)
    return shelf


@pytest.mark.parametrize(
    "ratio, word",
    [
        ((0.8, 0.4, 0.2, 0.05), "holds"),
        ((0.05, 0.05, 0.05, 0.05), "holds with limits"),  # small from the start
        ((0.9, 0.8, 0.4, 0.3), "holds with limits"),  # fallen by three, not below the threshold
        ((0.9, 0.9, 0.8, 0.7), "fails here"),
        ((0.3, 0.5, 0.8, 1.2), "fails here"),
    ],
)
def test_input_independence(tmp_path, ratio, word):
    shelf = planted(tmp_path, ratio=ratio)
    finding = claims.independence(shelf.rows, T5, Courses(shelf))
    assert finding.word == word, finding
    assert f"R = {ratio[-1]:.2f} (start {ratio[0]:.2f}, random configurations {1.5 * ratio[-1]:.2f}" in finding.numbers


@pytest.mark.parametrize(
    "mean, uniform, word",
    [
        (1e-5, 2.0, "holds"),
        (0.02, 2.0, "holds with limits"),
        (1.0, 2.0, "fails here"),
        (1e-5, 1e-5, "undecided"),  # the control loses nothing either
    ],
)
def test_the_freeze_test_needs_its_control(tmp_path, mean, uniform, word):
    shelf = planted(tmp_path, lost={"mean": mean, "uniform": uniform, "displaced": 3.0})
    finding = claims.frozen(shelf.rows, T5)
    assert finding.word == word, finding
    row = shelf.rows[0]
    assert claims.lost_share(row) == pytest.approx(mean / uniform)
    assert claims.frozen_ratio(row) == pytest.approx(
        (1e-4 + mean / abs(row["exact"])) / 1e-4
        if mean < 1e-3
        else abs((row["energy"] + mean) / row["exact"] - 1) / 1e-4,
        rel=0.2,
    )


def test_single_seeds_are_counted():
    values = {11: (1.0, 0.0), 23: (1.0, 0.0), 37: (0.0, 0.5)}
    found = [pair(values, j2=0.0, sign="neel"), pair({11: (1.0, 0.0)}, j2=0.5, sign="neel")]
    assert claims.single_seeds(found) == (1, 3)


def test_two_couplings_are_compared_within_a_seed(tmp_path):
    shelf = Shelf(tmp_path, command="")
    for seed, high in ((11, 1e-2), (23, 2e-2), (37, 4e-2)):
        for j2, error in ((0.0, high), (0.5, high / 100)):
            made_up.add(shelf, Setting("t5", j2, "neel", seed, 0.1, 1e-3, steps=10), error=error)
    found = claims.between_couplings(shelf.rows, T5, log_error, (0.0, 0.5))
    assert found.verdict.difference == pytest.approx(2) and found.verdict.word == "different"
    assert claims.between_couplings(shelf.rows, DECOUPLED, log_error, (0.0, 0.5)) is None


def test_the_rules_name_the_numbers_that_are_used():
    assert str(MARGIN) in claims.RULES and str(claims.INDEPENDENT) in claims.RULES
    assert f"{claims.SMALL_SHARE:.0%}" in claims.RULES and set(claims.WORDS) >= {"holds", "fails here"}


# --- the ratio R


def test_the_ratio_of_a_course_is_that_of_the_maps():
    rng = np.random.default_rng(0)
    setting = Setting("decoupled", 0.3, "neel", 11, 0.1, 1e-3, steps=10)
    arrays = made_up.arrays(setting)
    arrays["map_deviation"] = np.abs(rng.normal(size=arrays["map_mean"].shape))
    found = course(arrays)
    look = 2
    mean, deviation = np.float64(arrays["map_mean"][look]), arrays["map_deviation"][look]
    brute = np.zeros((2, 4))
    for layer in range(2):
        for head in range(4):
            m, d = mean[layer, head], deviation[layer, head]
            brute[layer, head] = np.sqrt(sum(d**2) / sum((m - m.mean()) ** 2))
    np.testing.assert_allclose(found.heads[look], brute, rtol=1e-6)
    np.testing.assert_allclose(found.heads[look], input_dependence(mean, deviation), rtol=1e-6)
    centred = mean - mean.mean(-1, keepdims=True)
    assert found.whole[look] == pytest.approx(np.linalg.norm(deviation) / np.linalg.norm(centred), rel=1e-6)
    assert whole_ratio(np.ones((1, 1, 3)), np.zeros((1, 1, 3))) == 0
    assert whole_ratio(np.ones((1, 1, 3)), np.ones((1, 1, 3))) == np.inf


# --- costs


@pytest.mark.parametrize("kind", ["factored", "t5", "decoupled"])
@pytest.mark.parametrize("side, patch, d, depth, ratio", [(4, 1, 8, 1, 4), (4, 2, 12, 2, 3), (6, 2, 16, 1, 2)])
def test_the_formula_counts_the_products_of_the_program(kind, side, patch, d, depth, ratio):
    make = lambda key: nl.ViT(
        nl.square(side), patch=patch, width=d, heads=4, depth=depth, mlp_ratio=ratio, attention=kind, key=key
    )
    model = eqx.filter_eval_shape(make, jax.random.key(0))
    program, *_ = eqx.filter_make_jaxpr(lambda m, s: m(s))(model, jax.ShapeDtypeStruct((side**2,), jnp.int8))
    n = (side // patch) ** 2
    expected = costs.network_operations(n, patch**2, d, depth, ratio, content=kind != "factored")
    assert products(program) == expected


def products(program):
    """Two operations for each multiply-add of the matrix products, inner programs included."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * prod(equation.outvars[0].aval.shape) * prod(left[axis] for axis in contracted)
        total += sum(products(inner) for inner in equation.params.values() if hasattr(inner, "eqns"))
    return total


@pytest.mark.parametrize("n, d, ratio", [(16, 16, 4), (25, 60, 4), (9, 32, 2), (1024, 12, 3)])
def test_the_share_saved_is_that_of_a_block(n, d, ratio):
    block = lambda content: costs.layer_operations(n, d, content=content) + 4 * ratio * n * d**2
    assert costs.saved_share(n, d, ratio) == pytest.approx(1 - block(False) / block(True))


def test_costs_of_the_contenders():
    factored, t5, wide = (costs.cost(who) for who in (FACTORED, T5, EQUAL_SIZE))
    setting = Setting("t5", 0.5, "neel", 11, 0.1, 1e-3)
    assert t5.parameters == nl.count_parameters(make_model(setting)) and factored.parameters < t5.parameters
    assert abs(wide.parameters / t5.parameters - 1) < 0.006
    assert factored.products < factored.operations < t5.operations and factored.step < t5.step
    assert 0 < factored.network_share < 0.2  # the kernel is the larger part of a full-summation step
    text = report.cost_table([factored, t5], [])
    saved = float(re.search(r"parameters ([\d.]+) %", text)[1])
    assert saved == pytest.approx(100 * (1 - factored.parameters / t5.parameters), abs=0.06)


# --- tables and figures from what is there


def test_tables_count_every_run_and_seed(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=2)
    lines = report.accuracy_table(shelf.rows, [FACTORED, T5], signed=True).splitlines()
    assert len(lines) == 1 + 6 and all(" 2 " in line for line in lines[1:])
    assert "20 of 225 planned" in report.stock(shelf, "grid") and "11: 10 of 45" in report.stock(shelf, "grid")
    assert "seeds 11, 23" in report.scope(shelf.rows) and "10 steps" in report.scope(shelf.rows)
    assert len(report.freeze_table(shelf.rows, T5).splitlines()) == 4
    row = shelf.rows[0]
    trapped = dataclasses.replace(row, numbers=row.numbers | {"infidelity": 0.9})
    assert "1 of 1" in report.accuracy_table([trapped], [pairing.Contender(row.setting.attention)], signed=True)


def test_tuning_table_and_words():
    from nqs_lab.lab.comparison.setting import tuning_settings

    rows = []
    for s in tuning_settings():
        bad = abs(np.log2(s.rate / 0.1)) + abs(np.log10(s.diag_shift / 1e-3))
        level = {"factored": -6.0, "t5": -4.0, "decoupled": -5.0}[s.attention] + (
            0.1 if s.attention == "factored" else 1
        ) * bad
        rows.append(Row(s, {"relative_error": 10**level, "not_finite": 0}, {}))
    table = report.tuning_table(rows)
    assert re.search(r"factored +0.1 +0.001 +2 +-6.00 .* 9 of 9 +9 of 9", table)
    assert re.search(r"t5 +0.1 +0.001 +2 +-4.00 .* 1 of 9 +5 of 9", table)
    assert "t5 at its best against factored at its best, log10(error): +2.00" in report.tuning_words(rows)
    assert "no verdict" in report.tuning_words(rows)
    assert "factored has no tuning runs" in report.tuning_words([r for r in rows if r.setting.attention != "factored"])


def test_figures_draw_every_run(tmp_path):
    shelf = made_up.grid(tmp_path, n_seeds=2)
    found = {"factored - t5": compare(shelf.rows, (FACTORED, log_error), (T5, log_error))}
    for figure in (
        figures.accuracy_figure(shelf.rows),
        figures.difference_figure(found),
        figures.ratio_figure(shelf.rows, Courses(shelf), 0.1),
        figures.freeze_figure(shelf.rows),
    ):
        assert png_bytes(figure).startswith(b"\x89PNG") and len(png_bytes(figure)) > 10_000
    ax = figures.accuracy_figure(shelf.rows).axes[0]
    marks = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() not in ("", "None"))
    assert marks == 3 * 3 * 2  # types, couplings, seeds


@pytest.mark.parametrize("kind, signed", [("t5", False), ("decoupled", True), ("factored", True)])
def test_signed_weights_diverge_and_softmax_weights_do_not(kind, signed):
    arrays = made_up.arrays(Setting(kind, 0.5, "neel", 11, 0.1, 1e-3, steps=10))
    figure = figures.maps_figure(arrays, kind, layer=1, head=2, looks=[0, 3])
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert [image.get_cmap().name for image in images] == ["RdBu_r" if signed else "cividis"] * 2 + ["cividis"] * 2
    assert all(image.norm.vmin == (-image.norm.vmax if signed and k < 2 else 0) for k, image in enumerate(images))
    shown = np.asarray(images[0].get_array())
    for x in (-1, 0, 1, 2):
        for y in (-1, 0, 1, 2):
            assert shown[y + 1, x + 1] == pytest.approx(arrays["map_mean"][0, 1, 2, x % 4 + 4 * (y % 4)])


# --- freeze and fine-tune


def ring(kind="t5", seed=0):
    lattice = nl.chain(6)
    ham, basis = nl.j1j2(lattice, 0.3), nl.SpinBasis(lattice)
    vit = nl.ViT(lattice, patch=1, width=8, heads=2, depth=1, attention=kind, key=jax.random.key(seed))
    return Problem(lattice, ham, basis, nl.ground_state(ham, basis)), nl.MarshallSign(vit, lattice)


@pytest.mark.slow
def test_fine_tuning_moves_everything_but_the_frozen_weights():
    magnet, model = ring()
    sampler = nl.ExactSampler(magnet.basis, group=magnet.lattice.translations(step=1))
    samples = nl.VMC(magnet.ham, sampler, None, nl.imaginary_time(0.1, 3)).init(model, key=jax.random.key(0)).samples
    rows, _ = relative_statistics(model, samples)
    frozen = frozen_model(model, rows)
    found = fine_tune(frozen, magnet, 12, rate=0.05)
    assert len(found.energies) == 13 and found.energies[-1] < found.energies[0] - 1e-3
    assert found.energies.min() > magnet.ground.energy - 1e-6
    before, after = network(frozen).blocks[0].mixer, network(found.model).blocks[0].mixer
    np.testing.assert_array_equal(before.bits, after.bits)
    assert not np.allclose(before.value.weight, after.value.weight)
    sigma = jnp.asarray(magnet.basis.configurations()[4])
    np.testing.assert_allclose(nl.attention_maps(network(found.model), sigma)[0, :, 0], rows[0], atol=1e-6)
    psi = nl.state_vector(found.model, magnet.basis)
    assert nl.expectation(magnet.ham, psi, magnet.basis) == pytest.approx(found.energies[-1], abs=1e-5)
    still = fine_tune(frozen, magnet, 0)
    assert still.energies.tolist() == pytest.approx([found.energies[0]], abs=1e-5) and still.model is frozen


def test_fine_tuning_says_what_it_needs():
    magnet, model = ring()
    with pytest.raises(ValueError, match="steps must be >= 0"):
        fine_tune(model, magnet, -1)
    with pytest.raises(ValueError, match="one weight for each of 6 displacements"):
        frozen_model(model, np.zeros((1, 2, 5)))
    with pytest.raises(ValueError, match="maps must have shape"):
        frozen_model(model, np.zeros((2, 2, 6)))


# --- sizes


def made_up_ring(shelf, sites, kind, seed, *, ratio, lost, j2=0.0):
    """A made-up run on a ring: R at the end is `ratio`."""
    setting = next(
        s for s in large.settings_of("chains") if (s.lattice, s.attention, s.j2) == (f"ring{sites}", kind, j2)
    )
    setting = dataclasses.replace(setting, seed=seed)
    mean = np.tile(np.random.default_rng(seed).normal(size=sites), (1, 2, 4, 1))
    level = ratio * np.sqrt(np.mean((mean - mean.mean(-1, keepdims=True)) ** 2, axis=-1, keepdims=True))
    level = np.broadcast_to(0 * level if kind == "factored" else level, mean.shape)
    arrays = {"map_steps": np.array([400]), "map_mean": mean, "map_mean_random": mean}
    arrays |= {"map_deviation": level, "map_deviation_random": level}
    losses = {"mean": {"lost": lost, "lost_error": 0.001}, "uniform": {"lost": 1.0, "lost_error": 0.001}}
    error = {"factored": 1e-4, "t5": 1e-3}[kind]
    numbers = {"relative_error": error, "relative_error_error": 1e-5, "tokens": sites, "freeze": losses}
    shelf.add(setting, Outcome(numbers, arrays, None))


def rings(folder, ratios, seeds=(11, 23, 37)):
    """Rings of 16, 32 and 64 sites with planted R of t5."""
    from nqs_lab.lab.shelf import Shelf as AnyShelf

    shelf = AnyShelf(folder, command="make rings", kind=large.Setting)
    for k, seed in enumerate(seeds):
        for sites, ratio in ratios.items():
            for kind in ("t5", "factored"):
                made_up_ring(shelf, sites, kind, seed, ratio=ratio * (1 + 0.02 * k), lost=0.1)
    return shelf


@pytest.mark.parametrize(
    "ratios, word",
    [
        ({16: 0.8, 32: 0.4, 64: 0.2}, "holds"),
        ({16: 0.2, 32: 0.4, 64: 0.8}, "fails here"),
        ({16: 0.2}, "undecided"),
    ],
)
def test_size_dependence(tmp_path, ratios, word):
    shelf = rings(tmp_path, ratios)
    found = sizes.sizes(shelf)
    assert [size.tokens for size in found] == list(ratios) and found[0].seeds == (11, 23, 37)
    np.testing.assert_allclose(10 ** found[0].ratio, 0.01 * np.array([100, 102, 104]) * ratios[16], rtol=1e-5)
    np.testing.assert_allclose(found[0].factored - found[0].t5, -1, atol=1e-12)
    np.testing.assert_allclose(found[0].share, 0.1)
    (finding,) = [f for f in sizes.size_findings(shelf) if "J2 = 0" in f.claim and "0.5" not in f.claim]
    assert finding.word == word, finding
    assert f"ring{min(ratios)}" in report.size_table(found) and png_bytes(figures.size_figure(found))


def test_two_seeds_are_too_few_for_a_size_and_what_is_missing_is_named(tmp_path):
    shelf = rings(tmp_path, {16: 0.8, 64: 0.2}, seeds=(11, 23))
    (finding,) = sizes.size_findings(shelf)
    assert finding.word == "undecided" and "2 of 3 seeds" in str(finding)
    assert "make rings" in sizes.missing(shelf, "chains") and "8 of 36" not in sizes.missing(shelf, "torus")
    assert sizes.missing(shelf, "chains").startswith("rings of 16, 32, 64 sites: 8 of 36")


def test_a_share_that_noise_could_make_is_none(tmp_path):
    shelf = rings(tmp_path, {16: 0.8})
    for k, row in enumerate(shelf.rows):
        losses = {"mean": {"lost": 0.1, "lost_error": 0.3}, "uniform": {"lost": 1.0, "lost_error": 0.3}}
        shelf.rows[k] = dataclasses.replace(row, numbers=row.numbers | {"freeze": losses})
    assert np.all(np.isnan(sizes.sizes(shelf)[0].share))
    assert "uniform loses nothing" in report.size_table(sizes.sizes(shelf))


# --- the shipped runs


@pytest.fixture(scope="module")
def shipped():
    """The shipped grid."""
    return report.open_shelf("grid")


def test_the_shipped_grid_is_whole(shipped):
    assert "225 of 225" in report.stock(shipped, "grid")


def test_shipped_runs_are_of_the_grid_and_their_numbers_agree(shipped):
    for row in shipped.rows:
        assert row["energy"] >= row["exact"] - 1e-5, row.setting.name
        assert row["relative_error"] == pytest.approx(abs(row["energy"] / row["exact"] - 1), abs=1e-9)
        assert row["parameters"] > 6000 and {"versions", "machine", "commit"} <= set(row.provenance)
    assert all(f.word in claims.WORDS and str(f) for f in claims.all_findings(shipped))


@pytest.mark.slow
def test_a_shipped_network_has_the_energy_and_the_maps_that_are_shipped(shipped):
    from nqs_lab.lab.comparison.setting import problem

    row = next(r for r in shipped.rows if r.setting.attention == "t5" and r.setting.sign != "none")
    arrays, magnet = shipped.arrays(row), problem(row.setting.j2)
    model = with_weights(row.setting, arrays["weights"])
    psi = nl.state_vector(model, magnet.basis)
    assert nl.expectation(magnet.ham, psi, magnet.basis) == pytest.approx(row["energy"], abs=1e-4)
    assert 1 - nl.fidelity(psi, magnet.ground.state) == pytest.approx(row["infidelity"], rel=0.05, abs=1e-6)
    np.testing.assert_allclose(arrays["map_mean"][:, :, :].sum(-1), 1, atol=1e-4)  # a softmax
    factored = next(r for r in shipped.rows if r.setting.attention == "factored")
    assert np.abs(shipped.arrays(factored)["map_deviation"]).max() < 1e-4
