"""Variational Monte Carlo: init, step and run."""

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from nqs_lab.ansatz.base import AbstractAnsatz, count_parameters
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.vmc.batching import choose_chunk, weighted_mean
from nqs_lab.vmc.callbacks import Callback, StepRecord, make_record
from nqs_lab.vmc.cores import on_all_cores, settle, visible_cores
from nqs_lab.vmc.estimate import Stats, statistics
from nqs_lab.vmc.interrupt import deferred_interrupt
from nqs_lab.vmc.plan import Plan, make_plan
from nqs_lab.vmc.reconfigure import centred_system, energy_gradient, log_derivatives
from nqs_lab.vmc.samples import AbstractSampler, Samples
from nqs_lab.vmc.solve import SR

MAX_REJECTED = 3
"""Non-finite steps in a row after which `run` stops."""


class VMCState(eqx.Module):
    """Everything a run needs to go on: save it and it resumes bit for bit.

    `previous` is the last direction (SPRING), None without momentum; `rejected` counts the non-finite steps in a row.
    """

    model: AbstractAnsatz
    samples: Samples
    optimiser: Any
    previous: Float[Array, " P"] | None
    step: Int[Array, ""]
    rejected: Int[Array, ""]


class StepInfo(eqx.Module):
    """What one step saw, before its update: energy (total, units of J1), its error and variance, and diagnostics."""

    energy: Complex[Array, ""]
    error: Float[Array, ""]
    variance: Float[Array, ""]
    acceptance: Float[Array, ""]
    step_norm: Float[Array, ""]
    finite: Bool[Array, ""]
    fallback: Bool[Array, ""]
    float32: Bool[Array, ""]


class VMC(eqx.Module):
    """Variational Monte Carlo of a Heisenberg model: sample, local energies, direction, step.

    - `ham`, `sampler`: an ExchangeSampler, or an ExactSampler for a run without noise.
    - `preconditioner`: `SR(...)`, or None for the plain gradient dE/dtheta = 2 X^T eps.
    - `optimiser`: an optax transformation, which turns the direction into a step: optax.sgd(eta) is imaginary time eta.
      A limit on the step comes last: optax.chain(optax.sgd(0.1), optax.clip_by_global_norm(0.3)).
    - `chunk_size`, `chunk_size_backward`: configurations per chunk of forward and backward passes; chosen if not given.
    Raises ValueError if 64-bit numbers are off (log-ratios, energies and the solve need them, the network does not),
    or if Hamiltonian and sampler disagree. References: becca2017, sorella1998.
    """

    ham: Heisenberg
    sampler: AbstractSampler
    preconditioner: SR | None
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    chunk_size: int | None = eqx.field(static=True)
    chunk_size_backward: int | None = eqx.field(static=True)

    def __init__(
        self,
        ham: Heisenberg,
        sampler: AbstractSampler,
        preconditioner: SR | None,
        optimiser: optax.GradientTransformation,
        *,
        chunk_size: int | None = None,
        chunk_size_backward: int | None = None,
    ):
        if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError("VMC solves in float64 and 64-bit numbers are off: call nqs_lab.enable_x64() first.")
        for name, chunk in (("chunk_size", chunk_size), ("chunk_size_backward", chunk_size_backward)):
            if chunk is not None and chunk < 1:
                raise ValueError(f"{name} must be a positive integer or None, got {chunk!r}.")
        self.ham, self.sampler = ham, sampler.prepare(ham)
        self.preconditioner, self.optimiser = preconditioner, optimiser
        self.chunk_size, self.chunk_size_backward = chunk_size, chunk_size_backward

    def plan(self, model: AbstractAnsatz) -> Plan:
        """Memory and floating-point work of a step, from the traced program; nothing is compiled."""
        components = self.preconditioner.components if self.preconditioner else 0
        return make_plan(model, self.ham, self.sampler, self.preconditioner, components, self.chunks(model))

    def init(self, model: AbstractAnsatz, *, key: PRNGKeyArray) -> VMCState:
        """First state: thermalised samples and a fresh optimiser. Raises ValueError if the plan does not fit memory."""
        if model.n_sites != self.ham.n_sites:
            raise ValueError(
                f"the ansatz has {model.n_sites} sites, the Hamiltonian {self.ham.n_sites}: use one lattice."
            )
        n_parameters = count_parameters(model)
        if n_parameters == 0:
            raise ValueError("the ansatz has no floating-point parameters: there is nothing to learn.")
        self.plan(model).check()
        samples = self.sampler.init(model, key=key, chunk_size=self.chunks(model)[0])
        opt_state = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        uses_previous = self.preconditioner is not None and self.preconditioner.momentum > 0
        previous = jnp.zeros((n_parameters,), jnp.float64) if uses_previous else None
        zero = jnp.zeros((), jnp.int32)
        return VMCState(model, samples, opt_state, previous, zero, zero)

    def step(self, state: VMCState) -> tuple[VMCState, StepInfo]:
        """Sample, measure, update: pure. A non-finite step is not taken; only the random key and counters move on."""
        return self.update(state, *self.draw(state.model, state.samples))

    def draw(self, model: AbstractAnsatz, samples: Samples) -> tuple[Samples, Complex[Array, " S"]]:
        """Next samples under the current parameters, and their local energies: the forward passes of a step."""
        forward, _ = self.chunks(model)
        samples = self.sampler.step(model, samples, chunk_size=forward)
        return samples, self.sampler.local_energy(model, self.ham, samples, chunk_size=forward)

    def update(self, state: VMCState, samples: Samples, e_loc: Complex[Array, " S"]) -> tuple[VMCState, StepInfo]:
        """The step that these samples ask for."""
        model = state.model
        energy = weighted_mean(samples.weight, e_loc)
        variance = jnp.sum(samples.weight * jnp.abs(e_loc - energy) ** 2)
        direction, previous, fallback, single = self._direction(state, samples, e_loc)

        params = eqx.filter(model, eqx.is_inexact_array)
        flat, unravel = ravel_pytree(params)
        updates, opt_state = self.optimiser.update(unravel(direction.astype(flat.dtype)), state.optimiser, params)
        moved = eqx.apply_updates(model, updates)
        step_norm = optax.tree.norm(updates)
        finite = jnp.isfinite(energy) & jnp.isfinite(variance) & jnp.isfinite(step_norm)
        finite = finite & jnp.all(jnp.isfinite(direction))

        taken = VMCState(moved, samples, opt_state, previous, state.step + 1, jnp.zeros_like(state.rejected))
        kept = VMCState(model, state.samples, state.optimiser, state.previous, state.step + 1, state.rejected + 1)
        kept = eqx.tree_at(lambda s: s.samples.key, kept, samples.key)
        error = jnp.sqrt(variance / samples.weight.shape[0]) * (0.0 if self.sampler.exact else 1.0)
        info = StepInfo(energy, error, variance, samples.acceptance, step_norm, finite, fallback, single)
        return _select(finite, taken, kept), info

    def _direction(self, state: VMCState, samples: Samples, e_loc: Complex[Array, " S"]):
        """(direction, previous direction to keep, eigh fallback used, float32 kernel used)."""
        no = jnp.asarray(False)
        backward = self.chunks(state.model)[1]
        if self.preconditioner is None:
            gradient = energy_gradient(state.model, samples.sigma, e_loc, samples.weight, chunk_size=backward)
            return gradient, None, no, no
        jacobian = log_derivatives(
            state.model, samples.sigma, samples.weight > 0, mode=self.preconditioner.mode, chunk_size=backward
        )
        system = centred_system(jacobian, e_loc, samples.weight)
        direction, info = self.preconditioner.direction(system, state.previous, state.step)
        return direction, None if state.previous is None else direction, info.fallback, info.float32

    def chunks(self, model: AbstractAnsatz) -> tuple[int, int]:
        """Configurations per forward and per backward chunk."""
        cores = 1 if self.sampler.exact else visible_cores()
        return (
            self.chunk_size or choose_chunk(model, cores=cores),
            self.chunk_size_backward or choose_chunk(model, backward=True),
        )


def run(
    vmc: VMC,
    state: VMCState,
    n_steps: int,
    *,
    callbacks: Sequence[Callback] = (),
    on_interrupt: Literal["return", "raise"] = "return",
) -> VMCState:
    """Take `n_steps` steps and return the last state; the only host loop.

    Callbacks see every step and may stop the run by returning True. Ctrl-C stops after the step under way (a
    second Ctrl-C at once): the callbacks finish, so a Checkpoint is written, and the state so far is returned, or
    KeyboardInterrupt raised after that with on_interrupt="raise". Three non-finite steps in a row stop the run with a
    RuntimeWarning that gives advice.
    """
    if n_steps < 0:
        raise ValueError(f"n_steps must be >= 0, got {n_steps}.")
    n_samples = state.samples.sigma.shape[0]
    ordered = sorted(callbacks, key=lambda callback: callback.last)
    interrupted, state = False, settle(state)
    for callback in ordered:
        callback.on_start(vmc, state, n_steps, ordered)
    try:
        with deferred_interrupt() as pending:
            for _ in range(n_steps):
                start = time.perf_counter()
                state, info = _step(vmc, state)
                record = make_record(jax.device_get(info), int(state.step), vmc.ham.n_sites, n_samples, start)
                stop = [callback.on_step(record, state) for callback in ordered]
                if int(state.rejected) >= MAX_REJECTED:
                    warnings.warn(_advice(record), RuntimeWarning, stacklevel=2)
                    break
                interrupted = bool(pending)
                if any(stop) or interrupted:
                    break
    finally:
        for callback in ordered:
            callback.on_end(state)
    if interrupted and on_interrupt == "raise":
        raise KeyboardInterrupt
    if interrupted:
        warnings.warn(f"interrupted after step {int(state.step)}; the state so far is returned.", stacklevel=2)
    return state


def measure(vmc: VMC, state: VMCState, *, n_draws: int = 16) -> Stats:
    """The energy of the trained state from fresh samples at fixed parameters, with a binned error and R-hat.

    `n_draws` sweeps are added to the chains of the state, after one that is thrown away; a full summation needs none
    and has no error. Never quote the lowest energy of a training curve instead: it is biased downwards.
    Raises ValueError for fewer than 4 draws (R-hat needs halves).
    """
    if n_draws < 4:
        raise ValueError(f"n_draws must be at least 4, got {n_draws}.")
    samples, e_loc = _draw(vmc, state.model, state.samples)
    if vmc.sampler.exact:
        energy = weighted_mean(samples.weight, e_loc)
        variance = jnp.sum(samples.weight * jnp.abs(e_loc - energy) ** 2)
        return Stats(complex(energy), 0.0, float(variance), float("nan"), float("nan"), e_loc.size)
    return statistics(np.stack([np.asarray(e_loc) for _, e_loc in draws(vmc, state.model, samples, n_draws)]))


def draws(
    vmc: VMC, model: AbstractAnsatz, samples: Samples, count: int
) -> Iterator[tuple[Samples, Complex[Array, " S"]]]:
    """`count` times the next samples at fixed parameters, each with its local energies: what `measure` averages.

    Markov chains go on from `samples`, one sweep a draw, on all cores; the random numbers come from its key.
    """
    for _ in range(count):
        samples, e_loc = _draw(vmc, model, samples)
        yield samples, e_loc


def _step(vmc: VMC, state: VMCState) -> tuple[VMCState, StepInfo]:
    """`vmc.step`, compiled in two parts: the forward passes on all cores, the rest on one device."""
    return _update(vmc, state, *_draw(vmc, state.model, state.samples))


def _draw(vmc: VMC, model: AbstractAnsatz, samples: Samples) -> tuple[Samples, Complex[Array, " S"]]:
    """`vmc.draw`, compiled; a full summation has too few forward passes to be worth sharing."""
    if vmc.sampler.exact:
        return _compiled_draw(vmc, model, samples)
    return on_all_cores(_compiled_draw, vmc, model, samples)


@eqx.filter_jit
def _compiled_draw(vmc: VMC, model: AbstractAnsatz, samples: Samples) -> tuple[Samples, Complex[Array, " S"]]:
    """Traced once for a given model, sampler and number of cores."""
    return vmc.draw(model, samples)


@eqx.filter_jit
def _update(vmc: VMC, state: VMCState, samples: Samples, e_loc: Complex[Array, " S"]) -> tuple[VMCState, StepInfo]:
    """`vmc.update`; traced once for a given model, sampler and optimiser."""
    return vmc.update(state, samples, e_loc)


def _select(condition: Bool[Array, ""], new: VMCState, old: VMCState) -> VMCState:
    """`new` where the condition holds, else `old`, leaf by leaf; leaves that are no arrays do not change."""
    arrays, static = eqx.partition(new, eqx.is_array)
    picked = jax.tree.map(lambda a, b: jnp.where(condition, a, b), arrays, eqx.filter(old, eqx.is_array))
    return eqx.combine(picked, static)


def _advice(record: StepRecord) -> str:
    """What to do about a run that meets only non-finite steps."""
    return (
        f"{MAX_REJECTED} steps in a row were not finite and were not taken (step {record.step}); the returned state is "
        "the last good one. Lower the learning rate, limit the step (optax.chain(optax.sgd(eta), "
        "optax.clip_by_global_norm(0.3))), raise diag_shift, or use dtype=jnp.float64."
    )
