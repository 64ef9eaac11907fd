"""The two-parameter landscape of notebook 04, and its dashboard without a kernel: values, latency, bad input."""

import io
import itertools
import re
import threading

import numpy as np
import pytest
from latency import answer_times
from PIL import Image

import nqs_lab as nl
from nqs_lab.lab import plots_04
from nqs_lab.lab.landscape import STARTS, descend, energy_map, evaluate, make_landscape, minimum, rate_limits
from nqs_lab.lab.landscape_dashboard import LIMITS, RATES, SHIFTS, TIMES, UNITS, LandscapeDashboard, nearest
from nqs_lab.lab.notebook import figure, panels, png_bytes


@pytest.fixture(scope="module")
def landscape():
    """The ring of 12, computed once."""
    return make_landscape()


@pytest.fixture(scope="module")
def shared(landscape):
    board = LandscapeDashboard(landscape)
    yield board
    board.close()


@pytest.fixture
def dashboard(shared):
    """The one dashboard, with every control where it stood at the beginning."""
    shared.set(rate=0.004, time=0.04, diag_shift=1e-6)
    for menu in (shared.start, shared.unit, shared.limit):
        menu.index = 0
    return shared


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def whole_sum(n, j2, v):
    """Energy, force and metric from every configuration, without classes: an independent program."""
    basis = nl.SpinBasis(nl.chain(n))
    sigma = basis.configurations().astype(float)
    o = np.array([[s @ np.roll(s, d) for d in (1, 2)] for s in sigma])
    psi = np.prod(np.where(sigma[:, ::2] > 0, -1.0, 1.0), axis=1) * np.exp(o @ v)
    psi /= np.linalg.norm(psi)
    h_psi = nl.matrix(nl.j1j2(nl.chain(n), j2), basis) @ psi
    energy, mean = psi @ h_psi, psi**2 @ o
    centred = o - mean
    return energy, centred.T @ (psi * h_psi - energy * psi**2), centred.T @ (psi[:, None] ** 2 * centred)


# --- the landscape


@pytest.mark.parametrize(("n", "j2"), [(6, 0.0), (8, 0.5), (12, 0.3)])
def test_classes_give_the_sum_over_all_configurations(n, j2):
    rng, found = np.random.default_rng(n), make_landscape(nl.chain(n), j2)
    assert found.count.sum() == nl.SpinBasis(nl.chain(n)).dim and len(found.count) < found.count.sum()
    assert found.exact == pytest.approx(nl.ground_state(nl.j1j2(nl.chain(n), j2)).energy, abs=1e-9)
    for v in 0.4 * rng.normal(size=(3, 2)):
        for ours, whole in zip(evaluate(found, v), whole_sum(n, j2, v), strict=True):
            np.testing.assert_allclose(ours, whole, rtol=1e-9, atol=1e-10)
        assert energy_map(found, v[:1], v[1:]).item() == pytest.approx(evaluate(found, v)[0], abs=1e-10)


def test_minimum_is_one_and_its_curvature_is_that_of_the_energy(landscape):
    best, lowest, hessian = minimum(landscape)
    assert np.abs(evaluate(landscape, best)[1]).max() < 1e-10 and landscape.exact < lowest
    rng, step = np.random.default_rng(0), 1e-3
    for d in rng.normal(size=(4, 2)):
        rise = [evaluate(landscape, best + s * step * d)[0] - lowest for s in (1, -1)]
        assert min(rise) > 0 and np.sum(rise) / step**2 == pytest.approx(d @ hessian @ d, rel=1e-3)


def test_one_step_of_each_optimiser(landscape):
    """Gradient descent takes 2 F, SR (S + shift)^-1 F; a unit scales the second parameter, a limit the whole step."""
    v, rate = np.array([0.1, -0.2]), 0.01
    _, force, metric = evaluate(landscape, v)
    one = lambda **settings: np.diff(descend(landscape, tuple(v), rate=rate, steps=1, **settings).points, axis=0)[0]
    np.testing.assert_allclose(one(), -rate * 2 * force, rtol=1e-10)
    np.testing.assert_allclose(one(diag_shift=0.3), -rate * np.linalg.solve(metric + 0.3 * np.eye(2), force), rtol=1e-9)
    np.testing.assert_allclose(one(unit=5.0), -rate * 2 * force * [1, 25], rtol=1e-9)
    np.testing.assert_allclose(one(unit=5.0, diag_shift=0.0), one(diag_shift=0.0), rtol=1e-9)  # SR: whatever the unit
    cut = one(max_norm=1e-3)
    assert np.linalg.norm(cut) == pytest.approx(1e-3) and np.cross([*cut, 0], [*force, 0])[2] == pytest.approx(0)


def test_rate_limits_are_where_paths_begin_to_grow(landscape):
    best, lowest, _ = minimum(landscape)
    for limit, shift in zip(rate_limits(landscape), (None, 0.0), strict=True):
        ends = [
            descend(landscape, tuple(best + 0.01), rate=f * limit, steps=150, diag_shift=shift).energies[-1] - lowest
            for f in (0.97, 1.03)
        ]
        assert ends[0] < 1e-6 < 1e-3 < ends[1]


def test_bad_settings_are_refused(landscape):
    with pytest.raises(ValueError, match="closed rings with an even number"):
        make_landscape(nl.square(4))
    for settings in ({"rate": 0.0}, {"rate": 0.1, "unit": -1.0}, {"rate": 0.1, "diag_shift": -1e-9}):
        with pytest.raises(ValueError, match="should be positive"):
            descend(landscape, (0.0, 0.0), steps=1, **settings)


# --- the dashboard


def test_every_control_changes_picture_and_words(dashboard):
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    for control, value in (
        (dashboard.rate, 0.01),
        (dashboard.time, 0.3),
        (dashboard.shift, 10.0),
        (dashboard.start, (0.3, 0.3)),
        (dashboard.unit, 0.2),
        (dashboard.limit, 0.05),
    ):
        control.value = value
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    assert len(pictures) == len(words) == 7
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_it_answers_within_a_tenth_of_a_second(dashboard):
    for control, values in (
        (dashboard.rate, RATES[3:6]),
        (dashboard.time, TIMES[3:6]),
        (dashboard.start, list(STARTS.values())[:3]),
    ):
        processor, wall = answer_times(control, values)
        assert processor < 0.1 and wall < 0.6, (control.description, processor, wall)


def test_words_hold_the_numbers(dashboard, landscape):
    dashboard.set(rate=0.008, time=0.2, diag_shift=1e-4)
    plain = descend(landscape, (0.0, 0.0), rate=0.008, steps=150)
    natural = descend(landscape, (0.0, 0.0), rate=0.2, steps=150, diag_shift=1e-4)
    _, lowest, _ = minimum(landscape)
    for energy in (plain.energies[-1], natural.energies[-1], lowest, landscape.exact):
        assert f"{energy / 12:.7f}" in dashboard.summary.value
    for words in ("rate 0.008", "rate 0.2 with shift 0.0001", "units of J1", 'aria-live="polite"'):
        assert words in dashboard.summary.value
    for path, ours in zip((plain, natural), dashboard.paths(), strict=True):
        np.testing.assert_array_equal(path.points, ours.points)
    first = int(re.findall(r"best after (\d+) steps", dashboard.summary.value)[-1])  # SR's
    far = natural.energies - lowest > 1e-4 * abs(lowest)
    assert far[first - 1] and not np.any(far[first:])


def test_words_say_when_the_best_state_is_not_reached(landscape):
    board = LandscapeDashboard(landscape, steps=5)
    board.set(rate=0.001, time=0.01)
    assert board.summary.value.count("not within 0.01 % of the best") == 2
    board.start.options = [("the star itself", tuple(board.best))]
    assert board.summary.value.count("from the start") == 2
    board.close()


def test_lines_are_the_paths(dashboard):
    dashboard.set(time=0.4)
    for line, curve, path in zip(dashboard._lines, dashboard._curves, dashboard.paths(), strict=True):
        np.testing.assert_array_equal(np.stack(line.get_data(), axis=1), path.points)
        assert curve.get_ydata()[0] == pytest.approx((path.energies[0] - dashboard.lowest) / 12)


@pytest.mark.filterwarnings("error")
def test_extreme_combinations_stay_finite(landscape):
    """Every start with the largest and smallest of everything: the paths may run away, numbers and picture stay."""
    board = LandscapeDashboard(landscape, steps=20)
    extremes = itertools.cycle(((RATES[-1], TIMES[-1], SHIFTS[0]), (RATES[0], TIMES[-1], SHIFTS[-1])))
    for limit, unit, start in itertools.product((np.inf, LIMITS["0.05"]), UNITS.values(), STARTS.values()):
        board.start.value, board.unit.value, board.limit.value = start, unit, limit
        rate, time, shift = next(extremes)
        board.set(rate=rate, time=time, diag_shift=shift)
        assert all(np.all(np.isfinite(path.energies)) for path in board.paths())
        assert "nan" not in board.summary.value and board.png.startswith(b"\x89PNG")
    board.close()


def test_bad_values_are_refused_and_nothing_moves(dashboard):
    before = dashboard.png, dashboard.summary.value
    for bad in ({"rate": -0.01}, {"time": 0.0}, {"diag_shift": float("nan")}, {"rate": 0.01, "time": float("inf")}):
        with pytest.raises(ValueError, match="the sliders hold positive numbers"):
            dashboard.set(**bad)
        assert (dashboard.png, dashboard.summary.value) == before
    dashboard.set(rate=0.0142)  # between two values: the nearest
    assert dashboard.rate.value == 0.015
    assert nearest(1e9, RATES) == RATES[-1] and nearest(1e-9, RATES) == RATES[0]
    with pytest.raises(ValueError, match="should be positive"):
        dashboard.static(rates=((0.0, 0.1),))


def test_fast_redraw_leaves_no_trace(landscape):
    boards = [LandscapeDashboard(landscape, steps=30) for _ in range(2)]
    boards[1].set(rate=0.2, time=2.0, diag_shift=100)
    boards[1].start.value = (-0.85, 0.45)
    boards[1].start.value = (0.0, 0.0)
    for board in boards:
        board.set(rate=0.01, time=0.1, diag_shift=1e-3)
    np.testing.assert_array_equal(pixels(boards[0].png), pixels(boards[1].png))
    for artist in boards[0].picture.moving:
        artist.set_animated(False)
    whole = pixels(png_bytes(boards[0].figure))
    assert np.mean(np.abs(whole - pixels(boards[0].png)).max(axis=2) > 60) < 0.05  # layout may shift by a pixel
    for board in boards:
        board.close()


def test_moves_from_several_threads_at_once(landscape):
    board, errors = LandscapeDashboard(landscape, steps=20), []

    def move(k):
        try:
            for rate, time in zip(RATES[k::4], TIMES[k::4], strict=True):
                board.set(rate=rate, time=time)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    board.set(rate=0.004, time=0.04)
    assert "rate 0.004" in board.summary.value and "rate 0.04" in board.summary.value
    board.close()


def test_no_thread_is_started_and_close_is_harmless(landscape):
    """It computes in the callback, so there is nothing to stop; closing twice does no harm."""
    before = set(threading.enumerate())
    board = LandscapeDashboard(landscape, steps=20)
    board.set(rate=0.01)
    assert set(threading.enumerate()) == before
    board.close()
    board.close()


def test_controls_have_names_and_jupyter_gets_a_view(dashboard):
    for control in (dashboard.rate, dashboard.time, dashboard.shift, dashboard.start, dashboard.unit, dashboard.limit):
        assert control.description and control.tooltip
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


def test_static_figure_needs_no_kernel(dashboard):
    fig = dashboard.static(rates=((0.004, 0.04), (0.02, 1.0)))
    png = png_bytes(fig)
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    titled = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert titled == ["rates 0.004 and 0.04", "rates 0.02 and 1"]
    assert sum("units of J1" in ax.get_ylabel() for ax in fig.axes) == 2
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names[:2] == ["gradient descent", "SR, shift 1e-06"] and len(names) == 3


# --- the other pictures of the lesson


def test_ellipse_is_the_metric_and_the_circle_has_its_area():
    _, ax = figure()
    metric = np.array([[5.0, 1.0], [1.0, 2.0]])
    plots_04.step_circles(metric, (0.1, -0.2), 0.1, ax)
    ellipse, circle = ax.patches
    corners = ellipse.get_corners() - ellipse.get_center()  # of the box around it: its sides touch where d is an axis
    for d in (corners[1] + corners[2], corners[2] + corners[3]):
        assert (d / 2) @ metric @ (d / 2) == pytest.approx(0.01, rel=1e-9)
    assert ellipse.width * ellipse.height == pytest.approx(circle.width * circle.height)


def test_pictures_show_what_they_are_given():
    _, axes = panels(1, 3)
    shifts = np.array([1e-6, 1e-3, 1.0])
    plots_04.shift_errors(shifts, {"float32": np.array([np.nan, 1e-2, 1e-6])}, axes[0, 0])
    assert [line.get_label() for line in axes[0, 0].lines] == ["float32", "float32: NaN"]
    assert axes[0, 0].get_ylim()[0] < 1e-6
    plots_04.spectra({"start": np.array([1e-3, -1e-9, 2.0])}, (1e-3,), axes[0, 1])
    assert axes[0, 1].lines[0].get_ydata() == pytest.approx([2.0, 1e-3, 1e-9])  # sorted, by size
    errors = np.array([[1e-1, 1e-3], [1e-3, 1e-5]])
    plots_04.runs({"SR": errors}, axes[0, 2], seconds={"SR": 0.5})
    assert axes[0, 2].lines[-1].get_ydata() == pytest.approx([1e-2, 1e-4]) and "(s)" in axes[0, 2].get_xlabel()
    assert axes[0, 2].lines[-1].get_xdata() == pytest.approx([0.0, 0.5])
