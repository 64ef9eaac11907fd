"""Freeze and fine-tune: the weights of a trained network become constants, and everything else goes on learning."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import nqs_lab as nl
from nqs_lab.ansatz.transformer import freeze, patch_tables
from nqs_lab.lab.comparison.setting import Problem
from nqs_lab.lab.maps import circulant, network, with_network


class FineTuned(NamedTuple):
    """Energies (total, units of J1) before every step and after the last, exact; and the model at the end."""

    energies: Float[np.ndarray, " steps_and_one"]
    model: nl.AbstractAnsatz


def frozen_model(model: nl.AbstractAnsatz, rows: Float[np.ndarray, "depth h n"]) -> nl.AbstractAnsatz:
    """The model with its attention weights fixed to `rows`, the weight at every displacement; signs around it stay.

    Raises ValueError if there is no ViT in the model, or if the rows do not fit it.
    """
    vit = network(model)
    displacement = patch_tables(vit.lattice, vit.patch)[1]
    if rows.shape[-1:] != displacement.shape[-1:]:
        raise ValueError(f"rows must end with one weight for each of {len(displacement)} displacements: {rows.shape}.")
    return with_network(model, freeze(vit, jnp.asarray(circulant(rows, displacement))))


def fine_tune(
    model: nl.AbstractAnsatz,
    magnet: Problem,
    steps: int,
    *,
    rate: float = 0.02,
    diag_shift: float = 1e-3,
    callbacks: Sequence[nl.Callback] = (),
) -> FineTuned:
    """Train a model further by full summation, from where it stands, at a constant small rate (imaginary time, 1/J1).

    Give it `frozen_model(...)`, whose constant weights no step moves, and as a control the model itself: it learns for
    as long. With steps=0 only the energy is measured. Raises ValueError for a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"steps must be >= 0, got {steps}.")
    if steps == 0:
        psi = nl.state_vector(model, magnet.basis)
        return FineTuned(np.array([nl.expectation(magnet.ham, psi, magnet.basis)]), model)
    sampler = nl.ExactSampler(magnet.basis, group=magnet.lattice.translations(step=1))
    optimiser = nl.imaginary_time(rate, steps, warm_up=1, floor=1.0)
    vmc = nl.VMC(magnet.ham, sampler, nl.SR(diag_shift=diag_shift), optimiser)
    history = nl.History()
    state = vmc.init(model, key=jax.random.key(0))
    state = nl.run(vmc, state, steps, callbacks=[history, *callbacks], on_interrupt="raise")
    return FineTuned(np.append(history["energy"], nl.measure(vmc, state).mean.real), state.model)
