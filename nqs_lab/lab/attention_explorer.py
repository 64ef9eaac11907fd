"""The explorer of notebook 08: choose a run, a layer, a head and a step; see energy, maps and correlations."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab import explorer_figures as draw
from nqs_lab.lab.comparison.report import open_shelf
from nqs_lab.lab.comparison.setting import HEADS, TYPES, Setting, default_sign
from nqs_lab.lab.explorer_runs import (
    OWN,
    SHIPPED,
    Progress,
    Trainer,
    View,
    exact,
    find_row,
    train_live,
    tuned,
    view_of,
    why_missing,
)
from nqs_lab.lab.notebook import LabFigure, seeds
from nqs_lab.lab.shelf import Shelf
from nqs_lab.lab.widgets import Dashboard, Picture, Ticket, Worker, ipywidgets, message

COUPLINGS = tuple(k / 20 for k in range(21))
RULES = ("default", "neel", "stripe", "none")
BUDGETS = (20, 50, 100)
_LABEL: dict[str, Any] = {"style": {"description_width": "110px"}}
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 520px)"}, **_LABEL}


class AttentionExplorer(Dashboard):
    """All shipped runs on the 4x4 torus, and the ones you train here, each beside the exact ground state.

    A setting that is not on the shelf is said to be missing, with what to do about it; nothing is interpolated.

    Arguments:
        shelf: the runs (default: the shipped grid, which may be empty).
        trainer: what "Train it here" calls, in a thread of its own.
    """

    def __init__(self, shelf: Shelf[Setting] | None = None, trainer: Trainer = train_live):
        self.shelf = open_shelf("grid") if shelf is None else shelf
        self._trainer = trainer
        self.lock = threading.RLock()
        self.worker = Worker(self.lock, self._failed)
        self._shipped: dict[str, View] = {}
        self._own: dict[tuple[Any, ...], View] = {}
        self._moving_steps = False
        self.words = ""  # the line under the picture, as plain text
        self.drawing = draw.ExplorerPicture()
        self.picture = Picture(self.drawing.figure, self.drawing.moving, width=1000)
        self._make_controls()
        self._new_run()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def setting(self) -> Setting:
        """What the controls say; rate and shift are those of the shipped runs of this type."""
        kind, j2, rule = str(self.kind.value), float(self.j2.value), str(self.rule.value)
        sign = default_sign(j2) if rule == "default" else rule
        rate, shift = tuned(self.shelf, kind)
        return Setting(kind, j2, sign, int(str(self.seed.value)), rate, shift, steps=int(str(self.budget.value)))

    def set(self, *, j2: float | int) -> None:
        """Move J2 to a value of the slider (ValueError for another one)."""
        found = [value for value in COUPLINGS if abs(value - j2) < 1e-9]
        if not found:
            raise ValueError(f"J2 runs from 0 to 1 in steps of 0.05 here, got {j2}.")
        self.j2.value = found[0]

    @property
    def view(self) -> View | None:
        """The run shown, None where there is none."""
        setting = self.setting
        if str(self.source.value) == OWN:
            return self._own.get(self._key(setting))
        row = find_row(self.shelf, setting)
        if row is None:
            return None
        if row.setting.name not in self._shipped:
            self._shipped[row.setting.name] = view_of(row.setting, self.shelf.arrays(row), row.numbers, SHIPPED)
        return self._shipped[row.setting.name]

    def static(self) -> LabFigure:
        """What is shown now, without a kernel, at the last look of the run."""
        view, point = self.view, exact(float(self.j2.value))
        return draw.static_figure(view, point, layer=self._layer, head=self._head, quantity=str(self.quantity.value))

    @property
    def _page(self) -> Any:
        """The box of controls and picture."""
        return self.view_box

    # ------------------------------------------------------------------ the picture

    @property
    def _layer(self) -> int:
        return int(str(self.layer.value)) - 1

    @property
    def _head(self) -> int:
        return int(str(self.head.value)) - 1

    @staticmethod
    def _key(setting: Setting) -> tuple[Any, ...]:
        """What tells live runs apart: everything but rate, shift and length."""
        return (setting.attention, round(setting.j2, 6), setting.sign, setting.seed)

    def _new_run(self, *_: Any) -> None:
        """Another run: its looks become the options of the step slider; the end is shown first."""
        with self.lock:
            view = self.view
            steps = [0] if view is None or not len(view.steps) else view.steps.tolist()
            self._moving_steps = True
            self.step.options = [(str(step), k) for k, step in enumerate(steps)]
            self.step.value = len(steps) - 1
            self._moving_steps = False
            self._show()

    def _show(self, *_: Any) -> None:
        """Put the run, at the chosen step, layer and head, into picture, table and words."""
        with self.lock:
            if self._moving_steps:
                return
            view, point = self.view, exact(float(self.j2.value))
            look = min(int(self.step.value or 0), max(0, (0 if view is None else len(view.steps)) - 1))
            where = {"look": look, "layer": self._layer, "head": self._head}
            self.drawing.show(view, point, quantity=str(self.quantity.value), **where)
            self.picture.refresh()
            if view is None:
                own = str(self.source.value) == OWN
                text = "this setting was not trained here yet: press Train it here."
                self.words = text if own else why_missing(self.shelf, self.setting)
            else:
                self.words = in_words(view, point.energy, **where)
            self.summary.value = message(self.words, alarm=view is None)
            self.table.value = "" if view is None or not len(view.steps) else draw.table(view, **where)

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Sliders, buttons and menus that Tab and the arrow keys reach; each has a name and a tooltip."""
        buttons = lambda name, options, tip: ipywidgets.ToggleButtons(
            options=options, description=name, tooltip=tip, **_LABEL
        )
        self.j2 = ipywidgets.SelectionSlider(
            options=[(f"{value:.2f}", value) for value in COUPLINGS],
            value=0.5,
            description="J2 / J1",
            tooltip="Shipped in steps of 0.1; arrow keys move one value",
            **_WIDE,
        )
        self.kind = buttons("attention", list(TYPES), "How the weights are computed")
        self.rule = buttons("sign rule", list(RULES), "default: Neel up to J2 = 0.5, stripe above")
        self.seed = ipywidgets.Dropdown(
            options=list(seeds(5)), description="seed", tooltip="One seed gives all types the same start", **_LABEL
        )
        self.layer = buttons("layer", ["1", "2"], "Layer 1 sees the bare spins")
        self.head = buttons("head", [str(k + 1) for k in range(HEADS)], "Each head has weights of its own")
        self.step = ipywidgets.SelectionSlider(
            options=[("0", 0)],
            description="after step",
            tooltip="How far training had come; arrow keys move one look",
            **_WIDE,
        )
        self.quantity = buttons("compare", [draw.CORRELATIONS, draw.STRUCTURE], "Which correlations stand below")
        self.source = buttons("runs", [SHIPPED, OWN], "Shipped runs, or those of this session")
        self.summary, self.table = ipywidgets.HTML(), ipywidgets.HTML()
        for control in (self.j2, self.kind, self.rule, self.seed, self.source):
            control.observe(self._new_run, names="value")
        for control in (self.layer, self.head, self.step, self.quantity):
            control.observe(self._show, names="value")
        for control in (self.kind, self.rule, self.layer, self.head, self.quantity, self.source):
            control.style.button_width = "auto"
        left = ipywidgets.VBox([self.j2, self.kind, self.rule, self.seed])
        right = ipywidgets.VBox([self.layer, self.head, self.step, self.quantity])
        top = ipywidgets.HBox([left, right], layout=ipywidgets.Layout(flex_flow="row wrap"))
        live = self._live_controls()
        self.view_box = ipywidgets.VBox([top, self.source, self.picture.widget, self.summary, self.table, *live])

    def _live_controls(self) -> list[Any]:
        """How many steps, Train, Stop, progress and a line of text."""
        self.budget = ipywidgets.Dropdown(
            options=list(BUDGETS),
            value=100,
            description="steps",
            tooltip="Length of a training here",
            **_LABEL,
        )
        self.run_button = ipywidgets.Button(
            description="Train it here", tooltip="Train the chosen setting on this computer", button_style="primary"
        )
        self.stop_button = ipywidgets.Button(
            description="Stop", tooltip="Stop after the step in progress", disabled=True
        )
        self.run_button.on_click(self._run)
        self.stop_button.on_click(self._stop)
        self.progress = ipywidgets.IntProgress(min=0, max=1, description="Steps done")
        self.progress.tooltip = "How many steps of the training are done"
        self.status = ipywidgets.HTML(message("Train it here trains the chosen type, coupling, sign rule and seed."))
        return [ipywidgets.HBox([self.budget, self.run_button, self.stop_button, self.progress]), self.status]

    # ------------------------------------------------------------------ the live training

    def _run(self, *_: Any) -> None:
        """Start training what the controls say."""
        with self.lock:
            setting = self.setting
            self._own.pop(self._key(setting), None)
            self.progress.max, self.progress.value = setting.steps, 0
            self.run_button.disabled, self.stop_button.disabled = True, False
            text = f"Compiling {setting.attention} (half a minute or less), then {setting.steps} steps"
            self.status.value = message(f"{text} at rate {setting.rate:g}, shift {setting.diag_shift:g} ...")
            self.worker.start(lambda ticket: self._trainer(setting, lambda news: self._hear(ticket, setting, news)))

    def _hear(self, ticket: Ticket, setting: Setting, news: Progress) -> bool:
        """In the worker's thread: show a step, unless the training was stopped; the answer says whether to go on."""
        return ticket.deliver(lambda: self._add(setting, news)) and ticket.live

    def _add(self, setting: Setting, news: Progress) -> None:
        """Energies and maps so far, into the picture if they belong there."""
        arrays = news.arrays | {"energy": news.curve}
        if news.final is not None:
            arrays["correlations"] = news.final["correlations"]
        self._own[self._key(setting)] = view_of(setting, arrays, news.final, OWN)
        if str(self.source.value) != OWN and news.step == 1:
            self.source.value = OWN
        elif self._key(self.setting) == self._key(setting) and str(self.source.value) == OWN:
            self._new_run()
        energy = news.curve[-1] if news.final is None else news.final["energy"]
        text = (
            f"{setting.attention}, J2 = {setting.j2:g}, step {news.step} of {setting.steps}: {beside(energy, setting)}"
        )
        self.status.value = message(("Working. " if news.final is None else "Done. ") + text)
        self.progress.value = news.step
        if news.final is not None:
            self._at_rest()

    def _stop(self, *_: Any) -> None:
        """End the training; what it has done stays."""
        if self.worker.stop():
            with self.lock:
                self._at_rest()
                text = f"Stopped after {self.progress.value} of {self.progress.max} steps; the curve and the maps stay."
                self.status.value = message(text)

    def _failed(self, reason: str) -> None:
        """The training raised."""
        self._at_rest()
        self.status.value = message(f"the training stopped with {reason}", alarm=True)

    def _at_rest(self) -> None:
        """Train can be pressed again."""
        self.run_button.disabled, self.stop_button.disabled = False, True


# ---------------------------------------------------------------------- pure pieces


def beside(energy: float, setting: Setting) -> str:
    """An energy per site beside the exact one."""
    truth = exact(round(setting.j2, 2)).energy
    return (
        f"E/N = {energy / 16:.6f}, exact {truth / 16:.6f} (units of J1, spins S), relative error "
        f"{abs(energy / truth - 1):.1e}"
    )


def in_words(view: View, exact_energy: float, *, look: int, layer: int, head: int) -> str:
    """One line for those who cannot see the picture, and for copying."""
    s = view.setting
    name = f"{s.attention}, J2 = {s.j2:g}, sign rule {s.sign}, seed {s.seed}, {view.origin}"
    if not len(view.steps):
        return f"{name}: no maps yet."
    step = int(view.steps[look])
    energy = view.energy_at(step)
    text = f"{name}, after {step} of {s.steps} steps"
    if energy is not None:
        text += f": E/N = {energy / 16:.6f}, exact {exact_energy / 16:.6f} (units of J1, spins S), "
        text += f"relative error {abs(energy / exact_energy - 1):.1e}"
    row, spread = view.maps_mean[look, layer, head], view.maps_deviation[look, layer, head]
    top = int(np.argmax(np.abs(row)))
    x, y = ((k + 1) % 4 - 1 for k in (top % 4, top // 4))
    text += f". Layer {layer + 1}, head {head + 1}: largest weight {row[top]:+.3f} \u00b1 {spread[top]:.3f} at "
    text += f"displacement ({x}, {y}); R = {view.course.heads[look, layer, head]:.3f}, all heads "
    text += f"{view.course.whole[look]:.3f}."
    if view.infidelity is not None:
        text += f" At the end: infidelity {view.infidelity:.1e}."
    return text
