"""The dashboard of notebook 03: one walker on the 4x4 torus, its running mean, and two error bars that shrink."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.plots_03 import configuration, set_configuration
from nqs_lab.lab.walker_states import Walks, all_walks
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message
from nqs_lab.spins import SpinBasis, square

N_SITES = 16
FLOOR = 1e-5
_WIDE: dict[str, Any] = {"layout": {"width": "min(100%, 560px)"}, "style": {"description_width": "150px"}}


class WalkerDashboard(Dashboard):
    """Choose a trial state and a walker, and move the number of draws: configuration, running mean, error bars.

    All numbers are computed once, when the dashboard is made (about two seconds); moving a control only looks them up.

    Arguments: walks, one entry per trial state (default: all_walks()); the first state is shown first.
    """

    def __init__(self, walks: tuple[Walks, ...] | None = None):
        self.walks = {w.state.name: w for w in (all_walks() if walks is None else walks)}
        self.ground = min(w.state.energy for w in self.walks.values())
        self.configurations = SpinBasis(square(4)).configurations()
        self.lock = threading.RLock()
        first = next(iter(self.walks.values()))
        self._draw_panels(first)
        self._make_controls(first)
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    def choose(self, state: str | None = None, *, draws: int | None = None, walker: int | None = None) -> None:
        """Set the controls; ValueError for a state, a number of draws or a walker that is not there."""
        wanted = ((self.state, state), (self.draws, draws), (self.walker, walker))
        for control, value in wanted:
            options = [option[1] if isinstance(option, tuple) else option for option in control.options]
            if value is not None and value not in options:
                raise ValueError(f"{control.description} should be one of {options}, got {value!r}")
        for control, value in wanted:
            if value is not None:
                control.value = value

    def static(self, draws: int = 1024) -> LabFigure:
        """The same numbers without a kernel: running means of all walkers on every state, with the binned error bars.

        Raises ValueError for a number of draws that the slider does not have.
        """
        fig, axes = panels(1, len(self.walks), size=(2.6 * len(self.walks) + 0.6, 3.3))
        for ax, walks in zip(axes[0], self.walks.values(), strict=True):
            k = self._place(walks, draws)
            for w in range(walks.mean.shape[1]):
                n, mean = _running_mean(walks, w, draws)
                ax.plot(n, mean, color=PALETTE[5], linewidth=0.8, marker="")
            spots = draws * 1.15 ** np.arange(1, walks.mean.shape[1] + 1)
            errors = dict(linestyle="none", capsize=2, markersize=3)
            ax.errorbar(spots, walks.mean[k] / N_SITES, walks.binned[k] / N_SITES, color=PALETTE[0], **errors)
            line: dict[str, Any] = {"linewidth": 1.2, "marker": ""}
            ax.axhline(self.ground / N_SITES, color=PALETTE[2], linestyle="--", label="ground state", **line)
            ax.axhline(walks.state.energy / N_SITES, color=PALETTE[1], linestyle=":", label="this state", **line)
            ax.set(xscale="log", title=walks.state.name, xlabel="draws", ylim=(-0.62, -0.22))
            ax.title.set_fontsize(9)
        axes[0, 0].set_ylabel("running mean of $E_{loc}/N$  (J1, spins S)")
        axes[0, 0].legend(loc="upper left", fontsize=8, title="exact energy of", title_fontsize=8)
        return fig

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self, walks: Walks) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(1, 3, size=(10.4, 4.1))
        self._map_ax, mean_ax, error_ax = axes[0]
        configuration(self.configurations[walks.positions[0, 0]].reshape(4, 4), self._map_ax)
        self._map_ax.set_title("the walker's configuration")
        plain: dict[str, Any] = {"marker": "", "linewidth": 1.6}
        (self._curve,) = mean_ax.plot([1], [0], color=PALETTE[0], label="running mean", **plain)
        (self._naive,) = mean_ax.plot([1], [0], color=PALETTE[1], label="naive error", marker="", linewidth=5)
        (self._binned,) = mean_ax.plot([1], [0], color="black", label="binned error", **plain)
        (self._own,) = mean_ax.plot([1], [0], color=PALETTE[3], linestyle=":", label="this state, exactly", **plain)
        mean_ax.axhline(self.ground / N_SITES, color=PALETTE[2], linestyle="--", marker="", label="ground state")
        longest = int(walks.draws[-1])
        mean_ax.set(xscale="log", xlim=(1, 1.6 * longest), ylim=(-0.66, -0.22), title="mean over the draws so far")
        mean_ax.set(xlabel="draws (proposed exchanges)", ylabel="$E/N$  (units of J1, spins S)")
        # Below the axes: the curves of the four states leave no corner free.
        mean_ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=8, columnspacing=1.0)
        names = ("naive error", "binned error", "true distance")
        looks = ((PALETTE[1], "s", "-"), ("black", "o", "-"), (PALETTE[0], "x", ":"))
        self._errors = [
            error_ax.plot([1], [1], color=c, marker=m, linestyle=l, markersize=4, linewidth=1.1, label=name)[0]
            for name, (c, m, l) in zip(names, looks, strict=True)
        ]
        error_ax.set(xscale="log", yscale="log", xlim=(10, 1.6 * longest), ylim=(FLOOR, 0.2), title="its error bars")
        error_ax.set(xlabel="draws (proposed exchanges)", ylabel="error of $E/N$  (units of J1, spins S)")
        error_ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=8, columnspacing=1.0)
        lines = [self._curve, self._naive, self._binned, self._own, *self._errors]
        self.picture = Picture(self.figure, [self._map_ax.images[0], *self._map_ax.texts, *lines], width=1040)

    def _show(self, *_: Any) -> None:
        """Put the chosen numbers into the picture and into words."""
        with self.lock:
            walks, n, w = self.walks[str(self.state.value)], int(str(self.draws.value)), int(str(self.walker.value)) - 1
            k = self._place(walks, n)
            set_configuration(self._map_ax, self.configurations[walks.positions[n, w]].reshape(4, 4))
            self._curve.set_data(*_running_mean(walks, w, n))
            mean = walks.mean[k, w] / N_SITES
            for line, error in ((self._naive, walks.naive[k, w]), (self._binned, walks.binned[k, w])):
                line.set_data([n, n], [mean - error / N_SITES, mean + error / N_SITES])
            own = walks.state.energy
            self._own.set_data([1, 1.6 * walks.draws[-1]], [own / N_SITES] * 2)
            columns = (walks.naive[:, w], walks.binned[:, w], np.abs(walks.mean[:, w] - own))
            for line, values in zip(self._errors, columns, strict=True):
                line.set_data(walks.draws[: k + 1], np.maximum(values[: k + 1] / N_SITES, FLOOR / 10))
            self.picture.refresh()
            self.summary.value = message(self._in_words(walks, k, w))

    def _in_words(self, walks: Walks, k: int, w: int) -> str:
        """One or two sentences for those who cannot see the picture, and for copying."""
        mean, naive, binned = (values[k, w] / N_SITES for values in (walks.mean, walks.naive, walks.binned))
        state, n = walks.state, int(walks.draws[k])
        moved = np.mean(np.diff(walks.positions[: n + 1, w]) != 0)
        errors = f"naive error {naive:.5f}, binned {binned:.5f}"
        if naive < 1e-8:
            errors = "both error bars are zero: every draw gave the same local energy"
        return (
            f"{state.name}, walker {w + 1}, {n:,} draws: E/N = {mean:.5f}, {errors}; {100 * moved:.0f} % of the "
            f"proposals accepted. Exactly: this state {state.energy / N_SITES:.6f}, ground state "
            f"{self.ground / N_SITES:.6f} (units of J1, spins S); |H psi - E psi|\u00b2 over all configurations: "
            f"{abs(state.variance):.4f}."
        )

    def _place(self, walks: Walks, draws: int) -> int:
        """The row of a number of draws."""
        if draws not in walks.draws:
            raise ValueError(f"draws should be one of {walks.draws.tolist()}, got {draws}")
        return int(np.flatnonzero(walks.draws == draws)[0])

    # ------------------------------------------------------------------ the controls

    def _make_controls(self, walks: Walks) -> None:
        """Which state, which walker, how many draws; each has a name and a tooltip."""
        self.state = ipywidgets.Dropdown(
            options=list(self.walks), description="Trial state", tooltip="The state the walker samples", **_WIDE
        )
        self.walker = ipywidgets.Dropdown(
            options=[(f"walker {w + 1}", w + 1) for w in range(walks.mean.shape[1])],
            description="Which walker",
            tooltip="Walkers differ in their random numbers only; all start from the Neel pattern",
            **_WIDE,
        )
        self.draws = ipywidgets.SelectionSlider(
            options=[(f"{n:,}", int(n)) for n in walks.draws],
            description="Draws",
            tooltip="Proposed exchanges so far, in steps of a factor 1.41; arrow keys move one step",
            **_WIDE,
        )
        for control in (self.state, self.walker, self.draws):
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        self.view = ipywidgets.VBox([self.state, self.walker, self.draws, self.picture.widget, self.summary])


def _running_mean(walks: Walks, walker: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """(draws, mean so far per site) at every draw up to 64, then at 200 places evenly spaced in the logarithm."""
    energies = walks.state.local_energy[walks.positions[1 : draws + 1, walker]]
    mean = np.cumsum(energies) / np.arange(1, draws + 1) / N_SITES
    places = np.unique(np.concatenate([np.arange(1, min(draws, 64) + 1), np.geomspace(1, draws, 200).astype(int)]))
    return places, mean[places - 1]
