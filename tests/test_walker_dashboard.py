"""The walker dashboard and the pictures of notebook 03 without a kernel: values, latency, bad input, no threads."""

import io
import threading

import numpy as np
import pytest
from latency import answer_times
from PIL import Image

from nqs_lab.lab import plots_03
from nqs_lab.lab.notebook import figure, panels, png_bytes
from nqs_lab.lab.walker_dashboard import WalkerDashboard
from nqs_lab.lab.walker_states import all_walks


@pytest.fixture(scope="module")
def walks():
    """Two short walkers on each state, computed once."""
    return all_walks(n_walkers=2, longest=512)


@pytest.fixture
def dashboard(walks):
    board = WalkerDashboard(walks)
    yield board
    board.close()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def test_every_control_changes_picture_and_words(dashboard):
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    moves = [(dashboard.draws, draws) for draws in (32, 64, 128, 256, 512)]
    for control, value in (*moves, (dashboard.walker, 2), (dashboard.state, "flat state, Marshall sign")):
        control.value = value
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    assert len(pictures) == len(words) == 8
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_it_answers_within_a_tenth_of_a_second(dashboard, walks):
    for control, values in (
        (dashboard.draws, (128, 256, 512)),
        (dashboard.walker, (1, 2)),
        (dashboard.state, [w.state.name for w in walks[:2]]),
    ):
        processor, wall = answer_times(control, values)
        assert processor < 0.1 and wall < 0.6, (control.description, processor, wall)


def test_summary_holds_the_numbers(dashboard, walks):
    dashboard.choose("Jastrow, Marshall sign", draws=256, walker=2)
    one = walks[0]
    row = int(np.flatnonzero(one.draws == 256)[0])
    for text in (
        f"{one.mean[row, 1] / 16:.5f}",
        f"binned {one.binned[row, 1] / 16:.5f}",
        f"naive error {one.naive[row, 1] / 16:.5f}",
        f"{one.state.energy / 16:.6f}",
        "-0.528620",
        "units of J1",
        "walker 2",
    ):
        assert text in dashboard.summary.value
    assert 'aria-live="polite"' in dashboard.summary.value


def test_zero_error_bars_are_told_from_a_zero_variance(dashboard):
    """Exact state and trap: no error bar on either, and the variance over the whole basis differs."""
    dashboard.choose("exact ground state", draws=512)
    assert "both error bars are zero" in dashboard.summary.value and "configurations: 0.0000" in dashboard.summary.value
    dashboard.choose("trap: no spin leaves its row")
    assert "both error bars are zero" in dashboard.summary.value and "configurations: 0.6114" in dashboard.summary.value
    dashboard.choose("flat state, Marshall sign")
    assert "error bars are zero" not in dashboard.summary.value


def test_fast_redraw_leaves_no_trace(walks):
    boards = [WalkerDashboard(walks) for _ in range(2)]
    boards[0].choose("flat state, Marshall sign", draws=128, walker=2)
    boards[1].choose("exact ground state", draws=512)
    boards[1].choose("trap: no spin leaves its row", walker=2)
    boards[1].choose("flat state, Marshall sign", draws=128)
    np.testing.assert_array_equal(pixels(boards[0].png), pixels(boards[1].png))
    for artist in boards[0].picture.moving:
        artist.set_animated(False)
    whole = pixels(png_bytes(boards[0].figure))
    assert np.mean(np.abs(whole - pixels(boards[0].png)).max(axis=2) > 60) < 0.05  # layout may shift by a pixel
    for board in boards:
        board.close()


def test_bad_combinations_are_refused_and_nothing_moves(dashboard):
    before = dashboard.png
    for arguments, message in (
        ({"state": "RBM"}, "Trial state should be one of"),
        ({"draws": 100}, "Draws should be one of"),
        ({"draws": 32, "walker": 9}, "Which walker should be one of"),
        ({"state": "exact ground state", "draws": -1}, "Draws should be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            dashboard.choose(**arguments)
        assert dashboard.png == before
    with pytest.raises(ValueError, match="draws should be one of"):
        dashboard.static(100)


def test_moves_from_several_threads_at_once(dashboard, walks):
    errors = []

    def move(k):
        try:
            for n in walks[0].draws[k::2]:
                dashboard.draws.value = int(n)
                dashboard.state.value = walks[k].state.name
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    dashboard.choose("Jastrow, Marshall sign", draws=16, walker=1)
    assert "walker 1, 16 draws" in dashboard.summary.value


def test_no_thread_is_started_and_close_is_harmless(walks):
    before = threading.active_count()
    board = WalkerDashboard(walks)
    board.draws.value = 64
    assert threading.active_count() == before
    board.close()
    board.close()


def test_controls_have_names_and_jupyter_gets_a_view(dashboard):
    for control in (dashboard.state, dashboard.walker, dashboard.draws):
        assert control.description and control.tooltip
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


def test_static_figure_needs_no_kernel(dashboard):
    png = png_bytes(dashboard.static(128))
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10


def test_configuration_marks_every_antiparallel_bond():
    neel = (1 - 2 * (np.indices((4, 4)).sum(axis=0) % 2)).astype(np.int8)
    _, axes = panels(1, 2)
    plots_03.configuration(neel, axes[0, 0], bonds=True)
    assert len(axes[0, 0].lines) == 24 + 2 * 8  # bonds inside, and two stubs for each of those round the edge
    plots_03.configuration(np.ones((4, 4), np.int8), axes[0, 1], bonds=True)
    assert not axes[0, 1].lines and {text.get_text() for text in axes[0, 1].texts} == {"\u2191"}
    plots_03.set_configuration(axes[0, 1], neel)
    assert [text.get_text() for text in axes[0, 1].texts][:2] == ["\u2191", "\u2193"]


def test_pictures_show_what_they_are_given():
    rng = np.random.default_rng(0)
    _, ax = figure()
    plots_03.blind_spot(np.array([1e-3, 1e-2]), np.array([0.6, 0.6]), np.array([[0.0, 0.0], [0.5, 0.7]]), ax)
    assert ax.lines[-1].get_ydata() == pytest.approx([1e-4, 0.6])  # the median, zero drawn on the floor
    _, ax = figure()
    values = rng.normal(size=64) - 0.5
    draws = np.array([16, 64])
    plots_03.walker(values, draws, np.array([0.1, 0.05]), np.array([0.2, 0.1]), -0.5, ax)
    assert ax.lines[1].get_ydata()[-1] == pytest.approx(values.mean()) and "J1" in ax.get_ylabel()
    _, axes = panels(1, 1)
    plots_03.local_energies({"a": (np.array([-0.5, -0.4]), np.array([0.5, 0.5]))}, -0.52, list(axes[0]))
    words = " ".join(text.get_text() for text in axes[0, 0].texts)
    assert "mean \u22120.4500" in words and "standard deviation 0.0500" in words
    _, ax = figure()
    plots_03.v_scores({"rows": [(0.1, 0.02), (0.01, 0.001)]}, [("trap", 0.0, 0.15, 0.05)], ax)
    assert any(text.get_text() == "trap" for text in ax.texts) and "dimensionless" in ax.get_xlabel()
