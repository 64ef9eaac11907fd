"""Pictures of the comparison: every run is a mark, and a type of attention keeps its colour and marker."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from nqs_lab.lab.comparison.evolution import Allowed
from nqs_lab.lab.comparison.inputs import Courses
from nqs_lab.lab.comparison.pairing import DECOUPLED, FACTORED, T5, Contender, Paired, by_seed, cases, pool
from nqs_lab.lab.comparison.setting import TYPES
from nqs_lab.lab.comparison.sizes import Size
from nqs_lab.lab.comparison.tuning import scores
from nqs_lab.lab.comparison.verdict import MARGIN
from nqs_lab.lab.map_figures import SIGNED
from nqs_lab.lab.notebook import MARKERS, PALETTE, SIGNED_MAP, UNSIGNED_MAP, LabFigure, panels
from nqs_lab.lab.plots import ink, number
from nqs_lab.lab.shelf import Row

COLOUR = {"factored": PALETTE[0], "t5": PALETTE[1], "decoupled": PALETTE[2]}
MARKER = {"factored": MARKERS[0], "t5": MARKERS[1], "decoupled": MARKERS[2]}
ALL = (FACTORED, T5, DECOUPLED)
SHIFTED = {"factored": 0.0, "t5": -0.012, "decoupled": 0.012}  # side by side where they would hide each other


def tuning_figure(rows: Sequence[Row[Any]]) -> LabFigure:
    """log10 of the relative error on the grid of rates and shifts, one panel for each type, one colour scale."""
    fig, axes = panels(1, len(TYPES), size=(3.4 * len(TYPES), 3.2))
    tables = {kind: scores(rows, kind) for kind in TYPES}
    values = [value for table in tables.values() for value in table.values()]
    norm = Normalize(min(values, default=-6.0), max(values, default=0.0))
    for ax, kind in zip(axes[0], TYPES, strict=True):
        _tuning_panel(ax, tables[kind], kind, norm)
    if values:
        bar = ScalarMappable(norm, UNSIGNED_MAP)
        fig.colorbar(bar, ax=list(axes[0]), label="log10 of the relative error", shrink=0.9)
    return fig


def _tuning_panel(ax: Axes, table: Mapping[tuple[float, float], float], kind: str, norm: Normalize) -> None:
    """One type: shift upwards, rate to the right, the best framed."""
    ax.set(title=kind, xlabel="rate  (units of 1/J1)", ylabel="diagonal shift" if kind == TYPES[0] else "")
    ax.grid(False)
    if not table:
        _nothing(ax)
        return
    rates, shifts = (sorted({pair[k] for pair in table}) for k in (0, 1))
    grid = np.array([[table.get((rate, shift), np.nan) for rate in rates] for shift in shifts])
    image = ax.imshow(grid, origin="lower", cmap=UNSIGNED_MAP, norm=norm, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        if np.isfinite(value):
            colour = ink(float(value), norm, image.get_cmap())
            ax.text(x, y, number(float(value)), ha="center", va="center", fontsize=9, color=colour)
    y, x = np.unravel_index(np.nanargmin(grid), grid.shape)
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=PALETTE[1], lw=3))
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.set_yticks(range(len(shifts)), [f"{shift:g}" for shift in shifts])


def accuracy_figure(rows: Sequence[Row[Any]], *, signed: bool = True) -> LabFigure:
    """Relative error of the energy and infidelity against J2: every run a mark, the median of a type a line."""
    fig, axes = panels(1, 2, size=(9.8, 3.8))
    names = {"relative_error": "relative error of the energy", "infidelity": "infidelity with the exact state"}
    for ax, (key, label) in zip(axes[0], names.items(), strict=True):
        for who in ALL:
            _runs(ax, rows, who, key, signed)
        ax.set(xlabel="J2 / J1", ylabel=label, xlim=(-0.05, 1.05))
        _finish(ax)
    return fig


def allowed_figure(rows: Sequence[Row[Any]], limits: Sequence[Allowed]) -> LabFigure:
    """Relative error of all runs with the default sign rule, and what exact imaginary time leaves, as black lines."""
    fig, axes = panels(1, 1, size=(7.6, 3.9))
    ax = axes[0, 0]
    for who in ALL:
        _runs(ax, rows, who, "relative_error", True)
    for limit, dashes in zip(limits, ("--", ":", "-."), strict=False):
        errors = np.maximum(limit.errors, 1e-8)
        ax.semilogy(
            limit.j2, errors, dashes, color="black", marker="", label=f"exact evolution over {limit.span:.1f}/J1"
        )
    ax.set(xlabel="J2 / J1", ylabel="relative error of the energy", xlim=(-0.05, 1.05), ylim=(1e-8, None))
    _finish(ax)
    return fig


def _runs(ax: Axes, rows: Sequence[Row[Any]], who: Contender, key: str, signed: bool) -> None:
    """The runs of one type, and their median at each coupling."""
    middle = []
    for j2, sign in cases(rows, signed=signed):
        values = [row[key] for row in by_seed(rows, who, j2, sign).values()]
        if values:
            x = j2 + SHIFTED[who.attention]
            ax.semilogy([x] * len(values), values, MARKER[who.attention], ms=4, alpha=0.55, color=COLOUR[who.attention])
            middle.append((x, float(np.median(values))))
    if middle:
        ax.semilogy(*zip(*middle, strict=True), "-", marker="", color=COLOUR[who.attention], label=str(who))


def difference_figure(found: Mapping[str, Sequence[Paired]]) -> LabFigure:
    """Paired differences of log10(relative error) against J2: every seed a mark, the mean with its 95 % interval.

    `found`: title of a panel -> comparisons. The grey band is the margin; the couplings of a seed averaged stand at the
    right.
    """
    fig, axes = panels(1, len(found), size=(4.9 * len(found), 3.8))
    for ax, (title, pairs) in zip(axes[0], found.items(), strict=True):
        ax.axhspan(-MARGIN, MARGIN, color="#dddddd", label=f"margin, {MARGIN}")
        ax.axhline(0, color="#666666", linewidth=0.8, marker="")
        for item in pairs:
            _difference(ax, item, item.j2)
        whole = pool(pairs)
        if whole is not None:
            _difference(ax, whole, 1.2)
        ax.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], ["0", "0.2", "0.4", "0.6", "0.8", "1", "all"])
        ax.set(title=title, xlabel="J2 / J1", xlim=(-0.08, 1.28), ylabel="difference of log10(relative error)")
        if not pairs:
            _nothing(ax)
        ax.legend(loc="best")
    return fig


def _difference(ax: Axes, pairs: Paired, x: float) -> None:
    """The seeds of one comparison and their mean."""
    values = pairs.first - pairs.second
    ax.plot([x + 0.02] * len(values), values, ".", color="#555555", ms=4, alpha=0.7)
    if pairs.verdict is not None:
        v = pairs.verdict
        colour = {"worse": PALETTE[1], "better": PALETTE[0]}.get(pairs.standing, "black")
        spread = [[v.difference - v.low], [v.high - v.difference]]
        ax.errorbar([x], [v.difference], yerr=spread, marker="D", ms=5, color=colour, capsize=3, linestyle="none")


def ratio_figure(rows: Sequence[Row[Any]], courses: Courses, threshold: float) -> LabFigure:
    """R along training: one line a run, coloured by J2; crosses are over random configurations at the end."""
    fig, axes = panels(1, 2, size=(9.8, 3.8))
    norm = Normalize(0.0, 1.0)
    colours = ScalarMappable(norm, "viridis")
    for ax, who in zip(axes[0], (T5, DECOUPLED), strict=True):
        mine = [row for row in rows if (row.setting.attention, row.setting.mlp_ratio) == tuple(who)]
        if mine:
            ax.axhline(threshold, color="#666666", linestyle="--", linewidth=1, marker="")
            ax.text(0.01, threshold, " independent below", transform=ax.get_yaxis_transform(), va="bottom", fontsize=8)
        for row in mine:
            found, colour = courses(row), colours.to_rgba(row.setting.j2)
            ax.semilogy(found.steps, found.whole, "-", marker="", color=colour, linewidth=1, alpha=0.8)
            ax.semilogy(found.steps[-1:], found.random[-1:], "x", color=colour, ms=5)
        ax.set(title=str(who), xlabel="optimisation step", ylabel="R  (whole network, no units)", yscale="log")
        if not mine:
            _nothing(ax)
    fig.colorbar(colours, ax=list(axes[0]), label="J2 / J1")
    return fig


def maps_figure(
    arrays: Mapping[str, np.ndarray], kind: str, *, layer: int, head: int, looks: Sequence[int]
) -> LabFigure:
    """Mean weight (above) and its spread over configurations (below) of one head on the 4x4 torus, at some looks.

    The receiver stands at displacement (0, 0). Layer and head count from 0; both rows have one scale, the spread always
    a sequential one.
    """
    mean, deviation = (np.asarray(arrays[name])[list(looks), layer, head] for name in ("map_mean", "map_deviation"))
    steps, limit = np.asarray(arrays["map_steps"])[list(looks)], float(np.abs(mean).max())
    fig, axes = panels(2, len(looks), size=(2.1 * len(looks) + 0.9, 4.6))
    norms = (Normalize(-limit if kind in SIGNED else 0.0, limit), Normalize(0.0, limit))
    names = ("mean weight", "spread")
    for line, values, norm, cmap, name in zip(
        axes,
        (mean, deviation),
        norms,
        (SIGNED_MAP if kind in SIGNED else UNSIGNED_MAP, UNSIGNED_MAP),
        names,
        strict=True,
    ):
        for ax, weights, step in zip(line, values, steps, strict=True):
            cells(ax, centred(weights), norm, cmap)
            ax.set_title(f"step {step}" if name == "mean weight" else "")
            ax.label_outer()
        fig.colorbar(ScalarMappable(norm, cmap), ax=list(line), label=f"{name}  (no units)", shrink=0.9)
    return fig


def centred(row: Float[np.ndarray, " 16"]) -> Float[np.ndarray, "4 4"]:
    """A row of weights by displacement as a map with displacements -1 .. 2 along x and y, so that neighbours touch."""
    return np.roll(np.asarray(row).reshape(4, 4), (1, 1), axis=(0, 1))


def cells(ax: Axes, values: Float[np.ndarray, "4 4"], norm: Normalize, cmap: str) -> None:
    """A centred map with its numbers written in."""
    image = ax.imshow(values, origin="lower", cmap=cmap, norm=norm)
    for (y, x), value in np.ndenumerate(values):
        colour = ink(float(value), norm, image.get_cmap())
        ax.text(x, y, number(float(value)), ha="center", va="center", fontsize=7.5, color=colour)
    ax.set_xticks(range(4), ["-1", "0", "1", "2"])
    ax.set_yticks(range(4), ["-1", "0", "1", "2"])
    ax.set(xlabel="x  (sites)", ylabel="y  (sites)")
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def freeze_figure(rows: Sequence[Row[Any]]) -> LabFigure:
    """Energy lost per site against J2 when the weights of t5 and decoupled are replaced: every run a mark."""
    fig, axes = panels(1, 2, size=(9.8, 4.2))
    names = ("mean", "layer 1", "layer 2", "displaced", "uniform")
    rows = [row for row in rows if "freeze" in row.numbers]
    for ax, who in zip(axes[0], (T5, DECOUPLED), strict=True):
        for k, name in enumerate(names):
            lost = [
                (j2 + 0.008 * (k - 2), (row["freeze"][name]["energy"] - row["energy"]) / 16)
                for j2, sign in cases(rows, signed=True)
                for row in by_seed(rows, who, j2, sign).values()
            ]
            if lost:
                x, y = np.array(lost).T
                ax.plot(x, np.maximum(y, 1e-9), MARKERS[k], color=PALETTE[k], ms=5, alpha=0.75, label=name)
        error = [
            (row.setting.j2, abs(row["energy"] - row["exact"]) / 16)
            for row in rows
            if (row.setting.attention, row.setting.mlp_ratio) == tuple(who) and row.setting.sign != "none"
        ]
        if error:
            ax.plot(*zip(*sorted(error), strict=True), "_", color="black", ms=9, label="the run's own error")
        ax.set(title=str(who), xlabel="J2 / J1", ylabel="energy lost per site  (units of J1)", yscale="log")
        ax.set_xlim(-0.05, 1.05)
        if not lost:
            _nothing(ax)
    lines, labels = axes[0, 0].get_legend_handles_labels()
    if lines:
        fig.legend(lines, labels, loc="outside lower center", ncols=6)
    return fig


def size_figure(found: Sequence[Size]) -> LabFigure:
    """Against the number of tokens: R of t5 (left) and log10 of the error ratio factored / t5 (right), seed by seed."""
    fig, axes = panels(1, 2, size=(9.4, 3.6))
    for k, j2 in enumerate(sorted({size.j2 for size in found})):
        rings = [size for size in found if size.j2 == j2 and size.lattice.startswith("ring")]
        others = [size for size in found if size.j2 == j2 and not size.lattice.startswith("ring")]
        for ax, value in zip(axes[0], (lambda s: 10**s.ratio, lambda s: s.factored - s.t5), strict=True):
            for size in (*rings, *others):
                mark = MARKERS[k] if size in rings else "*"
                ax.plot([size.tokens] * len(size.seeds), value(size), mark, color=PALETTE[k], ms=6, alpha=0.8)
                if size in others:
                    ax.annotate(size.lattice, (size.tokens, float(value(size)[0])), fontsize=8)
            if rings:
                means = [float(np.mean(value(size))) for size in rings]
                ax.plot([s.tokens for s in rings], means, marker="", color=PALETTE[k], label=f"rings, J2 = {j2:g}")
    axes[0, 0].set(xlabel="tokens", ylabel="R of t5 at the end  (no units)", yscale="log", xscale="log")
    axes[0, 1].set(xlabel="tokens", ylabel="log10(error of factored / error of t5)", xscale="log")
    counts = sorted({size.tokens for size in found})
    for ax in axes[0]:
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.minorticks_off()
        _finish(ax)
    return fig


def _finish(ax: Axes) -> None:
    """A legend, or a word where there is nothing to show."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    else:
        _nothing(ax)


def _nothing(ax: Axes) -> None:
    """What an empty panel says."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.minorticks_off()
    ax.text(0.5, 0.5, "not on the shelf yet", transform=ax.transAxes, ha="center", va="center", fontsize=12)
