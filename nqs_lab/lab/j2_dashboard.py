"""The dashboard of notebook 01: move J2 on the 4x4 torus and see energy, gaps, correlations and S(q) at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from nqs_lab.lab import plots
from nqs_lab.lab.j2_figures import (
    draw_curves,
    grid_correlations,
    grid_structure_factor,
    in_words,
    static_figure,
    top_structure_factor,
)
from nqs_lab.lab.notebook import MARKERS, PALETTE, LabFigure, panels
from nqs_lab.lab.results import J2Scan, Levels, compute_levels, load_j2_scan
from nqs_lab.lab.widgets import Dashboard, Picture, Ticket, Worker, ipywidgets, message
from nqs_lab.spins import Lattice, chain, square, tilted

CLUSTERS = {
    "tilted torus, 18 sites (about 5 s a point)": lambda: tilted(18),
    "4x4 torus, 16 sites (under 1 s a point)": lambda: square(4),
    "ring, 16 sites, J2 two steps away (under 1 s a point)": lambda: chain(16),
    "tilted torus, 20 sites (about 15 s a point)": lambda: tilted(20),
}
# Labels are wide enough for their text, and the controls shrink with the page.
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 560px)"}, "style": {"description_width": "150px"}}


class J2Dashboard(Dashboard):
    """A slider over the shipped J2 points of the 4x4 torus, and a Run button that computes other clusters live.

    The slider holds computed points only: nothing is interpolated. Open symbols are what Run computes.

    Arguments:
        scan: the shipped numbers (default: load_j2_scan()).
        compute: (lattice, J2) -> Levels, the heavy work behind Run.
        clusters: name -> function that makes the lattice.
    """

    def __init__(
        self,
        scan: J2Scan | None = None,
        compute: Callable[[Lattice, float], Levels] = compute_levels,
        clusters: Mapping[str, Callable[[], Lattice]] = CLUSTERS,
    ):
        self.scan = load_j2_scan() if scan is None else scan
        self._compute, self._clusters = compute, clusters
        self.lock = threading.RLock()
        self.worker = Worker(self.lock, self._failed)
        self._found: list[Levels] = []
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def j2(self) -> float:
        """The J2 shown; setting it moves the slider (ValueError for a value that was not computed)."""
        return float(self.slider.value)

    @j2.setter
    def j2(self, value: float) -> None:
        self.slider.value = self.scan.at(value).j2

    def static(self, values: tuple[float, ...] = (0.0, 0.5, 0.6, 1.0)) -> LabFigure:
        """The same numbers without a kernel: the curves, and C(r) and S(q) at some J2."""
        return static_figure(self.scan, values)

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(2, 2, size=(8.8, 6.4))
        energy_ax, gap_ax, c_ax, s_ax = axes.flat
        draw_curves(self.scan, energy_ax, gap_ax)
        first = self.scan.points[0]
        plots.correlation_map(grid_correlations(first), c_ax)
        plots.structure_factor_map(grid_structure_factor(first), s_ax, limit=top_structure_factor(self.scan))
        self._maps = [(ax.images[0], ax.texts) for ax in (c_ax, s_ax)]
        # The line stops below the legend.
        self._lines = [
            ax.axvline(first.j2, ymax=0.78, color="#444444", linewidth=1, marker="") for ax in (energy_ax, gap_ax)
        ]
        self._dots = [
            ax.plot(
                [], [], linestyle="none", marker=MARKERS[k], markersize=8, color=PALETTE[k], markeredgecolor="black"
            )[0]
            for ax, k in ((energy_ax, 0), (gap_ax, 0), (gap_ax, 1))
        ]
        self._live = [
            ax.plot(
                [], [], linestyle="none", marker=MARKERS[k], markersize=7, markerfacecolor="none", color=PALETTE[k]
            )[0]
            for ax, k in ((energy_ax, 0), (gap_ax, 0), (gap_ax, 1))
        ]
        maps = [artist for image, texts in self._maps for artist in (image, *texts)]
        self.picture = Picture(self.figure, [*self._lines, *self._dots, *self._live, *maps])

    def _show(self, *_: Any) -> None:
        """Put the numbers of the slider's J2 into the picture and into words."""
        with self.lock:
            point = self.scan.at(self.j2)
            for line in self._lines:
                line.set_xdata([point.j2, point.j2])
            for dots, value in zip(self._dots, (point.energy_per_site, point.gap, point.triplet_gap), strict=True):
                dots.set_data([point.j2], [value])
            values = (grid_correlations(point), grid_structure_factor(point))
            for (image, texts), grid in zip(self._maps, values, strict=True):
                image.set_data(grid)
                for text, value in zip(texts, grid.flat, strict=True):
                    text.set_text(plots.number(float(value)))
                    text.set_color(plots.ink(float(value), image.norm, image.get_cmap()))
            self.picture.refresh()
            self.summary.value = message(in_words(point))

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """The slider, the picture and its words, and the controls of the live computation below."""
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{value:.2f}", float(value)) for value in self.scan.j2],
            description="J2 / J1",
            tooltip="Second-neighbour coupling in units of J1; arrow keys move one computed point",
            **_WIDE,
        )
        self.slider.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        self.view = ipywidgets.VBox([self.slider, self.picture.widget, self.summary, *self._live_controls()])

    def _live_controls(self) -> list[Any]:
        """Which cluster, which values, Run, Stop, progress and a line of text; each has a name and a tooltip."""
        self.cluster = ipywidgets.Dropdown(
            options=list(self._clusters),
            description="Other cluster",
            tooltip="Which lattice to diagonalise now, on this computer",
            **_WIDE,
        )
        self.values = ipywidgets.Text(
            value="0, 0.25, 0.5, 0.6, 0.75, 1",
            description="J2 values",
            tooltip="Numbers between 0 and 1, separated by commas",
            **_WIDE,
        )
        self.run_button = ipywidgets.Button(
            description="Run", tooltip="Compute these points now", button_style="primary"
        )
        self.stop_button = ipywidgets.Button(
            description="Stop", tooltip="Stop after the point in progress", disabled=True
        )
        self.run_button.on_click(self._run)
        self.stop_button.on_click(self._stop)
        self.progress = ipywidgets.IntProgress(min=0, max=1, description="Points done")
        self.progress.tooltip = "How many of the J2 values are computed"
        self.status = ipywidgets.HTML(message("Run computes another cluster; its points appear as open symbols."))
        buttons = ipywidgets.HBox([self.run_button, self.stop_button, self.progress])
        return [self.cluster, self.values, buttons, self.status]

    # ------------------------------------------------------------------ the live computation

    def _run(self, *_: Any) -> None:
        """Check the values and start the worker."""
        with self.lock:
            try:
                values = parse_values(self.values.value)
            except ValueError as error:
                self.status.value = message(str(error), alarm=True)
                return
            name = str(self.cluster.value)
            self._found.clear()
            self._draw_found()
            self.progress.max, self.progress.value = len(values), 0
            self.run_button.disabled, self.stop_button.disabled = True, False
            self.status.value = message(f"Computing {len(values)} points: {name} ...")
            self.worker.start(lambda ticket: self._work(ticket, name, values))

    def _work(self, ticket: Ticket, name: str, values: tuple[float, ...]) -> None:
        """In the worker's thread: one point after the other, asking between two whether to go on."""
        lattice = self._clusters[name]()
        for value in values:
            if not ticket.live:
                return
            levels = self._compute(lattice, value)
            ticket.deliver(lambda levels=levels: self._add(lattice, levels, len(values)))

    def _add(self, lattice: Lattice, levels: Levels, wanted: int) -> None:
        """A new point: into the picture, the progress bar and the status line."""
        self._found.append(levels._replace(energy=levels.energy / lattice.n_sites))
        self._draw_found()
        self.progress.value = len(self._found)
        done = len(self._found) == wanted
        self.status.value = message(
            f"{'Done' if done else 'Working'}, {len(self._found)} of {wanted}. {lattice.name} at J2 = {levels.j2:g}: "
            f"E0/N = {self._found[-1].energy:.6f}, first gap {levels.gap:.4f}, triplet gap {levels.triplet_gap:.4f} "
            "(units of J1, spins S)."
        )
        if done:
            self._at_rest()

    def _draw_found(self) -> None:
        """The open symbols."""
        x = [levels.j2 for levels in self._found]
        for k, artist in enumerate(self._live):
            artist.set_data(x, [levels[k + 1] for levels in self._found])
        self.picture.refresh()

    def _stop(self, *_: Any) -> None:
        """End the job; what it has computed stays."""
        if self.worker.stop():
            with self.lock:
                self._at_rest()
                count = f"{len(self._found)} of {self.progress.max}"
                self.status.value = message(f"Stopped after {count} points; those computed stay in the picture.")

    def _failed(self, reason: str) -> None:
        """The job raised."""
        self._at_rest()
        self.status.value = message(f"the computation stopped with {reason}", alarm=True)

    def _at_rest(self) -> None:
        """Run can be pressed again."""
        self.run_button.disabled, self.stop_button.disabled = False, True


# ---------------------------------------------------------------------- pure pieces


def parse_values(text: str) -> tuple[float, ...]:
    """ "0, 0.5, 1" -> (0.0, 0.5, 1.0); ValueError saying what was expected."""
    pieces = [piece.strip() for piece in text.replace(";", ",").split(",") if piece.strip()]
    try:
        values = tuple(float(piece) for piece in pieces)
    except ValueError:
        raise ValueError(f"J2 values should be numbers separated by commas, such as 0, 0.5, 1; got {text!r}") from None
    if not values or not all(0.0 <= value <= 1.0 for value in values):
        raise ValueError(f"J2 values should be one or more numbers between 0 and 1; got {text!r}")
    return values
