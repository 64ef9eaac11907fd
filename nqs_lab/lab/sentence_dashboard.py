"""The dashboard of notebook 09b: language, length and attention; the losses, and one sentence as a reader sees it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab import plots_09b as pictures, sentence_figures as figures
from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.results import Example, Results, load_sentences
from nqs_lab.lab.sentences.setting import LENGTHS, TYPES
from nqs_lab.lab.sentences.training import EXAMPLES
from nqs_lab.lab.widgets import ipywidgets, message

NAMES = {"near: the chain": "chain", "far: the copy": "copy"}
HEADS, DEPTH = 4, 2
_LABEL: dict[str, Any] = {"style": {"description_width": "80px"}}


class SentenceDashboard:
    """Shipped runs of two languages: what a reader loses, where it looks for a hidden word, and what it answers.

    Every picture comes from stored numbers, within milliseconds; a run that is not on the shelf is named instead.

    Arguments: `results`: the shelves (default: the shipped ones).
    Raises ValueError if the shelf of the grid is empty.
    """

    def __init__(self, results: Results | None = None):
        self.results = load_sentences() if results is None else results
        if not self.results.grid.rows:
            raise ValueError(f"no runs are shipped; make them with: {self.results.grid.command}")
        self.lock = threading.RLock()
        self._cache: dict[tuple[Any, ...], Any] = {}
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def png(self) -> bytes:
        """The picture shown."""
        return bytes(self.picture.widget.value)

    @property
    def language(self) -> str:
        """The language shown."""
        return NAMES[str(self.which.value)]

    def example(self) -> Example | None:
        """The sentence shown; None where the run is not on the shelf."""
        key = (self.language, str(self.kind.value), int(str(self.length.value)), int(str(self.number.value)) - 1)
        if key not in self._cache:
            try:
                self._cache[key] = self.results.example(*key)
            except (ValueError, FileNotFoundError, KeyError):
                self._cache[key] = None
        return self._cache[key]

    def static(self, n: int = 64) -> LabFigure:
        """Without a kernel: both languages, each with its losses, and the first sentence as every type reads it."""
        fig, axes = panels(2, 1 + len(TYPES), size=(12.5, 6.0))
        for number, (line, (title, language)) in enumerate(zip(axes, NAMES.items(), strict=True)):
            self._losses(language, line[0])
            line[0].set_title(title)
            if number == 1:
                line[0].legend(fontsize=7, loc="center right", frameon=False)
            for ax, kind in zip(line[1:], TYPES, strict=True):
                artists = figures.RowArtists(ax)
                try:
                    found = self.results.example(language, kind, n)
                except (ValueError, FileNotFoundError):
                    artists.title.set_text(f"{kind}: not on the shelf")
                    continue
                layer, head = figures.loudest(found)
                artists.show(found, layer, head, figures.told_places(language, found), signed=kind in figures.SIGNED)
                artists.title.set_text(
                    f"{kind}, layer {layer + 1}, head {head + 1}\n{figures.verdict_on(found, language)}"
                )
        return fig

    def close(self) -> None:
        """Take the dashboard off the page (it has no thread)."""
        self.view.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Jupyter shows the box of controls and picture."""
        return self.view._repr_mimebundle_(**options)

    # ------------------------------------------------------------------ drawing

    def _losses(self, language: str, ax: Any) -> None:
        """Losses of all types that are on the shelf."""
        runs = {}
        for kind in TYPES:
            try:
                runs[kind] = self.results.loss(language, kind)
            except ValueError:
                continue
        this = LANGUAGES[language]
        floor, level = [this.floor(n) for n in LENGTHS], [this.level(n) for n in LENGTHS]
        pictures.losses(LENGTHS, runs, floor, level, ax, level_name=figures.LEVELS[language])

    def _draw_panels(self) -> None:
        """One background for each language; the row, the answers and the mark of the chosen run move."""
        self.boards: dict[str, figures.Board] = {}
        for language in LANGUAGES:
            fig, axes = panels(1, 3, size=(12.0, 3.7))
            self._losses(language, axes[0, 0])
            axes[0, 0].legend(fontsize=8, loc="center right", frameon=False)
            self.boards[language] = figures.Board(fig, axes[0], language)
        self.picture = self.boards["chain"].picture

    def _make_controls(self) -> None:
        """Language, length, type, sentence, layer and head."""
        toggle = lambda name, options, tip: ipywidgets.ToggleButtons(
            options=options, description=name, tooltip=tip, tooltips=[tip] * len(options), **_LABEL
        )
        self.which = toggle("language", list(NAMES), "near: correlations decay; far: an ending must be copied")
        self.kind = toggle("attention", list(TYPES), "what the attention weights may depend on")
        self.length = ipywidgets.SelectionSlider(
            options=list(LENGTHS), value=64, description="words n", tooltip="words in a sentence", **_LABEL
        )
        whole = lambda name, top, tip: ipywidgets.ToggleButtons(
            options=list(range(1, top + 1)), description=name, tooltip=tip, tooltips=[tip] * top,
            style={"button_width": "40px", "description_width": "80px"},
        )  # fmt: skip
        self.number = whole("sentence", EXAMPLES, "which of the shipped sentences")
        self.layer = whole("layer", DEPTH, "block of the network")
        self.head = whole("head", HEADS, "head of the attention")
        self.summary = ipywidgets.HTML()
        self.text = ipywidgets.HTML()
        self.controls = (self.which, self.kind, self.length, self.number, self.layer, self.head)
        for control in self.controls:
            control.observe(self._on_change, names="value")
        self.frame = ipywidgets.VBox([self.picture.widget])
        rows = [ipywidgets.HBox([self.which, self.kind]), ipywidgets.HBox([self.length, self.number])]
        rows.append(ipywidgets.HBox([self.layer, self.head]))
        self.view = ipywidgets.VBox([*rows, self.frame, self.summary, self.text])

    def _on_change(self, change: Any) -> None:
        """Any control: show the new choice."""
        del change
        with self.lock:
            self._show()

    def _show(self) -> None:
        """Put the chosen run and sentence into the picture and the texts."""
        with self.lock:
            board, found = self.boards[self.language], self.example()
            if board.picture is not self.picture:
                self.picture = board.picture
                self.frame.children = (self.picture.widget,)
            kind, n = str(self.kind.value), int(str(self.length.value))
            if found is None:
                board.blank(f"{kind}: not on the shelf")
                self.summary.value = message(
                    f"{kind} in the {self.language} language is not on the shelf; make it with: "
                    f"{self.results.grid.command}",
                    alarm=True,
                )
                self.text.value = ""
                return
            loss = self._loss(kind, n)
            layer, head = int(str(self.layer.value)) - 1, int(str(self.head.value)) - 1
            board.show(found, kind, n, loss.mean(), layer, head)
            self.summary.value = message(self._sentence(found, kind, n, loss, layer, head))
            self.text.value = figures.marked_text(self.language, found)

    def _loss(self, kind: str, n: int) -> np.ndarray:
        """Losses of all seeds at one length."""
        key = ("loss", self.language, kind)
        if key not in self._cache:
            self._cache[key] = self.results.loss(self.language, kind)
        return self._cache[key][:, LENGTHS.index(n)]

    def _sentence(self, found: Example, kind: str, n: int, loss: np.ndarray, layer: int, head: int) -> str:
        """The picture in words."""
        language, row = LANGUAGES[self.language], found.rows[layer, head]
        top = int(np.argmax(np.abs(row)))
        side = "left" if top < found.place else "right"
        far = abs(top - found.place)
        where = "itself" if far == 0 else f"the word {far} {'place' if far == 1 else 'places'} to the {side}"
        told = figures.told_places(self.language, found)
        share = ", ".join(f"{row[t]:+.2f} on word {t + 1}" for t in told) or "nowhere"
        level = f"{figures.LEVELS[self.language]}: {language.level(n):.3f}"
        return (
            f"{self.language} language, {n} words, {kind}: {loss.mean():.3f} nats per hidden word over {len(loss)} "
            f"seeds (floor {language.floor(n):.3f}, {level}). Word {found.place + 1}, layer {layer + 1}, "
            f"head {head + 1}: largest weight {row[top]:+.2f} on {where}; where the answer stands: {share}. "
            f"For the hidden one {figures.verdict_on(found, self.language)}."
        )
