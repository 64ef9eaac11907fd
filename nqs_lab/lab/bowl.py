"""A ball in a bowl with a soft and a stiff direction, for notebook 11: descent, heavy ball and Nesterov."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

METHODS = ("descent", "heavy ball", "Nesterov")
STIFF = 1.0
"""The larger curvature L; the smaller one is L / kappa."""


class Bowl(NamedTuple):
    """U(x) = (x_1^2 / kappa + x_2^2) / 2 and how a ball moves in it.

    - `kappa`: condition number >= 1. `rate`: s > 0, the learning rate, in units of 1 / L; the time step is h = sqrt(s).
    - `kept`: the share of the momentum that friction leaves after a step, exp(-alpha h), between 0 and 1.
    """

    kappa: float
    rate: float
    kept: float

    @property
    def curvatures(self) -> Float[np.ndarray, " 2"]:
        """(mu, L): soft, stiff."""
        return np.array([STIFF / self.kappa, STIFF])

    @property
    def friction(self) -> float:
        """alpha = -log(kept) / h, in units of 1 / time."""
        return -float(np.log(self.kept)) / float(np.sqrt(self.rate)) if self.kept > 0 else np.inf

    def step(self, method: str, curvature: float) -> Float[np.ndarray, "2 2"]:
        """One step of (x, v) of one mode as a matrix, v the last move, x+ = x + v+.

        Descent v+ = -s U'(x). Heavy ball (kick, damp, drift) v+ = kept (v - s U'(x)). Nesterov, looking ahead,
        v+ = kept v - s U'(x + kept v). Raises ValueError for another method.
        """
        pull, kept = self.rate * curvature, self.kept
        if method == "descent":
            return np.array([[1 - pull, 0.0], [-pull, 0.0]])
        if method == "heavy ball":
            return np.array([[1 - kept * pull, kept], [-kept * pull, kept]])
        if method == "Nesterov":
            return np.array([[1 - pull, kept * (1 - pull)], [-pull, kept * (1 - pull)]])
        raise ValueError(f"method should be one of {METHODS}, got {method!r}")

    def shrinks(self, method: str) -> Float[np.ndarray, " 2"]:
        """By how much the soft and the stiff coordinate shrink each step in the long run: spectral radii."""
        return np.array([np.abs(np.linalg.eigvals(self.step(method, c))).max() for c in self.curvatures])

    def path(self, method: str, start: tuple[float, float], steps: int) -> Float[np.ndarray, "points 2"]:
        """Positions from rest; entries beyond 1e30 are cut there, so that what diverges can be drawn."""
        maps = np.stack([self.step(method, c) for c in self.curvatures])
        state, out = np.array([[start[0], 0.0], [start[1], 0.0]]), []
        for _ in range(steps + 1):
            out.append(state[:, 0])
            state = np.clip(np.einsum("kab,kb->ka", maps, state), -1e30, 1e30)
        return np.stack(out)

    def energies(self, path: Float[np.ndarray, "steps 2"]) -> Float[np.ndarray, " steps"]:
        """U along a path."""
        return (path**2 @ self.curvatures) / 2


def settled(energies: Float[np.ndarray, " steps"], tolerance: float) -> int | None:
    """The first step from which on U stays below tolerance * U(0); None if it does not within the run.

    Not the first time that it is below: a ball that swings through the bottom is below for a moment.
    """
    above = np.flatnonzero(~(energies < tolerance * energies[0]))
    last = int(above[-1]) if len(above) else -1
    return None if last == len(energies) - 1 else last + 1
