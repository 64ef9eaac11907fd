"""Log-derivatives and the centred linear system X x = eps of stochastic reconfiguration. Knows no physics."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float, Int8

from nqs_lab.vmc.batching import map_chunks, weighted_mean


def log_derivatives(
    model: Callable,
    sigma: Int8[Array, "S N"],
    keep: Bool[Array, " S"],
    *,
    mode: str = "complex",
    chunk_size: int = 64,
) -> Float[Array, "S C P"]:
    """O[s, c, k] = d log psi(sigma_s) / d theta_k for real theta: C = 2 rows (Re, Im), or Re alone with mode="real".

    One forward pass and C pull-backs per configuration. Integer leaves (tables, indices) are not parameters. Where
    `keep` is False the rows are exactly zero: a configuration with psi = 0 has no log-derivative and no probability.
    """
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def rows(configuration, kept):
        def components(p):
            z = eqx.combine(p, static)(configuration)
            return jnp.stack([z.real, z.imag]) if mode == "complex" else z.real[None]

        out, pull = jax.vjp(components, params)
        jacobian = jax.vmap(lambda cotangent: ravel_pytree(pull(cotangent)[0])[0])(jnp.eye(out.size, dtype=out.dtype))
        return jnp.where(kept, jacobian, jnp.zeros((), jacobian.dtype))

    return map_chunks(rows, chunk_size, sigma, keep)


class LinearSystem(eqx.Module):
    """The least-squares problem X x = eps of SR, X[(s, c), k] = sqrt(w_s) (O[s, c, k] - mean_c[k]), kept unscaled.

    `jacobian` holds O as computed (network precision); centring and weighting happen inside the products, so that
    the large array exists once. X^T eps = Re<dO* dE> is half the energy gradient and X^T X the metric S.
    """

    jacobian: Float[Array, "S C P"]
    mean: Float[Array, "C P"]
    root_weight: Float[Array, " S"]
    eps: Float[Array, "S C"]


def centred_system(
    jacobian: Float[Array, "S C P"], e_loc: Complex[Array, " S"], weights: Float[Array, " S"]
) -> LinearSystem:
    """Centre and weight: eps[s] = sqrt(w_s) [Re, Im](E_loc(s) - E), with E = sum_s w_s E_loc(s) and sum_s w_s = 1."""
    mean = jnp.einsum("s,scp->cp", weights.astype(jacobian.dtype), jacobian, precision="highest")
    root = jnp.sqrt(weights)
    deviation = root.astype(e_loc.dtype) * (e_loc - weighted_mean(weights, e_loc))
    eps = jnp.stack([deviation.real, deviation.imag], axis=1)[:, : jacobian.shape[1]]
    return LinearSystem(jacobian, mean, root, eps)


def apply(system: LinearSystem, x: Float[Array, " P"]) -> Float[Array, "S C"]:
    """X x in float64."""
    size, components, parameters = system.jacobian.shape
    dtype = system.jacobian.dtype
    # Flat products: XLA turns them into one pass over the Jacobian, the three-index form is ten times slower on a CPU.
    product = jnp.dot(system.jacobian.reshape(-1, parameters), x.astype(dtype), precision="highest")
    offset = jnp.dot(system.mean, x.astype(dtype), precision="highest")
    return system.root_weight[:, None] * (product.reshape(size, components) - offset[None]).astype(jnp.float64)


def apply_transpose(system: LinearSystem, a: Float[Array, "S C"]) -> Float[Array, " P"]:
    """X^T a in float64. Centring moves onto the coefficients: sqrt(w_s) a_s - w_s sum_t sqrt(w_t) a_t."""
    root = system.root_weight[:, None]
    coefficients = root * a - root**2 * jnp.sum(root * a, axis=0, keepdims=True)
    rows = system.jacobian.reshape(-1, system.jacobian.shape[2])
    return jnp.dot(coefficients.astype(rows.dtype).reshape(-1), rows, precision="highest").astype(jnp.float64)


def trace(system: LinearSystem) -> Float[Array, ""]:
    """tr X X^T = tr S = sum_s w_s |O_s - mean|^2, an upper bound of the largest eigenvalue of both."""
    squares = jnp.einsum("scp,scp->s", system.jacobian, system.jacobian, precision="highest").astype(jnp.float64)
    mean = system.mean.astype(jnp.float64)
    return jnp.sum(system.root_weight**2 * squares) - jnp.sum(mean**2)


def kernel(system: LinearSystem, dtype=jnp.float64) -> Float[Array, "SC SC"]:
    """X X^T (rows in the order (s, c)), its products taken in `dtype`. Only the lower blocks are multiplied out.

    The parameters are walked in slices of 1,024, centred, weighted and converted in cache: X itself is never stored.
    """
    size, components, parameters = system.jacobian.shape
    rows = system.jacobian.reshape(size * components, parameters)
    root = jnp.repeat(system.root_weight, components).astype(dtype)[:, None]

    def product(start, width):
        mean = jax.lax.dynamic_slice_in_dim(system.mean, start, width, axis=1).astype(dtype)
        piece = jax.lax.dynamic_slice_in_dim(rows, start, width, axis=1).astype(dtype)
        return _lower_blocks(root * (piece - jnp.tile(mean, (size, 1))))

    width = min(1024, parameters)
    full = parameters // width
    total = jax.lax.fori_loop(
        1, full, lambda i, acc: jax.tree.map(jnp.add, acc, product(i * width, width)), product(0, width)
    )
    if parameters % width:
        total = jax.tree.map(jnp.add, total, product(full * width, parameters % width))
    return _fill(total)


def metric(system: LinearSystem, dtype=jnp.float64) -> Float[Array, "P P"]:
    """S = X^T X, the quantum geometric tensor (real part), accumulated over slices of 512 samples."""
    size, components, parameters = system.jacobian.shape
    width = min(512, size)

    def product(start, width):
        piece = jax.lax.dynamic_slice_in_dim(system.jacobian, start, width).astype(dtype)
        piece = piece - system.mean.astype(dtype)[None]
        root = jax.lax.dynamic_slice_in_dim(system.root_weight, start, width).astype(dtype)
        return _lower_blocks((root[:, None, None] * piece).reshape(width * components, parameters).T)

    full = size // width
    total = jax.lax.fori_loop(
        1, full, lambda i, acc: jax.tree.map(jnp.add, acc, product(i * width, width)), product(0, width)
    )
    if size % width:
        total = jax.tree.map(jnp.add, total, product(full * width, size % width))
    return _fill(total)


def _lower_blocks(rows: Array, count: int = 4) -> list[list[Array]]:
    """The blocks (i, j <= i) of rows @ rows.T: 10 of 16 products, since the result is symmetric."""
    size = rows.shape[0]
    edges = [size * i // count for i in range(count + 1)] if size >= 64 else [0, size]
    pieces = [rows[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    dot = partial(jnp.dot, precision="highest")
    return [[dot(pieces[i], pieces[j].T) for j in range(i + 1)] for i in range(len(pieces))]


def _fill(blocks: list[list[Array]]) -> Array:
    """The symmetric matrix of its lower blocks."""
    count = len(blocks)
    return jnp.block([[blocks[i][j] if j <= i else blocks[j][i].T for j in range(count)] for i in range(count)])


def energy_gradient(
    model: Callable,
    sigma: Int8[Array, "S N"],
    e_loc: Complex[Array, " S"],
    weights: Float[Array, " S"],
    *,
    chunk_size: int = 64,
) -> Float[Array, " P"]:
    """dE/dtheta = 2 X^T eps = 2 sum_s w_s Re[conj(E_loc(s) - E) O_s], by one pull-back per chunk and no Jacobian.

    Configurations of weight zero are replaced by the heaviest one with coefficient zero: psi = 0 has no derivative.
    Reference: becca2017.
    """
    keep = weights > 0
    deviation = 2 * weights.astype(e_loc.dtype) * (e_loc - weighted_mean(weights, e_loc))
    coefficient = jnp.where(keep, deviation, jnp.zeros((), e_loc.dtype))
    sigma = jnp.where(keep[:, None], sigma, sigma[jnp.argmax(weights)][None])
    params, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)

    def chunk_sum(theta, configurations, c):
        z = jax.vmap(eqx.combine(unravel(theta), static))(configurations).astype(c.dtype)
        return jnp.sum(c.real * z.real + c.imag * z.imag)

    def add(index, total):
        rows = index * chunk_size + jnp.arange(chunk_size)
        inside = jnp.minimum(rows, sigma.shape[0] - 1)
        c = jnp.where(rows < sigma.shape[0], coefficient[inside], jnp.zeros((), coefficient.dtype))
        return total + jax.grad(chunk_sum)(flat, sigma[inside], c).astype(jnp.float64)

    return jax.lax.fori_loop(0, -(-sigma.shape[0] // chunk_size), add, jnp.zeros(flat.shape, jnp.float64))
