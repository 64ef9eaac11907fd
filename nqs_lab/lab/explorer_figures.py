"""The picture of the explorer: learning curve, R, maps of mean and spread, C(r) or S(q) beside the exact one."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from nqs_lab.lab.explorer_runs import View
from nqs_lab.lab.map_figures import LUMINANCE, SIGNED
from nqs_lab.lab.notebook import PALETTE, SIGNED_MAP, UNSIGNED_MAP, LabFigure, panels
from nqs_lab.lab.plots import number
from nqs_lab.lab.results import J2Point

CORRELATIONS, STRUCTURE = "C(r)", "S(q)"
TICKS = ["-1", "0", "1", "2"]
TOP_S = 4.5  # the largest S(q) of the 4x4 torus between J2 = 0 and 1 is 4.42


class Tile:
    """A 4x4 map with numbers and a title, all of which move; displacements run from -1 to 2, zero in between."""

    def __init__(self, ax: Axes, xlabel: str, ylabel: str):
        self.image = ax.pcolormesh(np.arange(5) - 0.5, np.arange(5) - 0.5, np.zeros((4, 4)))
        self.numbers = [ax.text(x, y, "", ha="center", va="center", fontsize=8) for y in range(4) for x in range(4)]
        self.title = ax.text(0.5, 1.03, "", transform=ax.transAxes, ha="center", fontsize=9)
        ax.set_aspect("equal")
        ax.set_facecolor("#f2f2f2")  # what a blank map shows
        ax.set_xticks(range(4), TICKS)
        ax.set_yticks(range(4), TICKS)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    @property
    def artists(self) -> list[Any]:
        """In drawing order."""
        return [self.image, *self.numbers, self.title]

    def show(self, row: Float[np.ndarray, " 16"] | None, limit: float, *, signed: bool, title: str) -> None:
        """16 values by displacement (or wave vector), colours from -limit (or 0) to limit; None leaves it blank."""
        values = np.full((4, 4), np.nan) if row is None else np.roll(np.reshape(row, (4, 4)), (1, 1), axis=(0, 1))
        norm = Normalize(-limit if signed else 0.0, limit)
        self.image.set_array(np.ma.masked_invalid(values))
        self.image.set_norm(norm)
        self.image.set_cmap(SIGNED_MAP if signed else UNSIGNED_MAP)
        shades = self.image.get_cmap()(norm(np.nan_to_num(values)))[..., :3] @ LUMINANCE
        for text, value, shade in zip(self.numbers, values.ravel(), shades.ravel(), strict=True):
            text.set_text("" if np.isnan(value) else number(float(value)))
            text.set_color("black" if shade > 0.5 else "white")
        self.title.set_text(title)


class ExplorerPicture:
    """The six panels; `show` puts a run, or nothing, into them."""

    def __init__(self):
        self.figure, axes = panels(2, 3, size=(10.4, 6.6))
        self._energy, self._ratio = axes[0, 0], axes[1, 0]
        self._curves()
        sites, waves = ("x  (sites)", "y  (sites)"), ("x (sites), or q_x (\u03c0/2)", "y (sites), or q_y (\u03c0/2)")
        self.mean, self.spread = Tile(axes[0, 1], *sites), Tile(axes[0, 2], *sites)
        self.trained, self.exact = Tile(axes[1, 1], *waves), Tile(axes[1, 2], *waves)
        self._fix_layout()

    def _fix_layout(self) -> None:
        """Make room for the titles, which move and would not be counted, and keep it."""
        for title in (self.energy_title, *(t.title for t in (self.mean, self.spread, self.trained, self.exact))):
            title.set_text("title")
        self.figure.canvas.draw()
        self.figure.set_layout_engine("none")

    def _curves(self) -> None:
        """The two panels with lines: their axes stay, their lines move."""
        ax = self._energy
        ax.set(yscale="log", ylim=(1e-8, 1.0), xlim=(-2, 102), xlabel="optimisation step")
        ax.set_ylabel("relative error of the energy")
        self.curve = ax.plot([], [], "-", color=PALETTE[0], marker="")[0]
        self.dot = ax.plot([], [], "o", color=PALETTE[1], ms=8)[0]
        self.energy_title = ax.text(0.5, 1.03, "", transform=ax.transAxes, ha="center", fontsize=9)
        ax = self._ratio
        ax.set(yscale="log", ylim=(1e-3, 10.0), xlim=(-2, 102), xlabel="optimisation step")
        ax.set_ylabel("R  (no units)")
        self.head = ax.plot([], [], "-", color=PALETTE[1], marker="s", ms=4, label="this head")[0]
        self.whole = ax.plot([], [], "-", color=PALETTE[0], marker="o", ms=4, label="all heads and layers")[0]
        self.random = ax.plot([], [], "--", color=PALETTE[2], marker="", label="all, random configurations")[0]
        ax.legend(loc="upper right", fontsize=8)
        self.ratio_title = ax.text(0.5, 1.03, "input against position", transform=ax.transAxes, ha="center", fontsize=9)

    @property
    def moving(self) -> list[Any]:
        """Every artist that `show` changes."""
        lines = [self.curve, self.dot, self.energy_title, self.head, self.whole, self.random, self.ratio_title]
        return [*lines, *(a for t in (self.mean, self.spread, self.trained, self.exact) for a in t.artists)]

    def show(self, view: View | None, point: J2Point, *, look: int, layer: int, head: int, quantity: str) -> None:
        """A run at one look, layer and head (from 0), with C(r) or S(q); without a run the exact panel only."""
        self._show_lines(view, point, look, layer, head)
        if view is None or not len(view.steps):
            for tile in (self.mean, self.spread):
                tile.show(None, 1.0, signed=False, title="no maps")
        else:
            signed = view.setting.attention in SIGNED
            mean, spread = view.maps_mean[look, layer, head], view.maps_deviation[look, layer, head]
            limit = float(max(np.abs(view.maps_mean[:, layer, head]).max(), 1e-6))
            colours = f"\u00b1{limit:.2f}" if signed else f"0 to {limit:.2f}"
            self.mean.show(mean, limit, signed=signed, title=f"mean weight, {colours}")
            self.spread.show(spread, limit, signed=False, title=f"spread over |\u03c8|\u00b2, 0 to {limit:.2f}")
        found = None if view is None else view.correlations
        self._show_pair(found, point.correlations, quantity)

    def _show_lines(self, view: View | None, point: J2Point, look: int, layer: int, head: int) -> None:
        """Learning curve and R."""
        for line in (self.curve, self.dot, self.head, self.whole, self.random):
            line.set_data([], [])
        self.energy_title.set_text("no run" if view is None else f"{view.setting.attention}, {view.origin}")
        if view is None:
            return
        energies = view.curve if view.final is None else np.append(view.curve, view.final)
        self.curve.set_data(np.arange(len(energies)), relative(energies, point.energy))
        if len(view.steps):
            energy = view.energy_at(int(view.steps[look]))
            if energy is not None:
                self.dot.set_data([view.steps[look]], relative(np.array([energy]), point.energy))
            found = view.course
            self.head.set_data(found.steps, _visible(found.heads[:, layer, head]))
            self.whole.set_data(found.steps, _visible(found.whole))
            self.random.set_data(found.steps, _visible(found.random))

    def _show_pair(
        self, found: Float[np.ndarray, " 16"] | None, truth: Float[np.ndarray, " 16"], quantity: str
    ) -> None:
        """C(r) or S(q) of the trained state at the end of its run, and exactly."""
        signed, limit = (True, 0.75) if quantity == CORRELATIONS else (False, TOP_S)
        rows = [found, truth] if signed else [None if c is None else structure(c) for c in (found, truth)]
        name = "trained, at the end" if found is not None else "trained: not there yet"
        self.trained.show(rows[0], limit, signed=signed, title=f"{quantity} {name}")
        self.exact.show(rows[1], limit, signed=signed, title=f"{quantity} exact")


def structure(correlation: Float[np.ndarray, " 16"]) -> Float[np.ndarray, " 16"]:
    """S(q) on the wave vectors of the 4x4 torus, entry kx + 4 ky for q = (pi/2) (kx, ky)."""
    return np.fft.fft2(np.reshape(correlation, (4, 4))).real.ravel()


def relative(energies: Float[np.ndarray, " K"], exact: float) -> Float[np.ndarray, " K"]:
    """|E - E_exact| / |E_exact|, at least what the axis shows."""
    return np.maximum(np.abs(energies / exact - 1), 1e-8)


def _visible(values: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    """R within the axis: zero (weights that never change) is drawn at its lower edge."""
    return np.clip(values, 1.05e-3, 9.5)


def table(view: View, look: int, layer: int, head: int) -> str:
    """HTML: mean and spread of the weight at every displacement, laid out like the map."""
    place = lambda row: np.roll(np.reshape(row, (4, 4)), (1, 1), axis=(0, 1))
    mean, spread = place(view.maps_mean[look, layer, head]), place(view.maps_deviation[look, layer, head])
    cell = lambda text, tag="td": f'<{tag} style="padding:1px 8px;text-align:right">{text}</{tag}>'
    lines = [f"<tr>{cell('')}{''.join(cell(f'x = {x}', 'th') for x in TICKS)}</tr>"]
    for y in reversed(range(4)):
        cells = "".join(cell(f"{mean[y, x]:+.4f} \u00b1 {spread[y, x]:.4f}") for x in range(4))
        lines.append(f"<tr>{cell(f'y = {TICKS[y]}', 'th')}{cells}</tr>")
    caption = "weight at every displacement from the receiver: mean \u00b1 spread over |\u03c8|\u00b2"
    return f'<table style="line-height:1.3"><caption>{caption}</caption>{"".join(lines)}</table>'


def static_figure(view: View | None, point: J2Point, *, layer: int, head: int, quantity: str) -> LabFigure:
    """The same picture without a kernel, at the last look of a run."""
    picture = ExplorerPicture()
    look = 0 if view is None else max(0, len(view.steps) - 1)
    picture.show(view, point, look=look, layer=layer, head=head, quantity=quantity)
    return picture.figure
