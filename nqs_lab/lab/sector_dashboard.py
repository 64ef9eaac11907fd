"""The sector microscope of notebook 02: switch symmetries on, and see dimension, memory and levels of every sector."""

from __future__ import annotations

import threading
from typing import Any

from nqs_lab.lab.notebook import LabFigure
from nqs_lab.lab.sector_figures import View, empty_panels, in_words, look, static_figure
from nqs_lab.lab.sector_results import J2_GRID, SectorLevels, load_sector_levels
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

TITLES = {
    "4x4 torus, 16 sites": "4x4",
    "tilted torus, 18 sites": "18",
    "tilted torus, 20 sites": "20",
    "4x6 torus, 24 sites": "4x6",
    "ring, 16 sites, J2 two steps away": "ring16",
}
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 480px)"}, "style": {"description_width": "110px"}}


class SectorMicroscope(Dashboard):
    """Choose a cluster, the symmetries in use and J2; all of it was computed beforehand, nothing is interpolated.

    With more symmetries the one column of levels splits into many, and the sector that holds the ground state shrinks.
    """

    def __init__(self):
        self.lock = threading.RLock()
        self._loaded: dict[str, SectorLevels] = {}
        self.figure, (self._panels,) = empty_panels(1)
        self.picture = Picture(self.figure, [*self._panels.artists, *self._panels.labels], width=960)
        self.picture.moving = self._panels.artists
        self._blank, self._named = self.picture.background, ()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    def view(self, name: str, j2: float, *, momentum: bool = True, group: bool = True, flip: bool = True) -> View:
        """The numbers behind a picture; ValueError for an unknown cluster, J2 or combination of symmetries."""
        if name not in self._loaded:
            self._loaded[name] = load_sector_levels(name)
        return look(self._loaded[name], j2, momentum=momentum, group=group, flip=flip)

    def static(self, names: tuple[str, ...] = ("4x4", "18"), j2: float = 0.5) -> LabFigure:
        """The picture without a kernel: all symmetries on, one row for each cluster."""
        return static_figure([self.view(name, j2) for name in names])

    @property
    def _page(self) -> Any:
        """The box of controls and picture."""
        return self.box

    # ------------------------------------------------------------------ controls and picture

    def _make_controls(self) -> None:
        """Cluster, J2 and one switch for each symmetry; each has a name and a tooltip."""
        self.cluster = ipywidgets.Dropdown(
            options=list(TITLES.items()), description="Cluster", tooltip="Which lattice to look at", **_WIDE
        )
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{value:.2f}", value) for value in J2_GRID],
            value=0.5,
            description="J2 / J1",
            tooltip="Second-neighbour coupling in units of J1; arrow keys move one computed point",
            **_WIDE,
        )
        switch = lambda name, tip: ipywidgets.Checkbox(value=False, description=name, tooltip=tip, indent=False)
        self.momentum = switch("momentum", "Resolve the momentum: the eigenvalues of the translations")
        self.group = switch("point group", "Resolve rotations and reflections, at the momenta that they keep")
        self.flip = switch("spin flip", "Resolve the sign under turning all spins over")
        for control in (self.cluster, self.slider, self.momentum, self.group, self.flip):
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        switches = ipywidgets.HBox([self.momentum, self.group, self.flip])
        self.box = ipywidgets.VBox([self.cluster, self.slider, switches, self.picture.widget, self.summary])

    def _show(self, *_: Any) -> None:
        """Put the numbers of the chosen sectors into the picture and into words."""
        with self.lock:
            switches = {"momentum": self.momentum.value, "group": self.group.value, "flip": self.flip.value}
            try:
                view, alarm = self.view(str(self.cluster.value), float(self.slider.value), **switches), ""
            except ValueError as error:
                alarm, switches["group"] = message(str(error), alarm=True), False
                view = self.view(str(self.cluster.value), float(self.slider.value), **switches)
            self._panels.update(view)
            self._name_columns(view)
            self.picture.refresh()
            self.summary.value = alarm + message(in_words(view))

    def _name_columns(self, view: View) -> None:
        """Draw the columns' names into the background, where they stay until the columns are others."""
        names = tuple((column.label, column.dim) for column in view.columns)
        if names == self._named:
            return
        self._named, canvas = names, self.picture.canvas
        canvas.restore_region(self._blank)
        for label in self._panels.labels[: len(names)]:
            label.draw(canvas.get_renderer())
        self.picture.background = canvas.copy_from_bbox(self.figure.bbox)
