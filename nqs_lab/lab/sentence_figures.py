"""One sentence as a trained reader sees it: where a hidden word looks, what is answered, and both in words."""

from typing import Any

import numpy as np

from nqs_lab.lab.notebook import PALETTE, LabFigure
from nqs_lab.lab.sentences.languages import LANGUAGES, Copy
from nqs_lab.lab.sentences.results import Example
from nqs_lab.lab.widgets import Picture

ANSWERS = 8
LEVELS = {"chain": "neighbours unknown", "copy": "endings known, not whose"}
SIGNED = ("factored", "decoupled")


class Board:
    """The picture of one language: losses, the row of one hidden word, its predicted answers."""

    def __init__(self, fig: LabFigure, axes: Any, language: str):
        self.language = language
        self.mark = axes[0].plot([], [], "o", ms=15, mfc="none", mec="black", mew=1.6)[0]
        axes[0].set_title(f"the {language} language")
        self.row = RowArtists(axes[1])
        self.bars = axes[2].bar(range(ANSWERS), np.zeros(ANSWERS), color=PALETTE[0], width=0.7)
        self.right = axes[2].plot([], [], "v", ms=9, color=PALETTE[1], label="right answer")[0]
        names = [chr(ord("a") + k) if language == "chain" else str(k + 1) for k in range(ANSWERS)]
        axes[2].set_xticks(range(ANSWERS), names)
        axes[2].set_ylim(0, 1.15)
        axes[2].set_xlabel("hidden letter" if language == "chain" else "hidden ending")
        axes[2].set_ylabel("predicted probability")
        axes[2].set_title("what it answers (triangle: right)")
        moving = [self.mark, *self.row.all, *self.bars, self.right]
        self.picture = Picture(fig, moving, width=1080)

    def show(self, found: Example, kind: str, n: int, loss: float, layer: int, head: int) -> None:
        """Put one run and sentence into the artists and draw."""
        self.mark.set_data([n], [loss])
        self.row.show(found, layer, head, told_places(self.language, found), signed=kind in SIGNED)
        self.row.title.set_text(f"{kind}, layer {layer + 1}, head {head + 1}: where word {found.place + 1} looks")
        for bar, p in zip(self.bars, found.p, strict=True):
            bar.set_height(float(p))
        self.right.set_data([found.answer], [1.06])
        self.picture.refresh()

    def blank(self, title: str) -> None:
        """Nothing to show but why."""
        self.mark.set_data([], [])
        self.row.clear(title)
        for bar in self.bars:
            bar.set_height(0.0)
        self.right.set_data([], [])
        self.picture.refresh()


class RowArtists:
    """A row of attention weights over a sentence, relative to its largest; the place of the answer is marked."""

    def __init__(self, ax: Any):
        self.lines = ax.vlines([], [], [], linewidth=1.6, color=PALETTE[0])
        self.told = ax.plot([], [], "v", ms=8, color=PALETTE[1], linestyle="none")[0]
        self.place = ax.plot([], [], "^", ms=8, color="black", linestyle="none")[0]
        self.title = ax.text(0.5, 1.03, "", transform=ax.transAxes, ha="center", fontsize=10)
        self.largest = ax.text(0.02, 0.13, "", transform=ax.transAxes, fontsize=9)
        ax.axhline(0, color="#999999", linewidth=0.8, marker="")
        ax.set_xlim(-0.03, 1.03)
        ax.set_ylim(-1.25, 1.25)
        ax.set_xticks([0, 0.5, 1], ["first word", "middle", "last word"])
        ax.set_yticks([-1, 0, 1])
        ax.set_ylabel("weight / largest |weight|")

    @property
    def all(self) -> list[Any]:
        """Every artist, in drawing order."""
        return [self.lines, self.told, self.place, self.title, self.largest]

    def show(self, found: Example, layer: int, head: int, told: list[int], *, signed: bool) -> None:
        """The row of one layer and head; `told`: places of the answer."""
        row = found.rows[layer, head]
        n, largest = len(row), float(np.abs(row).max()) or 1.0
        x = np.arange(n) / (n - 1)
        self.lines.set_segments([np.array([[a, 0.0], [a, b]]) for a, b in zip(x, row / largest, strict=True)])
        self.lines.set_color([PALETTE[0] if w >= 0 else PALETTE[3] for w in row])
        self.told.set_data(x[told], np.full(len(told), 1.14))
        self.place.set_data([x[found.place]], [-1.14])
        kind = "signed weights" if signed else "softmax weights"
        self.largest.set_text(f"{kind}, largest {row[np.argmax(np.abs(row))]:+.2f}")

    def clear(self, title: str) -> None:
        """An empty row with a title."""
        self.lines.set_segments([])
        self.told.set_data([], [])
        self.place.set_data([], [])
        self.title.set_text(title)
        self.largest.set_text("")


def told_places(language: str, found: Example) -> list[int]:
    """Where the answer stands: the earlier mention, or the nearest visible letters on both sides."""
    spoken = LANGUAGES[language]
    if isinstance(spoken, Copy):
        return [spoken.told(found.words, found.place)]
    visible = np.flatnonzero(found.words[:, 0] < spoken.n_answers)
    left, right = visible[visible < found.place], visible[visible > found.place]
    return [int(k) for k in (*left[-1:], *right[:1])]


def loudest(found: Example) -> tuple[int, int]:
    """Layer and head with the largest weight on another word, relative to the row's mean |weight|."""
    rows = np.abs(found.rows).copy()
    rows[:, :, found.place] = 0.0
    flat = (rows.max(axis=-1) / np.maximum(np.abs(found.rows).mean(axis=-1), 1e-12)).ravel()
    return divmod(int(np.argmax(flat)), found.rows.shape[1])


def verdict_on(found: Example, language: str) -> str:
    """The answer in words."""
    name = lambda k: chr(ord("a") + k) if language == "chain" else str(k + 1)
    said = int(np.argmax(found.p))
    return f"it says {name(said)} ({found.p[said]:.2f}); right is {name(found.answer)} ({found.p[found.answer]:.2f})"


def marked_text(language: str, found: Example, around: int = 7) -> str:
    """HTML: the words around the hidden one and around the answer, marked."""
    spelled = LANGUAGES[language].spell(found.words)
    told = told_places(language, found)
    centres = [found.place, *(told if language == "copy" else [])]
    keep = sorted({k for c in centres for k in range(max(0, c - around), min(len(spelled), c + around + 1))})
    parts, last = [], -1
    for k in keep:
        if k != last + 1:
            parts.append("\u2026")
        word = spelled[k]
        if k == found.place:
            word = f"<b>[{word}]</b>"
        elif k in told:
            word = f'<b style="color:#a33b00">{word}</b>'
        parts.append(word)
        last = k
    tail = ["\u2026"] if keep and keep[-1] < len(spelled) - 1 else []
    return f'<p style="font-family:monospace;margin:2px 0">{" ".join(parts + tail)}</p>'
