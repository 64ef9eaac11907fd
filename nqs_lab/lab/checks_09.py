"""The checks of notebook 09, Why positions suffice.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

import nqs_lab as nl
from nqs_lab.ansatz.dimer_network import dimer_pairs, draw_dimer_state
from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_09_learning import (
    any_gauge,
    grows_like_root_n,
    linear_in_values,
    pairs_from_both_ends,
    rows_of_one,
    sums_vanish,
    token_by_token,
)

# --- 09.1 the amplitude of the dimer state


def _amplitude(answer: Any, sigma: np.ndarray, side: int) -> float:
    """The reader's amplitude of one configuration, as a number."""
    value = np.asarray(asked(answer, sigma.copy(), side), dtype=float)
    if value.shape != ():
        raise ValueError(f"one configuration has one amplitude, got an array of shape {value.shape}")
    return float(value)


def _singlets_only(answer: Any, rng: np.random.Generator) -> str | None:
    """the amplitude is zero where the two spins of a dimer are parallel, and nowhere else"""
    for side in (6, 8):
        lattice = nl.square(side)
        sigma = draw_dimer_state(lattice, 1, rng)[0]
        if _amplitude(answer, sigma, side) == 0:
            return f"{side}x{side}: every dimer is antiparallel in one of the configurations tried, yours gives 0"
        for first, second in dimer_pairs(lattice):
            broken = sigma.copy()
            broken[second] = broken[first]
            if (got := _amplitude(answer, broken, side)) != 0:
                x, y = lattice.coordinates[first]
                return f"{side}x{side}: the dimer that starts at ({x}, {y}) made parallel: your amplitude is {got:.3g}"
    return None


def _normalised(answer: Any, rng: np.random.Generator) -> str | None:
    """the squares sum to one: each of the 2^(N/2) configurations of singlets has probability 2^(-N/2)"""
    for side in (4, 6):
        lattice = nl.square(side)
        got = _amplitude(answer, draw_dimer_state(lattice, 1, rng)[0], side) ** 2 * 2.0 ** (lattice.n_sites // 2)
        if differs(got, 1.0):
            return f"{side}x{side}: |psi|^2 times the number of such configurations is {got:.6g}"
    return None


def _eigenstate(answer: Any, rng: np.random.Generator) -> str | None:
    """H psi = -3/8 J_D N psi on the 4x4 torus, for a random J and random configurations"""
    lattice, j = nl.square(4), float(rng.uniform(0.2, 1.5))
    ham = nl.shastry_sutherland(lattice, j=j, j_dimer=1.0)
    bonds, coupling = np.asarray(ham.bonds), np.asarray(ham.coupling)
    for sigma in draw_dimer_state(lattice, 3, rng):
        for start in (sigma, _one_exchange(sigma, bonds, rng)):
            total = 0.0
            psi = _amplitude(answer, start, 4)
            for (a, b), strength in zip(bonds, coupling, strict=True):
                total += strength * start[a] * start[b] * psi / 4
                if start[a] != start[b]:
                    swapped = start.copy()
                    swapped[[a, b]] = swapped[[b, a]]
                    total += strength / 2 * _amplitude(answer, swapped, 4)
            if differs(total, -6.0 * psi, 1e-9):
                return f"J = {j:.3f} J_D: (H psi)(sigma) = {total:.6g}, -3/8 J_D N psi(sigma) = {-6 * psi:.6g}"
    return None


def _one_exchange(sigma: np.ndarray, bonds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The configuration with one antiparallel bond exchanged."""
    open_bonds = bonds[sigma[bonds[:, 0]] != sigma[bonds[:, 1]]]
    pair = open_bonds[rng.integers(len(open_bonds))]
    moved = sigma.copy()
    moved[pair] = moved[pair[::-1]]
    return moved


# --- 09.2 who hears whom


def _map(answer: Any, side: int) -> np.ndarray:
    """The reader's attention map of a torus, of the right shape."""
    n = side * side // 4
    alpha = np.asarray(asked(answer, side), dtype=float)
    if alpha.shape != (n, n):
        raise ValueError(f"{side}x{side} spins make {n} patches, so the map has shape {(n, n)}; got {alpha.shape}")
    return alpha


def _one_sender(answer: Any, rng: np.random.Generator) -> str | None:
    """every patch listens to exactly one patch, with weight 1, and every patch is heard by exactly one"""
    side = int(2 * rng.integers(3, 6))
    alpha = _map(answer, side)
    for name, lines in (("row", alpha), ("column", alpha.T)):
        for k, line in enumerate(lines):
            if sorted(line.tolist()) != [0.0] * (len(line) - 1) + [1.0]:
                found = np.flatnonzero(line)
                return f"{side}x{side}: {name} {k} has the entries {line[found].tolist()} at {found.tolist()}"
    return None


def _receiver_first(answer: Any, rng: np.random.Generator) -> str | None:
    """alpha[i, j] = 1 where s10 of patch j is the other end of the dimer that starts at s01 of patch i"""
    side = int(2 * rng.integers(3, 6))
    lattice, alpha, columns = nl.square(side), _map(answer, side), side // 2
    patch = lambda site: site % side // 2 + columns * (site // side // 2)
    for first, second in dimer_pairs(lattice)[lattice.n_sites // 4 :]:
        i, j = patch(int(first)), patch(int(second))
        if alpha[i, j] != 1:
            heard = int(np.argmax(alpha[i]))
            where = lambda k: f"({k % columns}, {k // columns})"
            return f"{side}x{side}: patch {where(i)} needs a spin of patch {where(j)}; yours hears {where(heard)}"
    return None


# --- 09.3 a threshold made of ReLUs


def _cases(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Own spins, partners' spins and partner weights above one half, for mixtures with whatever the others say."""
    own = rng.choice(np.array([-1.0, 1.0]), size=400)
    return own, rng.uniform(0.5001, 1.0, size=400), rng.uniform(-1, 1, size=400)


def _charge(answer: Any, own: np.ndarray, fetched: np.ndarray) -> np.ndarray:
    """The reader's charge, of the right shape."""
    value = np.asarray(asked(answer, own.copy(), fetched.copy()), dtype=float)
    if value.shape != own.shape:
        raise ValueError(f"arrays of shape {own.shape} should give a charge of that shape, got {value.shape}")
    return value


def _nothing_to_pay(answer: Any, rng: np.random.Generator) -> str | None:
    """an antiparallel pair pays exactly nothing as long as the partner holds more than half of the weight"""
    own, alpha, rest = _cases(rng)
    fetched = -alpha * own + (1 - alpha) * rest
    got = _charge(answer, own, fetched)
    worst = int(np.argmax(np.abs(got)))
    if abs(got[worst]) > 1e-12:
        return f"own {own[worst]:+.0f}, partner {-own[worst]:+.0f}, A = {fetched[worst]:+.3f}: charge {got[worst]:.4f}"
    return None


def _parallel_pays(answer: Any, rng: np.random.Generator) -> str | None:
    """a parallel pair pays at least 2 alpha - 1, whether both spins are up or both are down"""
    own, alpha, rest = _cases(rng)
    fetched = alpha * own + (1 - alpha) * rest
    short = _charge(answer, own, fetched) - (2 * alpha - 1)
    worst = int(np.argmin(short))
    if short[worst] < -1e-12:
        paid, due = short[worst] + 2 * alpha[worst] - 1, 2 * alpha[worst] - 1
        return f"own {own[worst]:+.0f}, partner the same, A = {fetched[worst]:+.3f}: charge {paid:.4f}, due {due:.4f}"
    return None


def _piecewise_linear(answer: Any, rng: np.random.Generator) -> str | None:
    """it is a layer of ReLUs: along a straight line it is made of a few straight pieces"""
    angle = rng.uniform(0.3, 1.2)
    steps = np.linspace(-2.0, 2.0, 1001)
    got = _charge(answer, np.cos(angle) * steps, np.sin(angle) * steps)
    bent = np.abs(np.diff(got, 2)) > 1e-10
    if (kinks := int(bent.sum())) > 16:
        return f"along a line in the plane of (own, A) it bends at {kinks} of 999 points"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "09.1": Exercise(
            "The amplitude of the dimer state",
            (
                Property(_singlets_only, "the second kind of dimer runs up and to the LEFT, and wraps at the edges"),
                Property(_normalised, "a singlet is (up-down minus down-up) over the square root of 2"),
                Property(_eigenstate, "which sign does a singlet get when its two spins are exchanged?"),
            ),
        ),
        "09.2": Exercise(
            "Who hears whom",
            (
                Property(_one_sender, "the lattice is a torus: take the remainder of both coordinates"),
                Property(_receiver_first, "the row is the patch that asks; its partner is one to the left and one up"),
            ),
        ),
        "09.3": Exercise(
            "A threshold made of ReLUs",
            (
                Property(_nothing_to_pay, "how large can |own + A| be for an antiparallel pair? Start to charge there"),
                Property(_parallel_pays, "one ReLU for both up, another for both down"),
                Property(_piecewise_linear, "sums of relu(a * own + b * A + c) only: no products of the two"),
            ),
        ),
        "09.4": Exercise(
            "The noise of a bag",
            (
                Property(rows_of_one, "the weights of one configuration sum to one: count every token, also below"),
                Property(linear_in_values, "a spread has the units of the thing itself, not of its square"),
                Property(grows_like_root_n, "n is the number of patches of one configuration: the sum of its counts"),
                Property(token_by_token, "weights n_v e^(s_v); then sum the variances of the d components"),
            ),
        ),
        "09.5": Exercise(
            "Couplings that can be compared",
            (
                Property(sums_vanish, "subtract row means and column means; what has then been taken away twice?"),
                Property(any_gauge, "K_ij(a, b) is centred in a AND in b, for every pair of sites by itself"),
                Property(pairs_from_both_ends, "the other end of the same pair is K_ji(b, a): swap sites AND colours"),
            ),
        ),
    }
)
