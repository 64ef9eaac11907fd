"""The dashboard and the drawings of lesson 00 without a kernel: numbers, latency, bad combinations, pictures."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nqs_lab as nl
from nqs_lab.lab import cartoons_00
from nqs_lab.lab.notebook import figure, png_bytes
from nqs_lab.lab.start_dashboard import MOST_STEPS, RATES, StartDashboard, descend, energy, singlet_weight, slope

FOLDER = Path(__file__).parents[1] / "notebooks"


@pytest.fixture(scope="module")
def dashboard():
    """One dashboard for the module."""
    board = StartDashboard()
    yield board
    board.close()


@pytest.fixture(autouse=True)
def fresh(dashboard):
    """The same start for every test."""
    dashboard.set(theta=0.1, rate=0.3, steps=4)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


# --- the numbers behind it


@pytest.mark.parametrize("theta", np.random.default_rng(0).uniform(-3, 3, 6))
def test_formulas_are_those_of_the_librarys_pair(theta):
    """Energy and slope from the matrix of one bond; E = 1/4 - weight of the singlet."""
    basis = nl.SpinBasis(nl.chain(2, periodic=False))
    h = nl.matrix(nl.Heisenberg(np.array([[0, 1]]), np.ones(1), 2), basis).toarray()
    state = lambda t: np.array([np.cos(t), np.sin(t)])
    by_matrix = lambda t: state(t) @ h @ state(t)
    ground = nl.ground_state(nl.Heisenberg(np.array([[0, 1]]), np.ones(1), 2), basis)
    assert np.isclose(energy(theta), by_matrix(theta))
    assert np.isclose(slope(theta), (by_matrix(theta + 1e-5) - by_matrix(theta - 1e-5)) / 2e-5, atol=1e-9)
    assert np.isclose(singlet_weight(theta), np.abs(state(theta) @ ground.state) ** 2)
    assert np.isclose(energy(theta), 0.25 - singlet_weight(theta))


@pytest.mark.parametrize("rate", RATES)
def test_descent_converges_where_the_curvature_says(rate):
    """Errors shrink by |1 - 2 rate| per step near the minimum; from rate 1 on they do not."""
    walk = descend(-np.pi / 4 + 1e-3, rate, 12)
    ratio = (walk[2] + np.pi / 4) / (walk[1] + np.pi / 4) if rate != 0.5 else 0.0
    assert np.isclose(ratio, 1 - 2 * rate, atol=1e-4)
    arrived = abs(energy(descend(0.3, rate, 400)[-1]) + 0.75) < 1e-10
    assert arrived == (rate < 1)


def test_the_top_is_a_fixed_point():
    assert np.isclose(energy(descend(np.pi / 4, 0.3, MOST_STEPS)[-1]), 0.25, atol=1e-12)
    assert np.isclose(energy(descend(0.24 * np.pi, 0.3, MOST_STEPS)[-1]), -0.75, atol=1e-6)


@pytest.mark.parametrize(("rate", "steps"), [(0.0, 3), (-0.1, 3), (0.1, -1), (np.nan, 2)])
def test_descent_refuses_what_makes_no_sense(rate, steps):
    with pytest.raises(ValueError, match="positive and steps"):
        descend(0.0, rate, steps)


# --- the dashboard


def test_every_slider_changes_picture_and_words(dashboard):
    seen = {(dashboard.png, dashboard.summary.value)}
    for control, value in (
        (dashboard.theta, 0.2),
        (dashboard.rate, 0.7),
        (dashboard.steps, 20),
        (dashboard.theta, -0.4),
    ):
        control.value = value
        seen.add((dashboard.png, dashboard.summary.value))
    assert len(seen) == 5 and len({words for _, words in seen}) == 5
    assert 'aria-live="polite"' in dashboard.summary.value and "units of J1" in dashboard.summary.value


def test_the_words_hold_the_numbers_of_the_walk(dashboard):
    dashboard.set(theta=0.0, rate=0.5, steps=8)
    walk = dashboard.path()
    assert len(walk) == 9 and walk[0] == 0.0 and np.isclose(walk[1], -0.5)
    words = dashboard.summary.value
    for number in (
        "theta = 0.00 pi",
        "E = -0.250000",
        "slope +1.0000",
        "After 8 steps",
        "E = -0.750000",
        "exact -0.75",
    ):
        assert number in words, number


def test_a_move_is_answered_quickly(dashboard):
    """The processor's time is what an idle machine takes; the best of some rounds, the slowest control."""
    slowest = 0.0
    for control, values in ((dashboard.theta, (0.0, 0.3)), (dashboard.rate, (0.1, 0.9)), (dashboard.steps, (0, 30))):
        times = []
        for k in range(8):
            start = time.thread_time()
            control.value = values[k % 2]
            times.append(time.thread_time() - start)
        slowest = max(slowest, min(times))
    assert slowest < 0.1, slowest


def test_one_picture_for_a_change_of_all_three(dashboard, monkeypatch):
    calls = []
    refresh = dashboard.picture.refresh
    monkeypatch.setattr(dashboard.picture, "refresh", lambda: (calls.append(1), refresh()))
    dashboard.set(theta=-0.3, rate=1.1, steps=11)
    assert calls == [1] and len(dashboard.path()) == 12


@pytest.mark.parametrize(
    "wanted",
    [{"theta": 0.6}, {"theta": 0.123}, {"theta": np.nan}, {"rate": 0.31}, {"steps": 31}, {"steps": -1}],
)
def test_values_off_the_sliders_are_refused(dashboard, wanted):
    picture, words = dashboard.png, dashboard.summary.value
    with pytest.raises(ValueError, match="should be"):
        dashboard.set(**({"theta": 0.3} | wanted))
    assert dashboard.png == picture and dashboard.summary.value == words


def test_fast_redraw_leaves_no_trace(dashboard):
    first = dashboard.png
    dashboard.set(theta=-0.5, rate=1.5, steps=30)
    dashboard.set(theta=0.1, rate=0.3, steps=4)
    np.testing.assert_array_equal(pixels(first), pixels(dashboard.png))


def test_moves_from_several_threads_at_once(dashboard):
    """Recent JupyterLab runs callbacks on other threads."""
    errors = []

    def move(shift):
        try:
            for k in range(6):
                dashboard.theta.value = 0.01 * ((7 * k + shift) % 40)
                dashboard.steps.value = (5 * k + shift) % 30
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(shift,)) for shift in (0, 3, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_it_starts_no_thread_and_controls_have_names():
    before = threading.active_count()
    board = StartDashboard(theta=-0.25, rate=0.5)
    board.steps.value = 7
    assert threading.active_count() == before
    for control in (board.theta, board.rate, board.steps):
        assert control.description and control.tooltip
    assert "weight of the singlet 1.0000" in board.summary.value
    board.close()


def test_static_figure_needs_no_kernel(dashboard):
    png = png_bytes(dashboard.static(rates=(0.1, 1.1)))
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


# --- the drawings


def test_the_map_agrees_with_the_lessons_on_disk():
    numbers = [lesson.number for lesson in cartoons_00.LESSONS]
    assert len(set(numbers)) == len(numbers) == 18
    assert len({(lesson.column, lesson.part) for lesson in cartoons_00.LESSONS}) == 18, "two boxes in one place"
    assert set(cartoons_00.CORE_PATH) | set(cartoons_00.FLOW_PATH) <= set(numbers)
    planned = {lesson.number for lesson in cartoons_00.LESSONS if lesson.planned}
    written = {path.name.split("_")[0] for path in FOLDER.glob("[0-9]*_*.ipynb")}
    assert not planned & written, "a lesson that is written is still drawn as planned"
    ax = cartoons_00.lesson_map(figure()[1])
    assert {text.get_text() for text in ax.texts} >= set(numbers) | set(cartoons_00.PARTS.values())


@pytest.mark.parametrize("n", [4, 6])
def test_amplitudes_are_drawn_as_they_are(n):
    rng = np.random.default_rng(n)
    sigma = np.array([rng.permutation(np.repeat([1, -1], n // 2)) for _ in range(5)], np.int8)
    psi = rng.normal(size=5)
    ax = cartoons_00.amplitudes(sigma, psi, figure()[1])
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches[:5]], psi)
    arrows = [text.get_text() for text in ax.texts if text.get_text() in "\u2191\u2193"]
    assert arrows == ["\u2191" if spin > 0 else "\u2193" for spin in sigma.ravel()]
    with pytest.raises(ValueError, match="as many amplitudes"):
        cartoons_00.amplitudes(sigma, psi[:-1], ax)


@pytest.mark.parametrize("shape", [(1, 2), (3, 4), (5, 3)])
def test_a_network_has_a_line_for_each_weight(shape):
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=shape), rng.normal(size=shape[0])
    sigma = rng.choice(np.array([1, -1], np.int8), shape[1])
    ax = cartoons_00.small_network(weight, bias, sigma, figure()[1])
    lines = ax.lines[: weight.size]
    widths = np.array([line.get_linewidth() for line in lines])
    np.testing.assert_allclose(widths, 1 + 5 * np.abs(weight.ravel()) / np.abs(weight).max())
    red = np.array([line.get_color()[0] - line.get_color()[2] for line in lines])
    strong = np.abs(weight.ravel()) > 0.1
    assert np.array_equal(np.sign(red[strong]), np.sign(weight.ravel()[strong])), "red is positive, blue negative"
    with pytest.raises(ValueError, match="need"):
        cartoons_00.small_network(weight, bias, np.ones(9, np.int8), ax)
