"""The checks of notebook 02, Exact diagonalization.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Mapping
from math import comb, gcd
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab import checks_02_states as states
from nqs_lab.lab.checks import Exercise, Property, asked, differs


def _hermitian(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random complex Hermitian matrix."""
    a = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    return (a + a.conj().T) / 2


def _start(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random complex vector of length 1."""
    v = rng.normal(size=n) + 1j * rng.normal(size=n)
    return v / np.linalg.norm(v)


# --- 02.1 one Lanczos step


def _scale_free(answer: Any, rng: np.random.Generator) -> str | None:
    """the length of the start vector does not matter"""
    h, v, factor = _hermitian(rng, 6), _start(rng, 6), float(rng.uniform(2, 5))
    one, two = float(asked(answer, h, v)), float(asked(answer, h, factor * v))
    return f"from v: {one:.6f}, from {factor:.2f} v: {two:.6f}" if differs(one, two) else None


def _between(answer: Any, rng: np.random.Generator) -> str | None:
    """not below the lowest level, and not above <v|H|v>"""
    for _ in range(5):
        h, v = _hermitian(rng, 7), _start(rng, 7)
        got, lowest, mean = float(asked(answer, h, v)), np.linalg.eigvalsh(h)[0], np.vdot(v, h @ v).real
        if not lowest - 1e-9 <= got <= mean + 1e-9:
            return f"lowest level {lowest:.5f}, <v|H|v> = {mean:.5f}, yours {got:.5f}"
    return None


def _two_levels(answer: Any, rng: np.random.Generator) -> str | None:
    """exact where there are only two states"""
    h, v = np.real(_hermitian(rng, 2)), rng.normal(size=2)
    got, want = float(asked(answer, h, v / np.linalg.norm(v))), float(np.linalg.eigvalsh(h)[0])
    return f"a 2 x 2 matrix with lowest level {want:.6f}: yours {got:.6f}" if differs(got, want, 1e-8) else None


def _best_of_span(answer: Any, rng: np.random.Generator) -> str | None:
    """the lowest energy of all combinations a v + b Hv, for complex H too"""
    h, v = _hermitian(rng, 8), _start(rng, 8)
    frame = np.linalg.qr(np.stack([v, h @ v], axis=1))[0]
    want, got = float(np.linalg.eigvalsh(frame.conj().T @ h @ frame)[0]), float(asked(answer, h, v))
    return f"the best combination has {want:.6f}, yours {got:.6f}" if differs(got, want, 1e-8) else None


def _invariant(answer: Any, rng: np.random.Generator) -> str | None:
    """an eigenvector leads nowhere: its own energy comes back"""
    h = np.diag(rng.integers(-9, 10, 5).astype(float))
    k = int(rng.integers(5))
    got = float(asked(answer, h, np.eye(5)[k]))
    return f"start: an eigenvector with energy {h[k, k]:g}; yours {got}" if differs(got, h[k, k]) else None


# --- 02.2 representatives


def _rotations(state: int, n: int) -> list[int]:
    """All n rotations of a bit pattern."""
    return [((state << k) | (state >> (n - k))) & ((1 << n) - 1) for k in range(n)]


def _pair(answer: Any, state: int, n: int, k: int) -> tuple[int, int]:
    """The reader's representative and size."""
    smallest, size = asked(answer, state, n, k)
    return int(smallest), int(size)


def _one_for_all(answer: Any, rng: np.random.Generator) -> str | None:
    """all rotations of a state have the same representative, which is one of them"""
    for n in (5, 6, int(rng.integers(7, 13))):
        state = int(rng.integers(1, 2**n - 1))
        found = {_pair(answer, turned_state, n, 0)[0] for turned_state in _rotations(state, n)}
        if len(found) != 1 or not found <= set(_rotations(state, n)):
            return f"n = {n}: the rotations of {state:0{n}b} get {', '.join(f'{s:0{n}b}' for s in sorted(found))}"
    return None


def _smallest(answer: Any, rng: np.random.Generator) -> str | None:
    """no rotation is a smaller number"""
    n = int(rng.integers(6, 13))
    state = int(rng.integers(1, 2**n - 1)) | 1
    got, want = _pair(answer, state, n, 0)[0], min(_rotations(state, n))
    return f"{state:0{n}b} has the rotation {want:0{n}b}; yours is {got:0{n}b}" if got != want else None


def _sizes_add_up(answer: Any, rng: np.random.Generator) -> str | None:
    """at k = 0 the sizes of the orbits add up to the number of configurations"""
    n = int(rng.choice([6, 8, 9]))
    sizes = dict(_pair(answer, state, n, 0) for state in range(2**n))
    total = sum(sizes.values())
    return f"n = {n}: {len(sizes)} orbits, sizes adding up to {total} (2^n = {2**n})" if total != 2**n else None


def _momenta_share(answer: Any, rng: np.random.Generator) -> str | None:
    """over all momenta, the orbits that survive are as many as the configurations"""
    n = int(rng.choice([6, 8]))
    kept = sum(len({r for r, size in (_pair(answer, s, n, k) for s in range(2**n)) if size}) for k in range(n))
    return f"n = {n}: {kept} sector states in all momenta, 2^n = {2**n}" if kept != 2**n else None


def _killed(answer: Any, rng: np.random.Generator) -> str | None:
    """size 0 exactly where the sum over rotations with the phases of k vanishes"""
    for n, state in ((6, 0b010101), (6, 0b001001), (8, 0b00010001), (8, 0b01010101), (6, 0b000111)):
        for k in range(n):
            total = np.zeros(2**n, dtype=complex)
            for step, image in enumerate(_rotations(state, n)):
                total[image] += np.exp(2j * np.pi * k * step / n)
            alive, size = np.linalg.norm(total) > 1e-9, _pair(answer, state, n, k)[1]
            if alive != (size > 0):
                return f"{state:0{n}b}, k = {k}: the projected vector {'lives' if alive else 'vanishes'}, size {size}"
    return None


# --- 02.3 character count


def _random_group(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """The translations of a small torus, with the characters of a random momentum."""
    nx, ny = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    kx, ky = int(rng.integers(nx)), int(rng.integers(ny))
    sites = np.arange(nx * ny)
    rows, chars = [], []
    for a in range(nx):
        for b in range(ny):
            rows.append((sites % nx + a) % nx + nx * ((sites // nx + b) % ny))
            chars.append(np.exp(2j * np.pi * (kx * a / nx + ky * b / ny)))
    return np.array(rows), np.array(chars), nx * ny


def _counted(permutations: np.ndarray, characters: np.ndarray, n_up: int) -> int:
    """The rank of the projector, by writing it down."""
    n = permutations.shape[1]
    chosen = [s for s in range(2**n) if bin(s).count("1") == n_up]
    place = {s: k for k, s in enumerate(chosen)}
    projector = np.zeros((len(chosen), len(chosen)), dtype=complex)
    for row, chi in zip(permutations, characters, strict=True):
        for s in chosen:
            image = sum(((s >> int(p)) & 1) << i for i, p in enumerate(row))
            projector[place[image], place[s]] += chi / len(permutations)
    return int(np.linalg.matrix_rank(projector, tol=1e-8))


def _no_symmetry(answer: Any, rng: np.random.Generator) -> str | None:
    """the identity alone: all configurations with n_up up spins"""
    n = int(rng.integers(6, 20))
    n_up = int(rng.integers(2, n - 1))
    got = complex(asked(answer, np.arange(n)[None, :], np.ones(1), n_up)).real
    return f"{n} sites, {n_up} up: {got:g}, expected {comb(n, n_up)}" if differs(got, comb(n, n_up)) else None


def _orbits(answer: Any, rng: np.random.Generator) -> str | None:
    """all characters 1: the number of orbits, also for 30 sites"""
    for n, n_up in ((6, 3), (8, 4), (30, 15), (30, 10)):
        group = (np.arange(n)[None, :] + np.arange(n)[:, None]) % n
        shared = gcd(n, n_up)
        totient = lambda d: sum(gcd(d, m) == 1 for m in range(1, d + 1))
        want = sum(totient(d) * comb(n // d, n_up // d) for d in range(1, shared + 1) if shared % d == 0) // n
        got = complex(asked(answer, group, np.ones(n), n_up)).real
        if differs(got, want):
            return f"ring of {n}, {n_up} up: {got:.6g} orbits, expected {want}"
    return None


def _sector(answer: Any, rng: np.random.Generator) -> str | None:
    """any momentum of small tori: the rank of the projector"""
    for _ in range(4):
        rows, chars, n = _random_group(rng)
        n_up = n // 2
        got, want = complex(asked(answer, rows, chars, n_up)), _counted(rows, chars, n_up)
        if differs(got, want, 1e-8):
            return f"{n} sites, {n_up} up, characters {np.round(chars[:4], 2)}...: {got:.4g}, expected {want}"
    (n, k) = (6, 2 * int(rng.integers(0, 2)) + 1)
    group = (np.arange(n)[None, :] + np.arange(n)[:, None]) % n
    chars = np.exp(2j * np.pi * k * np.arange(n) / n)
    got, want = complex(asked(answer, group, chars, 3)), _counted(group, chars, 3)
    return f"ring of 6 at k = {k}: {got:.4g}, expected {want}" if differs(got, want, 1e-8) else None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "02.1": Exercise(
            "One Lanczos step",
            (
                Property(_scale_free, "which vector has length 1 before anything else happens?"),
                Property(
                    _between, "the answer is the lowest eigenvalue of a 2 x 2 matrix: which one, of which matrix?"
                ),
                Property(_two_levels, "beta is the length of what is left of H q after its part along q is taken away"),
                Property(_best_of_span, "for complex vectors, which factor of a scalar product is conjugated?"),
                Property(_invariant, "what is left of H q for an eigenvector, and by what would you divide?"),
            ),
        ),
        "02.2": Exercise(
            "Representatives",
            (
                Property(
                    _one_for_all, "the bit that leaves on one side enters on the other; no bit may be lost or added"
                ),
                Property(_smallest, "go through all n rotations and keep the smallest number"),
                Property(_sizes_add_up, "how many different rotations has 010101? It is not n"),
                Property(_momenta_share, "an orbit of two states has room for two momenta only: some are killed"),
                Property(
                    _killed, "after `size` steps the state is back: which phase must the wave function have then?"
                ),
            ),
        ),
        "02.3": Exercise(
            "The character count",
            (
                Property(_no_symmetry, "the identity has cycles of length 1: in how many ways can n_up of them be up?"),
                Property(_orbits, "all sites of a cycle are up together: a cycle of length l uses up l up spins"),
                Property(_sector, "D = (1/G) sum over g of conj(chi(g)) times the number of unchanged configurations"),
            ),
        ),
        "02.4": Exercise(
            "Quantum numbers by theorem",
            (
                Property(states.ground_numbers, "how many spins of the second sublattice are up, before and after?"),
                Property(
                    states.translation_numbers, "with Sz = S there are N/2 + S up spins; the shift swaps sublattices"
                ),
                Property(
                    states.flip_numbers, "each singlet pair changes its sign under the flip; how many pairs are there?"
                ),
                Property(states.long_rings, "only the number of singlet pairs matters, even or odd"),
            ),
        ),
        "02.5": Exercise(
            "The weight of a sign rule",
            (
                Property(
                    states.phase_free, "divide by the norm; a global sign may be chosen freely, so take the better one"
                ),
                Property(
                    states.obeyed, "the rule: (-1) to the number of UP spins on the sublattice where pattern is -1"
                ),
                Property(states.weighted, "count probability, |psi|^2, not configurations and not |psi|"),
                Property(states.at_least_half, "if the rule is wrong nearly everywhere, minus the rule is right there"),
            ),
        ),
        "02.6": Exercise(
            "Entanglement of any set of sites",
            (
                Property(states.product, "p ln p is 0 for p = 0: leave out the zeros before the logarithm"),
                Property(states.singlet, "p is the SQUARE of a singular value, and the logarithm is the natural one"),
                Property(
                    states.cut_pairs, "which axis of psi.reshape((2,) * n) belongs to spin i? The last one to spin 0"
                ),
                Property(states.any_vector, "sort the axes: those inside first, then the others; then make a matrix"),
            ),
        ),
    }
)
