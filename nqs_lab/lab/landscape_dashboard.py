"""The dashboard of notebook 04: gradient descent and SR on the two-parameter landscape, live, as the sliders move."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab import plots_04
from nqs_lab.lab.landscape import STARTS, Landscape, Path, descend, make_landscape, minimum
from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

RATES = tuple(float(f"{m}e{e}") for e in (-3, -2) for m in (1, 1.5, 2, 3, 4, 6, 8)) + (0.1, 0.15, 0.2)
TIMES = tuple(float(f"{m}e{e}") for e in (-2, -1) for m in (1, 1.5, 2, 3, 4, 6, 8)) + (1.0, 1.5, 2.0)
SHIFTS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
UNITS = {"v1 and v2": 1.0, "v1 and 5 v2": 0.2, "v1 and v2 / 5": 5.0}
LIMITS = {"no limit": np.inf, "0.2": 0.2, "0.05": 0.05}
STEPS = 150
GAP = "(E_best \u2212 E_exact)/N"
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 560px)"}, "style": {"description_width": "150px"}}


class LandscapeDashboard(Dashboard):
    """Learning rates and diagonal shift on sliders; the two paths and the two energy curves are computed at each move.

    Arguments:
        landscape: the wave function (default: make_landscape(), the ring of 12 sites with J2 = 0.3).
        steps: steps of each optimiser.
    """

    def __init__(self, landscape: Landscape | None = None, steps: int = STEPS):
        self.landscape = make_landscape() if landscape is None else landscape
        self.steps = steps
        self.best, self.lowest, _ = minimum(self.landscape)
        self.lock = threading.RLock()
        self.rate: Any = None
        self.time: Any = None
        self.shift: Any = None
        self.start: Any = None
        self.unit: Any = None
        self.limit: Any = None
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    def set(
        self,
        *,
        rate: float | int | None = None,
        time: float | int | None = None,
        diag_shift: float | int | None = None,
    ) -> None:
        """Move the sliders to the nearest values they hold (ValueError for a value that is not positive)."""
        wanted = [(s, v) for s, v in ((self.rate, rate), (self.time, time), (self.shift, diag_shift)) if v is not None]
        found = [nearest(value, tuple(v for _, v in slider.options)) for slider, value in wanted]
        for (slider, _), value in zip(wanted, found, strict=True):  # all values are right, so all sliders may move
            slider.value = value

    def paths(self) -> tuple[Path, Path]:
        """The paths of gradient descent and of SR for the settings shown."""
        start, unit, limit = self.start.value, float(self.unit.value), float(self.limit.value)
        common: dict[str, Any] = {"steps": self.steps, "unit": unit, "max_norm": limit}
        plain = descend(self.landscape, start, rate=float(self.rate.value), **common)
        shift = float(self.shift.value)
        return plain, descend(self.landscape, start, rate=float(self.time.value), diag_shift=shift, **common)

    def static(
        self, rates: tuple[tuple[float, float], ...] = ((0.004, 0.04), (0.015, 0.4), (0.02, 1.0)), shift: float = 1e-6
    ) -> LabFigure:
        """The same without a kernel: both paths from the uniform state at some pairs (rate, imaginary time)."""
        fig, axes = panels(2, len(rates), size=(3.6 * len(rates), 6.0))
        for k, (rate, time) in enumerate(rates):
            plots_04.contours(self.landscape, axes[0, k]).set_title(f"rates {rate:g} and {time:g}")
            for step, diag_shift, name in ((rate, None, "gradient descent"), (time, shift, f"SR, shift {shift:g}")):
                found = descend(self.landscape, (0.0, 0.0), rate=step, steps=self.steps, diag_shift=diag_shift)
                natural = diag_shift is not None
                plots_04.path(found.points, axes[0, k], natural=natural, label=name)
                axes[1, k].semilogy(*self._curve(found), color=_colour(natural), marker="", label=name)
            self._label(axes[1, k])
        lines, names = axes[1, 0].get_legend_handles_labels()
        fig.legend(lines, names, loc="outside lower center", ncols=3)
        return fig

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(1, 2, size=(9.6, 4.2))
        map_ax, curve_ax = axes[0]
        plots_04.contours(self.landscape, map_ax)
        self._label(curve_ax)
        empty = np.full((1, 2), np.nan)
        for natural, name in ((False, "gradient descent"), (True, "SR")):
            plots_04.path(empty, map_ax, natural=natural, label=name)
            curve_ax.semilogy([np.nan], [np.nan], color=_colour(natural), marker="", linewidth=2, label=name)
        map_ax.legend(loc="lower right")
        gap = (self.lowest - self.landscape.exact) / self.landscape.n_sites
        side = curve_ax.get_yaxis_transform()  # x in shares of the axis
        curve_ax.text(0.98, 1.3 * gap, GAP, transform=side, ha="right", va="bottom", fontsize=9)
        # The first line of the map is the star of the best state, that of the curves the exact energy.
        self._lines = list(map_ax.lines[1:3])
        self._curves = list(curve_ax.lines[1:3])
        self.picture = Picture(self.figure, [*self._lines, *self._curves], width=960)

    def _label(self, ax: Any) -> None:
        """Axes of the curves, and how far above the exact energy the best state of the family lies."""
        gap = (self.lowest - self.landscape.exact) / self.landscape.n_sites
        ax.axhline(gap, color="#444444", linestyle="--", linewidth=1, marker="", label=GAP)
        ax.set_yscale("log")
        ax.set(xlim=(0, self.steps), ylim=(1e-14, 1.0), xlabel="step", ylabel="(E \u2212 E_best) / N  (units of J1)")

    def _curve(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Steps and energies above the best state."""
        return np.arange(len(path.energies)), plots_04.excess(path, self.lowest, self.landscape.n_sites)

    def _show(self, *_: Any) -> None:
        """Compute both paths for the controls' values; show them and say them."""
        with self.lock:
            found = self.paths()
            for line, curve, path in zip(self._lines, self._curves, found, strict=True):
                line.set_data(path.points[:, 0], path.points[:, 1])
                curve.set_data(*self._curve(path))
            self.picture.refresh()
            self.summary.value = message(self._in_words(*found))

    def _in_words(self, plain: Path, natural: Path) -> str:
        """One sentence for those who cannot see the picture."""
        n = self.landscape.n_sites
        return (
            f"E/N after {self.steps} steps: gradient descent at rate {self.rate.value:g} {plain.energies[-1] / n:.7f} "
            f"({_reached(plain, self.lowest)}); SR at rate {self.time.value:g} with shift {self.shift.value:g} "
            f"{natural.energies[-1] / n:.7f} ({_reached(natural, self.lowest)}). Best of the family "
            f"{self.lowest / n:.7f}, exact {self.landscape.exact / n:.7f} (units of J1, spins S)."
        )

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Three sliders and three menus; each has a name and a tooltip."""
        sliders = (
            ("rate", "gradient: rate", RATES, 0.004, "Learning rate of gradient descent; arrow keys move one value"),
            ("time", "SR: rate", TIMES, 0.04, "Imaginary time of an SR step, units of 1/J1; arrow keys move one value"),
            ("shift", "SR: diag_shift", SHIFTS, 1e-6, "Added to the metric's diagonal; arrow keys move one value"),
        )
        for name, title, values, value, tooltip in sliders:
            options = [(f"{v:g}", v) for v in values]
            slider = ipywidgets.SelectionSlider(
                options=options, value=value, description=title, tooltip=tooltip, **_WIDE
            )
            setattr(self, name, slider)
        menus = (
            ("start", "start", list(STARTS.items()), "Where both optimisers start"),
            ("unit", "parameters", list(UNITS.items()), "In which units the two parameters are counted"),
            ("limit", "step limit", list(LIMITS.items()), "Longest step allowed, in the parameters"),
        )
        for name, title, options, tooltip in menus:
            setattr(self, name, ipywidgets.Dropdown(options=options, description=title, tooltip=tooltip, **_WIDE))
        self.summary = ipywidgets.HTML()
        controls = [self.rate, self.time, self.shift, self.start, self.unit, self.limit]
        for control in controls:
            control.observe(self._show, names="value")
        self.view = ipywidgets.VBox([*controls, self.picture.widget, self.summary])


# ---------------------------------------------------------------------- pure pieces


def nearest(value: float | int, options: tuple[float, ...]) -> float:
    """The option nearest to a positive value on a logarithmic scale; ValueError for another value."""
    if not 0 < value < np.inf:
        raise ValueError(f"the sliders hold positive numbers from {options[0]:g} to {options[-1]:g}, got {value}")
    return min(options, key=lambda option: abs(np.log(option / value)))


def _colour(natural: bool) -> str:
    """Orange for gradient descent, blue for SR."""
    return plots_04.NATURAL if natural else plots_04.GRADIENT


def _reached(path: Path, lowest: float) -> str:
    """How many steps to within 1e-4 of the best state, relative, for good."""
    far = np.flatnonzero(path.energies - lowest > 1e-4 * abs(lowest))
    if len(far) == 0:
        return "within 0.01 % of the best from the start"
    if far[-1] == len(path.energies) - 1:
        return "not within 0.01 % of the best"
    return f"within 0.01 % of the best after {far[-1] + 1} steps"
