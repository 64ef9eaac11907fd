"""The dashboard of notebook 00: one parameter of two spins, its energy, its slope, and the walk of gradient descent.

The trial state is cos(theta)|ud> + sin(theta)|du> of one bond with J = 1; energies are totals in units of J1, spins S.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

SINGLET, TRIPLET = -0.75, 0.25
RATES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.1, 1.5)
MOST_STEPS = 30
FLOOR = 1e-16
CURVE, START, END, EXACT = PALETTE[0], PALETTE[4], PALETTE[1], PALETTE[2]
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 560px)"}, "style": {"description_width": "150px"}}
_BARS = (-0.17, 0.17)  # places of the two bars beside the middle of a configuration


class StartDashboard(Dashboard):
    """Turn the angle of a two-spin state; see energy, slope, amplitudes, and where gradient descent goes from there.

    Every number is a closed formula, computed at each move. There is no thread and nothing to wait for.

    Arguments:
        theta: the angle shown first, in units of pi, a multiple of 0.01 from -0.5 to 0.5.
        rate: the learning rate shown first, one of RATES.
    Raises:
        ValueError: an angle, rate or number of steps that the sliders do not have.
    """

    def __init__(self, theta: float = 0.0, rate: float = 0.3):
        self.lock = threading.RLock()
        self._quiet = False
        self._make_controls()
        self._draw_panels()
        self.set(theta=theta, rate=rate, steps=0)

    # ------------------------------------------------------------------ what a reader or a test may call

    def set(self, *, theta: float | None = None, rate: float | None = None, steps: int | None = None) -> None:
        """Move the sliders; `theta` in units of pi. ValueError for a value that a slider does not have."""
        if theta is not None and (not abs(theta) <= 0.5 or abs(100 * theta - round(100 * theta)) > 1e-9):
            raise ValueError(f"theta should be a multiple of 0.01 between -0.5 and 0.5 (units of pi), got {theta}")
        if rate is not None and rate not in RATES:
            raise ValueError(f"rate should be one of {RATES}, got {rate}")
        if steps is not None and not 0 <= steps <= MOST_STEPS:
            raise ValueError(f"steps should be a whole number from 0 to {MOST_STEPS}, got {steps}")
        with self.lock:
            self._quiet = True  # one picture for the three of them
            for control, value in ((self.theta, theta), (self.rate, rate), (self.steps, steps)):
                if value is not None:
                    control.value = value
            self._quiet = False
            self._show()

    def path(self) -> Float[np.ndarray, " points"]:
        """The angles (radians) of the walk shown, from the start to the last step."""
        theta, steps = np.pi * float(self.theta.value), int(self.steps.value)
        return descend(theta, float(self.rate.value), steps)  # pyright: ignore[reportArgumentType]

    def static(self, rates: tuple[float, ...] = (0.1, 0.5, 0.9, 1.1), theta: float = 0.2) -> LabFigure:
        """The same without a kernel: the walk from one angle (units of pi) at several rates, and its distance."""
        fig, axes = panels(2, len(rates), size=(2.5 * len(rates), 5.4))
        for column, rate in zip(axes.T, rates, strict=True):
            walk = descend(np.pi * theta, rate, MOST_STEPS)
            _landscape(column[0])
            column[0].plot(walk / np.pi, energy(walk), color=END, marker="o", markersize=4, linewidth=0.8)
            column[0].plot(walk[0] / np.pi, energy(walk[0]), color=START, marker="s", markersize=8)
            column[0].set_title(f"rate {rate:g}")
            _excess_axes(column[1])
            column[1].semilogy(_excess(walk), color=END, marker="o", markersize=3, linewidth=1)
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
        return fig

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(1, 3, size=(11.0, 3.9))
        curve_ax, bar_ax, step_ax = axes[0]
        _landscape(curve_ax)
        plain: dict[str, Any] = {"marker": "", "linewidth": 2}
        (self._tangent,) = curve_ax.plot([0], [0], color=START, linestyle="-", label="slope at the start", **plain)
        (self._walk,) = curve_ax.plot([0], [0], color=END, marker="o", markersize=4, linewidth=0.8, label="the walk")
        (self._here,) = curve_ax.plot([0], [0], color=START, marker="s", markersize=9, linestyle="none", label="start")
        curve_ax.legend(loc="upper left", fontsize=8)
        self._bars = _amplitude_bars(bar_ax)
        _excess_axes(step_ax)
        (self._distance,) = step_ax.semilogy([0], [1], color=END, marker="o", markersize=4, linewidth=1)
        moving = [self._tangent, self._walk, self._here, *self._bars, self._distance]
        self.picture = Picture(self.figure, moving, width=1050)

    def _show(self, *_: Any) -> None:
        """Compute the walk for the controls' values; show it and say it."""
        if self._quiet:
            return
        with self.lock:
            walk = self.path()
            start, reach = walk[0], 0.12
            x = np.array([start / np.pi - reach, start / np.pi + reach])
            self._tangent.set_data(x, energy(start) + slope(start) * np.pi * (x - start / np.pi))
            self._walk.set_data(walk / np.pi, energy(walk))
            self._here.set_data([start / np.pi], [energy(start)])
            heights = [np.cos(start), np.cos(walk[-1]), np.sin(start), np.sin(walk[-1])]
            for bar, height in zip(self._bars, heights, strict=True):
                bar.set_height(height)
            self._distance.set_data(np.arange(len(walk)), _excess(walk))
            self.picture.refresh()
            self.summary.value = message(self._in_words(walk))

    def _in_words(self, walk: np.ndarray) -> str:
        """Two sentences for those who cannot see the picture, and for copying."""
        start, end, steps = walk[0], walk[-1], len(walk) - 1
        return (
            f"theta = {start / np.pi:.2f} pi: amplitudes {np.cos(start):+.4f} (ud) and {np.sin(start):+.4f} (du), "
            f"E = {energy(start):+.6f}, slope {slope(start):+.4f}, weight of the singlet {singlet_weight(start):.4f}. "
            f"After {steps} steps at rate {self.rate.value:g}: theta = {end / np.pi:.4f} pi, E = {energy(end):+.6f}; "
            f"exact {SINGLET} (units of J1, spins S)."
        )

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Three sliders; each has a name and a tooltip."""
        self.theta = ipywidgets.FloatSlider(
            min=-0.5, max=0.5, step=0.01, value=0.0, readout_format=".2f", description="theta / pi",
            tooltip="Angle of the state; arrow keys move one hundredth", **_WIDE,
        )  # fmt: skip
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:g}", rate) for rate in RATES], value=0.3, description="learning rate",
            tooltip="Length of a step per unit of slope; arrow keys move one value", **_WIDE,
        )  # fmt: skip
        self.steps = ipywidgets.IntSlider(
            min=0, max=MOST_STEPS, value=0, description="steps of descent",
            tooltip="How many steps of gradient descent to take from theta; arrow keys move one step", **_WIDE,
        )  # fmt: skip
        for control in (self.theta, self.rate, self.steps):
            control.observe(lambda change: self._show(), names="value")
        self.summary = ipywidgets.HTML()
        self.picture: Picture
        self._controls = [self.theta, self.rate, self.steps]

    @property
    def view(self) -> Any:
        """The box on the page: sliders, picture, words."""
        if not hasattr(self, "_view"):
            self._view = ipywidgets.VBox([*self._controls, self.picture.widget, self.summary])
        return self._view


# ---------------------------------------------------------------------- pure pieces


def energy(theta: Any) -> Any:
    """E(theta) = -1/4 + sin(2 theta) / 2 of cos(theta)|ud> + sin(theta)|du>, units of J1, spins S; theta in radians."""
    return -0.25 + 0.5 * np.sin(2 * theta)


def slope(theta: Any) -> Any:
    """dE/dtheta = cos(2 theta)."""
    return np.cos(2 * theta)


def singlet_weight(theta: Any) -> Any:
    """Probability of the singlet (|ud> - |du>) / sqrt(2) in the state: (1 - sin 2 theta) / 2, so E = 1/4 - weight."""
    return 0.5 * (1 - np.sin(2 * theta))


def descend(theta: float, rate: float, steps: int) -> Float[np.ndarray, " points"]:
    """Gradient descent theta <- theta - rate dE/dtheta: the steps + 1 angles (radians) along the way.

    Raises ValueError for a rate that is not positive or a negative number of steps.
    """
    if not rate > 0 or steps < 0:
        raise ValueError(f"rate should be positive and steps at least 0, got {rate} and {steps}")
    walk = [float(theta)]
    for _ in range(steps):
        walk.append(walk[-1] - rate * float(slope(walk[-1])))
    return np.array(walk)


def _excess(walk: np.ndarray) -> np.ndarray:
    """E - E_exact along a walk; below the smallest number that the axis shows it is drawn at the lower edge."""
    return np.maximum(energy(walk) - SINGLET, FLOOR)


def _landscape(ax: Axes) -> None:
    """The energy over all angles, with the two exact levels."""
    theta = np.linspace(-0.75, 0.75, 301)
    ax.plot(theta, energy(np.pi * theta), color=CURVE, marker="")
    for level, name in ((SINGLET, "singlet, exact: \u22123/4"), (TRIPLET, "triplet, exact: +1/4")):
        ax.axhline(level, color=EXACT, linestyle="--", linewidth=1.2, marker="")
        low = level == SINGLET  # outside the range of the curve, where no text can hide it
        where = {"x": 0.74, "y": level - 0.02, "ha": "right", "va": "top"}
        where = where if low else {"x": -0.74, "y": level + 0.02, "ha": "left", "va": "bottom"}
        ax.text(s=name, fontsize=8, color=EXACT, **where)
    ax.set(xlim=(-0.75, 0.75), ylim=(-0.92, 0.65), xlabel="theta / pi", ylabel="E  (units of J1, spins S)")


def _amplitude_bars(ax: Axes) -> list[Rectangle]:
    """Axes for the two amplitudes; the bars in the order ud start, ud end, du start, du end."""
    for middle, height in ((0, np.sqrt(0.5)), (1, -np.sqrt(0.5))):
        frame = Rectangle((middle - 0.4, 0), 0.8, height, fill=False, ec=EXACT, ls="--", lw=1.5)
        frame.set_label("singlet" if middle == 0 else "_")
        ax.add_patch(frame)
    bars = []
    for middle in (0, 1):
        for place, colour, name in zip(_BARS, (START, END), ("start", "after the steps"), strict=True):
            bar = Rectangle((middle + place - 0.15, 0), 0.3, 0.5, fc=colour, ec="none")
            bar.set_label(name if middle == 0 else "_")
            bars.append(ax.add_patch(bar))
    ax.axhline(0, color="#444444", linewidth=0.8, marker="")
    ax.set(xlim=(-0.6, 1.6), ylim=(-1.05, 1.75), ylabel="amplitude (dimensionless)")
    ax.set_yticks([-1, -0.5, 0, 0.5, 1])
    ax.set_xticks([0, 1], ["\u2191\u2193 (ud)", "\u2193\u2191 (du)"])
    ax.legend(loc="upper right", fontsize=8)
    return bars


def _excess_axes(ax: Axes) -> None:
    """Axes for the distance to the exact energy."""
    ax.set(yscale="log", xlim=(-0.5, MOST_STEPS + 0.5), ylim=(0.3 * FLOOR, 3))
    ax.set(xlabel="step", ylabel="E \u2212 E_exact  (units of J1, spins S)")
