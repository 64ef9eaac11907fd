"""The sector microscope of notebook 02 without a kernel: views, latency, bad combinations, no threads."""

import io
import threading

import numpy as np
import pytest
from latency import answer_times
from PIL import Image

from nqs_lab.lab.notebook import png_bytes
from nqs_lab.lab.sector_dashboard import TITLES, SectorMicroscope
from nqs_lab.lab.sector_figures import look, static_figure
from nqs_lab.lab.sector_results import CLUSTERS, J2_GRID, load_sector_levels


@pytest.fixture
def board():
    """A microscope that is taken off the page afterwards."""
    board = SectorMicroscope()
    yield board
    board.close()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


# --- views


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_resolution_holds_the_ground_state_and_all_states(name):
    levels = load_sector_levels(name)
    for momentum, group, flip in ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)):
        view = look(levels, 0.4, momentum=bool(momentum), group=bool(group), flip=bool(flip))
        assert min(c.gaps[0] for c in view.columns if len(c.gaps)) == pytest.approx(0.0, abs=1e-6)
        assert view.rungs[0] == 2**levels.lattice.n_sites
        assert [dim is None for dim in view.rungs[2:]] == [not momentum, not group, not flip]
        shown = [dim for dim in view.rungs if dim is not None]
        assert all(a > b for a, b in zip(shown, shown[1:], strict=False))
    assert sum(c.dim for c in look(levels, 0.4, momentum=False, group=False, flip=True).columns) == view.rungs[1]


def test_the_ladder_of_4x4_is_the_documented_one():
    view = look(load_sector_levels("4x4"), 0.5, momentum=True, group=True, flip=True)
    assert view.rungs == (65_536, 12_870, 822, 153, 107)
    by_label = {column.label: column for column in view.columns}
    assert by_label["\u0393 A1 +"].gaps[0] < 1e-9
    assert by_label["\u0393 B1 +"].gaps[0] == pytest.approx(0.31893429, abs=1e-6)
    assert by_label["M A1 \u2212"].gaps[0] == pytest.approx(0.86515514, abs=1e-6)  # the triplet


def test_point_group_without_momentum_is_explained():
    with pytest.raises(ValueError, match="switch the momentum on"):
        look(load_sector_levels("4x4"), 0.5, momentum=False, group=True, flip=False)


# --- the widget


def test_moving_the_slider_is_fast_and_changes_picture_and_words(board):
    board.cluster.value = "4x6"
    for switch in (board.momentum, board.group, board.flip):
        switch.value = True
    processor, wall = answer_times(board.slider, J2_GRID[:4])
    assert processor < 0.1 and wall < 0.6, (processor, wall)
    pictures, words = set(), set()
    for j2 in J2_GRID:
        board.slider.value = j2
        pictures.add(board.png)
        words.add(board.summary.value)
    assert len(pictures) == len(words) == len(J2_GRID)


def test_switches_and_clusters_change_picture_and_words(board):
    seen = {board.png}
    for name in TITLES.values():
        for switch in (board.momentum, board.group, board.flip):
            switch.value = False
        board.cluster.value = name
        for switch in (board.momentum, board.group, board.flip):
            switch.value = True
            seen.add(board.png)
            assert "ground state E0/N" in board.summary.value and "units of J1" in board.summary.value
    assert len(seen) >= 3 * len(TITLES)
    for control, values in ((board.flip, (True, False)), (board.cluster, ("4x4", "18"))):
        processor, wall = answer_times(control, values)
        assert processor < 0.2 and wall < 1.2, (control.description, processor, wall)  # other columns are named anew


def test_a_bad_combination_gets_a_message_and_a_picture(board):
    board.group.value = True
    assert "Please check" in board.summary.value and "switch the momentum on" in board.summary.value
    assert "ground state E0/N" in board.summary.value and board.png.startswith(b"\x89PNG")
    board.momentum.value = True
    assert "Please check" not in board.summary.value


def test_fast_redraw_equals_a_fresh_one():
    boards = [SectorMicroscope() for _ in range(2)]
    for board in boards:
        board.momentum.value = board.flip.value = True
    boards[0].slider.value = 0.6
    boards[1].cluster.value = "18"
    boards[1].group.value = True
    for j2 in (0.0, 1.0, 0.6):
        boards[1].slider.value = j2
    boards[1].group.value = False
    boards[1].cluster.value = "4x4"
    np.testing.assert_array_equal(pixels(boards[0].png), pixels(boards[1].png))
    assert boards[0].summary.value == boards[1].summary.value
    for board in boards:
        board.close()


def test_moves_from_several_threads_at_once(board):
    errors = []

    def move(values):
        try:
            for value in values:
                board.slider.value = value
                board.flip.value = not board.flip.value
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(J2_GRID[k::3],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    board.slider.value = 0.3
    assert "J2 = 0.30" in board.summary.value


def test_every_control_has_a_name_and_a_tooltip(board):
    for control in (board.cluster, board.slider, board.momentum, board.group, board.flip):
        assert control.description and control.tooltip
    assert set(TITLES.values()) == set(CLUSTERS)


def test_the_microscope_has_no_threads_and_closes_twice():
    before = set(threading.enumerate())
    board = SectorMicroscope()
    board.slider.value = 0.2
    assert set(threading.enumerate()) == before
    board.close()
    board.close()


def test_static_figure_needs_no_kernel(board):
    png = png_bytes(board.static(("4x4", "18"), j2=0.5))
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    assert png_bytes(static_figure([board.view("4x6", 0.0)])).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not computed"):
        board.static(j2=0.123)


def test_jupyter_gets_a_widget_view(board):
    assert "application/vnd.jupyter.widget-view+json" in board._repr_mimebundle_()
