"""The checks of notebook 02 that test vectors: quantum numbers, sign weights, entanglement. See `checks_02`."""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs
from nqs_lab.lab.checks_oracle import dense, random_vector, turned

# --- 02.4 quantum numbers by theorem


def _lowest(n: int, spin: int) -> np.ndarray:
    """The lowest state of the n-ring with that Sz, as 2^n amplitudes; its total spin is Sz, too."""
    ups = np.array([bin(s).count("1") for s in range(2**n)])
    chosen = np.flatnonzero(2 * ups == n + 2 * spin)
    h = dense([(s, (s + 1) % n) for s in range(n)], [1.0] * n, n)[np.ix_(chosen, chosen)]
    psi = np.zeros(2**n)
    psi[chosen] = np.linalg.eigh(h)[1][:, 0]
    return psi


def _ring_numbers(n: int, spin: int) -> tuple[int, int]:
    """Eigenvalues under translation by one site, and under the flip of the partner with Sz = 0, from vectors."""
    psi = _lowest(n, spin)
    moved = np.array([((s << 1) | (s >> (n - 1))) & (2**n - 1) for s in range(2**n)])
    translation = round(float(psi @ psi[moved]))
    for _ in range(spin):
        lowered = np.zeros_like(psi)
        for site in range(n):
            down = np.array([s for s in range(2**n) if (s >> site) & 1])
            lowered[down ^ (1 << site)] += psi[down]
        psi = lowered / np.linalg.norm(lowered)
    return translation, round(float(psi @ psi[::-1]))


def _told(answer: Any, n: int, spin: int) -> tuple[int, int]:
    """The reader's pair."""
    translation, flip = asked(answer, n, spin)
    return int(translation), int(flip)


def ground_numbers(answer: Any, _: np.random.Generator) -> str | None:
    """right for the ground states (spin 0) of small rings"""
    for n in (4, 6, 8):
        got, want = _told(answer, n, 0), _ring_numbers(n, 0)
        if got != want:
            return f"ring of {n}, diagonalised: (translation, flip) = {want}; yours {got}"
    return None


def translation_numbers(answer: Any, _: np.random.Generator) -> str | None:
    """right translation of the lowest state of each spin"""
    for n, spin in ((4, 1), (6, 1), (8, 1), (6, 2), (8, 2)):
        got, want = _told(answer, n, spin)[0], _ring_numbers(n, spin)[0]
        if got != want:
            return f"ring of {n}, lowest state with S = {spin}: translation {want:+d}; yours {got:+d}"
    return None


def flip_numbers(answer: Any, _: np.random.Generator) -> str | None:
    """right flip of the lowest state of each spin (of its member with Sz = 0)"""
    for n, spin in ((4, 1), (6, 1), (8, 1), (6, 2), (8, 2)):
        got, want = _told(answer, n, spin)[1], _ring_numbers(n, spin)[1]
        if got != want:
            return f"ring of {n}, lowest state with S = {spin}: flip {want:+d}; yours {got:+d}"
    return None


def long_rings(answer: Any, rng: np.random.Generator) -> str | None:
    """two more sites change both signs, at any length"""
    n, spin = 2 * int(rng.integers(5, 200)), int(rng.integers(0, 4))
    one, two = _told(answer, n, spin), _told(answer, n + 2, spin)
    return f"S = {spin}: {one} on {n} sites, {two} on {n + 2}" if one != (-two[0], -two[1]) else None


# --- 02.5 the weight of a sign rule


def _random_signs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All Sz = 0 configurations of a small cluster, shuffled; a random sublattice pattern; its signs."""
    n = int(rng.choice([4, 6, 8]))
    states = np.array([s for s in range(2**n) if 2 * bin(s).count("1") == n])
    sigma = 2 * ((states[:, None] >> np.arange(n)) & 1) - 1
    sigma = rng.permutation(sigma)
    pattern = rng.permutation(np.repeat([1, -1], [n - n // 2, n // 2]))
    signs = (-1.0) ** np.sum((sigma > 0) & (pattern < 0), axis=1)
    return sigma, pattern, signs


def phase_free(answer: Any, rng: np.random.Generator) -> str | None:
    """psi, -psi and 3 psi are the same state"""
    sigma, pattern, _ = _random_signs(rng)
    psi = rng.normal(size=len(sigma))
    psi /= np.linalg.norm(psi)
    values = [float(asked(answer, factor * psi, sigma, pattern)) for factor in (1.0, -1.0, 3.0)]
    return f"weights {np.round(values, 4).tolist()}" if differs(values, [values[0]] * 3) else None


def obeyed(answer: Any, rng: np.random.Generator) -> str | None:
    """1 for a state that obeys the rule everywhere"""
    sigma, pattern, signs = _random_signs(rng)
    psi = signs * rng.uniform(0.1, 1.0, len(sigma))
    got = float(asked(answer, psi / np.linalg.norm(psi), sigma, pattern))
    return f"{sigma.shape[1]} sites, every sign right: W = {got:.4f}" if differs(got, 1.0) else None


def weighted(answer: Any, rng: np.random.Generator) -> str | None:
    """one wrong sign costs the probability of that configuration"""
    sigma, pattern, signs = _random_signs(rng)
    psi = signs * rng.uniform(0.5, 1.0, len(sigma))
    psi /= np.linalg.norm(psi)
    psi[0] *= -1
    got, want = float(asked(answer, psi, sigma, pattern)), 1 - float(psi[0] ** 2)
    return f"one sign wrong, |psi|^2 = {psi[0] ** 2:.4f} there: W = {got:.4f}" if differs(got, want) else None


def at_least_half(answer: Any, rng: np.random.Generator) -> str | None:
    """never below 1/2"""
    for _ in range(12):
        sigma, pattern, signs = _random_signs(rng)
        got = float(asked(answer, -signs * np.where(rng.random(len(sigma)) < 0.9, 1.0, -1.0), sigma, pattern))
        if not 0.5 - 1e-12 <= got <= 1 + 1e-12:
            return f"W = {got:.4f}"
    return None


# --- 02.6 entanglement entropy


def _entropy_of(psi: np.ndarray, inside: list[int]) -> float:
    """The entropy from the reduced density matrix, element by element."""
    n = int(np.log2(len(psi)))
    outside = [s for s in range(n) if s not in inside]
    table = np.zeros((2 ** len(inside), 2 ** len(outside)), dtype=complex)
    for s, amplitude in enumerate(psi):
        a = sum(((s >> site) & 1) << k for k, site in enumerate(inside))
        b = sum(((s >> site) & 1) << k for k, site in enumerate(outside))
        table[a, b] = amplitude
    p = np.linalg.eigvalsh(table @ table.conj().T)
    p = p[p > 1e-14]
    return float(-np.sum(p * np.log(p)))


def product(answer: Any, rng: np.random.Generator) -> str | None:
    """0 for spins that know nothing of each other"""
    n = int(rng.integers(3, 6))
    psi = turned(np.eye(2**n)[int(rng.integers(2**n))].astype(complex), np.linalg.qr(rng.normal(size=(2, 2)))[0])
    got = float(asked(answer, psi, [0, n - 1]))
    return f"{n} independent spins: entropy {got}" if differs(got, 0.0, 1e-8) else None


def singlet(answer: Any, _: np.random.Generator) -> str | None:
    """ln 2 for one spin of a singlet"""
    got = float(asked(answer, np.array([0, 1, -1, 0]) / np.sqrt(2), [0]))
    return f"yours is {got:.6f}, ln 2 = {np.log(2):.6f}" if differs(got, np.log(2)) else None


def cut_pairs(answer: Any, rng: np.random.Generator) -> str | None:
    """ln 2 for every singlet that is cut, 0 for those that are not"""
    psi = np.zeros(32)
    for low in range(4):  # singlets on (0, 2) and (1, 3), spin 4 up
        psi[16 | low | ((3 - low) << 2)] = (-1.0) ** bin(low).count("1") / 2
    for inside, cut in (([0, 1], 2), ([0, 2], 0), ([1, 3], 0), ([2, 4], 1), ([0], 1), ([4], 0), ([0, 1, 2], 1)):
        got = float(asked(answer, psi, inside))
        if differs(got, cut * np.log(2), 1e-8):
            return f"singlets on (0,2) and (1,3), spin 4 up, inside = {inside}: {got:.4f}, expected {cut} ln 2"
    return None


def any_vector(answer: Any, rng: np.random.Generator) -> str | None:
    """right for random states and random sets of sites"""
    n = int(rng.integers(4, 7))
    psi = random_vector(rng, n)
    inside = sorted(rng.choice(n, int(rng.integers(2, n - 1)), replace=False).tolist())
    got, want = float(asked(answer, psi, inside)), _entropy_of(psi, inside)
    return f"{n} spins, inside = {inside}: {got:.6f}, expected {want:.6f}" if differs(got, want, 1e-7) else None
