"""The checks of notebook 02 pass on the solutions and fail, at the right property, on the classic wrong answers."""

import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import check, grade
from nqs_lab.lab.checks_02 import EXERCISES

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions" / "02_solutions.ipynb"


def solutions():
    """The functions of the solution notebook, by name, without the comparisons below them."""
    names = {"np": np, "nl": nl}
    for cell in nbformat.read(SOLUTIONS, 4).cells:
        if "solution" in cell.metadata.get("tags", []):
            exec(cell.source.split("\n\n\n")[0], names)
    return names


RIGHT = solutions()
ANSWERS = {
    "02.1": RIGHT["one_step_energy"],
    "02.2": RIGHT["representative"],
    "02.3": RIGHT["sector_size"],
    "02.4": RIGHT["ring_signs"],
    "02.5": RIGHT["rule_weight"],
    "02.6": RIGHT["entropy"],
}


def step(h, v, *, normalise=True, conjugate=True, power=1, which=0, careful=True):
    """One Lanczos step with planted mistakes."""
    dot = np.vdot if conjugate else np.dot
    q = v / np.linalg.norm(v) if normalise else v
    alpha = dot(q, h @ q).real
    rest = h @ q - alpha * q
    beta = np.linalg.norm(rest)
    if careful and beta < 1e-12:
        return alpha
    with np.errstate(invalid="ignore"):
        second = rest / beta
    if np.isnan(second).any():
        return float("nan")
    return np.linalg.eigvalsh([[alpha, beta**power], [beta**power, dot(second, h @ second).real]])[which]


def rotations(state, n, mask=True):
    """All rotations to the left, perhaps with a bit that runs away."""
    found = []
    for k in range(n):
        turned = (state << k) | (state >> (n - k))
        found.append(turned & ((1 << n) - 1) if mask else turned)
    return found


def orbit(state, n, k, *, pick=min, mask=True, size=None, alive=lambda k, p, n: k * p % n == 0):
    """The right representative with planted mistakes."""
    found = rotations(state, n, mask)
    p = len(set(found)) if size is None else size
    return pick(found), p if alive(k, p, n) else 0


def sector(permutations, characters, n_up, *, short=False, ignore_ups=False, characters_used=True, divide=True):
    """The character count with planted mistakes."""
    total = 0
    for row, chi in zip(permutations, characters, strict=True):
        lengths, seen = [], set()
        for start in range(len(row)):
            length, site = 0, start
            while site not in seen:
                seen.add(site)
                site, length = int(row[site]), length + 1
            lengths += [length] if length else []
        ways = np.zeros(n_up + 1)
        ways[0] = 1
        for length in lengths:
            used = 1 if short else length
            if used <= n_up:
                ways[used:] = ways[used:] + ways[:-used].copy()
        count = 2 ** len(lengths) if ignore_ups else ways[n_up]
        total += (np.conj(chi) if characters_used else 1) * count
    return total / len(permutations) if divide else total


def weight(psi, sigma, pattern, *, normalise=True, best=True, power=2, rule=True, sublattice=-1):
    """The sign weight with planted mistakes."""
    up = np.sum((sigma > 0) & ((pattern == sublattice) if sublattice else True), axis=1)
    signs = (-1.0) ** up if rule else 1.0
    weights = np.abs(psi) ** power
    weights = weights / weights.sum() if normalise else weights
    good = weights[psi * signs > 0].sum()
    return max(good, 1 - good) if best else good


def cut(psi, inside, *, log=np.log, power=2, first=False, clean=True, order=1):
    """The entropy with planted mistakes."""
    n = int(np.log2(len(psi)))
    axes = list(range(n - len(inside), n)) if first else [n - 1 - s for s in inside] if order else list(inside)
    rest = [a for a in range(n) if a not in axes]
    table = np.reshape(psi, (2,) * n).transpose(axes + rest).reshape(2 ** len(axes), -1)
    p = np.linalg.svd(table, compute_uv=False) ** power
    p = p[p > 1e-14] if clean else np.where(p > 1e-14, p, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.sum(p * log(p))


def renyi(psi, inside):
    """The second Renyi entropy, -ln sum p^2."""
    n = int(np.log2(len(psi)))
    axes = [n - 1 - s for s in inside]
    rest = [a for a in range(n) if a not in axes]
    table = np.reshape(psi, (2,) * n).transpose(axes + rest).reshape(2 ** len(axes), -1)
    return -np.log(np.sum(np.linalg.svd(table, compute_uv=False) ** 4))


WRONG = [
    ("02.1", "start vector not normalised", lambda h, v: step(h, v, normalise=False), 0),
    ("02.1", "the highest eigenvalue", lambda h, v: step(h, v, which=1), 1),
    ("02.1", "the mean energy, no step at all", lambda h, v: np.vdot(v, h @ v).real / np.vdot(v, v).real, 2),
    ("02.1", "the exact answer", lambda h, v: np.linalg.eigvalsh(h)[0], 3),
    ("02.1", "NaN at an eigenvector", lambda h, v: step(h, v, careful=False), 4),
    ("02.2", "the bit that leaves is lost", lambda s, n, k: (min(s << i & (2**n - 1) for i in range(n)), n), 0),
    ("02.2", "no mask: bits run away", lambda s, n, k: orbit(s, n, k, mask=False, pick=max), 0),
    ("02.2", "the largest rotation", lambda s, n, k: orbit(s, n, k, pick=max), 1),
    ("02.2", "every orbit has n members", lambda s, n, k: orbit(s, n, k, size=n), 2),
    ("02.2", "no orbit is killed", lambda s, n, k: orbit(s, n, k, alive=lambda *_: True), 3),
    ("02.2", "the first momenta live", lambda s, n, k: orbit(s, n, k, alive=lambda k, p, n: k < p), 4),
    ("02.3", "any number of up spins", lambda p, c, n: sector(p, c, n, ignore_ups=True), 0),
    ("02.3", "a cycle counts as one up spin", lambda p, c, n: sector(p, c, n, short=True), 1),
    ("02.3", "not divided by the order", lambda p, c, n: sector(p, c, n, divide=False), 1),
    ("02.3", "characters forgotten", lambda p, c, n: sector(p, c, n, characters_used=False), 2),
    ("02.4", "always all plus", lambda n, s: (1, 1), 0),
    ("02.4", "N instead of N/2", lambda n, s: ((-1) ** n, (-1) ** n), 0),
    ("02.4", "only the flip", lambda n, s: (1, (-1) ** (n // 2 - s)), 0),
    ("02.4", "spin ignored", lambda n, s: ((-1) ** (n // 2),) * 2, 1),
    ("02.4", "spin ignored in the flip", lambda n, s: ((-1) ** (n // 2 - s), (-1) ** (n // 2)), 2),
    ("02.4", "a table up to eight sites", lambda n, s: ((-1) ** (n // 2 - s),) * 2 if n <= 8 else (1, 1), 3),
    ("02.5", "not normalised", lambda p, s, a: weight(p, s, a, normalise=False), 0),
    ("02.5", "global sign fixed", lambda p, s, a: weight(p, s, a, best=False), 0),
    ("02.5", "no sign rule", lambda p, s, a: weight(p, s, a, rule=False), 1),
    ("02.5", "up spins on all sites", lambda p, s, a: weight(p, s, a, sublattice=0), 1),
    ("02.5", "|psi| instead of its square", lambda p, s, a: weight(p, s, a, power=1), 2),
    ("02.5", "configurations counted", lambda p, s, a: weight(p, s, a, power=0), 2),
    ("02.6", "NaN for p = 0", lambda p, i: cut(p, i, clean=False), 0),
    ("02.6", "log base 2", lambda p, i: cut(p, i, log=np.log2), 1),
    ("02.6", "singular values not squared", lambda p, i: cut(p, i, power=1), 1),
    ("02.6", "always the first spins", lambda p, i: cut(p, i, first=True), 2),
    ("02.6", "sites counted from the left", lambda p, i: cut(p, i, order=0), 2),
    ("02.6", "the second Renyi entropy", renyi, 3),
]  # fmt: skip
# 02.5 "never below 1/2" follows from the sign-free property before it; it says what the maximum is for.
IDLE = {"never below 1/2"}


@pytest.mark.parametrize("key", EXERCISES)
@pytest.mark.parametrize("seed", range(8))
def test_solution_passes_for_any_random_cases(key, seed):
    verdict = grade(key, ANSWERS[key], seed=seed)
    assert verdict.passed, verdict.text
    assert verdict.held == len(EXERCISES[key].properties)


@pytest.mark.parametrize(("key", "name", "answer", "held"), WRONG, ids=[f"{w[0]} {w[1]}" for w in WRONG])
@pytest.mark.parametrize("seed", range(4))
def test_wrong_answer_fails_at_its_property(key, name, answer, held, seed):
    verdict = grade(key, answer, seed=seed)
    assert not verdict.passed
    assert verdict.held == held, verdict.text
    prop = EXERCISES[key].properties[held]
    assert prop.says in verdict.text and prop.hint in verdict.text


@pytest.mark.parametrize("seed", range(4))
def test_a_forgotten_conjugate_is_noticed(seed):
    """Where it shows first depends on the random vector."""
    assert not grade("02.1", lambda h, v: step(h, v, conjugate=False), seed=seed).passed
    assert not grade("02.1", lambda h, v: step(h, v, power=2), seed=seed).passed


def test_every_exercise_has_two_planted_wrong_answers_and_every_property_catches_something():
    caught = {(w[0], w[3]) for w in WRONG}
    for key, task in EXERCISES.items():
        assert sum(w[0] == key for w in WRONG) >= 2
        assert {p.says for k, p in enumerate(task.properties) if (key, k) not in caught} <= IDLE


@pytest.mark.parametrize("key", EXERCISES)
def test_empty_answers_are_not_answered_yet(key, capsys):
    for empty in (None, ..., lambda *arguments: None, lambda *arguments: ...):
        check(key, empty)
        assert "not answered yet" in capsys.readouterr().out


def test_nothing_of_a_solution_is_printed():
    for task in EXERCISES.values():
        for prop in task.properties:
            assert "def " not in prop.hint and "return" not in prop.hint and len(prop.hint) < 110


def test_checks_are_fast():
    for key, answer in ANSWERS.items():
        start = time.perf_counter()
        assert grade(key, answer, seed=0).passed
        assert time.perf_counter() - start < 2.0, key
