"""The dashboard of notebook 09: a bias P and contents of spread B in a T5 head; what the dimer state makes of them."""

from __future__ import annotations

import functools
import threading
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from nqs_lab.ansatz.dimer_network import PARTNER
from nqs_lab.lab import dimer_figures as draw
from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.partner import (
    Sample,
    guaranteed,
    make_sample,
    partner_weights,
    similarity,
    state_error,
    sufficient_bias,
)
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

SIZES = (4, 9, 16, 25, 36, 64, 100)
SPREADS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
TOP = 16.0
GRID = np.linspace(0.0, TOP, 65)
MEAN, SPREAD, LEAST = PALETTE[0], PALETTE[1], PALETTE[2]
WITH, WITHOUT = PALETTE[3], PALETTE[4]
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 560px)"}, "style": {"description_width": "190px"}}


class Curves(NamedTuple):
    """Against the `bias` of GRID: the partner's weight (mean, deviation, least seen, guaranteed) and the two errors."""

    bias: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    least: np.ndarray
    bound: np.ndarray
    with_threshold: np.ndarray
    without: np.ndarray


@functools.lru_cache(maxsize=64)
def sample_of(n: int, spread: float) -> Sample:
    """Configurations for n patches; fewer of the large ones, so that a move is answered at once."""
    return make_sample(n, spread, count=max(16, min(60, 2400 // n)))


@functools.lru_cache(maxsize=64)
def make_curves(n: int, spread: float) -> Curves:
    """The curves of the dashboard for n patches and contents of that spread."""
    sample = sample_of(n, spread)
    alpha = partner_weights(sample.support, GRID).reshape(len(GRID), -1)
    bound = guaranteed(n, GRID, spread)
    errors = [state_error(sample, GRID, threshold=threshold) for threshold in (True, False)]
    return Curves(GRID, alpha.mean(axis=1), alpha.std(axis=1), alpha.min(axis=1), bound, *errors)


def weight_map(n: int, bias: float, spread: float, number: int) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """The weights of a patch in the middle, random configuration: (g, g) rows upwards, its place, its partner's."""
    side = round(np.sqrt(n))
    rng = np.random.default_rng([9, n, number])
    patches = rng.choice(np.array([-1.0, 1.0]), size=(side * side, 4))
    patches[:, 3] = -patches[:, 0]  # the dimers inside the patches are singlets; those between would not be seen here
    asks = (side // 2, (side - 1) // 2)
    partner = ((asks[0] + PARTNER[0]) % side, (asks[1] + PARTNER[1]) % side)
    logits = similarity(patches[None], spread)[0, asks[0] + side * asks[1]]
    logits[partner[0] + side * partner[1]] += bias
    weights = np.exp(logits - logits.max())
    return (weights / weights.sum()).reshape(side, side), asks, partner


class DimerDashboard(Dashboard):
    """Sliders for the positional bias P, the spread B of the content logits, and the number n of patches.

    Left: where one patch looks in one configuration. Middle: the partner's weight over many configurations. Right: the
    worst amplitude of the dimer state, with and without the MLP's threshold. All computed at the move, in NumPy.
    """

    def __init__(self):
        self.lock = threading.RLock()
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    def set(self, *, bias: float | None = None, spread: float | None = None, n: int | None = None) -> None:
        """Move the sliders (ValueError for a value that they do not have)."""
        for slider, value in ((self.n, n), (self.spread, spread), (self.bias, bias)):
            if value is None:
                continue
            options = [option for _, option in slider.options]
            if value not in options:
                name = slider.description
                raise ValueError(f"{name} takes the values {', '.join(f'{o:g}' for o in options)}; got {value:g}.")
            slider.value = value

    def curves(self) -> Curves:
        """The curves for the sliders' n and spread."""
        return make_curves(int(self.n.value), float(self.spread.value))

    @property
    def numbers(self) -> dict[str, float]:
        """What the picture shows at the chosen bias."""
        found, k = self.curves(), int(np.argmin(np.abs(GRID - self.bias.value)))
        return {name: float(values[k]) for name, values in found._asdict().items()}

    def static(self, n: int = 25, spreads: tuple[float, ...] = (0.0, 2.0, 4.0)) -> LabFigure:
        """The middle and the right panel for several spreads, without a kernel."""
        fig, axes = panels(2, len(spreads), size=(3.5 * len(spreads), 6.2))
        for k, spread in enumerate(spreads):
            weight, error = axes[:, k]
            self._label(weight, error)
            found = make_curves(n, spread)
            for line, values in zip(self._weight_lines(weight), found[1:5], strict=True):
                line.set_data(GRID, values)
            for line, values in zip(self._error_lines(error), found[5:], strict=True):
                line.set_data(GRID, draw.at_least(values))
            for ax in (weight, error):
                ax.axvline(sufficient_bias(n, spread), color="#444444", linestyle=":", marker="")
            weight.set_title(f"n = {n}, B = {spread:g}")
            error.set_title("")
        handles = [*axes[0, 0].lines[:4], *axes[1, 0].lines[:2]]
        fig.legend(handles=handles, loc="outside lower center", ncol=3)
        return fig

    # ------------------------------------------------------------------ the picture

    @staticmethod
    def _label(weight: Axes, error: Axes) -> None:
        """Titles, limits and labels of the two panels of curves."""
        draw.weight_axes(weight, TOP)
        draw.error_axes(error, TOP)

    @staticmethod
    def _weight_lines(ax: Axes) -> list[Any]:
        """Mean, deviation, least and guaranteed weight."""
        styles = (
            (MEAN, "-", "mean"),
            (SPREAD, "--", "standard deviation"),
            (LEAST, "-.", "least seen"),
            ("#777777", ":", "guaranteed"),
        )
        return [ax.plot([], [], color=c, linestyle=s, marker="", label=name)[0] for c, s, name in styles]

    @staticmethod
    def _error_lines(ax: Axes) -> list[Any]:
        """With and without the threshold."""
        styles = ((WITH, "-", "MLP with threshold"), (WITHOUT, "--", "without, best penalty"))
        return [ax.plot([], [], color=c, linestyle=s, marker="", label=name)[0] for c, s, name in styles]

    def _draw_panels(self) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(1, 3, size=(11.4, 4.2))
        self._map_ax, weight, error = axes[0]
        draw.patch_map(self._map_ax)
        self._map_ax.set_title("weights of one patch")
        self._image = draw.draw_map(np.zeros((2, 2)), self._map_ax)
        self.figure.colorbar(self._image, ax=self._map_ax, shrink=0.75, label="softmax weight (no units)", extend="min")
        self._asks = self._map_ax.plot([], [], "s", mfc="none", mec="white", mew=2)[0]
        self._partner = self._map_ax.plot([], [], "o", mfc="none", mec=PALETTE[1], mew=2)[0]
        self._label(weight, error)
        self._curves = self._weight_lines(weight) + self._error_lines(error)
        for ax in (weight, error):  # below the axes: there no curve can run through them
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2)
        marks: dict[str, Any] = {"color": "black", "marker": "", "linewidth": 1.2}
        self._here = [ax.axvline(0.0, **marks) for ax in (weight, error)]
        self._enough = [ax.axvline(0.0, **(marks | {"linestyle": ":"})) for ax in (weight, error)]
        moving = [self._image, self._asks, self._partner, *self._curves, *self._here, *self._enough]
        self.picture = Picture(self.figure, moving, width=1040)

    def _show(self, *_: Any) -> None:
        """Put the curves and the map of the chosen values into picture and words."""
        with self.lock:
            n, spread, bias = int(self.n.value), float(self.spread.value), float(self.bias.value)
            found = make_curves(n, spread)
            for line, values in zip(self._curves, (*found[1:5], *map(draw.at_least, found[5:])), strict=True):
                line.set_data(GRID, values)
            for here, enough in zip(self._here, self._enough, strict=True):
                here.set_xdata([bias, bias])
                enough.set_xdata([sufficient_bias(n, spread)] * 2)
            weights, *places = weight_map(n, bias, spread, int(self.number.value))
            self._image.set_data(np.maximum(weights, 1e-4))
            for mark, place in zip((self._asks, self._partner), places, strict=True):
                mark.set_data([(place[0] + 0.5) / len(weights)], [(place[1] + 0.5) / len(weights)])
                mark.set_markersize(min(26.0, 130 / len(weights)))
            self.picture.refresh()
            self.summary.value = message(self._in_words(n, spread, bias))

    def _in_words(self, n: int, spread: float, bias: float) -> str:
        """One sentence for those who cannot see the picture, and for copying."""
        at = self.numbers
        shown = lambda error: "below 1e-16" if error < draw.FLOOR else f"{error:.1e}"
        enough = sufficient_bias(n, spread)
        return (
            f"n = {n} patches, contents of spread B = {spread:g}, bias P = {bias:g}: the partner gets "
            f"{at['mean']:.4f} \u00b1 {at['deviation']:.4f} of the weight, never less than {at['least']:.4f} here and "
            f"{at['bound']:.4f} whatever the contents. Worst amplitude error with the MLP's threshold "
            f"{shown(at['with_threshold'])}, without {shown(at['without'])}. "
            f"ln(n \u2212 1) + B = {enough:.2f} (dotted)."
        )

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Three sliders, one for the configuration of the map, the picture and its words."""
        slider = lambda options, value, description, tooltip: ipywidgets.SelectionSlider(
            options=options, value=value, description=description, tooltip=tooltip, **_WIDE
        )
        self.bias = slider([(f"{p:g}", float(p)) for p in GRID], 2.0, "bias P on the partner", "Logit of the position")
        self.spread = slider(
            [(f"{b:g}", b) for b in SPREADS], 2.0, "content spread B", "Largest minus smallest content logit"
        )
        self.n = slider([(str(n), n) for n in SIZES], 25, "patches n", "Side of the torus: twice the root of n sites")
        self.number = slider([(str(k), k) for k in range(1, 11)], 1, "configuration of the map", "Another random one")
        for control in (self.bias, self.spread, self.n, self.number):
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        controls = [self.bias, self.spread, self.n, self.number]
        self.view = ipywidgets.VBox([*controls, self.picture.widget, self.summary])
