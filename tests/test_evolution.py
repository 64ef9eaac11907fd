"""The limit that the number of steps sets: exact imaginary time against dense exponentials and against SR itself."""

import jax
import numpy as np
import pytest
from scipy.linalg import expm

import nqs_lab as nl
from nqs_lab.lab.comparison.evolution import Allowed, allowed, allowed_table, evolve, flat_state, spans
from nqs_lab.lab.comparison.pairing import FACTORED, T5
from nqs_lab.lab.comparison.setting import Problem, Setting, problem
from nqs_lab.lab.shelf import Row
from nqs_lab.vmc.recipe import imaginary_time, imaginary_time_span


def magnet(n, j2):
    lattice = nl.chain(n)
    ham, basis = nl.j1j2(lattice, j2), nl.SpinBasis(lattice)
    return Problem(lattice, ham, basis, nl.ground_state(ham, basis))


@pytest.mark.parametrize(("n", "span"), [(6, 0.3), (8, 2.7), (8, 12.0)])
def test_evolution_is_the_exponential(n, span):
    rng = np.random.default_rng(n)
    found = magnet(n, 0.3)
    h, psi = nl.matrix(found.ham, found.basis), rng.normal(size=found.basis.dim)
    later = evolve(h, psi, span, found.ground.energy + rng.normal())
    want = expm(-span * h.toarray()) @ psi
    np.testing.assert_allclose(later, want / np.linalg.norm(want), atol=1e-10)


def test_the_flat_state_has_the_signs_of_the_rule():
    four = problem(0.5)
    neel, stripe, none = (flat_state(four.basis, sign) for sign in ("neel", "stripe", "none"))
    ham = nl.j1j2(four.lattice, 0.5)
    assert np.isclose(nl.expectation(ham, neel, four.basis) / 16, -19 / 60)  # as lesson 07 derives
    assert nl.expectation(nl.j1j2(four.lattice, 1.0), stripe, four.basis) < nl.expectation(
        nl.j1j2(four.lattice, 1.0), neel, four.basis
    )
    still = nl.SpinBasis(four.lattice, sector=nl.Sector(momentum=(0, 0)))
    for psi, sign in ((neel, "neel"), (stripe, "stripe"), (none, "none")):
        np.testing.assert_allclose(still.expand(flat_state(still, sign)), psi, atol=1e-14)
    assert np.all(none > 0) and all(np.isclose(np.linalg.norm(psi), 1) for psi in (neel, stripe, none))


@pytest.mark.parametrize(("rate", "steps"), [(0.1, 100), (0.05, 7), (0.2, 1)])
def test_the_span_is_the_sum_of_the_steps_that_the_optimiser_takes(rate, steps):
    optimiser = imaginary_time(rate, steps, max_norm=1e9)
    state, total = optimiser.init(np.ones(1)), 0.0
    for _ in range(steps):
        update, state = optimiser.update(np.ones(1), state)
        total -= float(np.asarray(update)[0])
    assert np.isclose(imaginary_time_span(rate, steps), total, rtol=1e-5)


def test_sr_with_a_number_for_every_configuration_follows_the_exact_evolution():
    """The rate is an imaginary time: a table of all amplitudes, trained in short steps, arrives where exp does."""
    found = magnet(6, 0.3)
    start = flat_state(found.basis, "neel")
    table = nl.LogTable(found.basis, state=start.astype(complex))
    steps, rate = 60, 0.01
    vmc = nl.VMC(
        found.ham, nl.ExactSampler(found.basis), nl.SR(diag_shift=1e-9), imaginary_time(rate, steps, max_norm=1e9)
    )
    state = nl.run(vmc, vmc.init(table, key=jax.random.key(0)), steps)
    trained = nl.measure(vmc, state).mean.real
    h, span = nl.matrix(found.ham, found.basis), imaginary_time_span(rate, steps)
    energy = lambda t: float(np.vdot(psi := evolve(h, start, t, found.ground.energy), h @ psi))
    assert abs(trained - energy(span)) < 0.02 * (energy(0.0) - energy(span))
    assert abs(trained - energy(2 * span)) > 0.1 * (energy(0.0) - energy(span)), "half the convention would be seen"


def test_the_limits_fall_with_time_and_the_table_marks_agreement():
    short, long = allowed((2.0, 4.0), (0.8,))
    assert np.isclose(allowed((4.0,), (0.8,))[0].errors[0], long.errors[0])
    assert all(0 <= b < a for a, b in zip(short.errors, long.errors, strict=True))

    def row(kind, rate, error, j2):
        setting = Setting(kind, j2, "neel" if j2 <= 0.5 else "stripe", 11, rate, 1e-3)
        return Row(setting, {"relative_error": error}, {})

    span = {rate: imaginary_time_span(rate, 100) for rate in (0.1, 0.2)}
    limits = [Allowed(span[0.1], (0.5, 0.8), (1e-6, 1e-3)), Allowed(span[0.2], (0.5, 0.8), (1e-9, 1e-4))]
    rows = [row("factored", 0.1, 1.1e-3, 0.8), row("t5", 0.2, 5e-4, 0.8), row("factored", 0.1, 1e-5, 0.5)]
    assert spans(rows) == {FACTORED: span[0.1], T5: span[0.2]}
    text = allowed_table(rows, limits).splitlines()
    assert "1.1e-03*" in text[2] and "5.0e-04*" not in text[2] and "*" not in text[1] and "nan" in text[1]
