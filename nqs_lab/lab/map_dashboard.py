"""The dashboard of notebook 06: choose a patch, see where it looks; exchange two spins, see whether the map moves."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

import nqs_lab as nl
from nqs_lab.lab import map_figures as maps
from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message
from nqs_lab.spins import Lattice

LOOK, EXCHANGE = "look from this patch", "exchange two spins"
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
_LABEL: dict[str, Any] = {"style": {"description_width": "110px"}}


class MapDashboard(Dashboard):
    """Attention on the lattice: a grid of spins to click, the weights of one patch, and what an exchange changed.

    Four untrained networks (t5, decoupled, factored, dot-product) with the same values, MLP, queries and keys read the
    same configuration. They are compiled once, in the constructor (a few seconds); then every move takes milliseconds.

    Arguments:
        lattice: a periodic rectangle with an even number of sites (default: 4x4).
        patch: sites along the side of a patch.
        seed: of the networks and of the first configuration.
    Raises:
        ValueError: a lattice without rows and columns, an odd number of sites, or a patch that does not tile it.
    """

    def __init__(self, lattice: Lattice | None = None, *, patch: int = 1, seed: int = 6):
        self.lattice = nl.square(4) if lattice is None else lattice
        if self.lattice.shape is None or self.lattice.n_sites % 2:
            raise ValueError(f"the dashboard needs a rectangle with an even number of sites, got {self.lattice.name}.")
        self.patch, self.lock = patch, threading.RLock()
        self.networks = maps.make_networks(self.lattice, patch, seed=seed)
        self.patch_of = np.empty(self.lattice.n_sites, dtype=int)
        for token, sites in enumerate(np.asarray(self.networks["t5"].patches)):
            self.patch_of[sites] = token
        self._rng = np.random.default_rng(seed)
        self._query, self._strength = int(self.patch_of[0]), 1.0
        self._picked: int | None = None
        self._set_state(self._pattern("random"))
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def sigma(self) -> np.ndarray:
        """The configuration shown, +1 and -1 by site."""
        return self._sigma.copy()

    @property
    def query(self) -> int:
        """The patch that looks; setting it moves the frame (ValueError if there is no such patch)."""
        return self._query

    @query.setter
    def query(self, token: int) -> None:
        if not 0 <= token <= self.patch_of.max():
            raise ValueError(f"patches run from 0 to {self.patch_of.max()}, got {token}.")
        with self.lock:
            self._query = int(token)
            self._show()

    def exchange(self, first: int, second: int) -> None:
        """Exchange two opposite spins and show what changed (ValueError for parallel ones)."""
        with self.lock:
            self._set_state(maps.exchanged(self._sigma, first, second), before=self._sigma)
            self._show()

    def row(self, kind: str | None = None) -> np.ndarray:
        """The weights shown (or those of another kind), one per patch."""
        return self._now[kind or str(self.kind.value)].maps[self._where]

    def change(self, kind: str | None = None) -> np.ndarray:
        """What the last exchange changed in these weights."""
        kind = kind or str(self.kind.value)
        return self._now[kind].maps[self._where] - self._before[kind].maps[self._where]

    def amplitude_change(self, kind: str) -> float:
        """|psi_after / psi_before - 1| of the last exchange."""
        return maps.amplitude_change(self._before[kind].log_psi, self._now[kind].log_psi)

    def static(self, layer: int = 1, head: int = 1) -> LabFigure:
        """The four kinds without a kernel: before an exchange, after it, and the change, seen from the same patch."""
        before, query = self._pattern("Neel"), int(self.patch_of[self.lattice.site(1, 1)])
        after = maps.exchanged(before, self.lattice.site(2, 2), self.lattice.site(3, 2))
        looks = (maps.look(self.networks, before), maps.look(self.networks, after))
        return maps.static_figure(self.lattice, self.patch, (before, after), looks, where=(layer - 1, head - 1, query))

    # ------------------------------------------------------------------ the numbers

    @property
    def _where(self) -> tuple[int, int, int]:
        """Layer, head and query patch as indices."""
        return int(str(self.layer.value)) - 1, int(str(self.head.value)) - 1, self._query

    def _pattern(self, name: str) -> np.ndarray:
        """A configuration with as many spins up as down."""
        if name == "random":
            half = np.arange(self.lattice.n_sites) < self.lattice.n_sites // 2
            return self._rng.permuted(np.where(half, 1, -1)).astype(np.int8)
        return np.asarray(self.lattice.order("neel" if name == "Neel" else "stripe")).astype(np.int8)

    def _set_state(self, sigma: np.ndarray, before: np.ndarray | None = None) -> None:
        """Read a configuration and the one before it with all networks."""
        self._sigma, self._previous = sigma, sigma if before is None else before
        self._read()

    def _read(self) -> None:
        """Maps and log psi of both configurations at the chosen strength."""
        self._now = maps.look(self.networks, self._sigma, self._strength)
        self._before = maps.look(self.networks, self._previous, self._strength)

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self) -> None:
        """Axes and colour bars, once; the two maps are the artists that move."""
        self.figure, axes = panels(1, 2, size=(8.4, 3.5))
        self._maps = [maps.MapArtists(ax, self.lattice, self.patch) for ax in axes.flat]
        scales = {"softmax weight": maps.colours("t5"), "signed weight": maps.colours("factored")}
        maps.add_scales(axes[0, 0], scales)
        maps.add_scales(axes[0, 1], {"change of weight": maps.change_colours()})
        self.picture = Picture(self.figure, [artist for drawn in self._maps for artist in drawn.all], width=900)

    def _show(self, *_: Any) -> None:
        """Put the row of the chosen patch into picture, buttons, table and words."""
        with self.lock:
            kind, moved = str(self.kind.value), tuple(int(s) for s in np.flatnonzero(self._sigma != self._previous))
            shown = {"sigma": self._sigma, "query": self._query, "moved": moved}
            name = f"{kind}, layer {self.layer.value}, head {self.head.value}"
            self._maps[0].show(self.row(), maps.colours(kind), title=f"{name}, patch {self._query}", **shown)
            shown |= {"title": "what the last exchange changed", "blank": maps.BLANK}
            self._maps[1].show(self.change(), maps.change_colours(), **shown)
            self.picture.refresh()
            self._label_buttons()
            effects = {
                kind: (float(np.abs(self.change(kind)).max()), self.amplitude_change(kind)) for kind in maps.KINDS
            }
            self.table.value = maps.tables(self.row(), self._maps[0].grid, self._query, effects)
            self.summary.value = message(self._in_words(name, moved))

    def _label_buttons(self) -> None:
        """Arrows on the buttons; the query patch in brackets, a picked spin with a dot."""
        for site, button in self.buttons.items():
            arrow = "\u2191" if self._sigma[site] > 0 else "\u2193"
            looking = self.patch_of[site] == self._query
            button.description = f"\u2022{arrow}" if site == self._picked else f"[{arrow}]" if looking else arrow
            button.button_style = "warning" if site == self._picked else "info" if looking else ""

    def _in_words(self, name: str, moved: tuple[int, ...]) -> str:
        """One sentence for those who cannot see the picture, and for copying."""
        row, kind = self.row(), str(self.kind.value)
        top = int(np.argmax(np.abs(row)))
        text = (
            f"{name}: patch {self._query} looks hardest at patch {top} (weight {row[top]:+.3f}); "
            f"its weights sum to {row.sum():.3f}."
        )
        if not moved:
            return f"{text} No exchange yet."
        return (
            f"{text} Exchanging sites {moved[0]} and {moved[1]} changed this row by at most "
            f"{np.abs(self.change()).max():.1e} and psi by a relative {self.amplitude_change(kind):.1e}."
        )

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Which network, layer and head; how loud the content; the grid of spins; the picture, its words and table."""
        choices = lambda count: [str(k + 1) for k in range(count)]
        self.kind = ipywidgets.ToggleButtons(
            options=list(maps.KINDS), description="attention", tooltip="How the weights are computed", **_LABEL
        )
        depth, heads = self._now["t5"].maps.shape[:2]
        self.layer = ipywidgets.ToggleButtons(
            options=choices(depth), description="layer", tooltip="Layer 1 sees the bare spins", **_LABEL
        )
        self.head = ipywidgets.ToggleButtons(
            options=choices(heads), description="head", tooltip="Each head has weights of its own", **_LABEL
        )
        self.strength = ipywidgets.SelectionSlider(
            options=[(f"{value:g}", value) for value in STRENGTHS],
            value=1.0,
            description="content times",
            tooltip="Multiplies the logits of queries and keys; 0 switches them off",
            **_LABEL,
        )
        self.pattern = ipywidgets.Dropdown(
            options=["random", "Neel", "stripes"], description="start from", tooltip="A new configuration", **_LABEL
        )
        self.mode = ipywidgets.ToggleButtons(
            options=[LOOK, EXCHANGE], description="a click means", tooltip="What the grid of spins does", **_LABEL
        )
        for control in (self.kind, self.layer, self.head):
            control.observe(self._show, names="value")
            control.style.button_width = "auto"
        self.mode.style.button_width = "auto"
        self.strength.observe(self._new_strength, names="value")
        self.pattern.observe(self._new_pattern, names="value")
        self.mode.observe(self._new_mode, names="value")
        self.summary, self.status, self.table = (ipywidgets.HTML() for _ in range(3))
        controls = [self.kind, self.layer, self.head, self.strength, self.pattern, self.mode]
        top = ipywidgets.HBox(
            [ipywidgets.VBox(controls), ipywidgets.VBox([self._make_grid(), self.status])],
            layout=ipywidgets.Layout(flex_flow="row wrap"),
        )
        self.status.value = message("[ ] marks the patch that looks.")
        self.view = ipywidgets.VBox([top, self.picture.widget, self.summary, self.table])

    def _make_grid(self) -> Any:
        """A button for every site, laid out like the lattice with y upwards; Tab and Space reach them."""
        columns, lines = self.lattice.shape or (self.lattice.n_sites, 1)
        self.buttons: dict[int, Any] = {}
        for y in reversed(range(lines)):
            for x in range(columns):
                site = self.lattice.site(x, y)
                tip = f"site {site} at x={x}, y={y}, patch {self.patch_of[site]}"
                layout = ipywidgets.Layout(width="46px", height="34px", margin="1px")
                self.buttons[site] = ipywidgets.Button(description="?", tooltip=tip, layout=layout)
                self.buttons[site].on_click(lambda _, site=site: self._clicked(site))
        rows = list(self.buttons.values())
        return ipywidgets.VBox([ipywidgets.HBox(rows[k : k + columns]) for k in range(0, len(rows), columns)])

    def _clicked(self, site: int) -> None:
        """A spin of the grid was pressed: look from its patch, or pick it for an exchange."""
        with self.lock:
            if self.mode.value == LOOK:
                self.query = int(self.patch_of[site])
                self.status.value = message(f"looking from patch {self._query}.")
            elif self._picked is None:
                self._picked = site
                self.status.value = message(f"site {site} picked; now press an opposite spin.")
                self._label_buttons()
            else:
                self._finish_exchange(self._picked, site)

    def _finish_exchange(self, first: int, site: int) -> None:
        """The second of two spins: exchange them, or say why not."""
        self._picked = None
        try:
            self.exchange(first, site)
            self.status.value = message(f"sites {first} and {site} exchanged.")
        except ValueError as error:
            self.status.value = message(str(error), alarm=True)
            self._label_buttons()

    def _new_mode(self, *_: Any) -> None:
        """A picked spin is forgotten."""
        with self.lock:
            self._picked = None
            self._label_buttons()
            self.status.value = message(
                "press the first of two opposite spins." if self.mode.value == EXCHANGE else "press a spin."
            )

    def _new_strength(self, *_: Any) -> None:
        """Read both configurations again."""
        with self.lock:
            self._strength = float(self.strength.value)
            self._read()
            self._show()

    def _new_pattern(self, *_: Any) -> None:
        """A new configuration; there is no exchange to compare with."""
        with self.lock:
            self._picked = None
            self._set_state(self._pattern(str(self.pattern.value)))
            self._show()
