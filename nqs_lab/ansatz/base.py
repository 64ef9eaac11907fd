"""What every trial state has in common, the complex log cosh in real arithmetic, and the count of parameters."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int8

from nqs_lab.ansatz.circular import sin_cos
from nqs_lab.spins.symmetry import Group


class AbstractAnsatz(eqx.Module):
    """A trial state: one configuration in, one complex log-amplitude out.

    `sigma` is an int8 array (N,) of +1 (up) and -1 (down); the result is log psi(sigma), a complex scalar, of an
    unnormalised psi. Its real part may be -inf: psi = 0, a configuration that is never sampled. Batches are `vmap`.

    Every parameter is a *real* floating-point leaf (a complex weight is two real arrays); integer leaves are tables
    and not parameters. float32 leaves give complex64, float64 leaves complex128.
    """

    n_sites: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        """log psi(sigma)."""

    def invariances(self) -> Group | None:
        """The known group under which psi(g s) = chi(g) psi(s) whatever the parameters; None if none is known."""
        return None


@jax.custom_jvp
def log_cosh_parts(
    x: Float[Array, "*shape"], y: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Real and imaginary part of log cosh(x + iy), elementwise, in real arithmetic and without overflow.

    With q = exp(-2|x|): w = 2 exp(-|x|) cosh(x + iy) = (1+q) cos y + i sign(x) (1-q) sin y, hence
    Re = |x| - log 2 + log|w|, |w|^2 = (1-q)^2 + 4 q cos^2 y, and Im = arg w. The derivative is tanh(x + iy).
    """
    parts = _cosh_parts(x, y)
    real, imag = parts.unit
    return _log_modulus(x, parts.norm), jnp.arctan2(imag, real)


@log_cosh_parts.defjvp
def _log_cosh_jvp(primals, tangents):
    """(dx + i dy) tanh(x + iy)."""
    (x, y), (dx, dy) = primals, tangents
    parts = _cosh_parts(x, y)
    (real, imag), (tanh_re, tanh_im) = parts.unit, parts.tanh
    change = tanh_re * dx - tanh_im * dy, tanh_im * dx + tanh_re * dy
    return (_log_modulus(x, parts.norm), jnp.arctan2(imag, real)), change


@jax.custom_jvp
def sum_log_cosh(x: Float[Array, " M"], y: Float[Array, " M"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Real and imaginary part of sum_m log cosh(x_m + i y_m); the imaginary part is known modulo 2 pi.

    Phases are multiplied as unit complex numbers and moduli in small groups, so that one arctan2 and few logarithms
    are left: each is a scalar library call on a CPU.
    """
    parts = _cosh_parts(x, y)
    return _log_of_product(x, parts.norm), _arg_of_product(*parts.unit)


@sum_log_cosh.defjvp
def _sum_log_cosh_jvp(primals, tangents):
    """sum_m (dx_m + i dy_m) tanh(x_m + i y_m)."""
    (x, y), (dx, dy) = primals, tangents
    parts = _cosh_parts(x, y)
    tanh_re, tanh_im = parts.tanh
    change = jnp.sum(tanh_re * dx - tanh_im * dy), jnp.sum(tanh_im * dx + tanh_re * dy)
    return (_log_of_product(x, parts.norm), _arg_of_product(*parts.unit)), change


class _CoshParts(NamedTuple):
    """|w|^2 with |cosh z| = exp(|x|) |w| / 2, then cosh z / |cosh z| and tanh z as real and imaginary part."""

    norm: Array
    unit: tuple[Array, Array]
    tanh: tuple[Array, Array]


def _cosh_parts(x, y) -> _CoshParts:
    """Modulus, phase and logarithmic derivative of cosh(x + iy), elementwise."""
    minus = -jnp.expm1(-2 * jnp.abs(x))  # 1 - q, exact for small |x|
    plus = 2 - minus
    q = 1 - minus
    sin, cos = sin_cos(y)
    norm = minus * minus + 4 * q * cos * cos  # |w|^2
    signed = jnp.sign(x) * minus
    inverse = jnp.where(norm > 0, jax.lax.rsqrt(norm), jnp.zeros_like(norm))  # at a zero of cosh the phase is free
    unit = plus * cos * inverse, signed * sin * inverse
    return _CoshParts(norm, unit, (signed * plus / norm, 4 * q * sin * cos / norm))


def _log_modulus(x, norm):
    """log|cosh z| = |x| - log 2 + log(|w|^2) / 2."""
    return jnp.abs(x) - jnp.asarray(np.log(2), x.dtype) + jnp.log(norm) / 2


def _log_of_product(x, norm):
    """sum_m log|cosh z_m|, with one logarithm for a group of |w|^2.

    |w|^2 lies between eps^2 (as near to a zero of cosh as rounding allows) and 4: a product of eight in float64, or
    of two in float32, cannot leave the range of its type.
    """
    group = 8 if norm.dtype == jnp.float64 else 2
    filler = jnp.ones(-len(norm) % group, norm.dtype)
    products = jnp.prod(jnp.concatenate([norm, filler]).reshape(group, -1), axis=0)
    return jnp.sum(jnp.abs(x)) - jnp.asarray(len(norm) * np.log(2), x.dtype) + jnp.sum(jnp.log(products)) / 2


def _arg_of_product(real, imag):
    """Phase of the product of unit complex numbers, multiplied pair by pair."""
    while len(real) > 1:
        half = len(real) // 2
        rest = real[2 * half :], imag[2 * half :]
        a, b, c, d = real[:half], imag[:half], real[half : 2 * half], imag[half : 2 * half]
        real = jnp.concatenate([a * c - b * d, rest[0]])
        imag = jnp.concatenate([a * d + b * c, rest[1]])
    return jnp.arctan2(imag[0], real[0])


def log_cosh(z: Complex[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """log cosh z elementwise, stable for any |Re z|; derivative tanh z. A zero of cosh gives -inf."""
    return jax.lax.complex(*log_cosh_parts(z.real, z.imag))


def count_parameters(model) -> int:
    """Number of real parameters: entries of all floating-point array leaves (complex leaves are a ValueError)."""
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise ValueError("a parameter leaf is complex. Store a complex weight as two real arrays.")
    return sum(leaf.size for leaf in leaves)


def check_dtype(dtype) -> None:
    """Refuse parameters that are not float32 or float64, and float64 while JAX is in 32-bit mode."""
    name = np.dtype(dtype).name if not isinstance(dtype, str) else dtype
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64 (parameters are real), got {name}.")
    if name == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("dtype float64 needs 64-bit numbers. Call nqs_lab.enable_x64() first.")
