"""Attention as particles, for the dashboard of notebook 10: small clouds in NumPy, so that a slider compiles nothing.

One head with A = beta, B = 1 / beta, so V = 1 (geshkovski2023perspective). The same numbers as `nqs_lab.flows` gives.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

SPACES = ("circle", "sphere", "plane")
WIDTH = {"circle": 2, "sphere": 3, "plane": 2}
LINK = 0.3
"""Tokens closer than this belong to one cluster: radians on the circle and the sphere, scaled lengths in the plane."""

Cloud = Float[np.ndarray, "n d"]


class History(NamedTuple):
    """A run: `times` (T,), `tokens` (T, n, d), and `height` (T,), the energy as the dashboard draws it.

    Circle and sphere: E / |E of a single point|, between -1 and 0, with E = -(1/2) mean_ij exp(beta x_i . x_j).
    Plane: log(-2 E) / beta, an average of x_i . x_j; the tokens kept are e^-t x, which stay bounded.
    """

    space: str
    beta: float
    times: Float[np.ndarray, " T"]
    tokens: Float[np.ndarray, "T n d"]
    height: Float[np.ndarray, " T"]

    def sharpness(self, frame: int) -> float:
        """What multiplies the scalar products of the tokens shown: beta, in the plane beta e^(2t)."""
        return self.beta * (float(np.exp(2 * self.times[frame])) if self.space == "plane" else 1.0)

    def weights(self, frame: int) -> Float[np.ndarray, "n n"]:
        """The softmax weights of a frame, row i the token that asks."""
        return attention_weights(self.tokens[frame], self.sharpness(frame))


def attention_weights(x: Cloud, beta: float | int) -> Float[np.ndarray, "n n"]:
    """softmax_j(beta x_i . x_j), safe for any beta."""
    logits = beta * (x @ x.T)
    boltzmann = np.exp(logits - logits.max(axis=1, keepdims=True))
    return boltzmann / boltzmann.sum(axis=1, keepdims=True)


def velocity(x: Cloud, beta: float | int, *, space: str) -> Cloud:
    """What attention does to the tokens: sum_j w_ij x_j, its tangent part on circle and sphere.

    In the plane the tokens are e^-t x, which subtracts x_i; `beta` is then beta e^(2t).
    """
    mix = attention_weights(x, beta) @ x
    return mix - x if space == "plane" else mix - x * np.sum(x * mix, axis=1, keepdims=True)


def start_cloud(space: str, n: int, seed: int) -> Cloud:
    """n random tokens: uniform on the circle or the sphere; in the plane Gaussian with variance 1/4.

    Raises ValueError for an unknown space or fewer than two tokens.
    """
    if space not in WIDTH:
        raise ValueError(f"space should be one of {SPACES}, got {space!r}")
    if n < 2:
        raise ValueError(f"n should be at least 2, got {n}: attention needs somebody to listen to")
    x = np.random.default_rng([n, seed]).normal(size=(n, WIDTH[space]))
    return x / 2 if space == "plane" else x / np.linalg.norm(x, axis=1, keepdims=True)


def run(x: Cloud, beta: float | int, *, space: str, end: float | int, frames: int = 101, substeps: int = 3) -> History:
    """The flow from the cloud x to the time `end` by RK4, on `frames` equally spaced frames, the start among them.

    Raises ValueError where beta, end or the numbers of steps are not positive.
    """
    if space not in WIDTH or beta <= 0 or end <= 0 or frames < 2 or substeps < 1:
        raise ValueError(
            f"expected one of {SPACES}, beta > 0, end > 0, frames > 1 and substeps > 0; "
            f"got {space!r}, {beta}, {end}, {frames}, {substeps}"
        )
    times = np.linspace(0, end, frames)
    tokens = _march(np.asarray(x, dtype=float), float(beta), times, substeps, space == "plane")
    return History(space, float(beta), times, tokens, _height(tokens, float(beta), times, space))


def _march(x: np.ndarray, beta: float, times: np.ndarray, substeps: int, plane: bool) -> np.ndarray:
    """RK4 from frame to frame, written in one piece: 1,200 calls of small functions would take most of the time."""
    h = float(times[1] - times[0]) / substeps
    tokens = [x]
    for start in times[:-1]:
        for t in start + h * np.arange(substeps):
            total, slope = x, np.zeros_like(x)
            for at, weight in ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6)):
                y = x + at * h * slope
                logits = y @ y.T * (beta * np.exp(2 * (t + at * h)) if plane else beta)
                w = np.exp(logits - logits.max(axis=1, keepdims=True))
                mix = w @ y / w.sum(axis=1, keepdims=True)
                slope = mix - (y if plane else y * np.sum(y * mix, axis=1, keepdims=True))
                total = total + weight * h * slope
            x = total if plane else total / np.linalg.norm(total, axis=1, keepdims=True)
        tokens.append(x)
    return np.stack(tokens)


def _height(tokens: Float[np.ndarray, "T n d"], beta: float, times: Float[np.ndarray, " T"], space: str) -> np.ndarray:
    """The energy curve of a run; see `History`."""
    inner = np.einsum("tid,tjd->tij", tokens, tokens)
    if space != "plane":
        return -np.mean(np.exp(beta * (inner - 1)), axis=(1, 2))
    inner = inner * np.exp(2 * times)[:, None, None]
    top = inner.max(axis=(1, 2))
    return top + np.log(np.mean(np.exp(beta * (inner - top[:, None, None])), axis=(1, 2))) / beta


def clusters(x: Cloud, *, space: str, link: float = LINK) -> Int[np.ndarray, " n"]:
    """The cluster of every token, 0 the largest: tokens are linked if closer than `link`, and links are followed."""
    if space == "plane":
        distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    else:
        distance = np.arccos(np.clip(x @ x.T, -1, 1))
    _, found = connected_components(distance < link, directed=False)
    order = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(order)[found]
