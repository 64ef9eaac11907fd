"""Which ordinary mixers are the gradient of an energy: asked of their numbers, and answered with the reason if not."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_lab.attention.energy_mixers import (
    NOT_A_GRADIENT,
    EnergyFactored,
    EnergyLinear,
    EnergySoftmax,
    mirrored,
)
from nqs_lab.attention.gradient import EnergyMixer, PositiveMaps, SymmetricMaps
from nqs_lab.attention.mixers import T5, AbstractMixer, Decoupled, DotProduct, Factored, Frozen, Linear, Positions
from nqs_lab.attention.prefix import is_causal

REMEDY = "make_energy_mixer(...) makes mixers that satisfy all of this (ViT: dynamics='momentum' does so by itself)."


def as_energy_mixer(mixer: AbstractMixer) -> EnergyMixer:
    """The same map as an `EnergyMixer`, if it is the gradient of an energy.

    With row vectors, head mu has A = Q K^T / sqrt(r) and C = V W (its parts of the four maps), all (d, d). Asked for:
    no biases; A and C within the head's own r coordinates; A symmetric; V = C^T = B A with B symmetric positive
    definite (factored and linear: V symmetric); a symmetric position table; no mask or the causal one.

    **Raises** ValueError with the first condition that fails, its size, and what to do.
    """
    if isinstance(mixer, EnergyMixer):
        return mixer
    if isinstance(mixer, Decoupled):
        raise ValueError(NOT_A_GRADIENT)
    if not isinstance(mixer, T5 | DotProduct | Factored | Linear):
        frozen = "constant weights stay the same when tokens move. " if isinstance(mixer, Frozen) else ""
        raise ValueError(f"{type(mixer).__name__} mixing is not the gradient of a known energy: {frozen}{REMEDY}")
    dtype, heads = mixer.value.weight.dtype, mixer.heads
    width = mixer.value.weight.shape[0]
    rank = width // heads
    _no_biases(mixer)
    v = _own("its values V W", _products(mixer.value.weight, mixer.output.weight.T, heads), rank).transpose(0, 2, 1)
    positions, causal = _positions(mixer)
    parts: dict[str, Any] = {"heads": heads, "causal": causal, "positions": positions}
    if isinstance(mixer, Factored):
        identity = np.tile(np.eye(rank), (heads, 1, 1))
        return EnergyFactored(a=_pack(_symmetric("V", v), dtype), b=_root(identity, dtype), **parts)
    queries, keys = mixer.content.queries.weight, mixer.content.keys.weight
    a = _own("A = Q K^T / sqrt(r)", _products(queries, keys, heads) / np.sqrt(rank), rank)
    a = _symmetric("A = Q K^T / sqrt(r)", a)
    if isinstance(mixer, Linear):
        del parts["positions"]
        return EnergyLinear(a=_pack(a, dtype), v=_pack(_symmetric("V", v), dtype), **parts)
    return EnergySoftmax(a=_pack(a, dtype), b=_root(_mobility(a, v), dtype), **parts)


def _products(left: Float[Array, "d d"], right: Float[Array, "d d"], heads: int) -> Float[np.ndarray, "h d d"]:
    """left_mu right_mu^T with each map's columns dealt out to the heads."""
    one, two = (np.asarray(m, np.float64).reshape(len(m), heads, -1).transpose(1, 0, 2) for m in (left, right))
    return one @ two.transpose(0, 2, 1)


def _no_biases(mixer: T5 | DotProduct | Factored | Linear) -> None:
    """Biases are pushes that no energy of pairs gives."""
    maps = [mixer.value, mixer.output]
    if not isinstance(mixer, Factored):
        maps += [mixer.content.queries, mixer.content.keys]
    largest = max(float(jnp.max(jnp.abs(dense.bias))) for dense in maps)
    if largest > 0:
        raise ValueError(f"an energy of pairs has no biases; found one of size {largest:.2g}. {REMEDY}")


def _own(name: str, maps: Float[np.ndarray, "h d d"], rank: int) -> Float[np.ndarray, "h r r"]:
    """The part of each head's map on its own coordinates, which must be all of it."""
    blocks = []
    for head, full in enumerate(maps):
        own = slice(head * rank, (head + 1) * rank)
        rest = full.copy()
        rest[own, own] = 0
        if np.abs(rest).max() > _tolerance(full):
            raise ValueError(
                f"heads must keep to disjoint subspaces, or their metrics do not add up: {name} of head {head + 1} has "
                f"entries up to {np.abs(rest).max():.2g} outside its coordinates {own.start} to {own.stop - 1}. "
                f"{REMEDY}"
            )
        blocks.append(full[own, own])
    return np.stack(blocks)


def _symmetric(name: str, maps: Float[np.ndarray, "h r r"]) -> Float[np.ndarray, "h r r"]:
    """The maps, symmetric up to rounding."""
    for head, m in enumerate(maps):
        gap = np.abs(m - m.T).max()
        if gap > _tolerance(m):
            raise ValueError(
                f"{name} must be symmetric, since the second derivatives of an energy are: head {head + 1} has "
                f"|M - M^T| up to {gap:.2g} beside entries up to {np.abs(m).max():.2g}. {REMEDY}"
            )
    return (maps + maps.transpose(0, 2, 1)) / 2


def _mobility(a: Float[np.ndarray, "h r r"], v: Float[np.ndarray, "h r r"]) -> Float[np.ndarray, "h r r"]:
    """B with V = B A, symmetric and positive definite."""
    for head, m in enumerate(a):
        if np.linalg.cond(m) > 1e8:
            raise ValueError(f"A of head {head + 1} is singular, so that V = B A leaves B open. {REMEDY}")
    b = _symmetric("B = V A^-1", np.linalg.solve(a, v.transpose(0, 2, 1)).transpose(0, 2, 1))
    least = np.linalg.eigvalsh(b)[:, 0]
    if least.min() <= 0:
        raise ValueError(
            f"B = V A^-1 must be positive definite, since it is a mobility: head {np.argmin(least) + 1} has the "
            f"eigenvalue {least.min():.2g}. Flip the sign of its V, or: {REMEDY}"
        )
    return b


def _positions(mixer: T5 | DotProduct | Factored | Linear) -> tuple[Positions | None, bool]:
    """The table over displacements without direction (None: no positions), and whether the mask is causal."""
    causal = mixer.mask is not None and is_causal(mixer.mask, len(mixer.mask))
    if not isinstance(mixer, T5 | Factored):
        return None, causal
    displacement = np.asarray(mixer.positions.displacement)
    table = np.asarray(mixer.positions.table)[:, displacement]
    if not causal and np.abs(table - table.transpose(0, 2, 1)).max() > _tolerance(table):
        raise ValueError(
            "the position table must be symmetric, p_{i-j} = p_{j-i}, since an energy knows pairs without direction: "
            f"|P - P^T| is up to {np.abs(table - table.transpose(0, 2, 1)).max():.2g}. {REMEDY}"
        )
    index = mirrored(displacement, causal)
    rows, columns = np.nonzero(np.tri(len(index), dtype=bool))  # with i >= j every number occurs
    values = np.zeros((len(table), int(index.max()) + 1), table.dtype)
    values[:, index[rows, columns]] = table[:, rows, columns]
    new = Positions(len(values), index, dtype=values.dtype, key=jax.random.key(0))
    return eqx.tree_at(lambda m: m.table, new, jnp.asarray(values)), causal


def _pack(maps: Float[np.ndarray, "h r r"], dtype) -> SymmetricMaps:
    """Symmetric maps as their lower triangles."""
    rank = maps.shape[-1]
    return SymmetricMaps(jnp.asarray(maps[:, *np.tril_indices(rank)], dtype), rank)


def _root(maps: Float[np.ndarray, "h r r"], dtype) -> PositiveMaps:
    """B as the lower triangle of its Cholesky root."""
    rank = maps.shape[-1]
    return PositiveMaps(jnp.asarray(np.linalg.cholesky(maps)[:, *np.tril_indices(rank)], dtype), rank)


def _tolerance(values: np.ndarray) -> float:
    """What rounding in the precision of a network may leave."""
    return 1e-5 * float(np.abs(values).max())
