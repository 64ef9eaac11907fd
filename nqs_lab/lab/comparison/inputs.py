"""Does the attention look at its input? The ratio R along training, from the maps of a shelf."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nqs_lab.lab.maps import input_dependence
from nqs_lab.lab.shelf import Row, Shelf


class Course(NamedTuple):
    """R along one run, no units: `steps`, then of every head, of the whole network, and over random configurations.

    `heads` and `whole` are over |psi|^2 of that moment, `random` is `whole` with all configurations of Sz = 0 alike.
    """

    steps: Int[np.ndarray, " looks"]
    heads: Float[np.ndarray, "looks depth h"]
    whole: Float[np.ndarray, " looks"]
    random: Float[np.ndarray, " looks"]


def whole_ratio(mean: Float[np.ndarray, "depth h n"], deviation: Float[np.ndarray, "depth h n"]) -> float:
    """R of all heads and layers together: the sums over displacements run over these, too.

    R = sqrt(sum deviation^2 / sum (mean - average over displacements)^2); infinite where no head has a position.
    """
    flat = mean - mean.mean(axis=-1, keepdims=True)
    inputs, positions = float(np.sum(deviation**2)), float(np.sum(flat**2))
    if positions == 0:
        return 0.0 if inputs == 0 else float("inf")
    return float(np.sqrt(inputs / positions))


def course(arrays: dict[str, np.ndarray]) -> Course:
    """R along a run from its shipped arrays (or from those of a MapRecorder)."""
    # The maps are shipped in float32; their squares are summed in float64.
    mean, deviation, mean_random, deviation_random = (
        np.asarray(arrays[name], np.float64)
        for name in ("map_mean", "map_deviation", "map_mean_random", "map_deviation_random")
    )
    looks = range(len(mean))
    return Course(
        np.asarray(arrays["map_steps"], np.int64),
        np.stack([input_dependence(mean[k], deviation[k]) for k in looks]),
        np.array([whole_ratio(mean[k], deviation[k]) for k in looks]),
        np.array([whole_ratio(mean_random[k], deviation_random[k]) for k in looks]),
    )


class Courses:
    """R of the runs of a shelf, each file read once. Calling it with a row gives the Course of that run."""

    def __init__(self, shelf: Shelf[Any]):
        self.shelf = shelf
        self._known: dict[str, Course] = {}

    def __call__(self, row: Row[Any]) -> Course:
        name = row.setting.name
        if name not in self._known:
            self._known[name] = course(self.shelf.arrays(row))
        return self._known[name]

    def last(self, row: Row[Any]) -> float:
        """log10 of R at the end; a network whose weights never change has -inf."""
        return _log(self(row).whole[-1])

    def first(self, row: Row[Any]) -> float:
        """log10 of R before the first step."""
        return _log(self(row).whole[0])

    def random(self, row: Row[Any]) -> float:
        """log10 of R at the end, over random configurations."""
        return _log(self(row).random[-1])


def _log(value: float) -> float:
    """log10, -inf for zero."""
    return float(np.log10(value)) if value > 0 else float("-inf")
