"""The dashboard of notebook 11: learning rate, friction and condition number of a ball in a bowl, live."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab.bowl import METHODS, Bowl, settled
from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.plots_11 import Curves, Paths
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

KAPPAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 1.9, 2.1, 3.0, 3.9, 4.2)
KEPT = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
STARTS = ("equal energies", "across the valley", "soft direction alone")
STEPS, TOLERANCE = 200, 1e-3
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 520px)"}, "style": {"description_width": "150px"}}


def starting_point(kind: str, kappa: float | int) -> tuple[float, float]:
    """Where the ball is let go: (1, 1/sqrt(kappa)), (0.9, 0.5) or (1, 0). ValueError for another name."""
    if kind not in STARTS:
        raise ValueError(f"start should be one of {STARTS}, got {kind!r}")
    return {STARTS[0]: (1.0, 1.0 / float(np.sqrt(kappa))), STARTS[1]: (0.9, 0.5), STARTS[2]: (1.0, 0.0)}[kind]


class DampingDashboard(Dashboard):
    """Descent, heavy ball and Nesterov side by side: paths in the bowl, and energies against force evaluations.

    All three take one force evaluation a step and share the learning rate. Computed at each move, in milliseconds; no
    thread.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.figure, axes = panels(1, 2, size=(10.0, 4.2))
        self.paths, self.curves = Paths(axes[0, 0]), Curves(STEPS, TOLERANCE, axes[0, 1])
        axes[0, 0].legend(loc="lower left", fontsize=8)
        moving = [*self.paths.levels, *self.paths.lines, *self.curves.lines]
        self.picture = Picture(self.figure, moving, width=900)
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def bowl(self) -> Bowl:
        """What the sliders say."""
        values: list[Any] = [self.kappa.value, self.rate.value, self.kept.value]
        return Bowl(*(float(value) for value in values))

    def set(
        self,
        *,
        kappa: float | int | None = None,
        rate: float | int | None = None,
        kept: float | int | None = None,
        start: str | None = None,
    ) -> None:
        """Move the controls. ValueError, and nothing moves, for a value that they do not hold."""
        wanted = [(c, v) for c, v in ((self.kappa, kappa), (self.rate, rate), (self.kept, kept)) if v is not None]
        for control, value in wanted:
            offered = [v for _, v in control.options]
            if value not in offered:
                raise ValueError(f"{control.description} should be one of {offered}, got {value}")
        if start is not None and start not in STARTS:
            raise ValueError(f"start should be one of {STARTS}, got {start!r}")
        for control, value in wanted:
            control.value = value
        if start is not None:
            self.start.value = start

    def static(self, kept: tuple[float, ...] = (0.4, 0.8, 0.95), rate: float = 1.0, kappa: float = 30.0) -> LabFigure:
        """Without a kernel: paths and energies for some shares of momentum kept."""
        if not kept or not rate > 0 or kappa < 1 or not all(0 <= value <= 1 for value in kept):
            raise ValueError(f"expected shares between 0 and 1, rate > 0, kappa >= 1; got {kept}, {rate}, {kappa}")
        fig, axes = panels(2, len(kept), size=(3.8 * len(kept), 6.4))
        for value, column in zip(kept, axes.T, strict=True):
            bowl = Bowl(float(kappa), float(rate), float(value))
            paths = [bowl.path(method, starting_point(STARTS[1], kappa), STEPS) for method in METHODS]
            Paths(column[0]).show(bowl, paths)
            column[0].set_title(f"keeps {value:g} of its momentum")
            Curves(STEPS, TOLERANCE, column[1]).show([bowl.energies(path) for path in paths])
        lines, names = axes[1, 0].get_legend_handles_labels()
        fig.legend(lines, names, loc="outside lower center", ncols=3)
        return fig

    # ------------------------------------------------------------------ controls and drawing

    def _make_controls(self) -> None:
        """Three sliders and a menu."""

        def slider(name: str, values: tuple[float, ...], value: float, tip: str) -> Any:
            options = [(f"{v:g}", v) for v in values]
            return ipywidgets.SelectionSlider(options=options, value=value, description=name, tooltip=tip, **_WIDE)

        self.kappa = slider("condition \u03ba", KAPPAS, 30.0, "stiff curvature over soft curvature")
        self.rate = slider("learning rate s \u00b7 L", RATES, 1.0, "the same for all three; the time step is its root")
        self.kept = slider("momentum kept", KEPT, 0.8, "what friction leaves of the momentum after a step")
        self.start = ipywidgets.Dropdown(
            options=list(STARTS), value=STARTS[1], description="start", tooltip="where the ball is let go", **_WIDE
        )
        self.controls = (self.kappa, self.rate, self.kept, self.start)
        for control in self.controls:
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        self.view = ipywidgets.VBox([*self.controls, self.picture.widget, self.summary])

    def _show(self, *_: Any) -> None:
        """Compute the paths and put them into the picture and into words."""
        with self.lock:
            bowl = self.bowl
            start = starting_point(str(self.start.value), bowl.kappa)
            paths = [bowl.path(method, start, STEPS) for method in METHODS]
            curves = [bowl.energies(path) for path in paths]
            self.paths.show(bowl, paths)
            self.curves.show(curves)
            self.picture.refresh()
            self.summary.value = message(sentence(bowl, dict(zip(METHODS, curves, strict=True))))


def sentence(bowl: Bowl, curves: dict[str, Any]) -> str:
    """The picture in words: for each method when it has settled, and how fast its two modes shrink."""
    friction = "infinite" if np.isinf(bowl.friction) else f"{bowl.friction:.3f}"
    text = f"\u03ba = {bowl.kappa:g}, s L = {bowl.rate:g}, momentum kept {bowl.kept:g} (friction \u03b1 = {friction}): "
    parts = []
    for method, energies in curves.items():
        soft, stiff = bowl.shrinks(method)
        when = settled(energies, TOLERANCE)
        found = f"U stays below {TOLERANCE:g} U(0) after {when} force evaluations"
        if when is None:
            found = f"not within {len(energies) - 1} force evaluations" if max(soft, stiff) < 1 else "never"
        parts.append(f"{method} {found}, a step leaves {soft:.3f} of the soft mode and {stiff:.3f} of the stiff one")
    return text + "; ".join(parts) + "."
