"""The pictures of notebook 10: layers as time steps, and the part of a Jacobian that no energy can make."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from nqs_lab.lab.notebook import PALETTE, SIGNED_MAP


def one_layer(
    x: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, "n n"], query: int, h: float | int, ax: Axes
) -> Axes:
    """Blackboard: one token listens to all, as strongly as the lines are thick, and adds h times their mean (V = 1).

    Arguments:
        x: tokens in the plane. weights: softmax weights, row i the token that listens.
        query: the token that is followed. h: step of the layer.
    """
    for j, token in enumerate(x):
        if j != query:
            line = np.stack([x[query], token])
            ax.plot(*line.T, color=PALETTE[0], marker="", linewidth=0.3 + 9 * weights[query, j], alpha=0.55)
    ax.plot(*x.T, linestyle="none", marker="o", color="#555555", markersize=7)
    ax.plot(*x[query], marker="o", color=PALETTE[1], markersize=10)
    mean = weights[query] @ x
    ax.plot([0, mean[0]], [0, mean[1]], color=PALETTE[4], linestyle=":", marker="")
    ax.plot(0, 0, color="black", marker="+", markersize=10)
    ax.text(0.02, -0.08, "origin", fontsize=9, va="top")
    write = lambda at, shift, text, **look: ax.text(at[0] + shift[0], at[1] + shift[1], text, fontsize=10, **look)
    arrow = {"arrowstyle": "-|>", "color": PALETTE[1], "linewidth": 2.5}
    ax.annotate("", x[query] + h * mean, x[query], arrowprops=arrow)
    ax.plot(*mean, marker="*", color=PALETTE[4], markersize=15, markeredgecolor="black", linestyle="none")
    write(mean, (0.1, 0.0), "mean $\\Sigma_jw_{ij}x_j$", va="center")
    write(x[query], (0.0, -0.13), "token $i$", color=PALETTE[1], ha="center", va="top")
    write(x[query] + h * mean, (0.0, 0.06), "adds $h$ times the mean", color=PALETTE[1])
    return _board(ax)


def layers(path: Float[np.ndarray, "L n 2"], ax: Axes) -> Axes:
    """Blackboard: the same tokens through many layers; a dot for each layer, larger at the start."""
    for token in path.swapaxes(0, 1):
        ax.plot(*token.T, color="#888888", linewidth=0.8, marker="o", markersize=2.5)
        ax.plot(*token[0], color=PALETTE[0], marker="o", markersize=7)
    return _board(ax)


def _board(ax: Axes) -> Axes:
    """Equal axes and no ticks: a drawing, not a measurement."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.15)
    ax.set(xticks=[], yticks=[], xlabel="first coordinate of a token", ylabel="second coordinate")
    ax.grid(False)
    return ax


def antisymmetric(jacobian: Float[np.ndarray, "m m"], width: int, limit: float, ax: Axes) -> AxesImage:
    """J - J^T of a field of tokens in red and blue, with lines between the blocks of the tokens.

    Arguments:
        jacobian: (nd, nd). width: d, the numbers of a token. limit: the colours' end, the same for what is compared.
    """
    shown = ax.imshow(jacobian - jacobian.T, cmap=SIGNED_MAP, vmin=-limit, vmax=limit)
    for k in range(width, len(jacobian), width):
        ax.axhline(k - 0.5, color="#bbbbbb", linewidth=0.6, marker="")
        ax.axvline(k - 0.5, color="#bbbbbb", linewidth=0.6, marker="")
    ax.grid(False)
    ticks = np.arange(0, len(jacobian), width) + (width - 1) / 2
    ax.set_xticks(ticks, [str(k) for k in range(len(ticks))])
    ax.set_yticks(ticks, [str(k) for k in range(len(ticks))])
    ax.set(xlabel="token that is moved", ylabel="token whose pull changes")
    return shown
