"""Stein variational gradient descent (SVGD), a gradient flow of KL( rho | pi ), and its accelerated form."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_lab.flows.arguments import Number, number
from nqs_lab.flows.damping import Damping
from nqs_lab.flows.dynamics import AbstractFlow
from nqs_lab.flows.kernels import AbstractKernel
from nqs_lab.flows.targets import AbstractTarget


def stein_direction(target: AbstractTarget, kernel: AbstractKernel, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """phi(x_i) = (1/n) sum_j ( k(x_i, x_j) score(x_j) + grad_{x_j} k(x_j, x_i) ): drift to the target, and repulsion.

    liu2016stein
    """
    return kernel.smooth(x, target.score(x)) + kernel.push(x)


def stein_discrepancy(target: AbstractTarget, kernel: AbstractKernel, x: Float[Array, "n d"]) -> Float[Array, ""]:
    """KSD^2 = (1/n^2) sum_ij ( s_i . s_j k_ij + s_i . grad_2 k_ij + s_j . grad_1 k_ij + tr grad_1 grad_2 k_ij ).

    The squared speed of the SVGD flow in its own metric: d KL / dt = -KSD^2. s are the scores. liu2017gradientflow
    """
    score = target.score(x)
    pairs = jnp.sum(score * (kernel.smooth(x, score) + 2 * kernel.push(x)), axis=1)
    return jnp.mean(pairs) + jnp.mean(kernel.mixed_trace(x))


class SteinFlow(AbstractFlow):
    """SVGD in continuous time: x_i' = phi(x_i). Explicit Euler on it is the algorithm.

    - `target`: a density known by its score. `kernel`: Gaussian, or bilinear with offset 1, which matches the moments
      of a Gaussian target exactly. No momenta, no friction. liu2016stein, liu2018moment
    """

    target: AbstractTarget
    kernel: AbstractKernel
    damping: Damping

    def __init__(self, target: AbstractTarget, kernel: AbstractKernel):
        self.target, self.kernel, self.damping = target, kernel, Damping()

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """phi(x)."""
        return stein_direction(self.target, self.kernel, x)

    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Zero."""
        return jnp.zeros_like(y)


class AcceleratedStein(AbstractFlow):
    """SVGD with inertia, in terms of velocities: x' = v, v' = phi(x) + geodesic(x, v) - alpha(t) v.

    The damped Hamiltonian flow of KL in the metric k + eps has y' = ... + score - grad log rho, and a cloud has no rho.
    For v = (K/n + eps) y the smoothed form K (score - grad log rho) / n is Stein's direction phi, which needs none:
    that is why v is carried and y is solved for. The eps part of that force is left out; it would need grad log rho.
    - `regularisation`: eps > 0, the weight of the Wasserstein metric; it makes K/n + eps invertible.
    - `damping`: c_log = 3 for Nesterov's, or constant. Raises ValueError for eps <= 0.
    stein2025accelerated, stein2025analysis
    """

    target: AbstractTarget
    kernel: AbstractKernel
    damping: Damping
    regularisation: Float[Array, ""]

    def __init__(self, target: AbstractTarget, kernel: AbstractKernel, damping: Damping, regularisation: Number = 1e-2):
        if not isinstance(regularisation, jax.Array) and not regularisation > 0:
            raise ValueError(
                f"regularisation must be > 0, since the kernel matrix is singular or nearly so; got "
                f"{regularisation!r}. Try 1e-2."
            )
        self.target, self.kernel, self.damping = target, kernel, damping
        self.regularisation = number(regularisation)

    def velocity(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """v."""
        return v

    def force(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """phi(x) + geodesic(x, v)."""
        return stein_direction(self.target, self.kernel, x) + self.geodesic(x, v)

    def momenta(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """y = (K/n + eps)^-1 v."""
        return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(self._mobility(x)), True), v)

    def kinetic(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, ""]:
        """(1/2) sum_i y_i . v_i."""
        return jnp.sum(v * self.momenta(x, v)) / 2

    def geodesic(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """v' without forces or friction: (dK/dt y) / n - (K/n + eps) (1/n) sum_j (y_i . y_j) grad_1 k_ij."""
        mobility, moving = jax.jvp(self._mobility, (x,), (v,))
        y = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(mobility), True), v)
        return moving @ y - mobility @ self.kernel.pull_pairs(x, y)

    def _mobility(self, x: Float[Array, "n d"]) -> Float[Array, "n n"]:
        """K/n + eps."""
        return self.kernel(x, x) / len(x) + self.regularisation.astype(x.dtype) * jnp.eye(len(x), dtype=x.dtype)
