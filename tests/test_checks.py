"""Every self-check passes on the solution and fails, at the right property, on the classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks import exercise
from nqs_lab.lab.checks_01 import EXERCISES
from nqs_lab.lab.checks_oracle import dense, random_cluster

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "01_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "nl": nl, "grade": grade, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "01.1": RIGHT["energy_per_site"],
    "01.2": RIGHT["ring_bonds"],
    "01.3": RIGHT["hamiltonian_by_bits"],
    "01.4": RIGHT["correlation"],
    "01.5": RIGHT["dimer_state"],
}


def by_bits(parallel=0.25, opposite=-0.25, flip=0.5, flip_parallel=False, mirror=False):
    """The exercise's loop with planted mistakes."""

    def matrix(bonds, couplings, n):
        h = np.zeros((2**n, 2**n))
        for s in range(2**n):
            for (i, j), c in zip(bonds, couplings, strict=True):
                i, j = (n - 1 - i, n - 1 - j) if mirror else (i, j)
                same = (s >> i) & 1 == (s >> j) & 1
                h[s, s] += c * (parallel if same else opposite)
                if not same or flip_parallel:
                    h[s ^ (1 << i) ^ (1 << j), s] += c * flip
        return h

    return matrix


def one_way(bonds, couplings, n):
    """Exchanges written above the diagonal only."""
    return np.triu(by_bits()(bonds, couplings, n))


def only_z(psi, i, j, factor=1.0):
    """factor * <S^z_i S^z_j>."""
    s = np.arange(len(psi))
    z = lambda site: ((s >> site) & 1) - 0.5
    return factor * float(np.sum(np.abs(psi) ** 2 * z(i) * z(j)))


def exchanged(psi, i, j, conjugate=True, same=0.75, scale=1.0, sign=1.0):
    """The right correlation with planted mistakes."""
    if i == j:
        return same
    s = np.arange(len(psi))
    other = np.where(((s >> i) & 1) != ((s >> j) & 1), s ^ (1 << i) ^ (1 << j), s)
    left = np.conj(psi) if conjugate else psi
    return scale * float((sign * 0.5 * np.sum(left * psi[other]) - 0.25 * np.sum(left * psi)).real)


def dimers(pair, n, norm=True):
    """A product of the same pair state."""
    psi = np.ones(1)
    for _ in range(n // 2):
        psi = np.kron(np.array(pair, dtype=float), psi)
    return psi / (np.linalg.norm(psi) if norm else 1.0)


def far_dimers(n):
    """Singlets between opposite sites (0, n/2), (1, n/2 + 1), ..."""
    psi, half = np.zeros(2**n), n // 2
    for low in range(2**half):
        psi[low | ((2**half - 1 - low) << half)] = (-1.0) ** bin(low).count("1")
    return psi / np.linalg.norm(psi)


def singlets_and_gap(n):
    """Dimers on the right bonds, but the first one is a triplet."""
    return np.kron(dimers((0, 1, -1, 0), n - 2), np.array([0, 1, 1, 0]) / np.sqrt(2))


WRONG = [
    ("01.1", "forgot the factor 4", lambda e, n: e / n, 1),
    ("01.1", "factor 2: only one S counted", lambda e, n: e / 2 / n, 1),
    ("01.1", "multiplied by 4", lambda e, n: 4 * e / n, 1),
    ("01.1", "total, not per site", lambda e, n: e / 4, 0),
    ("01.1", "wrong sign", lambda e, n: -e / 4 / n, 1),
    ("01.1", "a stored number", lambda e, n: -0.4463935, 1),
    ("01.2", "open chain", lambda n: [(s, s + 1) for s in range(n - 1)], 1),
    ("01.2", "runs off the end", lambda n: [(s, s + 1) for s in range(n)], 0),
    ("01.2", "two bonds at L = 2", lambda n: [(s, (s + 1) % n) for s in range(n)], 3),
    ("01.2", "each bond from both ends", lambda n: [(s, (s + d) % n) for s in range(n) for d in (-1, 1)], 2),
    ("01.2", "second neighbours", lambda n: [(s, (s + 2) % n) for s in range(n)], 1),
    ("01.2", "no bond at L = 2", lambda n: [(s, (s + 1) % n) for s in range(n)] if n > 2 else [], 3),
    ("01.3", "Pauli matrices: factor 4", by_bits(1.0, -1.0, 2.0), 1),
    ("01.3", "sign of the exchange", by_bits(flip=-0.5), 3),
    ("01.3", "exchange J instead of J/2", by_bits(flip=1.0), 2),
    ("01.3", "diagonal only (Ising)", by_bits(flip=0.0), 2),
    ("01.3", "sign of the diagonal", by_bits(-0.25, 0.25), 1),
    ("01.3", "flips parallel spins too", by_bits(flip_parallel=True), 1),
    ("01.3", "only the upper triangle", one_way, 0),
    ("01.3", "bits counted from the left", by_bits(mirror=True), 4),
    ("01.3", "only Sz = 0", lambda b, c, n: np.eye(3), 0),
    ("01.4", "3 SzSz", lambda p, i, j: only_z(p, i, j, 3.0), 1),
    ("01.4", "3 SzSz with the triplets patched", lambda p, i, j: 0.25 if len(p) == 4 and abs(p[1] + p[2]) > 0.1
     else 0.25 if len(p) == 4 and abs(p[3]) > 0.1 else only_z(p, i, j, 3.0), 2),
    ("01.4", "SzSz alone", only_z, 0),
    ("01.4", "Pauli matrices", lambda p, i, j: exchanged(p, i, j, scale=4.0), 1),
    ("01.4", "sign of the exchange", lambda p, i, j: exchanged(p, i, j, sign=-1.0), 1),
    ("01.4", "1/4 on the same site", lambda p, i, j: exchanged(p, i, j, same=0.25), 0),
    ("01.4", "no complex conjugate", lambda p, i, j: exchanged(p, i, j, conjugate=False), 2),
    ("01.4", "always the next site", lambda p, i, j: exchanged(p, i, (i + (i != j)) % int(np.log2(len(p)))), 3),
    ("01.5", "triplets", lambda n: dimers((0, 1, 1, 0), n), 1),
    ("01.5", "not normalised", lambda n: dimers((0, 1, -1, 0), n, norm=False), 0),
    ("01.5", "singlets across the ring", far_dimers, 2),
    ("01.5", "one triplet among singlets", singlets_and_gap, 1),
    ("01.5", "the Neel state", lambda n: np.eye(2**n)[int("01" * (n // 2), 2)], 1),
    ("01.5", "dense vector of the wrong length", lambda n: np.ones(n) / np.sqrt(n), 0),
]  # fmt: skip


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(12))
def test_solution_passes_for_any_random_cases(key, seed):
    verdict = grade(key, ANSWERS[key], seed=seed)
    assert verdict.passed, verdict.text
    assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
@pytest.mark.parametrize("seed", range(6))
def test_wrong_answer_fails_at_its_property(key, name, answer, held, seed):
    verdict = grade(key, answer, seed=seed)
    assert not verdict.passed
    assert verdict.held == held, verdict.text
    prop = EXERCISES[key].properties[held]
    assert prop.says in verdict.text and prop.hint in verdict.text


def test_every_exercise_has_two_planted_wrong_answers():
    for key in EXERCISES:
        assert sum(w[0] == key for w in WRONG) >= 2


def test_every_property_catches_something():
    """No property is idle: some planted answer fails there (Tr H^2 and so on are all needed)."""
    caught = {(w[0], w[3]) for w in WRONG}
    for key, task in EXERCISES.items():
        idle = [p.says for k, p in enumerate(task.properties) if (key, k) not in caught]
        # This one follows from those before it; it is what the exercise is about.
        assert set(idle) <= {"H psi = E psi on the ring with J2 = J1/2"}


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


def test_errors_of_the_reader_are_shown_with_the_line(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text("def answer(total, n):\n    return total / missing_name\n")
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    verdict = grade("01.1", names["answer"])
    assert not verdict.passed
    assert "NameError" in verdict.text and "missing_name" in verdict.text


def test_a_number_in_place_of_a_function_is_explained():
    verdict = grade("01.1", 3.0)
    assert not verdict.passed and "a function was expected" in verdict.text


@pytest.mark.parametrize("key", ["1", "01.99", "99.1", "01.x", "", "checks.1", "../01.1"])
def test_unknown_exercises_are_refused(key):
    with pytest.raises(ValueError, match="exercise|lesson"):
        grade(key, lambda: None)


def test_nothing_of_a_solution_is_printed():
    for _key, task in EXERCISES.items():
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 110
    assert exercise("01.3").title


def test_checks_are_fast():
    for key, answer in ANSWERS.items():
        start = time.perf_counter()
        assert grade(key, answer, seed=0).passed
        assert time.perf_counter() - start < 2.0, key


def test_oracle_agrees_with_the_library():
    """The checks' own H (Dirac's exchange identity) is the library's H, on random clusters."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        bonds, couplings = random_cluster(rng, 4)
        basis = nl.SpinBasis(4)
        chosen = basis.states.astype(np.int64)
        block = dense(bonds, couplings, 4)[np.ix_(chosen, chosen)]
        library = nl.matrix(nl.Heisenberg(np.array(bonds), np.array(couplings), 4), basis).toarray()
        np.testing.assert_allclose(library, block, atol=1e-12)
