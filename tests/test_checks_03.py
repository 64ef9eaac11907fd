"""Notebook 03: every self-check passes on the solution and fails, at the right property, on classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_03 import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "03_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name."""
    names = {"np": np, "nl": nl, "grade": grade, "print": lambda *_: None}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


RIGHT = solutions()
ANSWERS = {
    "03.1": RIGHT["local_correlation"],
    "03.2": RIGHT["acceptance_probability"],
    "03.3": RIGHT["energy_and_variance"],
    "03.4": RIGHT["binned_error"],
    "03.5": RIGHT["v_score"],
}


def correlation(same=0.75, parallel=0.25, opposite=-0.25, flip=0.5, ratio=lambda new, old: np.exp(new - old), on=None):
    """The local value with planted mistakes; `on`: which site j stands for."""

    def answer(log_psi, sigma, i, j):
        if i == j:
            return same
        k = j if on is None else on(i, j, len(sigma))
        if k == i or sigma[i] == sigma[k]:
            return parallel
        moved = sigma.copy()
        moved[[i, k]] = moved[[k, i]]
        return opposite + flip * ratio(log_psi(moved), log_psi(sigma))

    return answer


def in_place(log_psi, sigma, i, j):
    """Exchanges the spins of the configuration handed in and forgets to put them back."""
    old = log_psi(sigma)
    if i == j:
        return 0.75
    if sigma[i] == sigma[j]:
        return 0.25
    sigma[[i, j]] = sigma[[j, i]]
    return -0.25 + 0.5 * np.exp(log_psi(sigma) - old)


def accept(power=2.0, hastings=lambda there, back: back / there, cap=True, rule=None, part=np.real):
    """min(1, |psi'/psi|^power q(t -> s) / q(s -> t)) with planted mistakes."""

    def answer(old, new, there, back):
        with np.errstate(all="ignore"):
            ratio = np.exp(power * (part(new) - part(old))) * hastings(there, back)
        if rule is not None:
            return rule(ratio)
        return min(1.0, ratio) if cap else ratio

    return answer


def by_local_energies(h, psi):
    """Mean and variance of the local energy over the configurations with psi != 0."""
    inside = np.abs(psi) > 1e-12
    weight = np.abs(psi[inside]) ** 2 / np.sum(np.abs(psi[inside]) ** 2)
    local = (h @ psi)[inside] / psi[inside]
    energy = np.sum(weight * local)
    return energy.real, np.sum(weight * np.abs(local - energy) ** 2)


def unnormalised(h, psi):
    energy = np.vdot(psi, h @ psi).real
    return energy, np.vdot(h @ psi, h @ psi).real - energy**2


def no_conjugate(h, psi):
    """psi.psi in place of <psi|psi>; right for real states (and written so that the norm still drops out)."""
    norm = np.abs(np.sum(psi * psi))
    energy = np.real(np.sum(psi * (h @ psi)) / np.sum(psi * psi))
    return energy, np.abs(np.sum((h @ psi) ** 2)) / norm - energy**2


def deviation(h, psi):
    """The square root: a standard deviation."""
    energy, variance = ANSWERS["03.3"](h, psi)
    return energy, np.sqrt(abs(variance))


def bins_of(values, length, *, order="C"):
    count = len(values) // length
    cut = np.asarray(values)[: count * length]
    return cut.reshape(count, length).mean(1) if order == "C" else cut.reshape(length, count).mean(0)


def split_evenly(values, length):
    """np.array_split: bins of unequal length in place of a leftover."""
    means = np.array([part.mean() for part in np.array_split(values, -(-len(values) // length))])
    return means.std(ddof=1) / np.sqrt(len(means))


def last_bin_short(values, length):
    means = np.array([np.mean(values[k : k + length]) for k in range(0, len(values), length)])
    return means.std(ddof=1) / np.sqrt(len(means))


def error_of(means, count):
    return means.std(ddof=1) / np.sqrt(count)


def thinned(values, length):
    """Every length-th value, the others thrown away."""
    kept = np.asarray(values)[::length][: len(values) // length]
    return error_of(kept, len(kept))


WRONG = [
    ("03.1", "1/4 on the same site", correlation(same=0.25), 0),
    ("03.1", "flips parallel spins too", correlation(parallel=0.75), 1),
    ("03.1", "Pauli matrices: factor 4", correlation(parallel=1.0, opposite=-1.0, flip=2.0), 1),
    ("03.1", "exchange J in place of J/2", correlation(flip=1.0), 2),
    ("03.1", "sign of the exchange", correlation(flip=-0.5), 2),
    ("03.1", "diagonal only", correlation(flip=0.0), 2),
    ("03.1", "no signs: |psi|", correlation(ratio=lambda new, old: np.exp(new.real - old.real)), 2),
    ("03.1", "probabilities: |psi|^2", correlation(ratio=lambda new, old: np.exp(2 * (new.real - old.real))), 2),
    ("03.1", "ratio upside down", correlation(ratio=lambda new, old: np.exp(old - new)), 3),
    ("03.1", "complex conjugate", correlation(ratio=lambda new, old: np.exp(np.conj(new - old))), 4),
    ("03.1", "always the next site", correlation(on=lambda i, j, n: (i + 1) % n), 3),
    ("03.1", "configuration changed", in_place, 2),
    ("03.2", "missing Hastings factor", accept(hastings=lambda there, back: 1.0), 3),
    ("03.2", "Hastings factor upside down", accept(hastings=lambda there, back: there / back), 3),
    ("03.2", "amplitude, not squared", accept(power=1.0), 2),
    ("03.2", "not capped at 1", accept(cap=False), 0),
    ("03.2", "complex amplitudes", accept(part=lambda x: x), 0),
    ("03.2", "heat bath r / (1 + r)", accept(rule=lambda r: r / (1 + r)), 1),
    ("03.2", "half of Metropolis", accept(rule=lambda r: 0.5 * min(1.0, r)), 1),
    ("03.2", "greedy: uphill only", accept(rule=lambda r: float(r >= 1)), 2),
    ("03.2", "factor outside the minimum",
     lambda old, new, q, b: min(1.0, min(1.0, np.exp(2 * (new - old).real)) * b / q), 3),
    ("03.2", "differences of infinities",
     lambda old, new, q, b: float(np.exp(np.minimum(2 * (new - old).real + np.log(b / q), 0)))
     if np.isfinite(old.real) else 0.0, 4),
    ("03.3", "local energies on the support", by_local_energies, 3),
    ("03.3", "not divided by the norm", unnormalised, 1),
    ("03.3", "no complex conjugate", no_conjugate, 2),
    ("03.3", "standard deviation", deviation, 2),
    ("03.3", "second moment only",
     lambda h, psi: (np.vdot(psi, h @ psi).real / np.vdot(psi, psi).real, np.vdot(h @ psi, h @ psi).real), 0),
    ("03.3", "always zero", lambda h, psi: (np.vdot(psi, h @ psi).real / np.vdot(psi, psi).real, 0.0), 2),
    ("03.4", "naive, whatever the length", lambda x, m: error_of(np.asarray(x), len(x)), 1),
    ("03.4", "spread of the bins, not of their mean", lambda x, m: bins_of(x, m).std(ddof=1), 0),
    ("03.4", "divided by sqrt(n) of all values", lambda x, m: error_of(bins_of(x, m), len(x)), 1),
    ("03.4", "variance, no root", lambda x, m: error_of(bins_of(x, m), len(x) // m) ** 2, 0),
    ("03.4", "bins of draws far apart", lambda x, m: error_of(bins_of(x, m, order="F"), len(x) // m), 1),
    ("03.4", "a short last bin", last_bin_short, 2),
    ("03.4", "bins of unequal length", split_evenly, 2),
    ("03.4", "thinning in place of averaging", thinned, 3),
    ("03.5", "factor 4 in place of 16", lambda e, v, n: n * v / 4 / (n * e) ** 2, 2),
    ("03.5", "no factor at all", lambda e, v, n: n * v / (n * e) ** 2, 2),
    ("03.5", "energy per site, not total", lambda e, v, n: n * v / 16 / e**2, 1),
    ("03.5", "N forgotten", lambda e, v, n: v / 16 / (n * e) ** 2, 1),
    ("03.5", "standard deviation", lambda e, v, n: n * np.sqrt(v / 16) / (n * e) ** 2, 0),
    ("03.5", "energy not squared", lambda e, v, n: n * v / 16 / abs(n * e), 0),
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


def test_every_property_catches_something():
    caught = {(w[0], w[3]) for w in WRONG}
    for key, task in EXERCISES.items():
        assert sum(w[0] == key for w in WRONG) >= 2
        assert [p.says for k, p in enumerate(task.properties) if (key, k) not in caught] == []


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


def test_nothing_of_a_solution_is_printed():
    for task in EXERCISES.values():
        assert task.title
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 110


def test_checks_are_fast():
    for key, answer in ANSWERS.items():
        start = time.perf_counter()
        assert grade(key, answer, seed=0).passed
        assert time.perf_counter() - start < 2.0, key
