"""The dashboard of lesson 09b without a kernel: values change the picture, text, missing runs, latency, threads."""

import io
import math
import threading
import time

import numpy as np
import pytest
from PIL import Image

from nqs_lab.lab import plots_09b
from nqs_lab.lab.notebook import figure, png_bytes
from nqs_lab.lab.sentence_dashboard import NAMES, SentenceDashboard
from nqs_lab.lab.sentence_figures import RowArtists, loudest, marked_text, told_places
from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.results import Results, load_sentences
from nqs_lab.lab.sentences.setting import LENGTHS, MARGIN, TYPES

RESULTS = load_sentences()
NEAR, FAR = NAMES


@pytest.fixture(scope="module")
def shared():
    """One dashboard for the tests that only move its controls."""
    board = SentenceDashboard(RESULTS)
    yield board
    board.close()


@pytest.fixture
def dashboard(shared):
    """The shared dashboard in its first state."""
    values = (NEAR, TYPES[0], 64, 1, 1, 1)
    for control, value in zip(shared.controls, values, strict=True):
        control.value = value
    return shared


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)


# --- the shipped results


def test_shipped_results_are_complete_and_finite():
    assert RESULTS.missing() == []
    for language in LANGUAGES:
        for kind in TYPES:
            loss = RESULTS.column(language, kind, "loss")
            shown = RESULTS.loss(language, kind)
            assert np.abs(shown - loss).max() < 0.06  # the test sentences are 1,000 to 5,000 hidden words
            assert loss.shape == (3, len(LENGTHS)) and np.all(np.isfinite(loss))
            excess, error = (RESULTS.column(language, kind, name) for name in ("excess", "error"))
            assert np.all(excess > -4 * error)  # nobody beats the best reader
            np.testing.assert_allclose(loss - RESULTS.column(language, kind, "best"), excess, atol=2e-6)


def test_shipped_examples_are_distributions_and_the_best_loss_is_the_floor():
    for language in LANGUAGES:
        best = RESULTS.column(language, "t5", "best").mean(axis=0)
        floor = np.array([LANGUAGES[language].floor(n) for n in LENGTHS])
        assert np.abs(best - floor).max() < 0.03
        for kind in TYPES:
            for n in (16, 512):
                found = RESULTS.example(language, kind, n, 1)
                assert np.isclose(found.p.sum(), 1.0, atol=1e-5) and found.rows.shape == (2, 4, n)
                if kind != "factored":
                    np.testing.assert_allclose(found.rows.sum(axis=-1), 1.0, atol=5e-3)


def test_what_the_lesson_says_holds_on_the_shelf():
    """The claims of the text, with room: it would have to be rewritten if one of them failed."""
    for n in LENGTHS:
        near, far = (RESULTS.verdict(language, "factored", "t5", n) for language in ("chain", "copy"))
        assert near.word == "equivalent", f"{n}: {near}"
        assert far.word == "different" and far.low > MARGIN
        assert RESULTS.verdict("copy", "dot-product", "t5", n).word == "equivalent"
    gaps = [RESULTS.verdict("copy", "factored", "t5", n).difference for n in LENGTHS]
    assert np.all(np.diff(gaps) > 0)
    level = [LANGUAGES["copy"].level(n) for n in LENGTHS]
    assert np.abs(RESULTS.loss("copy", "factored").mean(axis=0) - level)[2:].max() < 0.05
    assert RESULTS.loss("copy", "factored")[:, 0].min() < level[0] - 0.2  # one seed has begun to look up
    frozen = {
        name: RESULTS.column(name, "t5", "frozen_mean") - RESULTS.column(name, "t5", "excess") for name in LANGUAGES
    }
    uniform = RESULTS.column("chain", "t5", "frozen_uniform") - RESULTS.column("chain", "t5", "excess")
    assert frozen["chain"].max() < 0.15 and uniform.min() > 1.0 and frozen["copy"].min() > np.log(8)


def test_what_the_lesson_says_about_patience_width_and_growing_holds():
    def excess(n, **wanted):
        runs = RESULTS.grid.select(language="copy", attention="factored", start=16, **wanted)
        return np.mean([stage["excess"] for run in runs for stage in run["stages"] if stage["n"] == n])

    for n in (16, 32, 64):
        usual, patient, most = (excess(n, patience=k, width=32) for k in (1, 5, 25))
        assert most < patient < usual and patient < LANGUAGES["copy"].level(n) - 0.2
    for k, width in ((1, 32), (5, 32), (25, 32), (5, 64)):
        assert np.all(np.diff([excess(n, patience=k, width=width) for n in (16, 32, 64)]) > 0.2)
    assert excess(16, patience=25) < 0.01 < 0.2 < excess(32, patience=25)
    assert excess(64, patience=5, width=64) < excess(64, patience=5, width=32) - 0.05
    cold = {(r.setting.language, r.setting.attention): r["stages"][0]["excess"] for r in RESULTS.grid.select(start=256)}
    assert len(cold) == 6 and cold["copy", "t5"] > 1 > 0.1 > cold["copy", "dot-product"]
    assert max(cold["chain", "t5"], cold["chain", "factored"]) < 0.1


def test_seeds_are_paired_and_missing_runs_are_named():
    assert all(RESULTS.seeds(language, kind) == [11, 23, 37] for language in LANGUAGES for kind in TYPES)
    with pytest.raises(ValueError, match="no run of linear"):
        RESULTS.runs("copy", "linear")
    patient = RESULTS.grid.select(language="copy", attention="factored", patience=5, width=32)
    assert len(patient) == 3 and not {id(r) for r in patient} & {id(r) for r in RESULTS.runs("copy", "factored")}


# --- the dashboard


def test_every_control_changes_the_picture_and_the_text(dashboard):
    for control, value in zip(dashboard.controls, (FAR, "factored", 16, 3, 2, 4), strict=True):
        before = dashboard.png
        text = dashboard.summary.value
        control.value = value
        assert dashboard.png != before and dashboard.summary.value != text, control.description
    assert (
        "copy language, 16 words, factored" in dashboard.summary.value and "layer 2, head 4" in dashboard.summary.value
    )
    loss = RESULTS.loss("copy", "factored")[:, 0].mean()
    assert f"{loss:.3f} nats per hidden word over 3 seeds" in dashboard.summary.value
    assert "floor 0.000" in dashboard.summary.value and "?" in dashboard.text.value


def test_moves_take_less_than_100_ms(dashboard):
    for language in (FAR, NEAR):
        dashboard.which.value = language
        for n in (16, 512):
            dashboard.length.value = n
            times = []
            for kind in TYPES:
                start = time.process_time()
                dashboard.kind.value = kind
                times.append(time.process_time() - start)
            assert min(times) < 0.1, f"{language}, {n}: {1e3 * min(times):.0f} ms of processor time"


def test_fast_redraw_equals_a_full_drawing(dashboard):
    """Drawing over the stored background leaves no trace of the previous values."""
    first = dashboard.png
    dashboard.which.value = FAR
    dashboard.length.value = 512
    dashboard.kind.value = "factored"
    dashboard.number.value = 2
    dashboard.number.value = 1
    dashboard.kind.value = "t5"
    dashboard.length.value = 64
    dashboard.which.value = NEAR
    np.testing.assert_array_equal(pixels(first), pixels(dashboard.png))


def test_a_missing_run_is_said_and_nothing_breaks(tmp_path):
    """A shelf with one run: the others are named, and the way to make them."""
    row = RESULTS.runs("copy", "t5")[0]
    few = load_sentences(tmp_path)
    with pytest.raises(ValueError, match="python -m nqs_lab.lab.sentences"):
        SentenceDashboard(few)
    source, target = RESULTS.grid.folder / f"{row.setting.name}.npz", tmp_path / "sentences_grid"
    target.mkdir()
    (target / source.name).write_bytes(source.read_bytes())
    few.grid.rows.append(row)
    board = SentenceDashboard(Results(few.grid, few.tune))
    assert "not on the shelf" in board.summary.value and board.example() is None
    board.which.value = FAR
    assert "copy language, 64 words, t5" in board.summary.value
    board.kind.value = "factored"
    assert 'role="alert"' in board.summary.value
    assert len(few.missing()) == 17
    board.close()


def test_moves_from_several_threads_at_once(dashboard):
    """Recent JupyterLab runs callbacks on other threads."""
    errors, before = [], threading.active_count()

    def move(lengths):
        try:
            for n in lengths:
                dashboard.length.value = n
                dashboard.which.value = FAR if n > 64 else NEAR
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(LENGTHS[k:] + LENGTHS[:k],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and threading.active_count() == before


def test_every_control_has_a_name_and_a_tooltip(dashboard):
    assert all(control.description and control.tooltip for control in dashboard.controls)


def test_static_figure_needs_no_kernel(dashboard):
    assert pixels(png_bytes(dashboard.static())).std() > 10
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


# --- pictures and words


def test_the_place_of_the_answer_is_marked():
    found = RESULTS.example("copy", "t5", 64, 2)
    (told,) = told_places("copy", found)
    assert found.words[told, 1] == found.answer and told < 32 <= found.place
    text = marked_text("copy", found)
    spelled = LANGUAGES["copy"].spell(found.words)
    assert f"[{spelled[found.place]}]" in text and f">{spelled[told]}</b>" in text
    near = RESULTS.example("chain", "t5", 16, 0)
    for place in told_places("chain", near):
        between = range(min(place, near.place) + 1, max(place, near.place))
        assert near.words[place, 0] < 8 and all(near.words[k, 0] == 8 for k in between)


def test_rows_are_drawn_relative_to_their_largest_weight():
    _, ax = figure()
    artists = RowArtists(ax)
    found = RESULTS.example("chain", "factored", 16)
    layer, head = loudest(found)
    artists.show(found, layer, head, [3], signed=True)
    heights = np.array([segment[1, 1] for segment in artists.lines.get_segments()])
    row = found.rows[layer, head]
    np.testing.assert_allclose(heights, row / np.abs(row).max())
    assert f"largest {row[np.argmax(np.abs(row))]:+.2f}" in artists.largest.get_text()
    artists.clear("nothing")
    assert not artists.lines.get_segments() and artists.title.get_text() == "nothing"


def test_arcs_leave_out_what_is_small():
    _, ax = figure()
    weights = np.array([0.5, 0.005, 0.0, -0.25, 0.2])
    plots_09b.reading(list("abcde"), weights, 2, ax, source=0)
    widths = sorted(patch.get_linewidth() for patch in ax.patches)
    assert len(widths) == 3 and math.isclose(widths[-1], 5.4)
    assert sum(patch.get_linestyle() in ("--", "dashed") for patch in ax.patches) == 1
