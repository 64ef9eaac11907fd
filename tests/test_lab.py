"""Notebook machinery, plots and shipped results."""

import json
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import budget, cartoons, figure, is_fast, load_j2_scan, panels, plots, results, seeds, setup, style
from nqs_lab.lab.notebook import MARKERS, PALETTE, png_bytes
from nqs_lab.lab.results import COLUMNS, DATA, FORMAT, _from_json, build_j2_scan, compute_point, write_j2_scan

# Exact values for the 4x4 torus, from an independent program: E0/N, triplet gap, S(pi,pi), S(pi,0), sign weights.
TABLE = {
    0.0: (-0.701780200527, 0.578598336, 4.424434, 0.502095, 1.0, 0.604116),
    0.2: (-0.619873941530, 0.611400768, 4.105916, 0.507194, 1.0, 0.612347),
    0.4: (-0.551147772701, 0.716164109, 3.346078, 0.545471, 0.99956408, 0.653800),
    0.45: (-0.538299803876, 0.776051866, 3.000510, 0.584118, 0.99649461, 0.676700),
    0.5: (-0.528620209462, 0.865155138, 2.562438, 0.667635, 0.98726903, 0.706255),
    0.55: (-0.523594567640, 0.998301124, 2.029821, 0.858659, 0.96166579, 0.743051),
    0.6: (-0.525895822015, 0.890151738, 1.407355, 1.287746, 0.89778622, 0.784873),
    0.7: (-0.563858116023, 0.714866305, 0.376711, 2.447701, 0.64510078, 0.897931),
    1.0: (-0.768468138506, 0.981785466, 0.042591, 2.909581, 0.53210735, 0.977909),
}


@pytest.fixture(scope="module")
def scan():
    return load_j2_scan()


# --- notebook.py


@pytest.mark.parametrize(
    ("value", "fast"),
    [(None, False), ("0", False), ("", False), ("1", True), ("true", True), (" 1 ", True), ("No", False)],
)
def test_budget_follows_the_environment(monkeypatch, value, fast):
    if value is None:
        monkeypatch.delenv("NQS_LAB_FAST", raising=False)
    else:
        monkeypatch.setenv("NQS_LAB_FAST", value)
    assert is_fast() is fast
    assert budget(full=600, fast=20) == (20 if fast else 600)
    assert ("fast mode" in setup()) is fast


def test_a_strange_fast_mode_is_refused(monkeypatch):
    monkeypatch.setenv("NQS_LAB_FAST", "maybe")
    with pytest.raises(ValueError, match="NQS_LAB_FAST should be 0 or 1"):
        budget(full=1, fast=0)


def test_seeds_are_fixed_different_and_apart():
    assert seeds(3) == seeds(5)[:3]
    assert len(set(seeds(10))) == 10
    assert not set(seeds(10)) & set(seeds(6, purpose="tuning"))
    for count, purpose in ((0, "report"), (99, "report"), (3, "fun")):
        with pytest.raises(ValueError, match="count should|purpose should"):
            seeds(count, purpose=purpose)


def test_style_is_valid_and_colours_and_markers_differ():
    with matplotlib.rc_context(style()):
        assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert len(set(PALETTE)) == len(PALETTE) == len(set(MARKERS)) == len(MARKERS)


def test_figures_show_themselves_without_pyplot():
    fig, ax = figure(size=(2.0, 1.0))
    ax.plot([0, 1])
    assert fig._repr_png_().startswith(b"\x89PNG") and png_bytes(fig).startswith(b"\x89PNG")
    assert panels(2, 3)[1].shape == (2, 3)
    for bad in (lambda: panels(0, 1), lambda: figure(size=(0.0, 1.0))):
        with pytest.raises(ValueError, match="at least one|positive"):
            bad()


def test_lab_imports_without_pyplot_and_without_ipywidgets():
    code = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "import nqs_lab.lab, nqs_lab.lab.j2_figures\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "try:\n    import nqs_lab.lab.j2_dashboard\n"
        "except ImportError as error:\n    assert 'nqs-lab[lab]' in str(error), error\n"
        "else:\n    raise SystemExit('imported without ipywidgets')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# --- plots.py


def test_convergence_draws_relative_errors(getkey):
    rng = np.random.default_rng(0)
    histories = {"a": -1 + rng.random(30), "b": np.array([-0.5, np.nan, -1.0, np.inf, -0.9])}
    ax = plots.convergence(histories, -1.0, figure()[1])
    assert ax.get_yscale() == "log" and "relative error" in ax.get_ylabel() and ax.get_xlabel()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), histories["a"] + 1)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.5, np.nan, np.nan, np.nan, 0.1])
    assert len({line.get_color() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    for bad in (lambda: plots.convergence({}, -1.0, ax), lambda: plots.convergence(histories, 0.0, ax)):
        with pytest.raises(ValueError, match="history|reference"):
            bad()


def test_signed_attention_is_diverging_and_softmax_sequential():
    rng = np.random.default_rng(1)
    signed = rng.normal(size=(5, 5))
    image = plots.attention_map(signed, None, figure()[1], signed=True).images[0]
    assert image.get_clim() == (-np.abs(signed).max(), np.abs(signed).max())
    soft = np.exp(signed) / np.exp(signed).sum(axis=1, keepdims=True)
    other = plots.attention_map(soft, None, figure()[1], signed=False).images[0]
    assert other.get_clim() == (0.0, soft.max()) and other.get_cmap().name != image.get_cmap().name
    with pytest.raises(ValueError, match="softmax"):
        plots.attention_map(signed, None, figure()[1], signed=False)


def test_attention_rows_become_maps_of_patches():
    rows = np.arange(12, dtype=float).reshape(2, 6) / 12
    ax = plots.attention_map(rows, (3, 2), figure()[1], signed=False, names=("left", "right"))
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown[:, :3], rows[0].reshape(2, 3))
    np.testing.assert_array_equal(shown[:, 4:], rows[1].reshape(2, 3))
    assert np.ma.is_masked(shown[:, 3])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["left", "right"]
    with pytest.raises(ValueError, match="4 patches"):
        plots.attention_map(rows, (2, 2), figure()[1], signed=False)


def test_maps_write_the_numbers_at_their_places(scan):
    point = scan.at(0.5)
    ax = plots.correlation_map(point.correlations.reshape(4, 4), figure()[1])
    for text in ax.texts:
        x, y = (int(v) for v in text.get_position())
        assert text.get_text() == plots.number(point.correlations[point.lattice.site(x, y)])
    assert ax.images[0].get_clim() == (-0.75, 0.75) and ax.images[0].origin == "lower"
    q = np.abs(np.random.default_rng(2).normal(size=(3, 6)))
    labels = [t.get_text() for t in plots.structure_factor_map(q, figure()[1]).get_xticklabels()]
    assert labels[0] == "0" and labels[3] == "\u03c0"
    assert plots.number(-0.001) == "0.00" and plots.number(-0.5) == "\u22120.50"


def test_cartoon_marks_frustration():
    colours = lambda ax: [line.get_linestyle() for line in ax.lines if len(line.get_xdata()) == 2]
    assert colours(cartoons.loop(4, figure()[1])) == ["-"] * 4
    assert colours(cartoons.loop(3, figure()[1])).count("--") == 1
    assert colours(cartoons.loop(4, figure()[1], diagonals=True)).count("--") == 2
    for n, diagonals in ((2, False), (5, True)):
        with pytest.raises(ValueError, match="at least 3 sites"):
            cartoons.loop(n, figure()[1], diagonals=diagonals)


def test_ring_and_happiness_plots_have_units():
    ax = plots.ring_energies(np.array([3, 4]), np.array([-0.25, -0.5]), np.array([4]), np.array([-0.5]), figure()[1])
    assert "units of J1, spins S" in ax.get_ylabel() and len(ax.get_legend().get_texts()) == 4
    ax = plots.happiness(["a", "b"], [1.0, 0.03], [1.0, np.nan], figure()[1])
    assert len(ax.patches) == 2 and [t.get_text() for t in ax.texts] == ["1.000", "0.030"]


# --- results.py


def test_scan_agrees_with_the_independent_table(scan):
    for j2, (energy, triplet, neel, stripe, w_neel, w_stripe) in TABLE.items():
        point = scan.at(j2)
        assert point.energy_per_site == pytest.approx(energy, abs=1e-11)
        assert point.triplet_gap == pytest.approx(triplet, abs=1e-8)
        assert point.structure_factor(np.pi, np.pi) == pytest.approx(neel, abs=1e-6)
        assert point.structure_factor(np.pi, 0.0) == pytest.approx(stripe, abs=1e-6)
        assert point.structure_factor(0.0, np.pi) == pytest.approx(stripe, abs=1e-6)
        assert point.structure_factor(0.0, 0.0) == pytest.approx(0.0, abs=1e-10)  # a singlet
        assert point.neel_weight == pytest.approx(w_neel, abs=1e-6)
        assert point.stripe_weight == pytest.approx(w_stripe, abs=1e-6)
    assert scan.at(0.5).gap == pytest.approx(0.3189, abs=1e-4)


def test_scan_obeys_the_sum_rule_and_is_concave(scan):
    np.testing.assert_allclose(scan.j2, np.arange(101) / 100)
    for point in scan.points:
        c, site = point.correlations, point.lattice.site
        assert point.energy_per_site == pytest.approx(2 * c[site(1, 0)] + 2 * point.j2 * c[site(1, 1)], abs=1e-9)
        assert -1e-9 < point.gap <= point.triplet_gap + 1e-9
    assert np.all(np.diff(scan.column("energy"), 2) < 1e-9)


@pytest.mark.slow
def test_scan_can_be_rebuilt(scan):
    j2 = 0.58
    new, old = compute_point(nl.square(4), j2), scan.at(j2)
    np.testing.assert_allclose(new.correlations, old.correlations, atol=1e-9)
    for name in COLUMNS:
        assert getattr(new, name) == pytest.approx(getattr(old, name), abs=1e-9)


def test_shipped_file_is_small_and_says_where_it_comes_from(scan):
    assert DATA.stat().st_size < 60_000
    text = DATA.read_text(encoding="utf-8")
    source = scan.provenance
    assert source["format"] == FORMAT and source["command"].startswith("python -m nqs_lab.lab.results")
    assert {"versions", "machine", "date"} <= set(source["provenance"]) and "S_i.S_j" in source["configuration"][
        "hamiltonian"
    ]
    assert "host" not in text


def test_a_scan_survives_writing_and_reading(tmp_path, scan, monkeypatch):
    lattice = nl.rectangle(2, 4)  # too small for unfolded bonds: refused where H is built
    with pytest.raises(ValueError, match="fold"):
        build_j2_scan(lattice, [0.0])
    lattice = nl.square(4)
    monkeypatch.setattr(results, "compute_point", lambda _, j2: scan.at(j2))
    content = build_j2_scan(lattice, [0.3, 0.31])
    write_j2_scan(content, tmp_path / "scan.json")
    again = _from_json(json.loads((tmp_path / "scan.json").read_text(encoding="utf-8")), lattice)
    assert json.loads((tmp_path / "scan.json").read_text(encoding="utf-8")) == content
    assert again.points[0].energy == scan.at(0.3).energy and again.at(0.31).gap == scan.at(0.31).gap
    np.testing.assert_array_equal(again.points[1].correlations, scan.at(0.31).correlations)
    with pytest.raises(ValueError, match="expected a file of format"):
        _from_json({"format": "something else"}, lattice)


@pytest.mark.parametrize("j2", [0.005, -1.0, 2.0, float("nan"), float("-inf")])
def test_nothing_is_interpolated(scan, j2):
    with pytest.raises(ValueError, match="not computed"):
        scan.at(j2)
