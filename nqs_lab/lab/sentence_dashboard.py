"""The dashboard of notebook 09b: language, length and attention; the losses, and one sentence as a reader sees it."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from nqs_lab.lab import plots_09b as pictures, sentence_figures as figures
from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.results import Example, Results, load_sentences
from nqs_lab.lab.sentences.setting import LENGTHS, TYPES
from nqs_lab.lab.sentences.training import EXAMPLES
from nqs_lab.lab.widgets import Dashboard, ipywidgets, message

NAMES = {"near: the chain": "chain", "far: the copy": "copy"}
HEADS, DEPTH = 4, 2
LEGEND = {"chain": ("center right", (1.0, 0.62)), "copy": ("lower right", (1.0, 0.05))}  # where no curve runs
_LABEL: dict[str, Any] = {"style": {"description_width": "80px"}}


class Choice(NamedTuple):
    """What the controls say, read once: another thread may move them while a picture is drawn."""

    language: str
    kind: str
    n: int
    number: int
    layer: int
    head: int


class SentenceDashboard(Dashboard):
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
        self.bounds = {  # floor and level at every length, once: the sum behind the floor takes 50 ms at 512 words
            name: np.array([(language.floor(n), language.level(n)) for n in LENGTHS])
            for name, language in LANGUAGES.items()
        }
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def choice(self) -> Choice:
        """What the controls say; sentence, layer and head counted from 0."""
        number, layer, head = (int(str(control.value)) - 1 for control in (self.number, self.layer, self.head))
        return Choice(
            NAMES[str(self.which.value)], str(self.kind.value), int(str(self.length.value)), number, layer, head
        )

    def example(self, choice: Choice | None = None) -> Example | None:
        """The sentence shown; None where the run is not on the shelf."""
        language, kind, n, number, _, _ = choice or self.choice
        key = (language, kind, n, number)
        if key not in self._cache:
            try:
                self._cache[key] = self.results.example(language, kind, n, number)
            except (ValueError, FileNotFoundError, KeyError):
                self._cache[key] = None
        return self._cache[key]

    def static(self, n: int = 64) -> LabFigure:
        """Without a kernel: both languages, each with its losses, and the first sentence as every type reads it."""
        fig, axes = panels(2, 1 + len(TYPES), size=(12.5, 6.0))
        for line, (title, language) in zip(axes, NAMES.items(), strict=True):
            self._losses(language, line[0])
            line[0].set_title(title)
            where, anchor = LEGEND[language]
            line[0].legend(fontsize=7, loc=where, bbox_to_anchor=anchor, frameon=False)
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

    # ------------------------------------------------------------------ drawing

    def _losses(self, language: str, ax: Any) -> None:
        """Losses of all types that are on the shelf."""
        runs = {}
        for kind in TYPES:
            try:
                runs[kind] = self.results.loss(language, kind)
            except ValueError:
                continue
        floor, level = self.bounds[language].T
        pictures.losses(LENGTHS, runs, floor.tolist(), level.tolist(), ax, level_name=figures.LEVELS[language])

    def _draw_panels(self) -> None:
        """One background for each language; the row, the answers and the mark of the chosen run move."""
        self.boards: dict[str, figures.Board] = {}
        for language in LANGUAGES:
            fig, axes = panels(1, 3, size=(12.0, 3.7))
            self._losses(language, axes[0, 0])
            where, anchor = LEGEND[language]
            axes[0, 0].legend(fontsize=8, loc=where, bbox_to_anchor=anchor, frameon=False)
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
            control.observe(self._show, names="value")
        self.frame = ipywidgets.VBox([self.picture.widget])
        rows = [ipywidgets.HBox([self.which, self.kind]), ipywidgets.HBox([self.length, self.number])]
        rows.append(ipywidgets.HBox([self.layer, self.head]))
        self.view = ipywidgets.VBox([*rows, self.frame, self.summary, self.text])

    def _show(self, *_: Any) -> None:
        """Put the chosen run and sentence into the picture and the texts."""
        with self.lock:
            choice = self.choice
            board, found = self.boards[choice.language], self.example(choice)
            if board.picture is not self.picture:
                self.picture = board.picture
                self.frame.children = (self.picture.widget,)
            if found is None:
                board.blank(f"{choice.kind}: not on the shelf")
                missing = f"{choice.kind} in the {choice.language} language is not on the shelf"
                self.summary.value = message(f"{missing}; make it with: {self.results.grid.command}", alarm=True)
                self.text.value = ""
                return
            loss = self._loss(choice)
            board.show(found, choice.kind, choice.n, float(loss.mean()), choice.layer, choice.head)
            self.summary.value = message(self._sentence(found, choice, loss))
            self.text.value = figures.marked_text(choice.language, found)

    def _loss(self, choice: Choice) -> np.ndarray:
        """Losses of all seeds at one length."""
        key = ("loss", choice.language, choice.kind)
        if key not in self._cache:
            self._cache[key] = self.results.loss(choice.language, choice.kind)
        return self._cache[key][:, LENGTHS.index(choice.n)]

    def _sentence(self, found: Example, choice: Choice, loss: np.ndarray) -> str:
        """The picture in words."""
        row = found.rows[choice.layer, choice.head]
        floor, level = self.bounds[choice.language][LENGTHS.index(choice.n)]
        top = int(np.argmax(np.abs(row)))
        side = "left" if top < found.place else "right"
        far = abs(top - found.place)
        where = "itself" if far == 0 else f"the word {far} {'place' if far == 1 else 'places'} to the {side}"
        told = figures.told_places(choice.language, found)
        share = ", ".join(f"{row[t]:+.2f} on word {t + 1}" for t in told) or "nowhere"
        bounds = f"floor {floor:.3f}, {figures.LEVELS[choice.language]}: {level:.3f}"
        place = f"Word {found.place + 1}, layer {choice.layer + 1}, head {choice.head + 1}"
        return (
            f"{choice.language} language, {choice.n} words, {choice.kind}: {loss.mean():.3f} nats per hidden word over "
            f"{len(loss)} seeds ({bounds}). {place}: largest weight {row[top]:+.2f} on {where}; where the answer "
            f"stands: {share}. For the hidden one {figures.verdict_on(found, choice.language)}."
        )
