"""The checks of notebook 01, The Heisenberg model.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from itertools import permutations
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_oracle import applied, dense, random_cluster, random_rotation, random_vector, turned

# --- 01.1 units


def _intensive(answer: Any, rng: np.random.Generator) -> str | None:
    """twice the system, the same energy per site"""
    total, n = -float(rng.uniform(3, 40)), int(rng.integers(4, 30))
    one, two = float(asked(answer, total, n)), float(asked(answer, 2 * total, 2 * n))
    if differs(one, two):
        return f"total {total:.3f} on {n} sites gives {one:.6f}, twice as much on {2 * n} sites gives {two:.6f}"
    return None


def _spin_units(answer: Any, rng: np.random.Generator) -> str | None:
    """right for the lowest level of random clusters, solved with S"""
    n = int(rng.integers(3, 6))
    lowest = float(np.linalg.eigvalsh(dense(*random_cluster(rng, n), n))[0])
    got, want = float(asked(answer, 4.0 * lowest, n)), lowest / n
    if differs(got, want):
        return f"random cluster of {n} sites: yours {got:.6f}, diagonalised with S {want:.6f} (ratio {got / want:.3g})"
    return None


# --- 01.2 bonds of a ring


def _pairs(answer: Any, n: int) -> list[tuple[int, int]]:
    """The reader's bonds of the n-ring as ordered pairs."""
    return [(min(int(i), int(j)), max(int(i), int(j))) for i, j in asked(answer, n)]


def _proper_bonds(answer: Any, rng: np.random.Generator) -> str | None:
    """each bond joins two different sites of 0 .. n-1"""
    for n in (3, int(rng.integers(5, 12)), int(rng.integers(12, 40))):
        for i, j in _pairs(answer, n):
            if not 0 <= i < j < n:
                return f"on {n} sites there is a bond ({i}, {j})"
    return None


def _closed(answer: Any, rng: np.random.Generator) -> str | None:
    """each site has its two neighbours round the ring"""
    for n in (3, int(rng.integers(5, 12)), int(rng.integers(12, 40))):
        neighbours: dict[int, set[int]] = {s: set() for s in range(n)}
        for i, j in _pairs(answer, n):
            neighbours[i].add(j)
            neighbours[j].add(i)
        for s, found in neighbours.items():
            if found != {(s - 1) % n, (s + 1) % n}:
                return f"on {n} sites, site {s} has the neighbours {sorted(found)}"
    return None


def _counted_once(answer: Any, rng: np.random.Generator) -> str | None:
    """no bond is there twice"""
    n = int(rng.integers(5, 40))
    bonds = _pairs(answer, n)
    if len(bonds) != len(set(bonds)):
        twice = next(b for b in bonds if bonds.count(b) > 1)
        return f"on {n} sites there are {len(bonds)} bonds, and {twice} is among them {bonds.count(twice)} times"
    return None


def _two_sites(answer: Any, _: np.random.Generator) -> str | None:
    """two sites have one bond"""
    bonds = _pairs(answer, 2)
    if bonds != [(0, 1)]:
        energy = -0.75 * sum(i != j for i, j in bonds)
        return f"for n_sites = 2 the list is {bonds}; its lowest energy would be {energy:g}, one pair has -0.75"
    return None


# --- 01.3 the matrix, bit by bit


def _matrix(answer: Any, bonds: Any, couplings: Any, n: int) -> np.ndarray:
    """The reader's matrix as an array (also from a sparse one)."""
    value = asked(answer, bonds, couplings, n)
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def _hermitian(answer: Any, rng: np.random.Generator) -> str | None:
    """H is a Hermitian matrix of size 2^n"""
    n = int(rng.integers(3, 6))
    h = _matrix(answer, *random_cluster(rng, n), n)
    if h.shape != (2**n, 2**n):
        return f"for {n} sites the shape is {h.shape}, expected {(2**n, 2**n)}"
    gap = float(np.abs(h - h.conj().T).max())
    return None if gap < 1e-12 else f"the largest |H - H^dagger| is {gap:.3g}"


def _parallel(answer: Any, rng: np.random.Generator) -> str | None:
    """all spins up: energy sum(J)/4 and nothing else"""
    n = int(rng.integers(3, 6))
    bonds, couplings = random_cluster(rng, n)
    column, want = _matrix(answer, bonds, couplings, n)[:, -1], np.zeros(2**n)
    want[-1] = sum(couplings) / 4
    if differs(column, want):
        rest = np.abs(column[:-1]).sum()
        return f"sum(J) = {sum(couplings):.4f}: H|all up> has {column[-1]:.4f} on |all up> and {rest:.4f} elsewhere"
    return None


def _second_moment(answer: Any, rng: np.random.Generator) -> str | None:
    """Tr H = 0 and Tr H^2 = 2^n (3/16) sum(J^2)"""
    n = int(rng.integers(3, 6))
    bonds, couplings = random_cluster(rng, n)
    h = _matrix(answer, bonds, couplings, n)
    want = 3 / 16 * float(np.sum(np.square(couplings)))
    got, trace = float(np.trace(h @ h).real) / 2**n, float(np.trace(h).real) / 2**n
    if differs(trace, 0.0) or differs(got, want):
        return f"Tr H / 2^n = {trace:.4f} (expected 0), Tr H^2 / 2^n = {got:.4f} (expected {want:.4f})"
    return None


def _isotropic(answer: Any, rng: np.random.Generator) -> str | None:
    """no direction is special: turning all spins together changes no energy"""
    n = int(rng.integers(3, 6))
    h, psi, u = _matrix(answer, *random_cluster(rng, n), n), random_vector(rng, n), random_rotation(rng)
    before, after = np.vdot(psi, h @ psi).real, np.vdot(turned(psi, u), h @ turned(psi, u)).real
    return (
        f"<H> of a random state is {before:.5f}, after turning all spins {after:.5f}"
        if differs(before, after)
        else None
    )


def _right_sites(answer: Any, rng: np.random.Generator) -> str | None:
    """each coupling acts on the right pair, bit i for spin i"""
    n = int(rng.integers(4, 6))
    bonds, couplings = random_cluster(rng, n)
    psi = random_vector(rng, n)
    gap = np.linalg.norm(_matrix(answer, bonds, couplings, n) @ psi - applied(bonds, couplings, psi))
    return f"on a random vector the two sides differ by {gap:.3g}" if gap > 1e-9 else None


# --- 01.4 correlations


def _same_site(answer: Any, rng: np.random.Generator) -> str | None:
    """C(i, i) = 3/4"""
    n = int(rng.integers(2, 6))
    site = int(rng.integers(n))
    got = complex(asked(answer, random_vector(rng, n), site, site))
    return f"on {n} random spins C({site},{site}) = {got.real:.4f}" if differs(got, 0.75) else None


def _pair_values(answer: Any, _: np.random.Generator) -> str | None:
    """-3/4 in the singlet, 1/4 in the triplets"""
    r = np.sqrt(0.5)
    named = {"singlet": [0, r, -r, 0], "triplet, Sz=0": [0, r, r, 0], "triplet, Sz=1": [0, 0, 0, 1]}
    for name, psi in named.items():
        got, want = complex(asked(answer, np.array(psi, dtype=float), 0, 1)), -0.75 if name == "singlet" else 0.25
        if differs(got, want):
            return f"for the {name} of two spins you find {got.real:.4f}"
    return None


def _any_state(answer: Any, rng: np.random.Generator) -> str | None:
    """unchanged when all spins are turned together"""
    n = int(rng.integers(3, 6))
    i, j = (int(s) for s in rng.choice(n, 2, replace=False))
    psi = random_vector(rng, n)
    before, after = (complex(asked(answer, v, i, j)) for v in (psi, turned(psi, random_rotation(rng))))
    if differs(before, after):
        return f"random state of {n} spins: C({i},{j}) = {before.real:.5f}, after turning all spins {after.real:.5f}"
    return None


def _arrows(answer: Any, rng: np.random.Generator) -> str | None:
    """spins that point along arrows a_i, without entanglement: C(i, j) = a_i.a_j / 4"""
    n = int(rng.integers(3, 6))
    spinors = rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2))
    spinors /= np.linalg.norm(spinors, axis=1, keepdims=True)
    down, up = spinors.T
    arrows = np.stack([2 * (up.conj() * down).real, 2 * (up.conj() * down).imag, np.abs(up) ** 2 - np.abs(down) ** 2])
    psi = np.ones(1)
    for spinor in spinors:
        psi = np.kron(spinor, psi)
    for i, j in permutations(range(n), 2):
        got, want = complex(asked(answer, psi, i, j)), float(arrows[:, i] @ arrows[:, j]) / 4
        if differs(got, want):
            return f"{n} arrows: C({i},{j}) = {got.real:.5f}, a_{i}.a_{j} / 4 = {want:.5f}"
    return None


# --- 01.5 the dimer state


def _dimers(answer: Any, n: int) -> np.ndarray:
    """The reader's vector, of the right length."""
    psi = np.asarray(asked(answer, n))
    if psi.shape != (2**n,):
        raise ValueError(f"for {n} sites the vector should have shape {(2**n,)}, it has {psi.shape}")
    return psi


def _normalised(answer: Any, rng: np.random.Generator) -> str | None:
    """the state is normalised"""
    n = 2 * int(rng.integers(2, 6))
    norm = float(np.linalg.norm(_dimers(answer, n)))
    return f"for {n} sites the norm is {norm:.4f}" if differs(norm, 1.0) else None


def _spin_zero(answer: Any, rng: np.random.Generator) -> str | None:
    """the total spin is zero"""
    n = 2 * int(rng.integers(2, 5))
    psi = _dimers(answer, n)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    spin = float((0.75 * n + 2 * np.vdot(psi, applied(pairs, [1.0] * len(pairs), psi))).real)
    return f"for {n} sites <S_total^2> = {spin:.4f}" if differs(spin, 0.0) else None


def _neighbours_only(answer: Any, rng: np.random.Generator) -> str | None:
    """singlets on every second bond of the ring, nothing between them"""
    n = 2 * int(rng.integers(3, 6))
    psi = _dimers(answer, n)
    values = [float(np.vdot(psi, applied([(s, (s + 1) % n)], [1.0], psi)).real) for s in range(n)]
    even, odd = np.array(values[0::2]), np.array(values[1::2])
    if differs(np.sort([even.sum(), odd.sum()]), np.array([-0.375 * n, 0.0])):
        return f"for {n} sites <S_i.S_(i+1)> round the ring is {np.round(values, 3).tolist()}"
    return None


def _eigenstate(answer: Any, rng: np.random.Generator) -> str | None:
    """H psi = E psi on the ring with J2 = J1/2"""
    n = 2 * int(rng.integers(3, 6))
    psi = _dimers(answer, n)
    bonds = [(s, (s + k) % n) for k in (1, 2) for s in range(n)]
    h_psi = applied(bonds, [1.0] * n + [0.5] * n, psi)
    energy = float(np.vdot(psi, h_psi).real)
    gap = float(np.linalg.norm(h_psi - energy * psi))
    return f"for {n} sites <H> = {energy:.4f} and |H psi - <H> psi| = {gap:.3g}" if gap > 1e-9 else None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "01.1": Exercise(
            "From Pauli matrices to spins",
            (
                Property(_intensive, "a total grows with the number of sites; what do you divide by?"),
                Property(_spin_units, "S = sigma/2. How many factors S does one bond hold, and so how many halves?"),
            ),
        ),
        "01.2": Exercise(
            "The bonds of a ring",
            (
                Property(_proper_bonds, "a site beyond the end must wrap round: which operator gives the remainder?"),
                Property(_closed, "draw five sites on a circle and count: does the last site meet the first?"),
                Property(_counted_once, "(i, j) and (j, i) are the same bond: how many bonds has a ring of n sites?"),
                Property(_two_sites, "with two sites, the neighbour to the left IS the neighbour to the right"),
            ),
        ),
        "01.3": Exercise(
            "The Hamiltonian, bit by bit",
            (
                Property(_hermitian, "if s goes to t by an exchange, t goes to s by the same exchange"),
                Property(_parallel, "S^z S^z is (1/2)(1/2) for parallel spins, and parallel spins cannot be exchanged"),
                Property(
                    _second_moment, "one antiparallel pair alone: its 2 x 2 block has the eigenvalues -3J/4 and J/4"
                ),
                Property(
                    _isotropic, "(ud + du) must have the energy of (uu): check the SIGN of the off-diagonal element"
                ),
                Property(_right_sites, "(s >> i) & 1 reads spin i; s ^ (1 << i) ^ (1 << j) flips spins i and j"),
            ),
        ),
        "01.4": Exercise(
            "Correlations from a state",
            (
                Property(_same_site, "S.S = s(s+1) for one spin; S^z S^z alone is only a part of it"),
                Property(_pair_values, "are these S or Pauli matrices? Does the exchange term enter with its sign?"),
                Property(_any_state, "3 <S^z S^z> is right for singlets only; a general state needs the x and y parts"),
                Property(_arrows, "which bits does your code look at? Test it on three spins, two up and one down"),
            ),
        ),
        "01.5": Exercise(
            "An exact ground state by hand",
            (
                Property(_normalised, "each singlet has its own 1/sqrt(2)"),
                Property(_spin_zero, "which sign stands between up-down and down-up in a singlet?"),
                Property(
                    _neighbours_only, "pair (0, 1), (2, 3), ...: in a Kronecker product, which factor holds which spin?"
                ),
                Property(_eigenstate, "print |H psi - E psi| for six sites and look at the components that survive"),
            ),
        ),
    }
)
