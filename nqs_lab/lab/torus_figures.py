"""The pictures of the 6x6 runs: the ladder of energies, C(r), S(q) along a path, and the training curve."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from nqs_lab.lab.large.correlating import Correlations
from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.published import EXACT, published
from nqs_lab.lab.torus_results import LATTICE, State, Torus
from nqs_lab.lab.widgets import Picture

OURS, OTHERS = PALETTE[1], PALETTE[0]
FLOOR = 2e-6  # where the logarithmic axis of errors begins; what lies below is drawn on it
MOST = 12  # rows of the ladder: at most six published ones and six states of ours
PATH = ((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (2, 2), (1, 1), (0, 0), (0, 1), (0, 2), (0, 3))
CORNERS = {0: "\u0393", 3: "X", 6: "M", 9: "\u0393", 12: "Y"}  # places on the path
STEPS = 2000


def distance_of(site: int) -> float:
    """|r| of a displacement on the torus (lattice constants)."""
    lx, ly = LATTICE.shape or (1, 1)
    x, y = LATTICE.coordinates[site]
    return float(np.hypot(min(x, lx - x), min(y, ly - y)))


def reflected(site: int) -> int:
    """The displacement with x and y exchanged."""
    x, y = LATTICE.coordinates[site]
    return LATTICE.site(y, x)


def on_path(found: Correlations) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """S(q) and its error along Gamma-X-M-Gamma-Y."""
    momenta = found.momenta.tolist()
    rows = [momenta.index(list(LATTICE.fold(*k))) for k in PATH]
    return found.s[rows], found.s_error[rows]


def exact_on_path(torus: Torus, j2: float) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Places on the path where S(q) is known exactly, and the values: Gamma, X, M and Y."""
    order = torus.exact(j2).order
    known = {0: "total spin", 3: "stripe", 6: "neel", 9: "total spin", 12: "stripe"}
    return np.array(list(known)), np.array([float(order[name] or 0.0) for name in known.values()])


def smoothed(values: Float[np.ndarray, " T"], width: int) -> Float[np.ndarray, " T"]:
    """Mean of the last `width` entries, fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - width)
    return (total[stop] - total[start]) / (stop - start)


class Board:
    """Two panels of one quantity, whose artists move; `show` puts a state in, `blank` says why there is none."""

    def __init__(self, size: tuple[float, float] = (11.4, 3.9), axes: Any = None):
        if axes is None:
            self.figure, grid = panels(1, 2, size=size)
            axes = grid[0]
        else:
            self.figure = axes[0].figure
        self.left, self.right = axes
        self.moving: list[Any] = []
        self.build()
        self.titles = [
            ax.text(0.5, 1.03, "", transform=ax.transAxes, ha="center", fontsize=10) for ax in (self.left, self.right)
        ]
        self.moving += self.titles

    def build(self) -> None:
        """Axes and empty artists."""

    def put(self, torus: Torus, state: State) -> tuple[str, str]:
        """Move the artists; the titles of both panels."""
        raise ValueError(f"{type(self).__name__} has no picture of its own; take one of BOARDS")

    def show(self, torus: Torus, state: State) -> None:
        """A state of the shelf."""
        for title, text in zip(self.titles, self.put(torus, state), strict=True):
            title.set_text(text)

    def blank(self, text: str) -> None:
        """Nothing but a title."""
        for artist in self.moving:
            artist.set_visible(False)
        self.titles[0].set_text(text)
        self.titles[0].set_visible(True)

    def visible(self) -> None:
        """Undo `blank`."""
        for artist in self.moving:
            artist.set_visible(True)

    def picture(self) -> Picture:
        """Ready for a widget: the layout is fixed while the titles have text, then the artists may move."""
        for title in self.titles:
            title.set_text("title")
        self.figure.canvas.draw()
        assert isinstance(self.figure, LabFigure)
        self.figure.set_layout_engine("none")
        return Picture(self.figure, self.moving, width=1000)


class ErrorBars:
    """Points with vertical bars that can be moved."""

    def __init__(self, ax: Axes, color: str, marker: str, label: str | None = None):
        self.points = ax.plot([], [], marker, color=color, label=label, ms=6, zorder=3)[0]
        self.bars = ax.vlines([], [], [], color=color, linewidth=1.8, zorder=3)

    @property
    def all(self) -> list[Any]:
        """In drawing order."""
        return [self.bars, self.points]

    def set(self, x: Sequence[float | int], y: Sequence[float], error: Sequence[float]) -> None:
        """New data."""
        self.points.set_data(x, y)
        self.bars.set_segments([np.array([[a, b - e], [a, b + e]]) for a, b, e in zip(x, y, error, strict=True)])


class EnergyBoard(Board):
    """Left: relative errors of the energy, ours among the published ones. Right: V-score against relative error."""

    def build(self) -> None:
        left, right = self.left, self.right
        left.set(xscale="log", xlim=(FLOOR, 0.3), ylim=(MOST - 0.4, -0.6), xlabel="relative error of the energy")
        left.set_yticks([])
        left.grid(False, axis="y")
        self.bars = left.barh(range(MOST), [1.0] * MOST, left=FLOOR, height=0.6).patches
        self.spread = left.hlines([], [], [], color="black", linewidth=1.6)
        self.names = [left.text(FLOOR * 1.15, k, "", va="center", fontsize=8.5) for k in range(MOST)]
        right.set(xscale="log", yscale="log", xlim=(FLOOR, 0.3), ylim=(1e-5, 1.0))
        right.set(xlabel="relative error of the energy", ylabel="V-score  (no units)")
        self.others = right.plot([], [], "o", color=OTHERS, label="published")[0]
        self.ours = right.plot([], [], "s", color=OURS, label="ours")[0]
        self.chosen = right.plot([], [], "o", ms=15, mfc="none", mec="black", mew=1.6, label="chosen")[0]
        right.legend(loc="upper left", fontsize=8)
        self.moving = [*self.bars, self.spread, *self.names, self.others, self.ours, self.chosen]

    def put(self, torus: Torus, state: State) -> tuple[str, str]:
        j2 = state.row.setting.j2
        rows = [(1 - r.energy / state.exact, 0.0, r.method, r.v_score) for r in published(j2) if r.method != EXACT]
        mine = [(s.relative_error, s.relative_spread, s.name, s.v_score) for s in torus.states(j2)]
        listed = sorted([(*r, False) for r in rows] + [(*m, True) for m in mine], key=lambda r: -r[0])[:MOST]
        bars = []
        for k, (bar, text) in enumerate(zip(self.bars, self.names, strict=True)):
            if k >= len(listed):
                bar.set_width(0.0)
                text.set_text("")
                continue
            error, spread, name, _, own = listed[k]
            at = max(error, FLOOR)
            bar.set_width(at - FLOOR)
            bar.set_color(OURS if own else "#9ec5e3")
            own_row = own and name == state.name
            text.set_text(f"{name}   {error:.1e}" + (" \u00b1 " + f"{spread:.0e}" if own else ""))
            text.set_fontweight("bold" if own_row else "normal")
            if own:
                bars.append(np.array([[max(at - spread, FLOOR), k], [at + spread, k]]))
        self.spread.set_segments(bars)
        scored = [r for r in rows if r[3] is not None]
        self.others.set_data([r[0] for r in scored], [r[3] for r in scored])
        self.ours.set_data([max(m[0], FLOOR) for m in mine], [m[3] for m in mine])
        self.chosen.set_data([max(state.relative_error, FLOOR)], [state.v_score])
        return f"6x6, J2 = {j2:g}: ours (orange) among published energies", "two numbers that should fall together"


class CorrelationBoard(Board):
    """Left: C(r) against distance. Right: C at r against C at the reflected r, which a symmetric state has equal."""

    def build(self) -> None:
        left, right = self.left, self.right
        left.axhline(0, color="#888888", linewidth=0.8, marker="")
        left.set(xlim=(0.8, 4.4), ylim=(-0.42, 0.42), xlabel="distance |r|  (lattice constants)")
        left.set_ylabel(r"$C(r)=\langle\mathbf{S}_0\cdot\mathbf{S}_r\rangle$")
        self.all_r = ErrorBars(left, OURS, "s")
        right.set(xlim=(-0.42, 0.42), ylim=(-0.42, 0.42), xlabel="C(x, y)", ylabel="C(y, x)")
        right.plot(
            [-0.5, 0.5], [-0.5, 0.5], color="#888888", linewidth=0.8, marker="", label="equal: as in the exact state"
        )
        self.pairs = ErrorBars(right, OTHERS, "o")
        right.legend(loc="upper left", fontsize=8)
        self.moving = [*self.all_r.all, *self.pairs.all]

    def put(self, torus: Torus, state: State) -> tuple[str, str]:
        found = torus.correlations(state)
        assert found is not None
        sites = range(1, LATTICE.n_sites)
        self.all_r.set([distance_of(r) for r in sites], found.c[1:].tolist(), found.c_error[1:].tolist())
        pairs = [(r, reflected(r)) for r in sites if r < reflected(r)]
        spread = [float(np.hypot(found.c_error[a], found.c_error[b])) for a, b in pairs]
        self.pairs.set([found.c[a] for a, _ in pairs], [found.c[b] for _, b in pairs], spread)
        j2 = state.row.setting.j2
        return f"{state.name}, J2 = {j2:g}: all 35 displacements", "rows against columns"


class StructureBoard(Board):
    """Left: S(q) along a path beside what is known exactly. Right: S(q) at all 36 wave vectors, with numbers."""

    def build(self) -> None:
        left, right = self.left, self.right
        left.set(xlim=(-0.4, len(PATH) - 0.6), ylim=(-0.3, 8.6), ylabel="S(q)  (spins S, no units)")
        left.set_xticks(list(CORNERS), list(CORNERS.values()))
        left.set_xlabel("wave vector q:  X = (\u03c0, 0),  M = (\u03c0, \u03c0),  Y = (0, \u03c0)")
        self.line = left.plot([], [], "-", color=OURS, linewidth=0.8, marker="")[0]
        self.path = ErrorBars(left, OURS, "s", "ours")
        self.exact = left.plot([], [], "_", color="black", ms=16, mew=2.4, label="exact")[0]
        left.legend(loc="upper left", fontsize=8)
        self.image = right.pcolormesh(np.arange(7) - 0.5, np.arange(7) - 0.5, np.zeros((6, 6)), cmap="cividis")
        self.numbers = [right.text(x, y, "", ha="center", va="center", fontsize=8) for y in range(6) for x in range(6)]
        right.set_aspect("equal")
        ticks = ["0", "\u03c0/3", "2\u03c0/3", "\u03c0", "4\u03c0/3", "5\u03c0/3"]
        right.set_xticks(range(6), ticks)
        right.set_yticks(range(6), ticks)
        right.set(xlabel="$q_x$  (1 / lattice constant)", ylabel="$q_y$")
        right.grid(False)
        self.moving = [self.line, *self.path.all, self.exact, self.image, *self.numbers]

    def put(self, torus: Torus, state: State) -> tuple[str, str]:
        found = torus.correlations(state)
        assert found is not None
        s, error = on_path(found)
        places = np.arange(len(PATH))
        self.line.set_data(places, s)
        self.path.set(places.tolist(), s.tolist(), error.tolist())
        self.exact.set_data(*exact_on_path(torus, state.row.setting.j2))
        grid = np.zeros((6, 6))
        for (kx, ky), value in zip(found.momenta.tolist(), found.s, strict=True):
            grid[ky, kx] = value
        self.image.set_array(grid)
        self.image.set_clim(0.0, float(grid.max()))
        for text, value in zip(self.numbers, grid.ravel(), strict=True):
            text.set_text(f"{value:.2f}")
            text.set_color("black" if value > 0.5 * grid.max() else "white")
        j2 = state.row.setting.j2
        return f"{state.name}, J2 = {j2:g}", "S(q) of the same state"


class TrainingBoard(Board):
    """Left: relative error during training. Right: energy above the exact one against the variance, both per site."""

    def build(self) -> None:
        left, right = self.left, self.right
        left.set(yscale="log", xlim=(-40, STEPS + 40), ylim=(1e-4, 1.0), xlabel="optimisation step")
        left.set_ylabel("relative error of the energy")
        self.curve = left.plot([], [], "-", color=OTHERS, linewidth=1.0, marker="", label="mean of 20 steps")[0]
        self.fresh = ErrorBars(left, OURS, "s", "fresh samples at the end")
        self.level = left.hlines([], [], [], color="#888888", linewidth=0.9, linestyle=":")
        looks = {"fontsize": 7.5, "va": "bottom", "color": "#555555"}
        self.labels = [left.text(0, 1, "", **looks) for _ in range(6)]
        left.legend(loc="upper right", fontsize=8)
        right.set(xscale="log", yscale="log", xlim=(1e-4, 1.0), ylim=(1e-4, 1.0))
        right.set(xlabel="variance of H per site  (J1$^2$)", ylabel="E/N above the exact one  (J1)")
        self.trail = right.plot([], [], "o", color=OTHERS, ms=3, label="training, mean of 20 steps")[0]
        self.end = right.plot([], [], "s", color=OURS, label="fresh samples")[0]
        right.legend(loc="upper left", fontsize=8)
        self.moving = [self.level, self.curve, *self.labels, *self.fresh.all, self.trail, self.end]

    def put(self, torus: Torus, state: State) -> tuple[str, str]:
        arrays, n = torus.arrays(state.row), LATTICE.n_sites
        energy = smoothed(arrays["energy"].astype(np.float64), 20) / n
        variance = smoothed(arrays["variance"].astype(np.float64), 20) / n
        above, steps = np.maximum(energy - state.exact, 1e-9), np.arange(1, len(energy) + 1)
        self.curve.set_data(steps, above / abs(state.exact))
        self.fresh.set([float(steps[-1])], [max(state.relative_error, 1e-9)], [state.relative_spread])
        rows = [r for r in published(state.row.setting.j2) if r.method != EXACT and 1 - r.energy / state.exact > 1e-4]
        marks = [(r.method, 1 - r.energy / state.exact) for r in rows]
        self.level.set_segments([np.array([[-40, y], [STEPS + 40, y]]) for _, y in marks])
        for k, text in enumerate(self.labels):
            text.set_text(marks[k][0] if k < len(marks) else "")
            text.set_position((0.35 * STEPS, marks[k][1] if k < len(marks) else 1.0))
        self.trail.set_data(variance[::20], above[::20])
        self.end.set_data([state.variance / n], [max(state.energy - state.exact, 1e-9)])
        return f"{state.name}, J2 = {state.row.setting.j2:g}: training", "zero variance, zero error"


BOARDS: dict[str, type[Board]] = {
    "energy": EnergyBoard,
    "C(r)": CorrelationBoard,
    "S(q)": StructureBoard,
    "training": TrainingBoard,
}
