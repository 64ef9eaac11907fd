"""The explorer of lesson 08 without a kernel: controls, latency, missing runs, live training, Stop, ended threads."""

import io
import threading
import time

import made_up
import numpy as np
import pytest
from latency import answer_times
from PIL import Image

from nqs_lab.lab import explorer_figures as draw
from nqs_lab.lab.attention_explorer import AttentionExplorer
from nqs_lab.lab.comparison.setting import Setting
from nqs_lab.lab.comparison.shelf import Shelf
from nqs_lab.lab.explorer_runs import OWN, SHIPPED, Progress, train_live, why_missing
from nqs_lab.lab.notebook import png_bytes
from nqs_lab.lab.results import load_j2_scan


def no_training(setting, tell):
    raise AssertionError("nobody asked for a training")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return made_up.grid(tmp_path_factory.mktemp("runs"), n_seeds=2)


@pytest.fixture(scope="module")
def shared(shelf):
    board = AttentionExplorer(shelf, trainer=no_training)
    yield board
    board.close()


@pytest.fixture
def explorer(shared):
    """The same start for every test."""
    shared.source.value, shared.rule.value, shared.kind.value = SHIPPED, "default", "t5"
    shared.layer.value, shared.head.value, shared.quantity.value = "1", "1", draw.CORRELATIONS
    shared.seed.value = 11
    shared.set(j2=0.5)
    shared.step.value = 3
    return shared


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


# --- shipped runs


def test_every_control_changes_the_picture(explorer):
    seen, words = {explorer.png}, {explorer.words}
    for control, value in (
        (explorer.kind, "decoupled"),
        (explorer.kind, "factored"),
        (explorer.j2, 0.0),
        (explorer.j2, 1.0),
        (explorer.seed, 23),
        (explorer.layer, "2"),
        (explorer.head, "3"),
        (explorer.step, 1),
        (explorer.quantity, draw.STRUCTURE),
    ):
        control.value = value
        seen.add(explorer.png)
        words.add(explorer.words)
    assert len(seen) == 10 and len(words) == 9  # C(r) or S(q) is seen, not said
    assert all(png.startswith(b"\x89PNG") for png in seen)


def test_it_answers_within_a_tenth_of_a_second(explorer):
    for control, values in (
        (explorer.j2, (0.0, 0.5, 1.0)),
        (explorer.kind, ("t5", "decoupled", "factored")),
        (explorer.head, ("1", "2")),
        (explorer.step, (0, 3)),
    ):
        processor, wall = answer_times(control, values, rounds=2)
        assert processor < 0.1 and wall < 0.8, (control.description, processor, wall)


def test_the_words_hold_the_numbers(explorer, shelf):
    row = shelf.select(attention="t5", j2=0.5, seed=11)[0]
    for text in (
        f"E/N = {row['energy'] / 16:.6f}",
        f"exact {load_j2_scan().at(0.5).energy / 16:.6f}",
        f"relative error {row['relative_error']:.1e}",
        "units of J1",
        "R = 0.050, all heads 0.050",
        f"infidelity {row['infidelity']:.1e}",
        "after 10 of 10 steps",
    ):
        assert text in explorer.words, text
    assert 'aria-live="polite"' in explorer.summary.value and explorer.words in explorer.summary.value
    arrays = shelf.arrays(row)
    weights = arrays["map_mean"][3, 0, 0]
    top = int(np.argmax(np.abs(weights)))
    x, y = (top % 4 + 1) % 4 - 1, (top // 4 + 1) % 4 - 1
    assert (
        f"largest weight {weights[top]:+.3f} \u00b1" in explorer.words and f"displacement ({x}, {y})" in explorer.words
    )
    explorer.step.value = 0
    energy = arrays["energy"][0] / 16
    assert f"E/N = {energy:.6f}" in explorer.words and "after 0 of 10 steps" in explorer.words
    assert "R = 0.800" in explorer.words


def test_the_maps_are_those_of_the_shelf(explorer, shelf):
    explorer.kind.value, explorer.layer.value, explorer.head.value, explorer.step.value = "decoupled", "2", "3", 2
    arrays = shelf.arrays(shelf.select(attention="decoupled", j2=0.5, seed=11)[0])
    for tile, name in ((explorer.drawing.mean, "map_mean"), (explorer.drawing.spread, "map_deviation")):
        shown = np.asarray(tile.image.get_array()).reshape(4, 4)
        for x in (-1, 0, 1, 2):
            for y in (-1, 0, 1, 2):
                assert shown[y + 1, x + 1] == pytest.approx(arrays[name][2, 1, 2, x % 4 + 4 * (y % 4)], abs=1e-6)
    exact = np.asarray(explorer.drawing.exact.image.get_array()).reshape(4, 4)
    assert exact[1, 1] == pytest.approx(0.75) and exact[1, 2] == pytest.approx(load_j2_scan().at(0.5).correlations[1])
    explorer.quantity.value = draw.STRUCTURE
    exact = np.asarray(explorer.drawing.exact.image.get_array()).reshape(4, 4)
    assert exact[3, 3] == pytest.approx(load_j2_scan().at(0.5).structure_factor(np.pi, np.pi))
    assert explorer.table.value.count("<tr>") == 5


def test_signed_and_softmax_weights_never_share_a_scale(explorer):
    for kind in ("t5", "decoupled", "factored"):
        explorer.kind.value = kind
        norm, spread = explorer.drawing.mean.image.norm, explorer.drawing.spread.image
        signed = kind != "t5"
        assert norm.vmin == (-norm.vmax if signed else 0)
        assert explorer.drawing.mean.image.get_cmap().name == ("RdBu_r" if signed else "cividis")
        assert spread.get_cmap().name == "cividis" and spread.norm.vmin == 0 and spread.norm.vmax == norm.vmax


def test_the_sign_rule_is_the_default_one_of_the_coupling(explorer):
    assert explorer.setting.sign == "neel"
    explorer.set(j2=1.0)
    assert explorer.setting.sign == "stripe" and explorer.view is not None
    explorer.rule.value = "neel"
    assert explorer.setting.sign == "neel" and explorer.view is None and "off the shipped grid" in explorer.words


@pytest.mark.parametrize(
    "j2, rule, seed, says",
    [
        (0.25, "default", 11, "off the shipped grid"),
        (0.3, "stripe", 11, "off the shipped grid"),
        (0.3, "none", 11, "off the shipped grid"),
        (0.3, "default", 11, "planned but not on the shelf yet"),
        (0.5, "none", 11, "planned but not on the shelf yet"),
        (0.5, "default", 53, "planned but not on the shelf yet"),
    ],
)
def test_a_run_that_is_missing_is_announced_and_nothing_is_drawn(explorer, j2, rule, seed, says):
    explorer.rule.value, explorer.seed.value = rule, seed
    explorer.set(j2=j2)
    assert explorer.view is None and says in explorer.words and "rain" in explorer.words
    assert "Please check" in explorer.summary.value and explorer.table.value == ""
    assert np.ma.is_masked(explorer.drawing.mean.image.get_array()) and len(explorer.drawing.curve.get_xdata()) == 0
    exact = np.asarray(explorer.drawing.exact.image.get_array())
    assert np.isfinite(exact).all()  # the exact answer is always there
    if "planned" in says:
        assert "make the grid" in explorer.words


def test_j2_has_the_values_of_its_slider_only(explorer):
    for bad in (0.33, -0.1, 1.2, float("nan")):
        with pytest.raises(ValueError, match="steps of 0.05"):
            explorer.set(j2=bad)
    assert explorer.j2.value == 0.5


def test_fast_redraw_equals_a_full_drawing(explorer):
    first = explorer.png
    for kind, j2 in (("factored", 1.0), ("decoupled", 0.25), ("t5", 0.5)):
        explorer.kind.value = kind
        explorer.set(j2=j2)
    np.testing.assert_array_equal(pixels(first), pixels(explorer.png))
    assert np.asarray(pixels(first)).std() > 20


def test_moves_from_several_threads_at_once(explorer):
    errors = []

    def move(values):
        try:
            for value in values:
                explorer.j2.value = value
                explorer.head.value = str(int(10 * value) % 4 + 1)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=([0.0, 0.5, 1.0, 0.25][k:],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    explorer.set(j2=0.0)
    assert "J2 = 0," in explorer.words


def test_every_control_can_be_named_and_reached(explorer):
    plain = (explorer.j2, explorer.kind, explorer.rule, explorer.seed, explorer.layer, explorer.head, explorer.step)
    live = (explorer.quantity, explorer.source, explorer.budget, explorer.run_button, explorer.stop_button)
    for control in (*plain, *live, explorer.progress):
        assert control.description and control.tooltip
    known = {"SelectionSlider", "ToggleButtons", "Dropdown", "Button", "IntProgress"}
    assert {type(control).__name__ for control in (*plain, *live)} <= known
    assert "application/vnd.jupyter.widget-view+json" in explorer._repr_mimebundle_()


def test_static_figure_needs_no_kernel(explorer):
    png = png_bytes(explorer.static())
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 20
    explorer.set(j2=0.25)
    assert png_bytes(explorer.static()) != png


def test_an_empty_shelf_is_no_error(tmp_path):
    board = AttentionExplorer(Shelf(tmp_path / "none", command="make all"), trainer=no_training)
    assert board.view is None and "make all" in board.words and board.setting.rate == 0.1
    board.close()


def test_why_missing_knows_the_grid(shelf):
    assert "planned" in why_missing(shelf, Setting("t5", 0.6, "stripe", 53, 0.1, 1e-3))
    for odd in (Setting("t5", 0.6, "neel", 53, 0.1, 1e-3), Setting("t5", 0.55, "stripe", 53, 0.1, 1e-3)):
        assert "off the shipped grid" in why_missing(shelf, odd)


# --- training here


class Slow:
    """A training that waits for permission before every step."""

    def __init__(self):
        self.gate, self.told, self.ended = threading.Semaphore(0), [], threading.Event()

    def __call__(self, setting, tell):
        arrays = made_up.arrays(setting)
        maps = {name: value for name, value in arrays.items() if name.startswith("map")}
        for step in range(1, setting.steps + 1):
            assert self.gate.acquire(timeout=60)
            self.told.append(step)
            if not tell(Progress(step, arrays["energy"][:step], maps, None)):
                self.ended.set()
                return
        final = {"energy": -8.4, "infidelity": 0.01, "correlations": arrays["correlations"]}
        tell(Progress(setting.steps, arrays["energy"], maps, final))


@pytest.fixture
def slow(shelf):
    trainer = Slow()
    board = AttentionExplorer(shelf, trainer=trainer)
    board.budget.value = 20
    yield board, trainer
    board.worker.stop()
    for _ in range(200):
        trainer.gate.release()
    board.close()


def test_a_training_is_shown_while_it_goes_and_stays_at_the_end(slow):
    board, trainer = slow
    board.set(j2=0.25)  # off the shipped grid
    board.run_button.click()
    assert board.run_button.disabled and not board.stop_button.disabled and "Compiling t5" in board.status.value
    trainer.gate.release()
    wait_until(lambda: board.progress.value == 1)
    assert board.source.value == OWN and "Working" in board.status.value and "exact" in board.status.value
    assert len(board.drawing.curve.get_xdata()) == 1
    trainer.gate.release()
    wait_until(lambda: board.progress.value == 2)
    wait_until(lambda: len(board.drawing.curve.get_xdata()) == 2)
    for _ in range(18):
        trainer.gate.release()
    wait_until(lambda: "Done" in board.status.value)
    assert not board.run_button.disabled and board.stop_button.disabled and board.progress.value == 20
    assert board.view.final == -8.4 and "trained here" in board.words and "infidelity 1.0e-02" in board.words
    assert len(board.drawing.curve.get_xdata()) == 21
    board.set(j2=0.5)
    assert board.view is None and "press Train it here" in board.words
    board.source.value = SHIPPED
    assert board.view is not None


def test_stop_ends_within_a_step_and_drops_late_results(slow):
    board, trainer = slow
    board.run_button.click()
    for _ in range(2):
        trainer.gate.release()
    wait_until(lambda: board.progress.value == 2)
    board.stop_button.click()
    assert "Stopped after 2 of 20" in board.status.value and not board.run_button.disabled
    trainer.gate.release()  # the step in progress is ready, too late
    wait_until(trainer.ended.is_set)
    assert trainer.told == [1, 2, 3] and board.progress.value == 2
    assert len(board.view.curve) == 2 and board.view.correlations is None and "Stopped" in board.status.value
    wait_until(lambda: not any(thread.is_alive() for thread in board.worker.threads))


def test_a_new_training_ends_the_old_one(slow):
    board, trainer = slow
    board.run_button.click()
    trainer.gate.release()
    wait_until(lambda: board.progress.value == 1)
    board.kind.value = "factored"
    board._run()
    for _ in range(30):
        trainer.gate.release()
    wait_until(lambda: "Done. factored" in board.status.value)
    assert trainer.ended.is_set() and len([t for t in board.worker.threads if t.is_alive()]) <= 1


def test_errors_become_a_message(shelf):
    def broken(setting, tell):
        raise MemoryError("no room")

    board = AttentionExplorer(shelf, trainer=broken)
    board.run_button.click()
    wait_until(lambda: "MemoryError" in board.status.value)
    assert "Please check" in board.status.value and not board.run_button.disabled
    board.close()


def test_close_ends_the_thread(shelf):
    trainer = Slow()
    board = AttentionExplorer(shelf, trainer=trainer)
    board.run_button.click()
    trainer.gate.release()
    wait_until(lambda: board.progress.value == 1)
    threads = list(board.worker.threads)
    board.worker.stop()
    trainer.gate.release()
    board.close()
    assert threads and not any(thread.is_alive() for thread in threads)
    board.close()  # twice is harmless


@pytest.mark.slow
def test_a_real_training_tells_every_step_and_stops_when_told():
    """Two steps of the smallest type, then the answer is no: the third never comes."""
    news = []

    def tell(progress):
        news.append(progress)
        return len(news) < 2

    train_live(Setting("factored", 0.5, "neel", 11, 0.1, 1e-3, steps=20), tell)
    assert [n.step for n in news] == [1, 2] and all(n.final is None for n in news)
    assert len(news[1].curve) == 2 and news[1].curve[0] > load_j2_scan().at(0.5).energy
    assert news[1].arrays["map_steps"].tolist() == [0, 2] and news[1].arrays["map_mean"].shape == (2, 2, 4, 16)
