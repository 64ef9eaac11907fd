"""Pictures of notebook 05: the machine, what it adds, sign rules, and states that went astray."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from matplotlib.axes import Axes

from nqs_lab.lab.notebook import MARKERS, PALETTE

RULE_COLOURS = {"none": PALETTE[1], "neel": PALETTE[0], "stripe": PALETTE[2]}
RULE_MARKERS = {"none": "s", "neel": "o", "stripe": "^"}
RULE_NAMES = {"none": "no rule", "neel": "N\u00e9el rule", "stripe": "stripe rule"}
CLASS_COLOURS = ("#4477AA", "#88CCEE", "#44AA99", "#CC6677")


def machine(ax: Axes, *, visible: int = 6, hidden: int = 4) -> Axes:
    """Blackboard drawing of an RBM: visible spins below, hidden spins above, and a line from each to each other."""
    low = [(x, 0.0) for x in np.linspace(0, 1, visible)]
    high = [(x, 1.0) for x in np.linspace(0.1, 0.9, hidden)]
    for k, (x, y) in enumerate(high):
        for u, v in low:
            strong = k == 1
            colour = PALETTE[0] if strong else "#bbbbbb"
            ax.plot(
                [x, u], [y, v], color=colour, linewidth=2.0 if strong else 0.8, marker="", zorder=2 if strong else 1
            )
    rng = np.random.default_rng(3)
    for places, edge, spins in ((low, "black", rng.permutation([1, -1] * visible)), (high, PALETTE[0], None)):
        for k, (x, y) in enumerate(places):
            ax.plot(x, y, marker="o", markersize=24, color="white", markeredgecolor=edge, markeredgewidth=1.6, zorder=3)
            text = "?" if spins is None else ("\u2191" if spins[k] > 0 else "\u2193")
            ax.text(x, y - 0.01, text, ha="center", va="center", fontsize=14, zorder=4)
    ax.text(1.12, 1.0, "hidden spins $h_m$\nsummed over", va="center", fontsize=10)
    ax.text(1.12, 0.5, "couplings $W_{mi}$", va="center", fontsize=10, color=PALETTE[0])
    ax.text(1.12, 0.0, "visible spins $\\sigma_i$\nthe configuration", va="center", fontsize=10)
    ax.set(xlim=(-0.08, 1.72), ylim=(-0.22, 1.22))
    ax.axis("off")
    return ax


def hidden_unit(ax: Axes) -> Axes:
    """log cosh x beside its two limits: x^2/2, a pair correlation, and |x| - log 2, a switch."""
    x = np.linspace(-3.2, 3.2, 200)
    ax.plot(x, np.log(np.cosh(x)), color="black", marker="", linewidth=2.2, label="$\\log\\cosh x$")
    ax.plot(x, x**2 / 2, color=PALETTE[0], linestyle="--", marker="", label="$x^2/2$: pairs")
    ax.plot(x, np.abs(x) - np.log(2), color=PALETTE[1], linestyle=":", marker="", label="$|x|-\\log 2$: a switch")
    ax.set(
        ylim=(-0.8, 3.0),
        xlabel="field on a hidden spin, $x=b_m+\\sum_iW_{mi}\\sigma_i$",
        ylabel="$\\log|\\psi|$ of one unit",
    )
    ax.legend(loc="upper center")
    return ax


def ladder(errors: Mapping[str, Mapping[str, Sequence[float]]], ax: Axes) -> Axes:
    """Relative error against the kind of state, one line for each case; every seed is a dot, lines join the medians.

    Arguments: case -> state -> relative errors of the seeds; all cases list the same states in the same order.
    """
    for k, (case, states) in enumerate(errors.items()):
        for place, values in enumerate(states.values()):
            at = np.full(len(values), place + 0.08 * (k - 1))
            ax.semilogy(at, values, linestyle="none", marker=MARKERS[k], color=PALETTE[k], markersize=4, alpha=0.6)
        medians = [float(np.median(values)) for values in states.values()]
        ax.semilogy(np.arange(len(medians)) + 0.08 * (k - 1), medians, color=PALETTE[k], marker=MARKERS[k], label=case)
    names = list(next(iter(errors.values())))
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="relative error of the energy")
    ax.legend(loc="lower left")
    return ax


def published(rows: Mapping[str, Mapping[float, float]], ax: Axes) -> Axes:
    """Relative errors of published energies against J2, one line for each method: method -> J2 -> relative error."""
    for k, (name, values) in enumerate(rows.items()):
        ax.semilogy(list(values), list(values.values()), color=PALETTE[k], marker=MARKERS[k], label=name)
    ax.set(xlabel="J2 / J1", ylabel="relative error of the energy")
    ax.legend(loc="lower center", ncols=2)
    return ax


def rules(values: Mapping[tuple[float, str], Sequence[float]], ax: Axes, *, floor: float = 1e-5) -> Axes:
    """One number of every run, grouped by J2 and coloured by sign rule; a bar marks the median of the seeds.

    Arguments: (J2, rule) -> the number for each seed; values below `floor` are drawn on it.
    """
    couplings = sorted({j2 for j2, _ in values})
    for (j2, rule), found in values.items():
        at = couplings.index(j2) + 0.24 * (list(RULE_COLOURS).index(rule) - 1)
        shown = np.maximum(found, floor)
        colour = RULE_COLOURS[rule]
        spread = at + np.linspace(-0.06, 0.06, len(shown))
        label = RULE_NAMES[rule] if j2 == couplings[0] else None
        ax.semilogy(spread, shown, linestyle="none", marker=RULE_MARKERS[rule], color=colour, alpha=0.75, label=label)
        ax.plot([at - 0.09, at + 0.09], [np.median(shown)] * 2, color=colour, linewidth=2.5, marker="")
    ax.set_xticks(range(len(couplings)), [f"J2 = {j2:g}" for j2 in couplings])
    ax.grid(axis="x", visible=False)
    return ax


def signs(exact: Float[np.ndarray, " D"], psi: Complex[np.ndarray, " D"], ax: Axes, *, floor: float = 1e-12) -> Axes:
    """Every configuration as a dot: size of its exact and of its trained amplitude, coloured by the trained sign.

    Arguments: the exact amplitudes; those of the trained state, turned by `signs.aligned`; smaller ones are drawn at
    `floor`.
    """
    right = np.real(psi) * exact > 0
    for where, colour, name in ((~right, PALETTE[1], "wrong sign"), (right, PALETTE[0], "right sign")):
        size = np.maximum(np.abs(psi[where]), floor)
        ax.loglog(np.abs(exact[where]), size, ".", color=colour, markersize=3, alpha=0.4, label=name)
    line = np.array([1e-6, 1.0])
    ax.plot(line, line, color="#888888", linewidth=0.8, marker="")
    ax.set(xlabel="|exact amplitude|", ylabel="|trained amplitude|", xlim=(1e-5, 0.4), ylim=(floor / 2, 2))
    ax.legend(loc="upper left", markerscale=3)
    return ax


def hidden_variance(
    weight: Float[np.ndarray, " D"], residual: Float[np.ndarray, " D"], samples: int, ax: Axes, **look: Any
) -> Axes:
    """The part of |H psi - E psi|^2 on configurations rarer than p, against p.

    Arguments: |psi|^2 and |H psi - E psi|^2 of every configuration; a vertical line marks p = 1 / samples.
    """
    order = np.argsort(weight)
    p = np.maximum(weight[order], 1e-40)
    ax.semilogx(p, np.cumsum(residual[order]), marker="", **look)
    ax.axvline(1 / samples, color="#888888", linestyle=":", linewidth=1.2, marker="")
    ax.set(xlabel="probability p of a configuration", ylabel="variance on configurations\nrarer than p  (J1$^2$)")
    return ax


def spectrum(
    energies: Float[np.ndarray, " K"], weights: Float[np.ndarray, " K"], ax: Axes, *, width: float = 0.01
) -> Axes:
    """Where on the energy axis (per site) a state has its weight: bars of a given width."""
    edges = np.arange(-0.56, 0.40, width)
    ax.hist(energies, bins=edges.tolist(), weights=weights, color=PALETTE[0])
    ax.set(xlabel="E / N of exact eigenstates  (J1, spins S)", ylabel="weight of the state")
    return ax


def sectors(
    names: Sequence[str], weight: Sequence[float], energy: Sequence[float], floor: Sequence[float], axes: Any
) -> None:
    """Left: the weight of a state in each sector. Right: energy of each projected piece above the lowest level there.

    Arguments: names; weights; energies per site of the normalised pieces; lowest exact level of each sector; two axes.
    """
    left, right = axes
    place = np.arange(len(names))
    left.barh(place, np.maximum(weight, 1e-12), color=PALETTE[0])
    left.set(xscale="log", xlim=(1e-8, 2), xlabel="weight of the trained state in the sector")
    right.plot(
        floor,
        place,
        linestyle="none",
        marker="|",
        markersize=16,
        markeredgewidth=2.5,
        color="black",
        label="lowest level there",
    )
    right.plot(energy, place, linestyle="none", marker="o", color=PALETTE[1], label="projected state")
    right.set(xlabel="E / N  (units of J1, spins S)")
    right.legend(loc="upper right")
    for ax in axes:
        ax.set_yticks(place, names if ax is left else [""] * len(names))
        ax.set_ylim(len(names) - 0.5, -0.5)
