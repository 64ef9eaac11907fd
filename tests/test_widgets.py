"""The J2 dashboard without a kernel: values, latency, bad input, Run and Stop, threads that end."""

import io
import threading
import time

import numpy as np
import pytest
from latency import answer_times
from PIL import Image

from nqs_lab.lab.j2_dashboard import J2Dashboard, parse_values
from nqs_lab.lab.j2_figures import grid_structure_factor
from nqs_lab.lab.notebook import panels, png_bytes
from nqs_lab.lab.results import Levels, compute_levels
from nqs_lab.lab.widgets import Picture, Ticket, Worker
from nqs_lab.spins import chain

CLUSTER = {"ring of six": lambda: chain(6), "ring of eight": lambda: chain(8)}


@pytest.fixture
def dashboard():
    """A dashboard whose Run computes small rings."""
    board = J2Dashboard(clusters=CLUSTER)
    yield board
    board.close()


def wait_until(condition, seconds=30.0):
    """Poll until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def test_moving_the_slider_changes_picture_and_words(dashboard):
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    for j2 in (0.1, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0):
        dashboard.slider.value = j2
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    assert len(pictures) == len(words) == 11
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_moving_the_slider_is_answered_quickly(dashboard):
    processor, wall = answer_times(dashboard.slider, (0.1, 0.5, 0.6, 1.0))
    assert processor < 0.1 and wall < 0.6, (processor, wall)


def test_summary_holds_the_numbers_of_the_point(dashboard):
    dashboard.j2 = 0.5
    point = dashboard.scan.at(0.5)
    for text in (f"{point.energy_per_site:.6f}", f"{point.gap:.4f}", f"{point.triplet_gap:.4f}", "units of J1"):
        assert text in dashboard.summary.value
    assert 'aria-live="polite"' in dashboard.summary.value


def test_fast_redraw_equals_a_full_drawing():
    """Drawing over the stored background leaves no trace of the previous values."""
    boards = [J2Dashboard(clusters=CLUSTER) for _ in range(2)]
    boards[0].j2 = 0.6
    for j2 in (0.05, 0.95, 0.6):
        boards[1].j2 = j2
    np.testing.assert_array_equal(pixels(boards[0].png), pixels(boards[1].png))
    for artist in boards[0].picture.moving:
        artist.set_animated(False)
    whole = pixels(png_bytes(boards[0].figure))
    assert np.mean(np.abs(whole - pixels(boards[0].png)).max(axis=2) > 60) < 0.02
    for board in boards:
        board.close()


def test_slider_holds_computed_points_only(dashboard):
    assert [value for _, value in dashboard.slider.options] == dashboard.scan.j2.tolist()
    for bad in (0.333, -0.1, 1.5, float("nan"), float("inf")):
        before = dashboard.j2
        with pytest.raises(ValueError, match="grid|computed"):
            dashboard.j2 = bad
        assert dashboard.j2 == before


@pytest.mark.parametrize("text", ["", "abc", "0.5, x", "2", "-0.1, 0.5", "nan", ",,"])
def test_bad_values_are_explained_and_nothing_starts(dashboard, text):
    dashboard.values.value = text
    dashboard.run_button.click()
    assert "Please check" in dashboard.status.value and "J2 values should be" in dashboard.status.value
    assert not dashboard.worker.threads and not dashboard.run_button.disabled


def test_parse_values():
    assert parse_values("0, 0.5; 1") == (0.0, 0.5, 1.0)


def test_run_computes_the_points_and_draws_them(dashboard):
    dashboard.cluster.value, dashboard.values.value = "ring of eight", "0, 0.5"
    before = dashboard.png
    dashboard.run_button.click()
    wait_until(lambda: dashboard.stop_button.disabled)
    assert "Done, 2 of 2" in dashboard.status.value and dashboard.progress.value == 2
    assert dashboard.png != before
    found = dashboard._found
    assert found[0].energy == pytest.approx(-3.651093408937 / 8, abs=1e-9)  # Bethe ansatz, 8 sites
    assert found[0].triplet_gap == pytest.approx(0.522674346, abs=1e-8)
    assert found[1].energy == pytest.approx(-3 / 8, abs=1e-9)  # Majumdar and Ghosh
    assert found[1].gap == pytest.approx(0.0, abs=1e-9)  # twofold degenerate


class Slow:
    """A computation that waits for permission, point by point."""

    def __init__(self):
        self.started, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, lattice, j2):
        self.started.release()
        assert self.gate.acquire(timeout=30)
        return Levels(j2, -0.5 * lattice.n_sites, 0.1, 0.2)


def test_stop_keeps_what_is_computed_and_drops_late_results():
    slow = Slow()
    board = J2Dashboard(compute=slow, clusters=CLUSTER)
    board.values.value = "0, 0.25, 0.5"
    board.run_button.click()
    assert board.run_button.disabled and not board.stop_button.disabled
    slow.gate.release()
    wait_until(lambda: board.progress.value == 1)
    assert slow.started.acquire(timeout=30) and slow.started.acquire(timeout=30)  # the second point is being computed
    board.stop_button.click()
    assert "Stopped after 1 of 3" in board.status.value and not board.run_button.disabled
    slow.gate.release()  # the second point is ready, too late
    wait_until(lambda: not any(thread.is_alive() for thread in board.worker.threads))
    assert board.progress.value == 1 and len(board._found) == 1 and "Stopped" in board.status.value
    board.close()


def test_a_new_run_ends_the_old_one():
    slow = Slow()
    board = J2Dashboard(compute=slow, clusters=CLUSTER)
    board.values.value = "0, 0.5"
    board.run_button.click()
    assert slow.started.acquire(timeout=30)
    board.values.value = "0.1, 0.2, 0.3"
    board._run()
    for _ in range(4):  # one late result of the old job, three of the new
        slow.gate.release()
    wait_until(lambda: board.stop_button.disabled)
    assert [levels.j2 for levels in board._found] == [0.1, 0.2, 0.3]
    board.close()


def test_errors_in_the_worker_become_a_message():
    def broken(lattice, j2):
        raise MemoryError("no room for 10 GB")

    board = J2Dashboard(compute=broken, clusters=CLUSTER)
    board.run_button.click()
    wait_until(lambda: "MemoryError" in board.status.value)
    assert "Please check" in board.status.value and not board.run_button.disabled
    board.close()


def test_close_ends_the_thread():
    board = J2Dashboard(clusters=CLUSTER)
    board.values.value = ", ".join(["0.5"] * 200)
    board.run_button.click()
    wait_until(lambda: board.progress.value >= 1)
    threads = list(board.worker.threads)
    board.close()
    assert threads and not any(thread.is_alive() for thread in threads)
    board.close()  # twice is harmless


def test_moves_from_several_threads_at_once(dashboard):
    """Recent JupyterLab runs callbacks on other threads."""
    options = [value for _, value in dashboard.slider.options]
    errors = []

    def move(values):
        try:
            for value in values:
                dashboard.slider.value = value
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(options[k::3][:8],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    dashboard.j2 = 0.5
    assert "J2 = 0.50" in dashboard.summary.value


def test_every_control_has_a_name_and_a_tooltip(dashboard):
    for control in (
        dashboard.slider,
        dashboard.cluster,
        dashboard.values,
        dashboard.run_button,
        dashboard.stop_button,
        dashboard.progress,
    ):
        assert control.description and control.tooltip


def test_static_figure_needs_no_kernel(dashboard):
    png = png_bytes(dashboard.static((0.0, 0.5)))
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    with pytest.raises(ValueError, match="not computed"):
        dashboard.static((0.123,))


def test_jupyter_gets_a_widget_view(dashboard):
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


def test_compute_levels_on_a_ring_of_six():
    levels = compute_levels(chain(6), 0.0)
    assert levels.energy == pytest.approx(-(1 + np.sqrt(13)) / 2 - 0.5, abs=1e-10)


def test_structure_factor_map_agrees_with_the_sum(dashboard):
    point = dashboard.scan.at(0.6)
    grid = grid_structure_factor(point)
    for ky in range(4):
        for kx in range(4):
            q = (np.pi * kx / 2, np.pi * ky / 2)
            assert grid[ky, kx] == pytest.approx(point.structure_factor(*q), abs=1e-10)


def test_ticket_of_an_ended_job_delivers_nothing():
    done = []
    worker = Worker(threading.RLock(), done.append)
    ticket = Ticket(worker)
    assert ticket.deliver(lambda: done.append(1)) and done == [1]
    ticket.end()
    assert not ticket.deliver(lambda: done.append(2)) and done == [1]
    assert not worker.stop()


def test_picture_draws_only_what_moves():
    fig, axes = panels(1, 1, size=(2.0, 2.0))
    line = axes[0, 0].plot([0, 1], [0, 1])[0]
    picture = Picture(fig, [line])
    picture.refresh()
    first = picture.widget.value
    line.set_data([0, 1], [1, 0])
    picture.refresh()
    assert picture.widget.value != first
    line.set_data([0, 1], [0, 1])
    picture.refresh()
    assert picture.widget.value == first
