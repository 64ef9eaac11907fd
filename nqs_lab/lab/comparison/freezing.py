"""The freeze test: attention weights replaced by constants, and what that costs, with its controls."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import nqs_lab as nl
from nqs_lab.ansatz.transformer import ViT, freeze, patch_tables
from nqs_lab.attention.mixers import Frozen
from nqs_lab.lab.comparison.setting import Problem
from nqs_lab.lab.maps import circulant, network, with_network
from nqs_lab.spins.observables import expectation, fidelity


class Loss(NamedTuple):
    """What a replacement costs: energy (total, units of J1) and infidelities, all exact on the whole basis.

    `to_trained`: infidelity with the state before the replacement; `to_exact`: with the ground state.
    """

    energy: float
    to_trained: float
    to_exact: float


def variants(vit: ViT, rows: Float[np.ndarray, "depth h n"]) -> dict[str, ViT]:
    """The network with its weights replaced, by the name of the replacement.

    "mean": by the mean over |psi|^2, `rows` (weight at each displacement). Its controls: "uniform", the average of each
    row at every displacement (if that costs nothing either, freezing proves nothing); "displaced", the mean weights one
    token further along x; "layer 1", "layer 2", ...: the mean in one block only.
    """
    displacement = patch_tables(vit.lattice, vit.patch)[1]
    step = vit.lattice.site(1, 0) if vit.patch == 1 else 1  # the displacement by one token along x
    maps = {
        "mean": rows,
        "uniform": np.broadcast_to(rows.mean(axis=-1, keepdims=True), rows.shape),
        "displaced": rows[..., displacement[:, step]],
    }
    frozen = {name: freeze(vit, jnp.asarray(circulant(r, displacement))) for name, r in maps.items()}
    for layer, mean in enumerate(circulant(rows, displacement)):
        mixer = Frozen(vit.blocks[layer].mixer, jnp.asarray(mean))
        frozen[f"layer {layer + 1}"] = eqx.tree_at(lambda m, k=layer: m.blocks[k].mixer, vit, mixer)
    return frozen


def freeze_test(model: nl.AbstractAnsatz, rows: Float[np.ndarray, "depth h n"], magnet: Problem) -> dict[str, Loss]:
    """The loss of every variant of a trained model with 1x1 patches; `rows` are its mean weights by displacement.

    Raises ValueError if there is no ViT in the model, or if the rows do not fit it.
    """
    vit = network(model)
    shape = (len(vit.blocks), vit.blocks[0].mixer.heads, len(vit.patches))
    if rows.shape != shape or vit.patch != 1:
        raise ValueError(
            f"rows must have the shape (depth, heads, tokens) = {shape} of a ViT with patch=1, got {rows.shape} "
            f"for patch={vit.patch}."
        )
    trained = nl.state_vector(model, magnet.basis)
    losses = {}
    for name, variant in variants(vit, rows).items():
        psi = nl.state_vector(with_network(model, variant), magnet.basis)
        losses[name] = Loss(
            expectation(magnet.ham, psi, magnet.basis),
            1 - fidelity(psi, trained),
            1 - fidelity(psi, magnet.ground.state),
        )
    return losses
