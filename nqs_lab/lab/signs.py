"""Whose signs are right? A state beside the exact one, on four classes of configurations."""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

import nqs_lab as nl
from nqs_lab.lab.comparison.setting import Problem

CLASSES = ("both rules", "Neel only", "stripe only", "neither")
"""Which of the two rules predicts the sign of the exact amplitude."""


@dataclass(frozen=True)
class SignClasses:
    """Four numbers each, one per class: weight of the exact state; of it, where the sign is right; weight of the
    trained state; part of the overlap |<exact|psi>|, negative where the class lowers it (they sum to the overlap).
    """

    exact: list[float]
    right: list[float]
    weight: list[float]
    overlap: list[float]

    def as_dict(self) -> dict[str, list[float]]:
        """Plain JSON."""
        return asdict(self)


def rule(basis: nl.SpinBasis, order: str) -> Int[np.ndarray, " D"]:
    """The sign (-1)^(up spins on the + sublattice of an order) of every configuration; ValueError without a lattice."""
    if basis.lattice is None:
        raise ValueError("the sign needs the sublattices: make the basis from a lattice, nl.SpinBasis(lattice).")
    up = basis.configurations()[:, np.asarray(basis.lattice.order(order)) > 0] > 0
    return 1 - 2 * (up.sum(axis=1) % 2)


def agrees(magnet: Problem, order: str) -> Bool[np.ndarray, " D"]:
    """Where a rule predicts the sign of the exact amplitude, with the global sign that suits the rule best."""
    signed = rule(magnet.basis, order) * np.real(magnet.ground.state)
    return signed * np.sign(np.sum(signed * np.abs(signed))) > 0


def classes(magnet: Problem) -> Int[np.ndarray, " D"]:
    """The class of every configuration, a number into CLASSES."""
    return 3 - 2 * agrees(magnet, "neel").astype(int) - agrees(magnet, "stripe").astype(int)


def aligned(psi: Complex[np.ndarray, " D"], exact: Float[np.ndarray, " D"]) -> Complex[np.ndarray, " D"]:
    """The state times the global phase that makes its overlap with the exact one positive."""
    overlap = np.vdot(psi, exact)
    return psi * (overlap / abs(overlap)) if abs(overlap) > 0 else psi


def judge_signs(psi: Complex[np.ndarray, " D"], magnet: Problem) -> SignClasses:
    """The four classes of a normalised state; its free global phase is the one of the best overlap."""
    exact = np.real(magnet.ground.state)
    state, place = aligned(psi, exact), classes(magnet)
    per_class = lambda values: [float(np.sum(values[place == k])) for k in range(len(CLASSES))]
    right = np.real(state) * exact > 0
    return SignClasses(
        exact=per_class(exact**2),
        right=per_class(exact**2 * right),
        weight=per_class(np.abs(state) ** 2),
        overlap=per_class(np.real(state) * exact),
    )
