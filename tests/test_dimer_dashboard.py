"""The dashboard of lesson 09 without a kernel: values, latency, bad combinations, words, pictures."""

import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from nqs_lab.lab import dimer_figures
from nqs_lab.lab.dimer_dashboard import GRID, SIZES, SPREADS, DimerDashboard, make_curves, weight_map
from nqs_lab.lab.notebook import figure, png_bytes
from nqs_lab.lab.partner import sufficient_bias


@pytest.fixture(scope="module")
def dashboard():
    board = DimerDashboard()
    yield board
    board.close()


@pytest.fixture(autouse=True)
def fresh(dashboard):
    """The same start for every test."""
    dashboard.set(n=25, spread=2.0, bias=2.0)
    dashboard.number.value = 1


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def test_every_control_changes_the_picture_and_three_the_words(dashboard):
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    for change in ({"bias": 6.0}, {"spread": 4.0}, {"n": 64}):
        dashboard.set(**change)
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    dashboard.number.value = 7
    pictures.add(dashboard.png)
    assert len(pictures) == 5 and len(words) == 4


def test_a_move_is_answered_quickly(dashboard):
    """In processor time: 0.02 s a move, 0.1 s where new curves are computed, on a machine of 2024."""
    seconds = []
    for bias in (1.0, 3.0, 5.0, 7.0, 9.0):
        start = time.process_time()
        dashboard.bias.value = bias
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.2, seconds
    start = time.process_time()
    dashboard.set(n=100, spread=3.0)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(("n", "spread"), [(4, 1.0), (25, 4.0), (64, 2.0)])
def test_curves_tell_the_story_of_the_lesson(n, spread):
    found = make_curves(n, spread)
    enough = sufficient_bias(n, spread)
    assert np.all(found.with_threshold[enough < GRID] < 1e-12) and found.with_threshold[0] == 1
    assert np.all(found.without[GRID < 14] > 1e-7)
    assert np.all(np.diff(found.mean) > 0) and np.all(found.least >= found.bound - 1e-12)
    top = int(np.argmax(found.deviation))
    assert 0 < top < len(GRID) - 1 and found.deviation[-1] < found.deviation[top] / 20


def test_without_contents_the_map_stands_still(dashboard):
    dashboard.set(spread=0.0, bias=2.0)
    assert dashboard.numbers["deviation"] < 1e-12 and dashboard.numbers["with_threshold"] == 1
    first, second = (weight_map(25, 2.0, 0.0, number)[0] for number in (1, 2))
    np.testing.assert_allclose(first, second, atol=1e-14)
    first, second = (weight_map(25, 2.0, 4.0, number)[0] for number in (1, 2))
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize("n", SIZES)
def test_maps_are_softmax_weights_with_the_partner_up_and_to_the_left(n):
    weights, asks, partner = weight_map(n, 30.0, 2.0, 1)
    side = round(np.sqrt(n))
    assert weights.shape == (side, side) and weights.sum() == pytest.approx(1)
    assert weights[partner[1], partner[0]] > 0.999
    assert ((partner[0] - asks[0]) % side, (partner[1] - asks[1]) % side) == (side - 1, 1)


def test_words_hold_the_numbers(dashboard):
    dashboard.set(n=25, spread=2.0, bias=6.0)
    text, at = dashboard.summary.value, dashboard.numbers
    for part in (f"{at['mean']:.4f}", f"{at['deviation']:.4f}", "below 1e-16", "5.18", "n = 25", "P = 6"):
        assert part in text
    assert 'aria-live="polite"' in text


@pytest.mark.parametrize("bad", [{"n": 7}, {"spread": 5.0}, {"bias": 0.1}, {"bias": -1.0}, {"n": 0}])
def test_values_that_the_sliders_do_not_have_are_refused(dashboard, bad):
    before = dashboard.png
    with pytest.raises(ValueError, match="takes the values"):
        dashboard.set(**bad)
    assert dashboard.png == before


def test_fast_redraw_equals_a_full_drawing(dashboard):
    """Drawing over the stored background leaves no trace of the previous values."""
    first = dashboard.png
    dashboard.set(n=100, spread=6.0, bias=12.0)
    dashboard.set(n=25, spread=2.0, bias=2.0)
    np.testing.assert_array_equal(pixels(first), pixels(dashboard.png))


def test_moves_from_several_threads_at_once(dashboard):
    """Recent JupyterLab runs callbacks on other threads."""
    errors = []

    def move(spreads):
        try:
            for spread in spreads:
                dashboard.set(spread=spread, n=16)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(SPREADS[k:] + SPREADS[:k],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_every_control_has_a_name_and_a_tooltip(dashboard):
    for control in (dashboard.bias, dashboard.spread, dashboard.n, dashboard.number):
        assert control.description and control.tooltip


def test_static_figure_needs_no_kernel(dashboard):
    png = png_bytes(dashboard.static(n=9, spreads=(0.0, 2.0)))
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


def test_the_drawing_of_the_lattice():
    _, ax = figure()
    assert dimer_figures.dimer_lattice(6, ax) is ax
    blue = [line for line in ax.lines if line.get_color() == dimer_figures.INSIDE]
    orange = [line for line in ax.lines if line.get_color() == dimer_figures.BETWEEN]
    assert len(blue) == 9 and len(orange) == 4 + 2 * 5  # four whole dimers, five over the edge as two stubs each
    with pytest.raises(ValueError, match="even sides"):
        dimer_figures.dimer_lattice(5, figure()[1])
