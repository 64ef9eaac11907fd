"""The sector microscope's picture: how far symmetries shrink the problem, and the lowest levels of every sector."""

from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from nqs_lab.lab.notebook import PALETTE, LabFigure, style
from nqs_lab.lab.sector_results import NAMES, Column, SectorLevels, memory, size_text

TOP = 2.6  # levels are shown up to this far above the ground state
RUNGS = ("all configurations", "$S^z = 0$", "+ momentum", "+ point group", "+ spin flip")
FLIP_COLOURS = {1: PALETTE[0], -1: PALETTE[1], 0: "#555555"}
_MOST = 40  # columns that the picture has room for


class Shown(NamedTuple):
    """A column of the picture: its name, flip (0: not resolved), number of states, levels above the ground state."""

    label: str
    flip: int
    dim: int
    gaps: Float[np.ndarray, " K"]


class View(NamedTuple):
    """What the microscope shows: a cluster, a J2, the ladder of dimensions (None: switched off) and the columns."""

    levels: SectorLevels
    j2: float
    energy: float
    rungs: tuple[int | None, ...]
    columns: tuple[Shown, ...]


def look(levels: SectorLevels, j2: float, *, momentum: bool, group: bool, flip: bool) -> View:
    """Resolve the spectrum as far as the symmetries in use allow.

    Raises: ValueError for a J2 that was not computed, or for the point group without a momentum (a rotation mixes
    momenta: its representations are given at the momenta that it keeps).
    """
    if group and not momentum:
        raise ValueError("the point group is resolved at a momentum that it keeps: switch the momentum on, too")
    row, energy = levels.levels[levels.index(j2)], levels.ground(j2)[1]
    gathered: dict[tuple[str, int], list[int]] = {}
    for c, column in enumerate(levels.columns):
        if column.irrep is None and not (group and _has_irreps(levels, column)):
            label = _place(column) if momentum else "all"
        elif column.irrep is not None and group:
            label = f"{_place(column)} {column.irrep}"
        else:
            continue
        gathered.setdefault((label, column.flip if flip else 0), []).append(c)
    columns = []
    for (label, sign), members in gathered.items():
        gaps = np.unique(np.round(row[members].ravel() - energy, 7))
        gaps = gaps[np.isfinite(gaps)]
        named = label + {0: "", 1: " +", -1: " \u2212"}[sign]
        columns.append(Shown(named, sign, _dimension(levels, members, momentum), gaps))
    return View(levels, j2, energy, _rungs(levels, j2, momentum, group, flip), tuple(columns))


def _has_irreps(levels: SectorLevels, column: Column) -> bool:
    """Whether the representations of the point group are resolved at this momentum."""
    return any(c.irrep is not None and c.momentum == column.momentum for c in levels.columns)


def _place(column: Column) -> str:
    """The momentum's name."""
    return NAMES.get(column.place, "other k")


def _dimension(levels: SectorLevels, members: list[int], momentum: bool) -> int:
    """States of a column; of several momenta in one column the largest counts."""
    found: dict[tuple[int, int], int] = {}
    for column in (levels.columns[c] for c in members):
        found[column.momentum] = found.get(column.momentum, 0) + column.dim * (1 if momentum else column.star)
    return max(found.values()) if momentum else sum(found.values())


def _rungs(levels: SectorLevels, j2: float, momentum: bool, group: bool, flip: bool) -> tuple[int | None, ...]:
    """Number of states after each step down the ladder, in the sector that holds the ground state."""
    ground, found = levels.ground(j2)[0], []
    for used in ((momentum, False, False), (momentum, group, False), (momentum, group, flip)):
        chosen = [
            c.dim * (1 if used[0] else c.star)
            for c in levels.columns
            if c.irrep == (ground.irrep if used[1] else None)
            and (not used[0] or c.momentum == ground.momentum)
            and (not used[2] or c.flip == ground.flip)
        ]
        found.append(sum(chosen))
    on = (momentum, group and ground.irrep is not None, flip)
    plain = sum(c.dim * c.star for c in levels.columns if c.irrep is None)
    steps = tuple(dim if active else None for dim, active in zip(found, on, strict=True))
    return (2**levels.lattice.n_sites, plain, *steps)


def in_words(view: View) -> str:
    """One line for those who cannot see the picture, and for copying."""
    lattice, n = view.levels.lattice, view.levels.lattice.n_sites
    smallest = min(dim for dim in view.rungs if dim is not None)
    home = min(view.columns, key=lambda column: column.gaps[0] if len(column.gaps) else np.inf)
    others = [(float(gap), c.label) for c in view.columns for gap in c.gaps if gap > 1e-6]
    following = min(others) if others else (np.nan, "none")
    vector, sparse, dense = (size_text(b) for b in memory(smallest, lattice))
    return (
        f"{lattice.name}, J2 = {view.j2:.2f}: ground state E0/N = {view.energy / n:.6f} in the sector {home.label}, "
        f"which has {smallest:,} of {view.rungs[1]:,} states with Sz = 0 (one vector {vector}, H sparse {sparse}, "
        f"H dense {dense}); next level {following[0]:.4f} above, in {following[1]}; {len(view.columns)} sectors shown "
        f"(exact, units of J1, spins S)."
    )


class SectorPanels:
    """Two axes: bars for the ladder of dimensions, and columns of levels; `update` shows another view.

    `artists` are those that move with J2, in drawing order; `labels` name the columns and change with the symmetries.
    """

    def __init__(self, bars: Axes, columns: Axes):
        self.bars, self.columns = bars, columns
        self._prepare_bars()
        self._prepare_columns()

    def _prepare_bars(self) -> None:
        """A logarithmic axis of states, and five rungs."""
        ax = self.bars
        ax.set_xscale("log")
        ax.set_xlim(1, 1e12)
        ax.set_xticks([1e0, 1e2, 1e4, 1e6, 1e8])
        ax.set_ylim(len(RUNGS) - 0.4, -0.6)
        ax.set_yticks(range(len(RUNGS)), RUNGS)
        ax.grid(False, axis="y")
        ax.set_xlabel("number of states")
        ax.set_title("the ladder to the ground state's sector")
        self._bars = ax.barh(range(len(RUNGS)), [1.0] * len(RUNGS), left=1.0, height=0.55, color=PALETTE[5]).patches
        self._notes = [ax.text(1.0, k, "", va="center", fontsize=8) for k in range(len(RUNGS))]

    def _prepare_columns(self) -> None:
        """The axis of levels; columns are placed in fractions of its width."""
        ax = self.columns
        ax.set_xlim(0, 1)
        ax.set_ylim(-0.08, TOP)
        ax.set_xticks([])
        ax.grid(False, axis="x")
        ax.set_ylabel("$E - E_0$  (units of $J_1$, spins $S$)")
        ax.set_title("up to four levels of each sector (blue: flip +1, orange: \u22121)")
        self._dashes = LineCollection([], linewidths=1.8)
        ax.add_collection(self._dashes)
        self._star = ax.plot([], [], marker="*", markersize=11, color="black", linestyle="none", clip_on=False)[0]
        below = {"transform": ax.get_xaxis_transform(), "rotation": 90, "ha": "center", "va": "top"}
        self.labels = [ax.text(0, -0.02, "", fontsize=7.5, **below) for _ in range(_MOST)]

    @property
    def artists(self) -> list[Any]:
        """What changes with J2; the labels are apart, because drawing turned text takes most of the time."""
        return [*self._bars, *self._notes, self._dashes, self._star]

    def update(self, view: View) -> None:
        """Show another view."""
        for patch, note, dim in zip(self._bars, self._notes, view.rungs, strict=True):
            patch.set_width(max(0.0, (dim or 1) - 1.0))
            note.set_x(1.6 * (dim or 0.8))
            if dim is None:
                note.set_text("off")
            else:
                _, sparse, dense = memory(dim, view.levels.lattice)
                note.set_text(f"{dim:,}\nH: {size_text(sparse)} sparse, {size_text(dense)} dense")
        count = len(view.columns)
        segments, colours = [], []
        for k, column in enumerate(view.columns):
            left, right = (k + 0.12) / count, (k + 0.88) / count
            for gap in column.gaps[column.gaps < TOP]:
                segments.append([(left, gap), (right, gap)])
                colours.append(FLIP_COLOURS[column.flip])
        self._dashes.set_segments(segments)
        self._dashes.set_color(colours)
        homes = [(k + 0.5) / count for k, c in enumerate(view.columns) if len(c.gaps) and c.gaps[0] < 1e-6]
        self._star.set_data(homes, [0.0] * len(homes))
        for k, label in enumerate(self.labels):
            shown = k < count
            label.set_text(f"{view.columns[k].label}  ({view.columns[k].dim:,})" if shown else "")
            label.set_x((k + 0.5) / count if shown else 0.0)


def empty_panels(rows: int) -> tuple[LabFigure, list[SectorPanels]]:
    """A figure with room for long labels below the columns, one row for each view."""
    with matplotlib.rc_context(style()):
        fig = LabFigure(figsize=(9.6, 4.3 * rows))
        grid = fig.add_gridspec(
            rows, 2, width_ratios=(1, 1.5), left=0.145, right=0.985, top=1 - 0.28 / (4.3 * rows),
            bottom=1.05 / (4.3 * rows), hspace=0.45, wspace=0.13,
        )  # fmt: skip
        return fig, [SectorPanels(fig.add_subplot(grid[k, 0]), fig.add_subplot(grid[k, 1])) for k in range(rows)]


def static_figure(views: list[View]) -> LabFigure:
    """The same picture without a kernel, one row for each view."""
    fig, panels = empty_panels(len(views))
    for panel, view in zip(panels, views, strict=True):
        panel.update(view)
        panel.columns.set_title(f"{view.levels.lattice.name}, $J_2$ = {view.j2:g} (blue: flip +1, orange: \u22121)")
    return fig
