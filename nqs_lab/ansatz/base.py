"""What every trial state has in common, the complex log cosh in real arithmetic, and the count of parameters."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int8

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
    log_modulus, (real, imag), _ = _log_cosh(x, y)
    return log_modulus, jnp.arctan2(imag, real)


@log_cosh_parts.defjvp
def _log_cosh_jvp(primals, tangents):
    """(dx + i dy) tanh(x + iy)."""
    (x, y), (dx, dy) = primals, tangents
    log_modulus, (real, imag), (tanh_re, tanh_im) = _log_cosh(x, y)
    change = tanh_re * dx - tanh_im * dy, tanh_im * dx + tanh_re * dy
    return (log_modulus, jnp.arctan2(imag, real)), change


@jax.custom_jvp
def sum_log_cosh(x: Float[Array, " M"], y: Float[Array, " M"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Real and imaginary part of sum_m log cosh(x_m + i y_m); the imaginary part is known modulo 2 pi.

    The phases are multiplied as unit complex numbers and read off once: the arctan2 of every term would take a sixth
    of a Transformer's forward pass.
    """
    log_modulus, unit, _ = _log_cosh(x, y)
    return jnp.sum(log_modulus), _arg_of_product(*unit)


@sum_log_cosh.defjvp
def _sum_log_cosh_jvp(primals, tangents):
    """sum_m (dx_m + i dy_m) tanh(x_m + i y_m)."""
    (x, y), (dx, dy) = primals, tangents
    log_modulus, unit, (tanh_re, tanh_im) = _log_cosh(x, y)
    change = jnp.sum(tanh_re * dx - tanh_im * dy), jnp.sum(tanh_im * dx + tanh_re * dy)
    return (jnp.sum(log_modulus), _arg_of_product(*unit)), change


def _log_cosh(x, y):
    """log|cosh z|, cosh z / |cosh z| and tanh z of z = x + iy, the last two as real and imaginary part."""
    minus = -jnp.expm1(-2 * jnp.abs(x))  # 1 - q, exact for small |x|
    plus = 2 - minus
    q = 1 - minus
    cos, sin = jnp.cos(y), jnp.sin(y)
    norm = minus * minus + 4 * q * cos * cos  # |w|^2
    signed = jnp.sign(x) * minus
    log_modulus = jnp.abs(x) - jnp.asarray(np.log(2), x.dtype) + jnp.log(norm) / 2
    inverse = jnp.where(norm > 0, jax.lax.rsqrt(norm), jnp.zeros_like(norm))  # at a zero of cosh the phase is free
    return log_modulus, (plus * cos * inverse, signed * sin * inverse), (signed * plus / norm, 4 * q * sin * cos / norm)


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
