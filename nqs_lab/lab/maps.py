"""Attention maps over |psi|^2: their mean and their spread, as relative rows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.ansatz.transformer import ViT, attention_maps, patch_tables
from nqs_lab.vmc.samples import Samples


def attention_statistics(
    model: AbstractAnsatz, samples: Samples
) -> tuple[Float[np.ndarray, "depth h n n"], Float[np.ndarray, "depth h n n"]]:
    """Mean and standard deviation of alpha_ij(sigma) over the weighted samples, per block and head (no units).

    The mean of representatives is that of their orbits only after `relative_rows`. Raises ValueError if there is no ViT
    in the model.
    """
    mean, square = _moments(network(model), samples)
    return np.asarray(mean), np.sqrt(np.maximum(np.asarray(square) - np.asarray(mean) ** 2, 0.0))


def relative_statistics(
    model: AbstractAnsatz, samples: Samples
) -> tuple[Float[np.ndarray, "depth h n"], Float[np.ndarray, "depth h n"]]:
    """Mean and standard deviation of the weight at every displacement j - i, over configurations and receivers.

    Exact over |psi|^2 where the samples are weighted representatives of the orbits of translations: those move receiver
    and sender together. Entry `d` is the displacement that the network's own table numbers d.
    Raises ValueError if there is no ViT in the model.
    """
    mean, square = _moments(network(model), samples)
    displacement = patch_tables(network(model).lattice, network(model).patch)[1]
    row, row_square = by_displacement(np.asarray(mean), displacement), by_displacement(np.asarray(square), displacement)
    return row, np.sqrt(np.maximum(row_square - row**2, 0.0))


def by_displacement(
    maps: Float[np.ndarray, "depth h n n"], displacement: Int[np.ndarray, "n n"]
) -> Float[np.ndarray, "depth h n"]:
    """Average over receivers i of maps[..., i, j] at each displacement j - i; displacement[i, j] numbers i - j."""
    sender = np.argsort(displacement.T, axis=1)  # sender[i, d]: the token at displacement d from receiver i
    return np.take_along_axis(maps, np.broadcast_to(sender, maps.shape), axis=3).mean(axis=2)


def circulant(
    rows: Float[np.ndarray, "depth h n"], displacement: Int[np.ndarray, "n n"]
) -> Float[np.ndarray, "depth h n n"]:
    """The maps with the weight rows[..., d] at displacement d = j - i, the inverse of `by_displacement`."""
    return rows[..., displacement.T]


def input_dependence(
    mean: Float[np.ndarray, "depth h n"], deviation: Float[np.ndarray, "depth h n"]
) -> Float[np.ndarray, "depth h"]:
    """How much the weights depend on the input, measured by how much they depend on the position, per block and head.

    R = sqrt(sum_d deviation_d^2 / sum_d (mean_d - average)^2) over the displacements d; infinite where positions do
    not matter at all, 0 for weights that never change.
    """
    positions = np.sum((mean - mean.mean(axis=-1, keepdims=True)) ** 2, axis=-1)
    inputs = np.sum(deviation**2, axis=-1)
    ratio = np.divide(inputs, positions, out=np.full_like(inputs, np.inf), where=positions > 0)
    return np.sqrt(np.where((inputs == 0) & (positions == 0), 0.0, ratio))


def relative_rows(maps: Float[np.ndarray, "depth h n n"], shape: tuple[int, int]) -> Float[np.ndarray, "depth h n"]:
    """Average over receivers of the weight at displacement j - i; entry x + nx * y is the displacement (x, y).

    `shape` is (nx, ny), the patches along each side; token = x + nx * y. Raises ValueError if it does not fit.
    """
    nx, ny = shape
    depth, heads, n, _ = maps.shape
    if nx * ny != n:
        raise ValueError(f"{nx} x {ny} patches make {nx * ny} tokens, the maps have {n}.")
    token = np.arange(n)
    x = (token[:, None] % nx + token[None] % nx) % nx
    y = (token[:, None] // nx + token[None] // nx) % ny
    sender = x + nx * y  # sender[i, d]: the token at displacement d from receiver i
    return np.take_along_axis(maps, np.broadcast_to(sender, (depth, heads, n, n)), axis=3).mean(axis=2)


@eqx.filter_jit
def _moments(model: ViT, samples: Samples) -> tuple[Array, Array]:
    """First and second moment of the maps, accumulated in float64."""

    def add(index, total):
        maps = attention_maps(model, samples.sigma[index]).astype(jnp.float64)
        weight = samples.weight[index]
        return total[0] + weight * maps, total[1] + weight * maps**2

    shape = eqx.filter_eval_shape(attention_maps, model, samples.sigma[0]).shape
    zero = jnp.zeros(shape, jnp.float64)
    return jax.lax.fori_loop(0, samples.sigma.shape[0], add, (zero, zero))


def network(model: AbstractAnsatz) -> ViT:
    """The ViT inside wrappers that keep it in a field `ansatz`. Raises ValueError if there is none."""
    inner: object = model
    while not isinstance(inner, ViT):
        if not hasattr(inner, "ansatz"):
            raise ValueError(f"attention maps need a ViT (or a wrapper of one), got {type(model).__name__}.")
        inner = getattr(inner, "ansatz")  # noqa: B009
    return inner


def with_network(model: AbstractAnsatz, new: ViT) -> AbstractAnsatz:
    """The model with another ViT inside its wrappers."""
    return eqx.tree_at(network, model, new)
