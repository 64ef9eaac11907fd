"""The dashboard of notebook 07: coupling, attention, projection and quantity of the 6x6 runs, ours beside exact."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from nqs_lab.lab.notebook import LabFigure, panels
from nqs_lab.lab.torus_figures import BOARDS, Board
from nqs_lab.lab.torus_results import (
    COUPLINGS,
    KINDS,
    LATTICE,
    PROJECTIONS,
    State,
    Torus,
    best_state,
    load_torus,
    place_among,
    published,
    pull,
)
from nqs_lab.lab.widgets import Dashboard, Picture, ipywidgets, message
from nqs_lab.vmc.estimate import with_error

_LABEL: dict[str, Any] = {"style": {"description_width": "80px"}}
NEEDS_CORRELATIONS = ("C(r)", "S(q)")


class Choice(NamedTuple):
    """What the controls say, read once: another thread may move them while a picture is drawn."""

    j2: float
    attention: str
    projection: str
    quantity: str


class TorusDashboard(Dashboard):
    """Shipped 6x6 runs: energies among published ones, C(r), S(q) and the training, always beside what is exact.

    Every picture comes from stored numbers, within milliseconds; what is not on the shelf is named instead.

    Arguments: `torus`: the shelf (default: the shipped one).
    Raises ValueError if the shelf is empty.
    """

    def __init__(self, torus: Torus | None = None):
        self.torus = load_torus() if torus is None else torus
        self.lock = threading.RLock()
        self.boards: dict[str, Board] = {name: board() for name, board in BOARDS.items()}
        self.pictures: dict[str, Picture] = {name: board.picture() for name, board in self.boards.items()}
        self.picture = self.pictures["energy"]
        self._make_controls()
        self._show()

    # ------------------------------------------------------------------ what a reader or a test may call

    @property
    def choice(self) -> Choice:
        """What the controls say."""
        j2 = float(str(self.j2.value))
        return Choice(j2, str(self.kind.value), str(self.projection.value), str(self.quantity.value))

    def state(self, choice: Choice | None = None) -> State | None:
        """The state asked for; None where it is not on the shelf."""
        j2, attention, projection, _ = choice or self.choice
        row = self.torus.find(attention, j2)
        return None if row is None else self.torus.state(row, projection)

    def why_not(self, choice: Choice | None = None) -> str | None:
        """Why there is nothing to show, with what to do; None where there is."""
        j2, attention, projection, quantity = choice = choice or self.choice
        row, state = self.torus.find(attention, j2), self.state(choice)
        if row is None:
            return f"{attention} at J2 = {j2:g} is not on the shelf; train it with: {self.torus.shelf.command}"
        if state is None:
            have = [f"{s.row.setting.attention} at J2 = {s.row.setting.j2:g}" for s in self.torus.states()
                    if s.projection == projection]  # fmt: skip
            where = f"it is there for {', '.join(have)}" if have else "it is not there for any run yet"
            return f"the projection on {projection} was not measured for {attention} at J2 = {j2:g}; {where}"
        if quantity in NEEDS_CORRELATIONS and self.torus.correlations(state) is None:
            return f"{quantity} was measured as trained and for the full projection only; choose one of these"
        return None

    def static(self, j2: float | None = None) -> LabFigure:
        """Without a kernel: all four quantities of the best state of a coupling (default: the first on the shelf)."""
        j2 = self.torus.rows[0].setting.j2 if j2 is None else j2
        states = self.torus.states(j2)
        if not states:
            raise ValueError(f"no run at J2 = {j2:g} is on the shelf; train it with: {self.torus.shelf.command}")
        fig, axes = panels(4, 2, size=(11.4, 15.0))
        for (name, kind), line in zip(BOARDS.items(), axes, strict=True):
            fit = [s for s in states if name not in NEEDS_CORRELATIONS or self.torus.correlations(s) is not None]
            kind(axes=line).show(self.torus, best_state(fit))
        return fig

    # ------------------------------------------------------------------ controls and drawing

    def _make_controls(self) -> None:
        """Coupling, attention, projection, quantity."""

        def toggle(name: str, options: list[Any], value: Any, tip: str) -> Any:
            return ipywidgets.ToggleButtons(
                options=options, value=value, description=name, tooltip=tip, tooltips=[tip] * len(options), **_LABEL
            )

        first = self.torus.rows[0].setting
        couplings = sorted({*COUPLINGS, *(row.setting.j2 for row in self.torus.rows)})
        self.j2 = toggle("J2", [f"{j2:g}" for j2 in couplings], f"{first.j2:g}", "coupling, units of J1")
        self.kind = toggle("attention", list(KINDS), first.attention, "what the attention weights depend on")
        self.quantity = toggle("show", list(BOARDS), "energy", "which quantity")
        self.projection = ipywidgets.Dropdown(
            options=list(PROJECTIONS), value="none", description="projection", tooltip="symmetry restored", **_LABEL
        )
        self.controls = (self.j2, self.kind, self.projection, self.quantity)
        for control in self.controls:
            control.observe(self._show, names="value")
        self.summary = ipywidgets.HTML()
        self.frame = ipywidgets.VBox([self.picture.widget])
        rows = [ipywidgets.HBox([self.j2, self.kind]), ipywidgets.HBox([self.projection, self.quantity])]
        self.view = ipywidgets.VBox([*rows, self.frame, self.summary])

    def _show(self, *_: Any) -> None:
        """Put the chosen state into the picture and the text."""
        with self.lock:
            choice = self.choice
            board, picture = self.boards[choice.quantity], self.pictures[choice.quantity]
            reason, state = self.why_not(choice), self.state(choice)
            if reason is not None or state is None:
                board.blank("nothing on the shelf for this choice: see the line below")
                self.summary.value = message(str(reason), alarm=True)
            else:
                board.visible()
                board.show(self.torus, state)
                self.summary.value = message(self._sentence(state, choice.quantity))
            picture.refresh()
            if picture is not self.picture:
                self.picture = picture
                self.frame.children = (picture.widget,)

    def _sentence(self, state: State, quantity: str) -> str:
        """The picture in words."""
        setting, j2 = state.row.setting, state.row.setting.j2
        text = f"6x6, J2 = {j2:g}, {setting.attention}, projection {state.projection} ({state.forwards} forwards): "
        if quantity == "C(r)":
            return text + self._bonds(state)
        if quantity == "S(q)":
            found, order = self.torus.correlations(state), self.torus.exact(j2).order
            assert found is not None
            parts = []
            for name, momenta, known in (
                ("S(pi, pi)", ("M",), order["neel"]),
                ("mean of S(pi, 0) and S(0, pi)", ("X", "Y"), order["stripe"]),
                ("S(0, 0)", ("Gamma",), order["total spin"]),
            ):
                value, error = found.at(LATTICE, *momenta)
                beside = "" if known is None else f", exact {known:.4f}, {pull(value, error, known):+.1f} errors away"
                parts.append(f"{name} = {with_error(value, error)}{beside}")
            return text + "; ".join(parts) + " (spins S)."
        text += f"E/N = {with_error(state.energy, state.error)}, exact {state.exact:.6f} (units of J1, spins S), "
        text += (
            f"relative error {state.relative_error:.1e} \u00b1 {state.relative_spread:.0e}, V-score {state.v_score:.1e}"
        )
        if quantity == "training":
            return f"{text}; {state.row['steps']} steps, {state.row['parameters']:,} parameters."
        return f"{text}; {place_among(state, published(j2))}."

    def _bonds(self, state: State) -> str:
        """C(r) in words: rows and columns, the largest distance, and the energy that the bonds add up to."""
        found, j2 = self.torus.correlations(state), state.row.setting.j2
        assert found is not None
        site = {r: LATTICE.site(*r) for r in ((1, 0), (0, 1), (1, 1), (1, 5), (3, 3))}
        parts = [f"C{r} = {with_error(found.c[site[r]], found.c_error[site[r]])}" for r in ((1, 0), (0, 1), (3, 3))]
        near, diagonal = ((site[1, 0], site[0, 1]), (site[1, 1], site[1, 5]))
        total = found.c[list(near)].sum() + j2 * found.c[list(diagonal)].sum()
        error = found.c_error[list(near)].sum() + j2 * found.c_error[list(diagonal)].sum()
        text = f"; the bonds add up to E/N = {with_error(float(total), float(error))}, exact {state.exact:.6f}"
        return "; ".join(parts) + f"{text} (units of J1, spins S). C(r) of the exact 6x6 state is not known to us."
