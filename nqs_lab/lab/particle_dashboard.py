"""The dashboard of notebook 10: tokens as particles on the circle, the sphere and in the plane, moved by attention."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np

from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.particle_figures import Board, energy_axes, last_clusters, snapshots
from nqs_lab.lab.particles import LINK, SPACES, History, clusters, run, start_cloud
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

BETAS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0, 16.0)
COUNTS = (2, 8, 16, 32)
STARTS = tuple(range(1, 9))
END = {"circle": 30.0, "sphere": 30.0, "plane": 3.0}
FRAMES = 101
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 520px)"}, "style": {"description_width": "110px"}}


@functools.lru_cache(maxsize=64)
def cached_run(space: str, beta: float, n: int, start: int) -> History:
    """The run of one setting of the controls: some ten milliseconds the first time."""
    return run(start_cloud(space, n, start), beta, space=space, end=END[space], frames=FRAMES)


class ParticleDashboard(Dashboard):
    """Space, beta, number of tokens, start and time on controls; positions, softmax weights and energy as pictures.

    Each setting is computed when it is first asked for, within milliseconds, and kept. It has no thread.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.boards = {space: Board(space, END[space]) for space in SPACES}
        self.pictures: dict[str, Picture] = {space: board.picture() for space, board in self.boards.items()}
        self.picture = self.pictures[SPACES[0]]
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def history(self) -> History:
        """The run shown."""
        values: list[Any] = [c.value for c in (self.space, self.beta, self.count, self.start)]
        return cached_run(str(values[0]), float(values[1]), int(values[2]), int(values[3]))

    def static(self, betas: tuple[float, ...] = (1.0, 9.0), space: str = "circle", n: int = 32) -> LabFigure:
        """Without a kernel: four times of a run for each beta, and its energy. ValueError for values not on offer."""
        wrong = [value for value in betas if value not in BETAS]
        if wrong or space not in SPACES or n not in COUNTS or not betas:
            raise ValueError(
                f"expected some of beta = {BETAS}, one of {SPACES} and n of {COUNTS}; got {betas}, {space}, {n}"
            )
        fig, axes = panels(len(betas), 5, size=(12.0, 2.6 * len(betas)))
        for beta, row in zip(betas, axes, strict=True):
            found = cached_run(space, beta, n, STARTS[0])
            snapshots(found, (0, 5, 20, FRAMES - 1), row[:4])
            row[0].set_title(f"\u03b2 = {beta:g}, t = 0")
            energy_axes(space, END[space], row[4])
            row[4].plot(found.times, found.height, color=PALETTE[0], marker="")
        return fig

    # ------------------------------------------------------------------ controls and drawing

    def _make_controls(self) -> None:
        """Where the tokens live, how sharply they listen, how many, which start, and when."""
        self.space = ipywidgets.ToggleButtons(
            options=list(SPACES), value=SPACES[0], description="space", tooltip="where the tokens live",
            tooltips=["tokens of length 1 in two dimensions", "tokens of length 1 in three dimensions",
                      "tokens free to leave, drawn as e^-t x"], style={"description_width": "110px"},
        )  # fmt: skip
        self.beta = ipywidgets.SelectionSlider(
            options=[(f"{b:g}", b) for b in BETAS], value=1.0, description="\u03b2 (sharpness)",
            tooltip="inverse temperature of the softmax", **_WIDE,
        )  # fmt: skip
        self.count = ipywidgets.Dropdown(options=list(COUNTS), value=32, description="tokens", tooltip="how many")
        self.start = ipywidgets.Dropdown(options=list(STARTS), value=1, description="start", tooltip="random start")
        self.frame = ipywidgets.IntSlider(
            value=0, min=0, max=FRAMES - 1, description="frame", tooltip="time, in hundredths of the whole run", **_WIDE
        )
        self.play = ipywidgets.Play(value=0, min=0, max=FRAMES - 1, interval=120, tooltip="run through the frames")
        self.link = ipywidgets.jslink((self.play, "value"), (self.frame, "value"))
        self.controls = (self.space, self.beta, self.count, self.start, self.frame)
        for control in self.controls:
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        self.slot = ipywidgets.VBox([self.picture.widget])
        rows = [self.space, self.beta, ipywidgets.HBox([self.count, self.start])]
        rows.append(ipywidgets.HBox([self.play, self.frame]))
        self.view = ipywidgets.VBox([*rows, self.slot, self.summary])

    def _show(self, *_: Any) -> None:
        """Put the frame into the picture and into words."""
        with self.lock:
            history, frame = self.history, int(self.frame.value)
            self.boards[history.space].show(history, frame, last_clusters(history))
            picture = self.pictures[history.space]
            picture.refresh()
            if picture is not self.picture:
                self.picture = picture
                self.slot.children = (picture.widget,)
            self.summary.value = message(sentence(history, frame))


def sentence(history: History, frame: int) -> str:
    """A frame in words: clusters, spread, energy and how far a token listens."""
    x, weights = history.tokens[frame], history.weights(frame)
    sizes = np.bincount(clusters(x, space=history.space))
    listened = float(np.exp(-np.sum(weights * np.log(np.maximum(weights, 1e-300)), axis=1)).mean())
    text = f"{history.space}, {len(x)} tokens, \u03b2 = {history.beta:g}, t = {history.times[frame]:.3g}: "
    unit = "e^(-t) x" if history.space == "plane" else "rad"
    some = ", ".join(str(size) for size in sizes[:6]) + (", ..." if len(sizes) > 6 else "")
    text += f"{len(sizes)} cluster{'s' * (len(sizes) > 1)} (links below {LINK:g} {unit}) of {some} tokens; "
    if history.space == "plane":
        largest = float(np.exp(history.times[frame]) * np.linalg.norm(x, axis=1).max())
        text += f"largest |x| = {largest:.3g}; log(-2E)/\u03b2 = {history.height[frame]:.4g}; "
    else:
        text += f"smallest x\u00b7y = {float((x @ x.T).min()):+.3f}; E = {history.height[frame]:.4f} |E of one point|; "
    return (
        text
        + f"a token listens to {listened:.1f} tokens (exponential of the entropy), largest weight {weights.max():.3f}."
    )
