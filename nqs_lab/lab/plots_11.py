"""The pictures of notebook 11: paths in a bowl, and energy against force evaluations."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from nqs_lab.lab.bowl import METHODS, Bowl
from nqs_lab.lab.notebook import MARKERS, PALETTE

SHOWN = 60  # steps of a path that are drawn: later ones are a blot
FLOOR = 1e-9
_TURN = np.linspace(0, 2 * np.pi, 121)


def level(bowl: Bowl, reach: float | int) -> Float[np.ndarray, "points 2"]:
    """The line of constant U that crosses the soft axis at `reach`."""
    return reach * np.stack([np.cos(_TURN), np.sin(_TURN) / np.sqrt(bowl.kappa)], axis=1)


class Paths:
    """The bowl from above, with the paths of the three methods."""

    def __init__(self, ax: Axes):
        self.levels = [ax.plot([], [], color="#bbbbbb", linewidth=0.9, marker="")[0] for _ in range(4)]
        self.lines: list[Any] = []
        for k, name in enumerate(METHODS):
            style: dict[str, Any] = {"color": PALETTE[k], "marker": MARKERS[k], "markersize": 3.5, "linewidth": 1.0}
            self.lines += ax.plot([], [], label=name, alpha=0.85, **style)
        ax.plot(0, 0, marker="*", color="black", markersize=11, linestyle="none", zorder=4)
        ax.set(xlim=(-1.15, 1.15), ylim=(-0.65, 0.65), xlabel="x, soft direction (curvature L / \u03ba)")
        ax.set_ylabel("y, stiff direction (curvature L)")
        ax.grid(False)

    def show(self, bowl: Bowl, paths: list[Float[np.ndarray, "steps 2"]]) -> None:
        """Put a bowl and its paths in; what has left the picture by far is not drawn."""
        for k, line in enumerate(self.levels):
            line.set_data(*level(bowl, (k + 1) / 4).T)
        for line, path in zip(self.lines, paths, strict=True):
            line.set_data(*np.where(np.abs(path[: SHOWN + 1]) < 20, path[: SHOWN + 1], np.nan).T)


class Curves:
    """U / U(0) against the number of force evaluations, and the tolerance."""

    def __init__(self, steps: int, tolerance: float, ax: Axes):
        self.lines: list[Any] = []
        for k, name in enumerate(METHODS):
            every = max(1, steps // 8)
            style: dict[str, Any] = {"color": PALETTE[k], "marker": MARKERS[k], "markevery": (k * every // 3, every)}
            self.lines += ax.plot([], [], label=name, **style)
        ax.axhline(tolerance, color="#444444", linestyle="--", linewidth=1, marker="")
        ax.text(steps, tolerance * 1.3, f"tolerance {tolerance:g}", ha="right", fontsize=8)
        ax.set_yscale("log")
        ax.set(xlim=(0, steps), ylim=(FLOOR, 30), xlabel="force evaluations", ylabel="U / U(0)  (no unit)")

    def show(self, curves: list[Float[np.ndarray, " steps"]]) -> None:
        """Put the energies of the three methods in."""
        for line, energies in zip(self.lines, curves, strict=True):
            line.set_data(np.arange(len(energies)), np.clip(energies / energies[0], FLOOR / 10, 1e3))
