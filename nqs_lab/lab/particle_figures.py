"""Pictures of attention as particles: the tokens, who listens to whom, and the energy. For notebook 10."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

from nqs_lab.lab.notebook import PALETTE, UNSIGNED_MAP, panels
from nqs_lab.lab.particles import History, clusters
from nqs_lab.lab.widgets import Picture

TRAIL = 10
OTHERS = "#999999"
VIEW = np.array([[0.94, 0.0, 0.34], [-0.12, 0.94, 0.32], [-0.32, -0.34, 0.88]])
_LEFT, _, _RIGHT = np.linalg.svd(VIEW)
VIEW = _LEFT @ _RIGHT
"""Rows: right, up and towards the reader, as one looks at the sphere (the nearest rotation to the numbers above)."""


def colours(labels: Int[np.ndarray, " n"]) -> np.ndarray:
    """One colour for each of the six largest clusters, grey for the rest, as (n, 4)."""
    table = np.array([to_rgba(c) for c in (*PALETTE[:6], OTHERS)])
    return table[np.minimum(labels, 6)]


def on_page(x: Float[np.ndarray, "... d"]) -> tuple[Float[np.ndarray, "... 2"], np.ndarray]:
    """Points as drawn, and how far each is turned to the reader (1 in two dimensions)."""
    if x.shape[-1] == 2:
        return x, np.ones(x.shape[:-1])
    seen = x @ VIEW.T
    return seen[..., :2], seen[..., 2]


def stage(space: str, ax: Axes, *, size: float = 1.0) -> Axes:
    """What stands behind the tokens: the circle, a globe, or two axes with `size` as the half-width."""
    ax.grid(False)
    ax.set_aspect("equal")
    if space == "plane":
        ax.set(xlim=(-size, size), ylim=(-size, size), xlabel="e^(-t) x, first coordinate", ylabel="second coordinate")
        ax.axhline(0, color="#cccccc", linewidth=0.8, marker="")
        ax.axvline(0, color="#cccccc", linewidth=0.8, marker="")
        return ax
    turn = np.linspace(0, 2 * np.pi, 121)
    round_ = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    ax.plot(*round_.T, color="#888888", linewidth=1.2, marker="")
    if space == "sphere":
        zero = np.zeros_like(turn)
        for lat in (-0.5, 0.0, 0.5):
            r = np.sqrt(1 - lat**2)
            _globe_line(np.stack([r * round_[:, 0], zero + lat, r * round_[:, 1]], axis=1), ax)
        for angle in np.arange(0, np.pi, np.pi / 4):
            c, s = np.cos(angle), np.sin(angle)
            _globe_line(np.stack([c * round_[:, 0], round_[:, 1], s * round_[:, 0]], axis=1), ax)
    ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def _globe_line(points: np.ndarray, ax: Axes) -> None:
    """A circle of the globe, its front half only."""
    page, front = on_page(points)
    page[front < 0] = np.nan
    ax.plot(*page.T, color="#dddddd", linewidth=0.7, marker="")


class Tokens:
    """The cloud of one frame: dots, and a trail behind each."""

    def __init__(self, space: str, ax: Axes, *, size: float = 1.0):
        stage(space, ax, size=size)
        self.trails: Any = ax.add_collection(LineCollection([], linewidths=1.0, alpha=0.5))
        self.dots: Any = ax.scatter([], [], s=[], linewidths=0.6, zorder=5)
        self.artists: list[Any] = [self.trails, self.dots]

    def show(self, history: History, frame: int, labels: Int[np.ndarray, " n"]) -> None:
        """Put a frame in; tokens on the far side are small and faint."""
        page, front = on_page(history.tokens[max(0, frame - TRAIL) : frame + 1])
        paint = colours(labels)
        self.trails.set_segments(list(page.swapaxes(0, 1)) if len(page) > 1 else [])
        self.trails.set_color(paint)
        near = front[-1] > -0.05
        paint = np.where(near[:, None], paint, np.column_stack([paint[:, :3], np.full(len(paint), 0.35)]))
        self.dots.set_offsets(page[-1])
        self.dots.set_sizes(np.where(near, 42.0, 18.0))
        self.dots.set_facecolor(paint)
        self.dots.set_edgecolor(np.where(near[:, None], to_rgba("black"), paint))


def energy_axes(space: str, end: float | int, ax: Axes) -> Axes:
    """Axes for the energy of a run from 0 to `end`."""
    if space == "plane":
        ax.set_yscale("log")
        ax.set(xlim=(0, end), ylim=(0.02, 3e3), ylabel="log(\u22122E) / \u03b2   (no unit)")
        ax.set_title("size of the energy")
    else:
        ax.set(xlim=(0, end), ylim=(-1.04, 0.02), ylabel="E / |E of one point|   (no unit)")
        ax.set_title("energy")
    ax.set_xlabel("time t  (depth)")
    return ax


class Board:
    """Three panels for one space: tokens, softmax weights, energy."""

    def __init__(self, space: str, end: float | int, *, size: float = 1.5):
        self.space = space
        self.figure, axes = panels(1, 3, size=(10.6, 3.7))
        left, middle, right = axes[0]
        self.tokens = Tokens(space, left, size=size)
        left.set_title("tokens, colour: last cluster")
        self.image = middle.imshow(np.zeros((2, 2)), cmap=UNSIGNED_MAP, vmin=0, vmax=1, extent=(0, 1, 1, 0))
        middle.grid(False)
        middle.set(xticks=[], yticks=[], xlabel="is listened to", ylabel="token that listens")
        middle.set_title("softmax weights / largest")
        self.figure.colorbar(self.image, ax=middle, shrink=0.8)
        energy_axes(space, end, right)
        (self.curve,) = right.plot([], [], color=PALETTE[0], marker="", linewidth=2)
        (self.now,) = right.plot([], [], color=PALETTE[1], marker="o", markersize=9, linestyle="none")
        self.moving = [*self.tokens.artists, self.image, self.curve, self.now]

    def picture(self) -> Picture:
        """For the page."""
        return Picture(self.figure, list(self.moving), width=940)

    def show(self, history: History, frame: int, labels: Int[np.ndarray, " n"]) -> None:
        """Put a frame of a run in; rows and columns of the map are sorted by cluster."""
        self.tokens.show(history, frame, labels)
        order = np.argsort(labels, kind="stable")
        weights = history.weights(frame)[np.ix_(order, order)]
        self.image.set_data(weights / weights.max())
        self.curve.set_data(history.times, history.height)
        self.now.set_data([history.times[frame]], [history.height[frame]])


def last_clusters(history: History) -> Int[np.ndarray, " n"]:
    """The clusters at the end of a run: the colours."""
    return clusters(history.tokens[-1], space=history.space)


def snapshots(history: History, frames: tuple[int, ...], axes: np.ndarray) -> None:
    """Some frames of a run beside each other, with the time above."""
    labels = last_clusters(history)
    size = 1.1 * float(np.abs(history.tokens).max())
    for frame, ax in zip(frames, axes, strict=True):
        Tokens(history.space, ax, size=size).show(history, frame, labels)
        ax.set_title(f"t = {history.times[frame]:.3g}")
