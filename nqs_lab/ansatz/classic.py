"""Trial states from before the Transformer: an exact table, a product state, pair correlations, a Boltzmann machine."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8, PRNGKeyArray, UInt64

from nqs_lab.ansatz.base import AbstractAnsatz, check_dtype, sum_log_cosh
from nqs_lab.attention.drawing import normal
from nqs_lab.spins.lattice import Lattice

START = 0.05
"""Deviation of the first parameters: small enough to start near the uniform state, large enough to move."""


class LogTable(AbstractAnsatz):
    """One free number for every configuration of a basis: log psi(sigma) = real[k] + i imag[k], k the place of sigma.

    **Arguments** `basis`: anything with `states` (D,) uint64, sorted, bit i set where spin i is up, and `n_sites`, such
    as a SpinBasis without symmetry sector. `state`: amplitudes (D,) real or complex, e.g. an exact ground state;
    without it the uniform state. `dtype`: float64 or float32.

    A zero amplitude, or a configuration outside the basis, has log psi = -inf: it is never sampled.
    **Raises** ValueError for a symmetric basis, unsorted states, a state of the wrong length or with NaNs, and while
    JAX is in 32-bit mode (bit patterns need 64).
    """

    states: UInt64[Array, " D"]
    real: Float[Array, " D"]
    imag: Float[Array, " D"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, basis: Any, state: Any = None, *, dtype=jnp.float64):
        check_dtype(dtype)
        if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError("LogTable finds configurations by 64-bit patterns. Call nqs_lab.enable_x64() first.")
        if getattr(basis, "sector", None) is not None:
            raise ValueError("LogTable needs one amplitude per configuration: take a basis without a symmetry sector.")
        states = np.asarray(basis.states, np.uint64)
        if states.ndim != 1 or len(states) == 0 or np.any(states[1:] <= states[:-1]):
            raise ValueError("basis.states must be one strictly ascending list of bit patterns.")
        amplitudes = np.ones(len(states)) if state is None else np.asarray(state)
        if amplitudes.shape != states.shape or not np.all(np.isfinite(amplitudes)):
            raise ValueError(f"state must be {len(states)} finite amplitudes, got shape {amplitudes.shape}.")
        with np.errstate(divide="ignore"):
            self.real = jnp.asarray(np.log(np.abs(amplitudes)), dtype)
        self.imag = jnp.asarray(np.angle(amplitudes), dtype)
        self.states = jnp.asarray(states)
        self.n_sites = int(basis.n_sites)

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        bits = (sigma > 0).astype(jnp.uint64) << jnp.arange(self.n_sites, dtype=jnp.uint64)
        pattern = jnp.sum(bits)
        place = jnp.minimum(jnp.searchsorted(self.states, pattern), len(self.states) - 1)
        found = self.states[place] == pattern
        never = jnp.asarray(-jnp.inf, self.real.dtype)
        return jax.lax.complex(jnp.where(found, self.real[place], never), self.imag[place])


class MeanField(AbstractAnsatz):
    """A product state: log psi(sigma) = sum_i (a_c(i) + i b_c(i)) sigma_i, with c(i) the cell that site i shares.

    Site i is in the spin state exp(f) |up> + exp(-f) |down>, f = a + i b. **Arguments** `share`: "site" gives every
    site its own parameters, "neel" or "stripe" one pair for each sublattice of that order.
    **Raises** ValueError for another `share`, an order that the lattice cannot carry, or a wrong dtype.
    """

    real: Float[Array, " cells"]
    imag: Float[Array, " cells"]
    cell: Int[Array, " N"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, lattice: Lattice, *, share: str = "site", dtype=jnp.float32, key: PRNGKeyArray):
        check_dtype(dtype)
        if share not in ("site", "neel", "stripe"):
            raise ValueError(f"share must be one of site, neel, stripe; got {share!r}.")
        sites = np.arange(lattice.n_sites)
        cell = sites if share == "site" else (1 - lattice.order(share)) // 2
        self.real, self.imag = normal(key, (2, int(cell.max()) + 1), dtype, START)
        self.cell = jnp.asarray(cell, jnp.int32)
        self.n_sites = lattice.n_sites

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        spins = sigma.astype(self.real.dtype)
        return jax.lax.complex(jnp.dot(self.real[self.cell], spins), jnp.dot(self.imag[self.cell], spins))


class Jastrow(AbstractAnsatz):
    """Pair correlations: log psi(sigma) = sum_{i<j} v_ij sigma_i sigma_j, v real: a positive state.

    Wrap it in MarshallSign for the sign. **Arguments** `share`: "distance" gives pairs at the same distance (on the
    torus, the shortest) the same v, "pair" every pair its own. **Raises** ValueError for another `share` or dtype.
    becca2017
    """

    coupling: Float[Array, " classes"]
    pair_class: Int[Array, " pairs"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, lattice: Lattice, *, share: str = "distance", dtype=jnp.float32, key: PRNGKeyArray):
        check_dtype(dtype)
        if share not in ("distance", "pair"):
            raise ValueError(f"share must be one of distance, pair; got {share!r}.")
        first, second = np.triu_indices(lattice.n_sites, 1)
        if share == "pair":
            pair_class = np.arange(len(first))
        else:
            pair_class = np.unique(_squared_distances(lattice)[first, second], return_inverse=True)[1]
        self.coupling = normal(key, (int(pair_class.max()) + 1,), dtype, START)
        self.pair_class = jnp.asarray(pair_class, jnp.int32)
        self.n_sites = lattice.n_sites

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        first, second = np.triu_indices(self.n_sites, 1)
        pairs = (sigma[first] * sigma[second]).astype(self.coupling.dtype)
        value = jnp.dot(self.coupling[self.pair_class], pairs)
        return jax.lax.complex(value, jnp.zeros_like(value))


class RBM(AbstractAnsatz):
    """The restricted Boltzmann machine: log psi(sigma) = a.sigma + sum_m log cosh(b_m + sum_i W_mi sigma_i).

    alpha N hidden units; a, b, W complex, each stored as two real arrays (the first axis: real, imaginary).
    **Arguments** `alpha`: hidden units per site, a positive whole number. **Raises** ValueError for alpha below 1 or
    a wrong dtype. carleo2017
    """

    visible: Float[Array, "2 N"]
    hidden: Float[Array, "2 M"]
    weight: Float[Array, "2 M N"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, lattice: Lattice, *, alpha: int = 1, dtype=jnp.float32, key: PRNGKeyArray):
        check_dtype(dtype)
        if alpha < 1:
            raise ValueError(f"alpha must be a whole number >= 1, got {alpha}.")
        self.n_sites = lattice.n_sites
        units = alpha * lattice.n_sites
        keys = jax.random.split(key, 3)
        self.visible = normal(keys[0], (2, self.n_sites), dtype, START)
        self.hidden = normal(keys[1], (2, units), dtype, START)
        self.weight = normal(keys[2], (2, units, self.n_sites), dtype, START)

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        spins = sigma.astype(self.weight.dtype)
        linear = self.visible @ spins
        real, imag = sum_log_cosh(*(self.hidden + self.weight @ spins))
        return jax.lax.complex(linear[0] + real, linear[1] + imag)


def _squared_distances(lattice: Lattice) -> Int[np.ndarray, "N N"]:
    """Squared distance of every two sites, the shortest over the periodic images."""
    coordinates = np.asarray(lattice.coordinates)
    shift = coordinates[:, None] - coordinates[None]
    images = [range(-2, 3) if wraps else range(1) for wraps in lattice.periodic]
    vectors = np.asarray(lattice.cluster)
    candidates = [shift + a * vectors[0] + b * vectors[1] for a in images[0] for b in images[1]]
    return np.min([np.sum(candidate**2, axis=-1) for candidate in candidates], axis=0)
