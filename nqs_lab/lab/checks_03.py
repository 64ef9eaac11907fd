"""The checks of notebook 03, Variational Monte Carlo.

The docstring of each test is the property that the reader sees.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nqs_lab.lab.checks import Exercise, Property, asked, differs
from nqs_lab.lab.checks_03_errors import (
    against_definition,
    correlated,
    energy_unit,
    leftover,
    naive_case,
    repeated,
    two_copies,
)
from nqs_lab.lab.checks_oracle import applied, dense, random_cluster, random_vector

# --- 03.1 the local value of a correlation


def _spins(state: int, n: int) -> np.ndarray:
    """Configuration number `state` as +1 and -1, bit i for spin i."""
    return np.where((state >> np.arange(n)) & 1, 1, -1).astype(np.int8)


def _log_amplitude(psi: np.ndarray) -> Callable[[Any], complex]:
    """log psi as a function of a configuration."""
    weights = 1 << np.arange(int(np.log2(len(psi))))
    return lambda sigma: complex(np.log(complex(psi[int(np.sum(weights[np.asarray(sigma) > 0]))])))


def _local(answer: Any, psi: np.ndarray, state: int, i: int, j: int) -> complex:
    """The reader's local value on one configuration, which it must not change."""
    sigma = _spins(state, int(np.log2(len(psi))))
    before = sigma.copy()
    value = complex(asked(answer, _log_amplitude(psi), sigma, i, j))
    if not np.array_equal(sigma, before):
        raise ValueError("the configuration handed in was changed; work on a copy")
    return value


def _same_site(answer: Any, rng: np.random.Generator) -> str | None:
    """i = j: 3/4, whatever psi is"""
    n = int(rng.integers(3, 6))
    site, state = int(rng.integers(n)), int(rng.integers(2**n))
    got = _local(answer, random_vector(rng, n), state, site, site)
    return f"on {n} spins i = j = {site} gives {got:.4f}" if differs(got, 0.75) else None


def _parallel_pair(answer: Any, rng: np.random.Generator) -> str | None:
    """parallel spins: 1/4, whatever psi is"""
    n = int(rng.integers(3, 6))
    i, j = (int(s) for s in rng.choice(n, 2, replace=False))
    for state in (2**n - 1, 0):
        got = _local(answer, random_vector(rng, n), state, i, j)
        if differs(got, 0.25):
            return f"all {n} spins {'up' if state else 'down'}: ({i}, {j}) gives {got:.4f}"
    return None


def _no_spread(answer: Any, _: np.random.Generator) -> str | None:
    """two spins in a singlet: -3/4 on both configurations; in the triplet with Sz = 0: 1/4"""
    for name, sign, want in (("singlet", -1.0, -0.75), ("triplet", 1.0, 0.25)):
        got = [_local(answer, np.array([0.5, 1.0, sign, 0.5]), state, 0, 1) for state in (1, 2)]
        if differs(np.array(got), np.array([want, want])):
            return f"{name}: on up-down {got[0]:.4f}, on down-up {got[1]:.4f}"
    return None


def _averages_to_the_truth(answer: Any, rng: np.random.Generator) -> str | None:
    """its average over |psi|^2 is <psi|S_i.S_j|psi>, for a random complex psi"""
    n = int(rng.integers(3, 5))
    psi = random_vector(rng, n)
    i, j = (int(s) for s in rng.choice(n, 2, replace=False))
    want = np.vdot(psi, applied([(i, j)], [1.0], psi))
    for a, b in ((i, j), (j, i)):  # in both orders: "the next site" is right in one of them by chance
        got = sum(abs(psi[s]) ** 2 * _local(answer, psi, s, a, b) for s in range(2**n))
        if differs(got, want):
            return f"{n} spins, ({a}, {b}): your average {got:.5f}, the truth {want:.5f}"
    return None


def _each_value(answer: Any, rng: np.random.Generator) -> str | None:
    """each single value is (S_i.S_j psi)(s) / psi(s)"""
    n = int(rng.integers(3, 5))
    psi = random_vector(rng, n)
    i, j = (int(s) for s in rng.choice(n, 2, replace=False))
    exact = applied([(i, j)], [1.0], psi) / psi
    for s in range(2**n):
        got = _local(answer, psi, s, i, j)
        if differs(got, exact[s]):
            return f"on {_spins(s, n).tolist()}, ({i}, {j}): {got:.5f} instead of {exact[s]:.5f}"
    return None


# --- 03.2 acceptance


def _probability(answer: Any, rng: np.random.Generator) -> str | None:
    """a probability, between 0 and 1"""
    for _ in range(40):
        old, new = rng.normal(size=2) * 2 + 1j * rng.normal(size=2)
        forward, backward = rng.uniform(0.01, 1.0, 2)
        got = complex(asked(answer, complex(old), complex(new), float(forward), float(backward)))
        if got.imag != 0 or not 0 <= got.real <= 1:
            return (
                f"log psi {old:.3f} -> {new:.3f}, forward {forward:.3f}, backward {backward:.3f}: you return {got:.4f}"
            )
    return None


def _uphill(answer: Any, rng: np.random.Generator) -> str | None:
    """as often as possible: of a move and its reverse, one is always accepted"""
    for _ in range(20):
        old, new = (complex(x) for x in rng.normal(size=2) + 1j * rng.normal(size=2))
        q = float(rng.uniform(0.1, 1.0))
        both = [float(np.real(asked(answer, a, b, q, q))) for a, b in ((old, new), (new, old))]
        if differs(max(both), 1.0):
            return f"log psi {old:.3f} and {new:.3f}, equal proposals: accepted with {both[0]:.4f} and {both[1]:.4f}"
    return None


def _symmetric_proposals(answer: Any, rng: np.random.Generator) -> str | None:
    """equal proposals both ways: p(s) a(s -> t) = p(t) a(t -> s) with p = |psi|^2"""
    return _balance(answer, rng, symmetric=True)


def _detailed_balance(answer: Any, rng: np.random.Generator) -> str | None:
    """unequal proposals: p(s) q(s -> t) a(s -> t) = p(t) q(t -> s) a(t -> s)"""
    return _balance(answer, rng, symmetric=False)


def _balance(answer: Any, rng: np.random.Generator, *, symmetric: bool) -> str | None:
    """Detailed balance on random pairs of configurations."""
    for _ in range(20):
        old, new = (complex(x) for x in rng.normal(size=2) + 1j * rng.uniform(-3, 3, size=2))
        there = float(rng.uniform(0.05, 0.5))
        back = there if symmetric else float(rng.uniform(0.05, 0.5))
        flow = np.exp(2 * old.real) * there * float(np.real(asked(answer, old, new, there, back)))
        counter = np.exp(2 * new.real) * back * float(np.real(asked(answer, new, old, back, there)))
        if differs(flow, counter):
            ratio = np.exp(2 * (new.real - old.real))
            return (
                f"p(t)/p(s) = {ratio:.4f}, q(t -> s)/q(s -> t) = {back / there:.4f}: flows {flow:.4f} and {counter:.4f}"
            )
    return None


def _zeros(answer: Any, rng: np.random.Generator) -> str | None:
    """psi = 0 (log psi = -inf) is never entered and always left"""
    finite, never = complex(rng.normal()), complex(-np.inf, 0.0)
    with np.errstate(all="ignore"):
        entered = float(np.real(asked(answer, finite, never, 0.2, 0.1)))
        left = float(np.real(asked(answer, never, finite, 0.1, 0.2)))
    return None if (entered, left) == (0.0, 1.0) else f"entered with probability {entered:.4g}, left with {left:.4g}"


# --- 03.3 the variance that sees everything


def _energy_variance(answer: Any, h: np.ndarray, psi: np.ndarray) -> tuple[float, float]:
    """The reader's pair of real numbers."""
    energy, variance = (complex(x) for x in asked(answer, h, psi))
    if abs(energy.imag) + abs(variance.imag) > 1e-9:
        raise ValueError(f"energy and variance should be real, got {energy:.4g} and {variance:.4g}")
    return energy.real, variance.real


def _on_eigenstates(answer: Any, rng: np.random.Generator) -> str | None:
    """an eigenstate: its eigenvalue, and variance 0"""
    n = int(rng.integers(3, 5))
    h = dense(*random_cluster(rng, n), n)
    levels, vectors = np.linalg.eigh(h)
    k = int(rng.integers(len(levels)))
    got = _energy_variance(answer, h, vectors[:, k])
    if differs(got[0], levels[k]) or abs(got[1]) > 1e-9:
        return f"level {levels[k]:.5f} of {n} spins: you return {got[0]:.5f} and {got[1]:.3g}"
    return None


def _any_norm(answer: Any, rng: np.random.Generator) -> str | None:
    """psi need not be normalised"""
    n = int(rng.integers(3, 5))
    h, psi = dense(*random_cluster(rng, n), n), random_vector(rng, n)
    factor = complex(rng.uniform(2, 5), rng.uniform(1, 3))
    one, two = _energy_variance(answer, h, psi), _energy_variance(answer, h, factor * psi)
    if differs(np.array(two), np.array(one)):
        return f"E and variance {one[0]:.4f}, {one[1]:.4f} become {two[0]:.4f}, {two[1]:.4f} for a multiple of psi"
    return None


def _complex_states(answer: Any, rng: np.random.Generator) -> str | None:
    """<H> and <H^2> - <H>^2 of a random complex state"""
    n = int(rng.integers(3, 5))
    h, psi = dense(*random_cluster(rng, n), n), random_vector(rng, n)
    energy = np.vdot(psi, h @ psi).real
    want = energy, np.vdot(h @ psi, h @ psi).real - energy**2
    got = _energy_variance(answer, h, psi)
    if differs(np.array(got), np.array(want)):
        return f"{n} spins: you return {got[0]:.5f}, {got[1]:.5f}; expected {want[0]:.5f}, {want[1]:.5f}"
    return None


def _sees_the_zeros(answer: Any, rng: np.random.Generator) -> str | None:
    """what H sends to configurations with psi = 0 counts too"""
    n = int(rng.integers(4, 6))
    bonds, couplings = [(s, s + 1) for s in range(n - 1)], rng.uniform(0.5, 1.5, n - 1)
    h, psi = dense(bonds, couplings, n), np.zeros(2**n)
    place = int(sum(1 << s for s in range(0, n, 2)))  # the Neel pattern alone
    psi[place] = 1.0
    want = float(np.sum(couplings**2)) / 4
    got = _energy_variance(answer, h, psi)[1]
    if differs(got, want):
        return f"the Neel pattern of {n} spins alone: your variance is {got:.5f}, sum(J^2)/4 = {want:.5f}"
    return None


EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        "03.1": Exercise(
            "The local value of a correlation",
            (
                Property(_same_site, "S.S of one spin 1/2 is s(s+1); no exchange is needed for i = j"),
                Property(_parallel_pair, "parallel spins cannot be exchanged: only the diagonal part is left"),
                Property(
                    _no_spread, "the diagonal part is -1/4 for opposite spins; the exchange enters with 1/2 and a sign"
                ),
                Property(
                    _averages_to_the_truth, "which amplitude is divided by which? And it is psi, not |psi| or |psi|^2"
                ),
                Property(_each_value, "bits in the wrong place average out; look at three spins, one of them up"),
            ),
        ),
        "03.2": Exercise(
            "Accept or not",
            (
                Property(_probability, "a ratio can exceed 1, and log psi is complex: whose modulus do you need?"),
                Property(_uphill, "there are other rules that keep the balance; Metropolis is the one that moves most"),
                Property(_symmetric_proposals, "the walker should visit s with |psi(s)|^2, not with |psi(s)|"),
                Property(
                    _detailed_balance,
                    "what is proposed too often must be accepted less often: which way round?",
                ),
                Property(_zeros, "what are exp(-inf) and exp(+inf)? Where does min come in, before or after exp?"),
            ),
        ),
        "03.3": Exercise(
            "A variance without a blind spot",
            (
                Property(_on_eigenstates, "|H psi - E psi|^2, with E from the same psi, is zero for an eigenstate"),
                Property(_any_norm, "both expectation values are divided by <psi|psi>"),
                Property(_complex_states, "is one of the two vectors conjugated? Is the norm squared?"),
                Property(_sees_the_zeros, "E_loc does not exist where psi = 0; the vector H psi does"),
            ),
        ),
        "03.4": Exercise(
            "The binned error",
            (
                Property(naive_case, "the error of a mean is smaller than the spread of the values: by which factor?"),
                Property(repeated, "average within the bins first; then how many independent numbers are left?"),
                Property(leftover, "how many whole bins are there? Cut the chain to that length first"),
                Property(correlated, "do the bins hold CONSECUTIVE draws? A reshape can also mix them"),
            ),
        ),
        "03.5": Exercise(
            "The V-score from a paper's numbers",
            (
                Property(energy_unit, "a variance has the unit of an energy squared: the V-score has none"),
                Property(two_copies, "variances and energies add up. Is your E the total or the one per site?"),
                Property(against_definition, "S = sigma/2: H is 4 times smaller with S. And its variance?"),
            ),
        ),
    }
)
