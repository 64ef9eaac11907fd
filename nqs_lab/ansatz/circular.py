"""Sine and cosine together, in vectorised arithmetic: XLA's own are scalar calls on a CPU, ten times slower."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# pi/2 in pieces: a quarter-turn number below 2^20 times any of the first two is exact, so that the reduction is too.
# Coefficients of (sin r - r) / r^3 and of (cos r - 1 + r^2/2) / r^4 in powers of r^2 on |r| <= pi/4: the minimax
# polynomials of Moshier's Cephes (float32) and Sun's fdlibm (float64).
_QUARTER = {
    4: (1.5703125, 4.837512969970703e-4, 7.549789948768648e-8),
    8: (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21),
}
_SIN = {
    4: (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4),
    8: (
        -1.66666666666666324348e-1,
        8.33333333332248946124e-3,
        -1.98412698298579493134e-4,
        2.75573137070700676789e-6,
        -2.50507602534068634195e-8,
        1.58969099521155010221e-10,
    ),
}
_COS = {
    4: (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5),
    8: (
        4.16666666666666019037e-2,
        -1.38888888888741095749e-3,
        2.48015872894767294178e-5,
        -2.75573143513906633035e-7,
        2.08757232129817482790e-9,
        -1.13596475577881948265e-11,
    ),
}


def sin_cos(y: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """sin y and cos y, to about one unit in the last place for |y| < 10^4 (float32) or 10^6 (float64).

    y = k pi/2 + r with |r| <= pi/4; two polynomials in r^2, swapped and signed by the quarter turn k. An infinite y
    gives NaN. moshier1989
    """
    dtype, size = y.dtype, y.dtype.itemsize
    turns = jnp.round(y * np.asarray(2 / np.pi, dtype))
    r = y
    for piece in _QUARTER[size]:
        r = r - turns * np.asarray(piece, dtype)
    square = r * r
    sin = r + r * square * _polynomial(_SIN[size], square)
    cos = 1 - square / 2 + square * square * _polynomial(_COS[size], square)
    quarter = turns.astype(jnp.int32) & 3
    odd = (quarter & 1) == 1
    first, second = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return jnp.where(quarter >= 2, -first, first), jnp.where((quarter == 1) | (quarter == 2), -second, second)


def _polynomial(coefficients: tuple[float, ...], x):
    """sum_k c_k x^k by Horner's rule."""
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + np.asarray(coefficient, x.dtype)
    return value
