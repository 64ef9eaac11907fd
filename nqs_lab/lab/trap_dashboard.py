"""The dashboard of notebook 05: sign rule, J2, sampling and seed of a shipped run; what it learnt, and what it saw."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nqs_lab.lab import plots_05
from nqs_lab.lab.notebook import PALETTE, LabFigure, panels
from nqs_lab.lab.signs import CLASSES
from nqs_lab.lab.trap_results import Run, Runs, load_traps
from nqs_lab.lab.trap_settings import EXACT, J2_VALUES, RULES
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message

N_SITES = 16
NETWORK = "RBM 4"
SAMPLINGS = {"exact sum": EXACT, "256 samples": 256}
FLOOR = 1e-6
_TITLE: dict[str, Any] = {"style": {"description_width": "90px", "button_width": "auto"}}


class TrapDashboard(Dashboard):
    """One shipped run at a time: its learning curve against the exact energy, the variance it reports, and its signs.

    Nothing is computed and nothing interpolated: moving a control looks a run up.

    Arguments: runs, what `load_traps` returns (the default).
    """

    def __init__(self, runs: Runs | None = None):
        self.runs = load_traps() if runs is None else runs
        self.lock = threading.RLock()
        self._shown: Run | None = None
        self._draw_panels()
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def shown(self) -> Run:
        """The run in the picture."""
        assert self._shown is not None
        return self._shown

    def choose(self, *, j2: float, sign: str, sampling: str = "exact sum", seed: int = 1) -> None:
        """Show the run with these settings, `seed` from 1; ValueError, and no change, if it was not shipped."""
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling should be one of {list(SAMPLINGS)}, got {sampling!r}")
        self._find(j2, sign, sampling, seed)
        with self.lock:
            wanted = ((self.j2, j2), (self.sign, sign), (self.sampling, sampling), (self.seed, seed))
            for control, _ in wanted:
                control.unobserve(self._show, names="value")
            for control, value in wanted:
                control.value = value
                control.observe(self._show, names="value")
            self._show()

    def static(self) -> LabFigure:
        """All exact-sum runs without a kernel: learning curves above, signs by class below, a column for each J2."""
        fig, axes = panels(2, len(J2_VALUES), size=(11.0, 6.4))
        for ax, low, j2 in zip(*axes, J2_VALUES, strict=True):
            for k, sign in enumerate(RULES):
                colour, group = plots_05.RULE_COLOURS[sign], self._group(j2, sign, EXACT)
                for n, run in enumerate(group):
                    label = plots_05.RULE_NAMES[sign] if n == 0 else None
                    ax.semilogy(*_error(run), color=colour, marker="", linewidth=1.0, label=label)
                right = np.mean([run["classes"]["right"] for run in group], axis=0)
                low.bar(np.arange(len(CLASSES)) + 0.25 * (k - 1), right, width=0.22, color=colour)
            exact = group[0]["classes"]["exact"]
            low.bar(range(len(CLASSES)), exact, width=0.8, facecolor="none", edgecolor="black", linewidth=1.2)
            low.set_xticks(range(len(CLASSES)), _class_names())
            low.set(ylim=(0, 0.8), xlabel="which rule has the exact sign")
            low.grid(axis="x", visible=False)
            ax.set(title=f"J2 = {j2:g}", xlabel="step", ylim=(1e-4, 3))
        axes[0, 0].set_ylabel("relative error of the energy")
        axes[1, 0].set_ylabel("weight in the exact state,\nand where signs are right")
        axes[0, 0].legend(loc="upper right", fontsize=8)
        return fig

    # ------------------------------------------------------------------ the numbers

    def _group(self, j2: float, sign: str, samples: int) -> list[Run]:
        """All seeds of a setting."""
        return self.runs.select(network=NETWORK, j2=j2, sign=sign, samples=samples, rate=0.1)

    def _find(self, j2: float, sign: str, sampling: str, seed: int) -> tuple[Run, list[Run]]:
        """A run and its whole group; ValueError in words for a reader."""
        try:
            group = self._group(j2, sign, SAMPLINGS[sampling])
        except ValueError:
            raise ValueError(
                f"{sampling} at J2 = {j2:g} with {plots_05.RULE_NAMES.get(sign, sign)!r} was not run: samples only at "
                "J2 = 0.5, exact sums at 0, 0.5 and 1, rules none, neel and stripe"
            ) from None
        if not 1 <= seed <= len(group):
            raise ValueError(f"seeds run from 1 to {len(group)}, got {seed}")
        return group[seed - 1], group

    # ------------------------------------------------------------------ the picture

    def _draw_panels(self) -> None:
        """The background, once, and the artists that move."""
        self.figure, axes = panels(1, 3, size=(11.4, 3.8))
        left, middle, right = axes[0]
        longest = max(
            len(run.energy) for run in self.runs.runs if run.setting.network == NETWORK and run.setting.rate == 0.1
        )
        line: dict[str, Any] = {"marker": ""}
        self._others = [left.semilogy([1], [1], color="#bbbbbb", linewidth=0.9, **line)[0] for _ in range(5)]
        (self._curve,) = left.semilogy([1], [1], color=PALETTE[0], linewidth=1.8, label="this run", **line)
        self._others[0].set_label("other seeds")
        left.set(xlim=(0, longest), ylim=(1e-4, 10), xlabel="step", ylabel="|E \u2212 E_exact| / |E_exact|")
        left.set_title("energy of the run")
        left.legend(loc="upper right", fontsize=8)
        (self._seen,) = middle.semilogy([1], [1], color=PALETTE[0], linewidth=1.2, label="what the run reports", **line)
        (self._true,) = middle.semilogy(
            [1], [1], color="black", linestyle="--", label="final state, whole basis", **line
        )
        middle.set(xlim=(0, longest), ylim=(FLOOR, 1e5), xlabel="step", ylabel="variance of H  (units of J1$^2$)")
        middle.set_title("variance")
        middle.legend(loc="upper right", fontsize=8)
        self._bars = []
        for share, looks in (("exact", {"facecolor": "none", "edgecolor": "black", "linewidth": 1.2}), ("right", {})):
            for k in range(len(CLASSES)):
                colour = looks or {"facecolor": plots_05.CLASS_COLOURS[k]}
                self._bars.append((share, k, right.bar([k], [0.1], width=0.6, **colour)[0]))
        right.set_xticks(range(len(CLASSES)), _class_names())
        right.tick_params(axis="x", labelsize=8)
        right.set(ylim=(0, 0.8), xlabel="which rule has the exact sign", ylabel="weight (filled: sign is right)")
        right.set_title("signs")
        right.grid(axis="x", visible=False)
        bars = [bar for share in ("right", "exact") for name, _, bar in self._bars if name == share]
        self.picture = Picture(self.figure, [*self._others, self._curve, self._seen, self._true, *bars], width=1100)

    def _show(self, *_: Any) -> None:
        """Put the chosen run into the picture and into words; a combination that was not run is said, not drawn."""
        with self.lock:
            chosen: Any = (self.j2.value, self.sign.value, self.sampling.value, self.seed.value)
            try:
                run, group = self._find(*chosen)
            except ValueError as error:
                self.status.value = message(str(error), alarm=True)
                return
            self._shown, self.status.value = run, ""
            for line, other in zip(self._others, group, strict=True):
                line.set_data(*_error(other))
            self._curve.set_data(*_error(run))
            steps = np.arange(1, len(run.variance) + 1)
            self._seen.set_data(steps, np.maximum(run.variance, FLOOR))
            self._true.set_data([0, 1e4], [max(run["variance"], FLOOR)] * 2)
            for share, k, bar in self._bars:
                bar.set_height(run["classes"][share][k])
            self.picture.refresh()
            self.summary.value = message(in_words(run))

    # ------------------------------------------------------------------ the controls

    def _make_controls(self) -> None:
        """Four rows of buttons; each has a name and a tooltip."""
        make = lambda options, name, tip: ipywidgets.ToggleButtons(
            options=options, description=name, tooltip=tip, **_TITLE
        )
        self.j2 = make([(f"{j2:g}", j2) for j2 in J2_VALUES], "J2 / J1", "Second-neighbour coupling in units of J1")
        self.sign = make([(plots_05.RULE_NAMES[s], s) for s in RULES], "sign rule", "The sign put before the network")
        self.sampling = make(list(SAMPLINGS), "averages", "How a training step averages over configurations")
        self.seed = make([(str(k), k) for k in range(1, 6)], "seed", "Random numbers of the first weights and samples")
        self.summary, self.status = ipywidgets.HTML(), ipywidgets.HTML()
        controls = [self.j2, self.sign, self.sampling, self.seed]
        for control in controls:
            control.observe(self._show, names="value")
        self.view = ipywidgets.VBox([*controls, self.status, self.picture.widget, self.summary])


# ---------------------------------------------------------------------- pure pieces


def in_words(run: Run) -> str:
    """Two sentences for those who cannot see the picture, and for copying."""
    s, parts = run.setting, run["classes"]
    how = "exact sum" if s.samples == EXACT else f"{s.samples} samples a step"
    shares = ", ".join(
        f"{name} {right:.3f} of {exact:.3f}"
        for name, right, exact in zip(CLASSES, parts["right"], parts["exact"], strict=True)
    )
    energies = f"E/N = {run['energy'] / N_SITES:.5f}, exact {run['exact'] / N_SITES:.5f} (units of J1, spins S)"
    return (
        f"J2 = {s.j2:g}, {plots_05.RULE_NAMES[s.sign]}, {how}, seed {s.seed}: {energies}; infidelity "
        f"{run['infidelity']:.4f}, sign accuracy {run['sign_accuracy']:.4f}; variance reported "
        f"{run['variance_seen']:.4f}, over the whole basis {run['variance']:.4f}; 99.9 % of the weight on "
        f"{run['crowd']:,} of 12,870 configurations. Right signs by class: {shares}."
    )


def _error(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the distance of the energy from the exact one as the run reports it."""
    return np.arange(1, len(run.energy) + 1), np.abs(run.energy / run["exact"] - 1)


def _class_names() -> list[str]:
    """The classes on two lines."""
    return [name.replace("Neel", "N\u00e9el").replace(" ", "\n", 1) for name in CLASSES]
