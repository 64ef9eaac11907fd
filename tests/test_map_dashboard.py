"""The attention-on-the-lattice dashboard without a kernel: clicks, exchanges, latency, bad combinations, pictures."""

import io
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest
from latency import answer_times
from PIL import Image

import nqs_lab as nl
from nqs_lab.lab import map_figures as maps
from nqs_lab.lab.cartoons_06 import gathering
from nqs_lab.lab.map_dashboard import EXCHANGE, LOOK, MapDashboard
from nqs_lab.lab.notebook import figure, png_bytes

CONTENT = ("t5", "decoupled", "dot-product")


@pytest.fixture(scope="module")
def dashboard():
    """One dashboard for the module: the networks compile once."""
    board = MapDashboard()
    yield board
    board.close()


@pytest.fixture(autouse=True)
def fresh(dashboard):
    """The same start for every test."""
    dashboard.kind.value, dashboard.layer.value, dashboard.head.value = "t5", "1", "1"
    dashboard.mode.value, dashboard.strength.value = LOOK, 1.0
    dashboard.pattern.value = "stripes"
    dashboard.pattern.value = "Neel"
    dashboard.query = 5


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def test_every_control_changes_picture_table_and_words(dashboard):
    dashboard.exchange(10, 11)
    seen = {(dashboard.png, dashboard.summary.value)}
    for control, value in (
        (dashboard.kind, "factored"),
        (dashboard.kind, "dot-product"),
        (dashboard.layer, "2"),
        (dashboard.head, "3"),
        (dashboard.strength, 4.0),
    ):
        control.value = value
        seen.add((dashboard.png, dashboard.summary.value))
    dashboard.query = 8
    seen.add((dashboard.png, dashboard.summary.value))
    assert len(seen) == 7 and len({words for _, words in seen}) == 7
    assert 'aria-live="polite"' in dashboard.summary.value and "psi" in dashboard.summary.value
    assert dashboard.table.value.count("<tr>") == 4 + 5 and "weights of patch 8" in dashboard.table.value


def test_a_move_is_answered_quickly(dashboard):
    for control, values in ((dashboard.kind, maps.KINDS[:3]), (dashboard.strength, (1.0, 2.0, 4.0))):
        processor, wall = answer_times(control, values)
        assert processor < 0.1 and wall < 0.6, (control.description, processor, wall)
    seconds = []
    for _ in range(5):  # there and back again: the four networks are evaluated anew each time
        start = time.process_time()
        dashboard.exchange(0, 1)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1, seconds


def test_the_row_is_the_librarys_map(dashboard):
    for kind in maps.KINDS:
        library = np.asarray(nl.attention_maps(dashboard.networks[kind], jnp.asarray(dashboard.sigma)))
        np.testing.assert_allclose(dashboard.row(kind), library[0, 0, 5], atol=1e-12)


def test_networks_share_what_they_can(dashboard):
    """decoupled is dot-product plus factored: the same queries, keys and table, biases included."""
    np.testing.assert_allclose(dashboard.row("decoupled"), dashboard.row("dot-product") + dashboard.row("factored"))


def test_an_exchange_moves_what_it_should(dashboard):
    dashboard.exchange(10, 11)
    assert np.all(dashboard.change("factored") == 0)
    for kind in CONTENT:
        assert np.abs(dashboard.change(kind)[[10, 11]]).max() > 1e-2
    elsewhere = [site for site in range(16) if site not in (10, 11)]
    for kind in ("dot-product", "decoupled"):
        assert np.abs(dashboard.change(kind)[elsewhere]).max() < 1e-12
    assert np.abs(dashboard.change("t5")[elsewhere]).max() > 1e-4
    assert dashboard.amplitude_change("dot-product") < 1e-10
    assert min(dashboard.amplitude_change(kind) for kind in ("t5", "decoupled", "factored")) > 1e-3
    dashboard.layer.value = "2"
    assert np.all(dashboard.change("factored") == 0) and len(np.unique(dashboard.row("dot-product").round(10))) == 2


def test_without_content_the_maps_stand_still(dashboard):
    dashboard.strength.value = 0.0
    np.testing.assert_allclose(dashboard.row("dot-product"), 1 / 16)
    dashboard.exchange(10, 11)
    assert all(np.abs(dashboard.change(kind)).max() < 1e-12 for kind in maps.KINDS)
    assert dashboard.amplitude_change("t5") > 1e-4


def test_clicks_look_and_exchange(dashboard):
    dashboard.buttons[9].click()
    assert dashboard.query == 9 and "patch 9" in dashboard.summary.value
    assert dashboard.buttons[9].description.startswith("[") and dashboard.buttons[5].description in "\u2191\u2193"
    dashboard.mode.value = EXCHANGE
    before = dashboard.sigma
    dashboard.buttons[0].click()
    assert "\u2022" in dashboard.buttons[0].description and np.array_equal(dashboard.sigma, before)
    dashboard.buttons[1].click()
    assert dashboard.query == 9
    assert dashboard.sigma[0] == before[1] and dashboard.sigma[1] == before[0] and dashboard.sigma.sum() == 0
    assert "0 and 1 exchanged" in dashboard.status.value


@pytest.mark.parametrize("second, reason", [(0, "the same spin twice"), (2, "both spins are")])
def test_an_exchange_that_changes_nothing_is_explained(dashboard, second, reason):
    dashboard.mode.value = EXCHANGE
    before, picture = dashboard.sigma, dashboard.png
    dashboard.buttons[0].click()
    dashboard.buttons[second].click()
    assert "Please check" in dashboard.status.value and reason in dashboard.status.value
    assert np.array_equal(dashboard.sigma, before) and dashboard.png == picture
    assert "\u2022" not in dashboard.buttons[0].description


def test_a_picked_spin_is_forgotten_when_the_mode_changes(dashboard):
    dashboard.mode.value = EXCHANGE
    dashboard.buttons[0].click()
    dashboard.mode.value = LOOK
    dashboard.mode.value = EXCHANGE
    before = dashboard.sigma
    dashboard.buttons[1].click()
    assert np.array_equal(dashboard.sigma, before) and "site 1 picked" in dashboard.status.value


@pytest.mark.parametrize("token", [-1, 16, 99])
def test_a_patch_that_does_not_exist_is_refused(dashboard, token):
    with pytest.raises(ValueError, match="from 0 to 15"):
        dashboard.query = token
    assert dashboard.query == 5


def test_patterns_have_as_many_up_as_down(dashboard):
    seen = set()
    for name in ("random", "Neel", "stripes"):
        dashboard.pattern.value = name
        assert dashboard.sigma.sum() == 0 and "No exchange yet" in dashboard.summary.value
        seen.add(dashboard.sigma.tobytes())
    assert len(seen) == 3


def test_signed_and_softmax_weights_never_share_a_scale():
    for kind in maps.KINDS:
        norm, cmap = maps.colours(kind)
        assert (norm.vmin == -norm.vmax and cmap.name == "RdBu_r") if kind in maps.SIGNED else norm.vmin == 0
    assert maps.colours("t5")[1].name == "cividis" and maps.change_colours()[1].name == "PuOr_r"


def test_fast_redraw_equals_a_full_drawing(dashboard):
    """Drawing over the stored background leaves no trace of the previous values."""
    first = dashboard.png
    dashboard.kind.value = "factored"
    dashboard.query = 3
    dashboard.kind.value = "t5"
    dashboard.query = 5
    np.testing.assert_array_equal(pixels(first), pixels(dashboard.png))


def test_moves_from_several_threads_at_once(dashboard):
    """Recent JupyterLab runs callbacks on other threads."""
    errors = []

    def move(kinds):
        try:
            for kind in kinds:
                dashboard.kind.value = kind
                dashboard.query = len(kind)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(maps.KINDS[k:] + maps.KINDS[:k],)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_every_control_has_a_name_and_a_tooltip(dashboard):
    controls = (dashboard.kind, dashboard.layer, dashboard.head, dashboard.strength, dashboard.pattern, dashboard.mode)
    for control in (*controls, *dashboard.buttons.values()):
        assert control.description and control.tooltip
    assert len(dashboard.buttons) == 16


def test_static_figure_needs_no_kernel(dashboard):
    png = png_bytes(dashboard.static())
    assert png.startswith(b"\x89PNG") and pixels(png).std() > 10
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()


@pytest.mark.slow
def test_two_by_two_patches():
    board = MapDashboard(nl.square(6), patch=2)
    site = nl.square(6).site(4, 3)
    board.buttons[site].click()
    assert board.query == 5 and board.row().shape == (9,) and board.png.startswith(b"\x89PNG")
    board.pattern.value = "Neel"
    board.exchange(0, 1)  # inside one patch
    assert board.amplitude_change("dot-product") > 1e-6  # another bag of patches
    board.close()


@pytest.mark.parametrize("lattice", [nl.tilted(18), nl.square(3)], ids=lambda lattice: lattice.name)
def test_lattices_that_do_not_fit_are_refused(lattice):
    with pytest.raises(ValueError, match="even number of sites"):
        MapDashboard(lattice)


def test_cartoon_checks_its_numbers():
    _, ax = figure()
    sigma = np.ones((4, 4), dtype=np.int8)
    with pytest.raises(ValueError, match="4 patches"):
        gathering(sigma, np.zeros((3, 2)), np.ones(3) / 3, ax)
    assert gathering(sigma, np.zeros((4, 2)), np.ones(4) / 4, ax) is ax
