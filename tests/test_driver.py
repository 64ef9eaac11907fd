"""The driver: one trace, purity, guards, plans, callbacks."""

import math
import os
import signal
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqs_lab as nl
from nqs_lab.ansatz.classic import RBM, Jastrow
from nqs_lab.vmc import driver
from nqs_lab.vmc.batching import log_amplitudes


def small(key, *, sr=True, sampled=True, n_sites=8, **options):
    """A small VMC on a ring, with its first state."""
    lattice = nl.chain(n_sites)
    ham = nl.j1j2(lattice, j2=0.2)
    sampler = nl.ExchangeSampler(ham, n_chains=32) if sampled else nl.ExactSampler(nl.SpinBasis(lattice))
    model = nl.MarshallSign(RBM(lattice, alpha=1, key=key), lattice)
    vmc = nl.VMC(ham, sampler, nl.SR(**options) if sr else None, optax.sgd(0.05) if sr else optax.adam(0.02))
    return vmc, vmc.init(model, key=key)


def equal(a, b):
    """Bitwise equality of two pytrees of arrays."""

    def data(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    pairs = zip(jax.tree.leaves(eqx.filter(a, eqx.is_array)), jax.tree.leaves(eqx.filter(b, eqx.is_array)), strict=True)
    return all(np.array_equal(data(x), data(y), equal_nan=True) for x, y in pairs)


@pytest.fixture(autouse=True)
def standard_promotion(request):
    """optax.adam promotes int32 and float32 by itself: strictness is lifted for the tests that use it."""
    if "sr" not in request.fixturenames or request.getfixturevalue("sr"):
        yield
        return
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize(("sr", "sampled", "momentum"), [(True, True, 0.9), (True, False, 0.0), (False, True, 0.0)])
def test_a_step_is_traced_once_over_five_steps(sr, sampled, momentum, key):
    vmc, state = small(key, sr=sr, sampled=sampled, **({"momentum": momentum} if sr else {}))
    step = eqx.filter_jit(eqx.debug.assert_max_traces(lambda v, s: v.step(s), max_traces=1))
    for j2 in (0.2, 0.2, 0.0, 0.5, 1.0):  # couplings are data: a scan of J2 does not recompile, nor does a zero
        other = nl.VMC(nl.j1j2(nl.chain(8), j2=j2), vmc.sampler, vmc.preconditioner, vmc.optimiser)
        state, info = step(other, state)
        assert bool(info.finite)


def test_run_is_the_same_twice_and_does_not_consume_its_input(key):
    vmc, state = small(key)
    first = nl.run(vmc, state, 4)
    assert equal(first, nl.run(vmc, state, 4))
    assert equal(first, nl.run(vmc, nl.run(vmc, state, 1), 3))
    assert int(first.step) == 4 and not equal(first.model, state.model)


@pytest.mark.parametrize("sr", [True, False])
def test_training_lowers_the_energy_and_respects_the_variational_bound(sr, key):
    vmc, state = small(key, sr=sr, sampled=False)
    exact = nl.ground_state(vmc.ham).energy
    history = nl.History()
    nl.run(vmc, state, 60, callbacks=[history])
    energy = history["energy"]
    assert np.all(energy > exact - 1e-9) and energy[-1] < energy[0]
    assert energy[-1] - exact < (0.02 if sr else 0.1) * abs(exact)
    assert len(history) == 60 and np.all(history["error"] == 0) and np.all(history["finite"] == 1)
    np.testing.assert_allclose(history["energy_imag"], 0, atol=1e-10)


def test_sampled_and_exact_energies_agree_within_their_error(key):
    vmc, state = small(key, sampled=True)
    exact, full = small(key, sampled=False)
    reference = nl.measure(exact, full)
    stats = nl.measure(vmc, state, n_draws=40)
    assert 0 < stats.error < 0.05 and abs(stats.r_hat - 1) < 0.2
    assert abs(stats.mean.real - reference.mean.real) < 4 * stats.error
    assert stats.variance == pytest.approx(reference.variance, rel=0.3)


class Spike(nl.AbstractAnsatz):
    """A one-parameter ansatz that turns NaN once its parameter leaves (-1, 1)."""

    theta: jax.Array
    n_sites: int = eqx.field(static=True)

    def __call__(self, sigma):
        inside = jnp.where(jnp.abs(self.theta) < 1, self.theta, jnp.nan)
        value = inside * sigma[0].astype(self.theta.dtype) * sigma[1].astype(self.theta.dtype)
        return jax.lax.complex(value, jnp.zeros_like(value))


def test_a_non_finite_step_is_not_taken_is_counted_and_three_stop_the_run(key):
    lattice = nl.chain(4)
    ham = nl.j1j2(lattice, j2=0.0, folded="once")
    vmc = nl.VMC(ham, nl.ExactSampler(nl.SpinBasis(lattice)), nl.SR(1e-3), optax.sgd(float("inf")))
    start = vmc.init(Spike(jnp.asarray(0.3), 4), key=key)
    history = nl.History()
    with pytest.warns(RuntimeWarning, match="Lower the learning rate"):
        state = nl.run(vmc, start, 10, callbacks=[history])
    assert len(history) == 3 and np.all(history["finite"] == 0)
    assert float(state.model.theta) == pytest.approx(0.3) and int(state.step) == 3
    state = nl.run(nl.VMC(ham, vmc.sampler, vmc.preconditioner, optax.sgd(1e-3)), state, 2)
    assert int(state.rejected) == 0, "a finite step clears the count"


def test_ctrl_c_stops_between_two_steps_and_keeps_the_state(key):
    vmc, state = small(key)
    history = nl.History()

    class Press(nl.Callback):
        def on_step(self, record, state):
            if record.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted after step 3"):
        stopped = nl.run(vmc, state, 50, callbacks=[history, Press()])
    assert int(stopped.step) == 3 == len(history)
    with pytest.raises(KeyboardInterrupt):
        nl.run(vmc, state, 50, callbacks=[Press()], on_interrupt="raise")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    results = []
    thread = threading.Thread(target=lambda: results.append(nl.run(vmc, state, 2)))  # no signals off the main thread
    thread.start()
    thread.join()
    assert int(results[0].step) == 2


def test_callbacks_end_after_an_error(key):
    vmc, state = small(key)
    seen = []

    class Fails(nl.Callback):
        def on_step(self, record, state):
            raise RuntimeError("mine")

        def on_end(self, state):
            seen.append(int(state.step))

    with pytest.raises(RuntimeError, match="mine"):
        nl.run(vmc, state, 5, callbacks=[Fails()])
    assert seen == [1]


def test_progress_bar_says_compiling_then_counts_steps(key, capsys):
    vmc, state = small(key)
    nl.run(vmc, state, 3, callbacks=[nl.ProgressBar(nl.ground_state(vmc.ham).energy, label="ring")])
    text = capsys.readouterr().err
    assert "ring: compiling (once)" in text and "3/3" in text and "rel. error" in text and "E/N" in text
    assert "compiling" not in text[text.rindex("\r") :]


def test_early_stop(key):
    vmc, state = small(key, sampled=False)
    exact = nl.ground_state(vmc.ham).energy
    assert 1 < int(nl.run(vmc, state, 300, callbacks=[nl.EarlyStop(reference=exact, target=0.05)]).step) < 300
    frozen = nl.VMC(vmc.ham, vmc.sampler, vmc.preconditioner, optax.sgd(0.0))
    assert int(nl.run(frozen, state, 50, callbacks=[nl.EarlyStop(patience=5)]).step) == 6
    for arguments in ({}, {"target": 1e-3}):
        with pytest.raises(ValueError, match="reference"):
            nl.EarlyStop(**arguments)


def test_history_names_what_it_has(key):
    with pytest.raises(KeyError, match="choose from step, energy"):
        nl.History()["enrgy"]
    assert nl.History()["energy"].shape == (0,)


def test_plan_counts_what_is_known_and_refuses_what_does_not_fit(key):
    lattice = nl.square(6)
    ham = nl.j1j2(lattice, j2=0.5)
    model = nl.ViT(lattice, patch=2, width=32, heads=4, depth=2, key=key)
    vmc = nl.VMC(ham, nl.ExchangeSampler(ham, n_chains=1024), nl.SR(1e-3), optax.sgd(0.1))
    plan = vmc.plan(model)
    parameters = nl.count_parameters(model)
    assert plan.memory["log-derivatives"] == 4 * 2 * 1024 * parameters
    assert plan.forwards == pytest.approx(1 + 36 + 144 * 36 / 70) and plan.dual
    weights = 2 * 9 * (4 * 32 + 2 * (2 * 32 * 32 + 8 * 32 * 32))  # every weight is used once per token
    assert plan.flops["forwards"] / (1024 * plan.forwards) == pytest.approx(weights, rel=0.25)
    text = str(plan)
    assert f"{parameters:,} parameters" in text and "minSR" in text and "GB" in text
    small_machine = eqx.tree_at(lambda p: p.available, plan, 1e8)
    with pytest.raises(ValueError, match="n_chains"):
        small_machine.check()
    huge = nl.VMC(ham, nl.ExchangeSampler(ham, n_chains=2**20), nl.SR(1e-3, form="dual"), optax.sgd(0.1))
    with pytest.raises(ValueError, match="this step needs about"):
        huge.init(model, key=key)


def test_refusals(key):
    lattice = nl.chain(8)
    ham = nl.j1j2(lattice, j2=0.2)
    sampler = nl.ExchangeSampler(ham, n_chains=8)
    with pytest.raises(ValueError, match="chunk_size must be a positive integer"):
        nl.VMC(ham, sampler, None, optax.sgd(0.1), chunk_size=0)
    vmc = nl.VMC(ham, sampler, nl.SR(), optax.sgd(0.1))
    with pytest.raises(ValueError, match="the ansatz has 10 sites, the Hamiltonian 8"):
        vmc.init(Jastrow(nl.chain(10), key=key), key=key)
    with pytest.raises(ValueError, match="n_steps must be >= 0"):
        nl.run(vmc, vmc.init(Jastrow(lattice, key=key), key=key), -1)
    with pytest.raises(ValueError, match="complex"):
        vmc.init(Spike(jnp.asarray(0.1 + 0.2j), 8), key=key)
    with pytest.raises(ValueError, match="no floating-point parameters"):
        vmc.init(Spike(jnp.asarray(3), 8), key=key)
    with pytest.raises(ValueError, match="n_draws must be at least 4"):
        nl.measure(vmc, vmc.init(Jastrow(lattice, key=key), key=key), n_draws=2)
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="enable_x64"):
            nl.VMC(ham, sampler, nl.SR(), optax.sgd(0.1))
    finally:
        nl.enable_x64()


def test_float32_and_float64_networks_take_the_same_step(key):
    """Same parameters in both precisions: directions agree to single precision, energies to 1e-5."""
    lattice = nl.chain(8)
    ham = nl.j1j2(lattice, j2=0.3)
    model = nl.ViT(lattice, patch=2, width=8, heads=2, depth=1, dtype=jnp.float32, key=key)
    double = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, model)
    vmc = nl.VMC(ham, nl.ExactSampler(nl.SpinBasis(lattice)), nl.SR(1e-2), optax.sgd(0.1))
    (low, a), (high, b) = (eqx.filter_jit(vmc.step)(vmc.init(m, key=key)) for m in (model, double))
    assert float(a.energy.real) == pytest.approx(float(b.energy.real), abs=1e-5)
    amplitudes = [log_amplitudes(s.model, jnp.asarray(nl.SpinBasis(8).configurations()), 128) for s in (low, high)]
    np.testing.assert_allclose(amplitudes[0], amplitudes[1], atol=1e-4)
    assert math.isfinite(float(a.step_norm)) and driver.MAX_REJECTED == 3
