"""The 6x6 runs of notebook 07: which are there, every measured state as numbers per site, and tables in words."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nqs_lab as nl
from nqs_lab.lab.large.__main__ import DATA, shelf
from nqs_lab.lab.large.correlating import Correlations
from nqs_lab.lab.large.reference import Reference, reference
from nqs_lab.lab.large.running import trained_model
from nqs_lab.lab.large.setting import TORUS_J2, TYPES, Setting, make_lattice, settings_of
from nqs_lab.lab.published import EXACT, Published, published
from nqs_lab.lab.shelf import Row
from nqs_lab.vmc.estimate import with_error

PROJECTIONS = ("none", "translations", "space group", "space group and flip")
COUPLINGS = tuple(sorted(TORUS_J2))
KINDS = tuple(reversed(TYPES))
PLANNED = settings_of("torus")
LATTICE = make_lattice(PLANNED[0].lattice)


class State(NamedTuple):
    """One measured state: a run as it was trained ("none"), or projected on more and more symmetry; per site, J1."""

    row: Row[Setting]
    projection: str
    energy: float
    error: float
    variance: float
    v_score: float
    forwards: int

    @property
    def name(self) -> str:
        """Attention, and the projection if there is one."""
        kind = self.row.setting.attention
        return kind if self.projection == "none" else f"{kind}, {self.projection}"

    @property
    def exact(self) -> float:
        """Exact E/N."""
        return float(self.row["exact"]) / LATTICE.n_sites

    @property
    def relative_error(self) -> float:
        """(E - E0) / |E0|: negative only where chance puts the estimate below the exact energy."""
        return (self.energy - self.exact) / abs(self.exact)

    @property
    def relative_spread(self) -> float:
        """Its standard error."""
        return self.error / abs(self.exact)


class Torus:
    """The shelf of the 6x6 runs, asked by coupling, attention and projection.

    Arguments: `folder` that holds `large_torus` (default: the shipped one).
    Raises ValueError for a shelf without a single 6x6 run, or one that cannot be read.
    """

    def __init__(self, folder: Path = DATA):
        self.shelf = shelf("torus", folder)
        self.rows = [row for row in self.shelf.rows if row.setting.lattice == PLANNED[0].lattice]
        if not self.rows:
            raise ValueError(f"no 6x6 run is on the shelf; train them with: {self.shelf.command}")
        self._arrays: dict[str, dict[str, np.ndarray]] = {}

    def find(self, attention: str, j2: float) -> Row[Setting] | None:
        """The run of one attention type at one coupling, the first seed, or None."""
        same = [r for r in self.rows if r.setting.attention == attention and abs(r.setting.j2 - j2) < 1e-9]
        return min(same, key=lambda row: row.setting.seed, default=None)

    def missing(self) -> list[str]:
        """Names of the planned runs that are not there."""
        there = {row.setting.name for row in self.rows}
        return [setting.name for setting in PLANNED if setting.name not in there]

    def stock(self) -> str:
        """What is there and, in plain words, what is not and which command makes it."""
        missing, there = self.missing(), [f"{r.setting.attention} at J2 = {r.setting.j2:g}" for r in self.rows]
        text = f"{len(PLANNED) - len(missing)} of {len(PLANNED)} planned 6x6 runs are on the shelf: {'; '.join(there)}."
        if missing:
            text += f"\nNot there: {', '.join(missing)}.\nThe missing ones are trained by: {self.shelf.command}"
        return "\n".join(
            textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) for line in text.splitlines()
        )

    def states(self, j2: float | None = None) -> list[State]:
        """All measured states, of one coupling or of all, plain ones first, then the projected ones."""
        rows = [row for row in self.rows if j2 is None or abs(row.setting.j2 - j2) < 1e-9]
        return [s for p in PROJECTIONS for row in rows if (s := self.state(row, p)) is not None]

    def state(self, row: Row[Setting], projection: str) -> State | None:
        """One of them; None where that projection was not measured. ValueError for an unknown projection."""
        if projection not in PROJECTIONS:
            raise ValueError(f"projection should be one of {', '.join(PROJECTIONS)}; got {projection!r}")
        numbers: Any = row.numbers if projection == "none" else row.numbers.get("symmetrised", {}).get(projection)
        if numbers is None:
            return None
        n = LATTICE.n_sites
        return State(
            row,
            projection,
            numbers["energy"] / n,
            numbers["error"] / n,
            numbers["variance"],
            numbers["v_score"],
            numbers.get("forwards", 1),
        )

    def arrays(self, row: Row[Setting]) -> dict[str, np.ndarray]:
        """The arrays of a run, read once."""
        if row.setting.name not in self._arrays:
            self._arrays[row.setting.name] = self.shelf.arrays(row)
        return self._arrays[row.setting.name]

    def correlations(self, state: State) -> Correlations | None:
        """C(r) and S(q) with errors, or None: they were measured as trained and for the full projection only."""
        arrays = self.arrays(state.row)
        prefix = "" if state.projection == "none" else "symmetrised_"
        if state.projection not in (PROJECTIONS[0], PROJECTIONS[-1]) or f"{prefix}correlations" not in arrays:
            return None
        names = ("correlations", "correlations_error", "structure_factor", "structure_factor_error")
        c, c_error, s, s_error = (arrays[prefix + name].astype(np.float64) for name in names)
        return Correlations(c, c_error, arrays["momenta"].astype(np.int64), s, s_error)

    def model(self, row: Row[Setting]) -> nl.AbstractAnsatz:
        """The trained network, from its shipped weights."""
        return trained_model(row.setting, self.arrays(row)["weights"])

    @staticmethod
    def exact(j2: float) -> Reference:
        """Exact energy (total) and orders at one coupling; orders from schulz1996."""
        return reference(next(s for s in PLANNED if abs(s.j2 - j2) < 1e-9))


def load_torus() -> Torus:
    """The shipped 6x6 runs."""
    return Torus()


def pull(value: float, error: float, exact: float) -> float:
    """Distance from an exact value in standard errors; 0 where both distance and error vanish."""
    away = value - exact
    return away / error if error > 0 else (0.0 if abs(away) < 1e-12 else float(np.copysign(np.inf, away)))


# ---------------------------------------------------------------------- tables


def energy_table(states: Sequence[State], j2: float) -> str:
    """Ours among the published rows of one coupling, the highest energy first."""
    lines = [f"{f'J2 = {j2:g}':36s} {'E/N (J1, spins S)':>18s} {'above exact':>13s} {'V-score':>10s} {'forwards':>9s}"]
    rows = [(row.energy, _line(row.method, row.energy, row.error, row.v_score, None, j2)) for row in published(j2)]
    for state in states:
        text = _line(f"* {state.name}", state.energy, state.error, state.v_score, state.forwards, j2)
        rows.append((state.energy, text))
    return "\n".join(lines + [text for _, text in sorted(rows, key=lambda pair: -pair[0])])


def _line(name: str, energy: float, error: float | None, score: float | None, forwards: int | None, j2: float) -> str:
    """One line of the energy table."""
    total = Torus.exact(j2).energy
    above = "" if total is None or name == EXACT else f"{1 - energy * LATTICE.n_sites / total:.1e}"
    value = f"{energy:.5f}" if error is None else with_error(energy, error)
    return f"  {name:34s} {value:>18s} {above:>13s} {'' if score is None else f'{score:.1e}':>10s} {forwards or '':>9}"


def order_table(torus: Torus, states: Sequence[State]) -> str:
    """S(q) at the wave vectors of the orders with errors, and the distance from the exact value in errors."""
    names = ("S(pi,pi)", "S(pi,0)", "S(0,pi)", "S(0)")
    lines = [f"  {'S(q), spins S':42s}" + "".join(f"{name:>16s}" for name in names)]
    for state in states:
        found = torus.correlations(state)
        if found is not None:
            cells = [with_error(*found.at(LATTICE, name)) for name in ("M", "X", "Y", "Gamma")]
            title = f"J2 = {state.row.setting.j2:g}, {state.name}"
            lines.append(f"  {title:42s}" + "".join(f"{cell:>16s}" for cell in cells))
    for j2 in sorted({state.row.setting.j2 for state in states}):
        order = torus.exact(j2).order
        neel, stripe = (float(order[name] or np.nan) for name in ("neel", "stripe"))
        cells = "".join(f"{value:>16.4f}" for value in (neel, stripe, stripe, 0.0))
        lines.append(f"  {f'J2 = {j2:g}, exact':42s}{cells}")
    return "\n".join(lines)


# ---------------------------------------------------------------------- words


def place_among(state: State, rows: Sequence[Published]) -> str:
    """Where a state stands among published energies of its coupling: the next ones above and below it."""
    others = [row for row in rows if row.method != EXACT]
    above = min((r for r in others if r.energy > state.energy), key=lambda r: r.energy, default=None)
    below = max((r for r in others if r.energy <= state.energy), key=lambda r: r.energy, default=None)
    if above is None and below is None:
        return f"{state.name}: no published row at this coupling"
    if above is None or below is None:
        return f"{state.name}: {'above' if above is None else 'below'} all published rows"
    return f"{state.name}: between {above.method} above and {below.method} below"


def best_state(states: Sequence[State]) -> State:
    """The lowest energy. Raises ValueError for an empty list."""
    if not states:
        raise ValueError("no state to choose from")
    return min(states, key=lambda state: state.energy)
