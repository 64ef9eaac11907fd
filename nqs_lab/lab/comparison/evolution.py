"""What the number of steps allows: the exact imaginary-time evolution of the state at which every run begins."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix, eye_array
from scipy.sparse.linalg import expm_multiply

import nqs_lab as nl
from nqs_lab.lab.comparison.pairing import FACTORED, STANDARD, Contender, by_seed
from nqs_lab.lab.comparison.report import columns
from nqs_lab.lab.comparison.setting import default_sign, problem
from nqs_lab.lab.shelf import Row
from nqs_lab.lab.signs import rule
from nqs_lab.vmc.recipe import imaginary_time_span


class Allowed(NamedTuple):
    """Relative errors of the energy that exact evolution leaves, one for each coupling in `j2`, after `span` / J1."""

    span: float
    j2: tuple[float, ...]
    errors: tuple[float, ...]


def flat_state(basis: nl.SpinBasis, sign: str) -> Float[np.ndarray, " D"]:
    """All configurations of Sz = 0 with one size and the signs of a rule ("neel", "stripe" or "none"), normalised.

    The state of a network with the small-init head before training, up to a few per cent. In a basis with symmetries
    they must leave the state alone, as the translations do where N/2 is even.
    """
    psi = basis.norms if sign == "none" else rule(basis, sign) * basis.norms
    return psi / np.linalg.norm(psi)


def evolve(
    hamiltonian: csr_matrix, psi: Float[np.ndarray, " D"], span: float | int, energy: float | int
) -> Float[np.ndarray, " D"]:
    """exp(-span H) psi, normalised. `span` in units of 1/J1; `energy` near the lowest one keeps the numbers small."""
    shifted = hamiltonian - energy * eye_array(len(psi), format="csr")
    later = expm_multiply(-span * shifted, psi, traceA=-span * float(shifted.trace()))
    return later / np.linalg.norm(later)


def allowed(times: Sequence[float], couplings: Sequence[float]) -> list[Allowed]:
    """What exact evolution makes of the flat state with the default sign rule: after each of `times`, increasing."""
    lattice = nl.square(4)
    basis = nl.SpinBasis(lattice, sector=nl.Sector(momentum=(0, 0)))  # translations leave all that is needed alone
    errors = []
    for j2 in couplings:
        ham, exact = nl.j1j2(lattice, j2), problem(j2).ground.energy
        h, psi = nl.matrix(ham, basis), flat_state(basis, default_sign(j2))
        before, mine = 0.0, []
        for time in times:
            psi, before = evolve(h, psi, time - before, exact), time
            mine.append(float(1 - np.vdot(psi, h @ psi).real / exact))
        errors.append(mine)
    return [
        Allowed(time, tuple(couplings), found) for time, found in zip(times, zip(*errors, strict=True), strict=True)
    ]


def spans(rows: Sequence[Row[Any]]) -> dict[Contender, float]:
    """The imaginary time (1/J1) of the runs of each type that is on the shelf, one rate for all runs of a type."""
    settings = {who: row.setting for who in (FACTORED, *STANDARD) for row in rows if row.setting.attention == str(who)}
    return {who: imaginary_time_span(setting.rate, setting.steps) for who, setting in settings.items()}


def allowed_table(rows: Sequence[Row[Any]], limits: Sequence[Allowed]) -> str:
    """Medians of the runs beside what exact evolution over the same imaginary time leaves; * marks agreement.

    * : within a factor of 1.25 of each other.
    """
    known, lines = spans(rows), []
    head = ["J2", *(f"exact, {limit.span:.1f}/J1" for limit in limits)]
    head += [f"{who} ({span:.1f}/J1)" for who, span in known.items()]
    for k, j2 in enumerate(limits[0].j2):
        line = [f"{j2:.1f}", *(f"{limit.errors[k]:.1e}" for limit in limits)]
        for who, span in known.items():
            runs = [row["relative_error"] for row in by_seed(rows, who, j2, default_sign(j2)).values()]
            middle = float(np.median(runs)) if runs else float("nan")
            limit = min(limits, key=lambda one, span=span: abs(one.span - span)).errors[k]
            line.append(f"{middle:.1e}{'*' if limit / 1.25 < middle < 1.25 * limit else ' '}")
        lines.append(line)
    return columns(head, lines)
