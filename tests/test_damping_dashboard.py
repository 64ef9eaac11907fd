"""A ball in a bowl, and the dashboard of notebook 11 without a kernel: rates, values, latency, bad input."""

import io
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from latency import answer_times
from PIL import Image

from nqs_lab import flows
from nqs_lab.lab.bowl import METHODS, Bowl, settled
from nqs_lab.lab.damping_dashboard import KAPPAS, KEPT, RATES, STARTS, STEPS, DampingDashboard, starting_point
from nqs_lab.lab.notebook import png_bytes
from nqs_lab.lab.plots_11 import level


@pytest.fixture(scope="module")
def shared():
    board = DampingDashboard()
    yield board
    board.close()


@pytest.fixture
def dashboard(shared):
    shared.set(kappa=30.0, rate=1.0, kept=0.8, start=STARTS[1])
    return shared


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


# --- the ball


@pytest.mark.parametrize("kappa", [4.0, 100.0, 1000.0])
def test_shrinking_is_what_is_published(kappa):
    """Descent (k - 1)/(k + 1) at s = 2/(L + mu), heavy ball with roots, Nesterov 1 - 1/root k at s = 1/L. polyak1964"""
    root = np.sqrt(kappa)
    assert Bowl(kappa, 2 / (1 + 1 / kappa), 0.0).shrinks("descent").max() == pytest.approx((kappa - 1) / (kappa + 1))
    share = ((root - 1) / (root + 1)) ** 2
    ball = Bowl(kappa, 4 / (1 + 1 / root) ** 2 / share, share)  # kick-damp-drift also damps the kick
    np.testing.assert_allclose(ball.shrinks("heavy ball"), np.sqrt(share), rtol=1e-5)
    assert Bowl(kappa, 1.0, (root - 1) / (root + 1)).shrinks("Nesterov").max() == pytest.approx(1 - 1 / root, rel=1e-5)


def test_the_heavy_ball_is_the_librarys_scheme_and_descent_its_euler():
    bowl, start = Bowl(12.0, 0.49, 0.7), (0.8, -0.4)
    h = jnp.sqrt(bowl.rate)
    quadratic = flows.Quadratic(np.diag(bowl.curvatures))
    ball = flows.DampedFlow(quadratic, flows.Flat(np.eye(2)), flows.Damping(0, bowl.friction))
    slow = flows.overdamped(ball)
    for method, flow, scheme, step in (
        ("heavy ball", ball, flows.KickDampDrift(), h),
        ("descent", slow, flows.Euler(), bowl.rate),
    ):
        run = flows.simulate(scheme, flow, scheme.init(flow, jnp.asarray([start])), step, 30)
        np.testing.assert_allclose(bowl.path(method, start, 30), run.records[:, 0], atol=1e-13)
        np.testing.assert_allclose(
            bowl.energies(bowl.path(method, start, 3))[-1], float(quadratic(run.records[3])), rtol=1e-12
        )


def test_nesterov_by_hand():
    bowl, start = Bowl(5.0, 0.8, 0.6), np.array([0.3, -0.9])
    x, v, path = start, np.zeros(2), [start]
    for _ in range(12):
        v = bowl.kept * v - bowl.rate * bowl.curvatures * (x + bowl.kept * v)
        x = x + v
        path.append(x)
    np.testing.assert_allclose(bowl.path("Nesterov", tuple(start), 12), path, atol=1e-14)
    with pytest.raises(ValueError, match="method should be one of"):
        bowl.step("Adam", 1.0)


def test_settled_is_not_the_first_time_below():
    swing = np.cos(0.4 * np.arange(300)) ** 2 * 0.96 ** np.arange(300)
    when = settled(swing, 1e-3)
    assert swing[when - 1] >= 1e-3 > swing[when:].max() and when > np.argmax(swing < 1e-3) + 5
    assert settled(np.array([1.0, 2.0, 4.0]), 0.1) is None and settled(np.array([1.0, np.nan]), 0.1) is None


# --- the dashboard


def test_every_control_changes_picture_and_words(dashboard):
    pictures, words = {dashboard.png}, {dashboard.summary.value}
    for change in ({"kappa": 100.0}, {"rate": 0.5}, {"kept": 0.95}, {"start": STARTS[0]}, {"start": STARTS[2]}):
        dashboard.set(**change)
        pictures.add(dashboard.png)
        words.add(dashboard.summary.value)
    assert len(pictures) == len(words) == 6
    assert all(picture.startswith(b"\x89PNG") and pixels(picture).std() > 10 for picture in pictures)


def test_it_answers_within_a_tenth_of_a_second(dashboard):
    for control, values in ((dashboard.kept, KEPT[3:6]), (dashboard.rate, RATES[2:5]), (dashboard.kappa, KAPPAS[1:4])):
        processor, wall = answer_times(control, values)
        assert processor < 0.1 and wall < 0.6, (control.description, processor, wall)


def test_words_hold_the_numbers(dashboard):
    dashboard.set(kappa=10.0, rate=1.5, kept=0.7)
    bowl = Bowl(10.0, 1.5, 0.7)
    for method in METHODS:
        when = settled(bowl.energies(bowl.path(method, starting_point(STARTS[1], 10.0), STEPS)), 1e-3)
        if when is not None:
            assert f"{method} U stays below 0.001 U(0) after {when} force evaluations" in dashboard.summary.value
        assert f"leaves {bowl.shrinks(method)[0]:.3f} of the soft mode" in dashboard.summary.value
    dashboard.set(rate=4.2)
    assert "descent never" in dashboard.summary.value and 'aria-live="polite"' in dashboard.summary.value


def test_lines_are_the_paths_and_levels_have_one_energy(dashboard):
    bowl = dashboard.bowl
    for method, line, curve in zip(METHODS, dashboard.paths.lines, dashboard.curves.lines, strict=True):
        path = bowl.path(method, (0.9, 0.5), STEPS)
        np.testing.assert_allclose(np.stack(line.get_data(), axis=1), path[:61])
        energies = bowl.energies(path)
        np.testing.assert_allclose(curve.get_ydata()[:5], energies[:5] / energies[0])
    np.testing.assert_allclose(bowl.energies(level(bowl, 0.5)), 0.125 / bowl.kappa)


@pytest.mark.filterwarnings("error")
def test_extreme_settings_stay_finite(dashboard):
    for kappa, rate, kept, start in (
        (KAPPAS[-1], RATES[-1], 1.0, STARTS[1]),
        (1.0, RATES[-1], 0.0, STARTS[0]),
        (KAPPAS[-1], RATES[0], 0.0, STARTS[2]),
    ):
        dashboard.set(kappa=kappa, rate=rate, kept=kept, start=start)
        assert "nan" not in dashboard.summary.value and dashboard.png.startswith(b"\x89PNG")
        assert all(np.all(np.isfinite(dashboard.bowl.path(m, (0.9, 0.5), STEPS))) for m in METHODS)


def test_bad_values_are_refused_and_nothing_moves(dashboard):
    before = dashboard.png, dashboard.summary.value
    for bad in ({"kappa": 7.0}, {"rate": -1.0}, {"kept": 1.5}, {"start": "the top"}, {"kept": 0.9, "rate": 17.0}):
        with pytest.raises(ValueError, match="should be one of"):
            dashboard.set(**bad)
        assert (dashboard.png, dashboard.summary.value) == before
    with pytest.raises(ValueError, match="should be one of"):
        starting_point("the top", 2.0)
    for options in ({"kept": ()}, {"rate": 0.0}, {"kept": (1.2,)}, {"kappa": 0.5}):
        with pytest.raises(ValueError, match="expected shares"):
            dashboard.static(**options)


def test_moves_from_several_threads_and_no_thread_of_its_own(dashboard):
    before = set(threading.enumerate())

    def move(values):
        for value in values * 3:
            dashboard.kept.value = value

    threads = [threading.Thread(target=move, args=(values,)) for values in (KEPT[:3], KEPT[3:6])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    dashboard.set(kept=0.95)
    dashboard.set(kept=0.8)
    assert "momentum kept 0.8 " in dashboard.summary.value and set(threading.enumerate()) == before


def test_controls_have_names_static_needs_no_kernel_and_close_is_harmless(dashboard):
    assert all(control.description and control.tooltip for control in dashboard.controls)
    assert "application/vnd.jupyter.widget-view+json" in dashboard._repr_mimebundle_()
    fig = dashboard.static(kept=(0.5, 0.9))
    assert pixels(png_bytes(fig)).std() > 10 and len(fig.axes) == 4
    other = DampingDashboard()
    other.close()
    other.close()
