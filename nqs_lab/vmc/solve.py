"""SR, minSR and SPRING: one least-squares problem, one solve."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from nqs_lab.vmc.reconfigure import LinearSystem, apply, apply_transpose, kernel, metric, trace

FLOAT32_MARGIN = 50.0
"""A float32 kernel is used where diag_shift >= FLOAT32_MARGIN * eps32 * tr(X X^T) / sqrt(rows); see `_kernel`."""


class SolveInfo(eqx.Module):
    """How the solve went: `fallback` (Cholesky failed, eigh was used), `float32` (the kernel was single precision)."""

    fallback: Bool[Array, ""]
    float32: Bool[Array, ""]


class SR(eqx.Module):
    """Stochastic reconfiguration: the direction x = argmin |X x - eps|^2 + lambda |x - mu x_prev|^2.

    With r = eps - mu X x_prev:  dual (minSR)  x = mu x_prev + X^T (X X^T + lambda)^-1 r,  primal (SR)
    x = mu x_prev + (X^T X + lambda)^-1 X^T r. The two are equal (push-through identity); the smaller matrix is taken.

    - `diag_shift`: lambda > 0 or a schedule step -> lambda (dimensionless: X has no units).
    - `momentum`: mu in [0, 1); 0 is SR, about 0.8 to 0.95 is SPRING.
    - `mode`: "complex" (default), or "real" where the phase of psi does not depend on the parameters.
    - `form`: "auto", "dual" or "primal". `solver`: "cholesky" (falls back to eigh) or "eigh".
    - `kernel_dtype`: "auto" takes a float32 kernel for a float32 network where lambda dominates its rounding error.

    Raises ValueError for a negative shift, a momentum outside [0, 1) or an unknown option.
    A step theta <- theta - eta x is imaginary time eta; NetKet's learning rate is eta / 8 (Pauli matrices, factor 2).
    References: sorella1998, chen2024minsr, goldshlager2024spring.
    """

    diag_shift: float | Callable = eqx.field(static=True)
    momentum: float = eqx.field(static=True)
    mode: str = eqx.field(static=True)
    form: str = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    kernel_dtype: str = eqx.field(static=True)

    def __init__(
        self,
        diag_shift: float | int | Callable = 1e-3,
        *,
        momentum: float | int = 0.0,
        mode: str = "complex",
        form: str = "auto",
        solver: str = "cholesky",
        kernel_dtype: str = "auto",
    ):
        if not callable(diag_shift) and not diag_shift >= 0:
            raise ValueError(f"diag_shift must be a number >= 0 or a schedule, got {diag_shift!r}; try 1e-3.")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}; 0 is plain SR, SPRING takes 0.8 to 0.95.")
        for name, value, allowed in (
            ("mode", mode, ("complex", "real")),
            ("form", form, ("auto", "dual", "primal")),
            ("solver", solver, ("cholesky", "eigh")),
            ("kernel_dtype", kernel_dtype, ("auto", "float32", "float64")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.")
        self.diag_shift = diag_shift if callable(diag_shift) else float(diag_shift)
        self.momentum, self.mode, self.form = float(momentum), mode, form
        self.solver = (
            "eigh" if self.diag_shift == 0 else solver
        )  # centring leaves zero modes: no Cholesky without a shift
        self.kernel_dtype = kernel_dtype

    @property
    def components(self) -> int:
        """Rows per configuration: 2 (Re, Im) or 1."""
        return 2 if self.mode == "complex" else 1

    def is_dual(self, n_rows: int, n_parameters: int) -> bool:
        """Whether the kernel (rows x rows) is solved rather than the metric (parameters x parameters)."""
        return self.form == "dual" or (self.form == "auto" and n_rows < n_parameters)

    def direction(
        self, system: LinearSystem, previous: Float[Array, " P"] | None, step: Int[Array, ""]
    ) -> tuple[Float[Array, " P"], SolveInfo]:
        """The direction x for this system; `previous` is the last direction (only read with momentum)."""
        shift = jnp.asarray(self.diag_shift(step) if callable(self.diag_shift) else self.diag_shift, jnp.float64)
        residual = system.eps
        carried = None if previous is None or not self.momentum else self.momentum * previous
        if carried is not None:
            residual = residual - apply(system, carried)
        size, components, parameters = system.jacobian.shape
        if self.is_dual(size * components, parameters):
            matrix, single = _kernel(system, shift, self.kernel_dtype)
            solution, fallback = _solve(matrix, shift, residual.reshape(-1), self.solver)
            x = apply_transpose(system, solution.reshape(size, components))
        else:
            single = jnp.asarray(False)
            x, fallback = _solve(metric(system), shift, apply_transpose(system, residual), self.solver)
        return x if carried is None else x + carried, SolveInfo(fallback, single)


def _kernel(system: LinearSystem, shift: Float[Array, ""], dtype: str) -> tuple[Float[Array, "SC SC"], Bool[Array, ""]]:
    """X X^T in float64 storage; the products in float32 where the shift dominates their rounding error.

    A float32 product of rows x_s, x_t is off by about eps32 |x_s| |x_t| with random signs, so the error matrix has
    spectral norm of about eps32 tr(X X^T) / sqrt(rows): the shift must exceed it well, or Cholesky meets negative
    eigenvalues and x is noise.
    """
    if dtype == "float64" or system.jacobian.dtype == jnp.float64:
        return kernel(system), jnp.asarray(False)
    single = jnp.asarray(True)
    if dtype == "auto":
        rows = system.jacobian.shape[0] * system.jacobian.shape[1]
        rounding = float(jnp.finfo(jnp.float32).eps) * trace(system) / rows**0.5
        single = shift >= FLOAT32_MARGIN * rounding
    matrix = jax.lax.cond(
        single, lambda: kernel(system, jnp.float32).astype(jnp.float64), lambda: kernel(system, jnp.float64)
    )
    return matrix, single


def _solve(matrix: Array, shift: Array, right: Array, solver: str) -> tuple[Array, Array]:
    """(matrix + shift)^-1 right by Cholesky, or by eigh if asked for or if Cholesky fails; zero modes give zero."""

    def spectral():
        values, vectors = jnp.linalg.eigh(matrix)
        shifted = jnp.maximum(values, 0.0) + shift
        keep = shifted > 1e-14 * matrix.shape[0] * jnp.maximum(values[-1], 0.0)
        return vectors @ (jnp.where(keep, 1.0 / jnp.where(keep, shifted, 1.0), 0.0) * (vectors.T @ right))

    if solver == "eigh":
        return spectral(), jnp.asarray(False)
    shifted = matrix + shift * jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    solution = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(shifted), True), right)
    failed = ~jnp.all(jnp.isfinite(solution)) & jnp.all(jnp.isfinite(matrix)) & jnp.all(jnp.isfinite(right))
    return jax.lax.cond(failed, spectral, lambda: solution), failed
