"""A Boltzmann machine that no translation changes: the network of notebook 05."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int, Int8, PRNGKeyArray

from nqs_lab.ansatz.base import AbstractAnsatz, check_dtype, sum_log_cosh
from nqs_lab.spins import Group, Lattice

START = 0.05
"""Deviation of the weights before training: psi starts nearly constant, as the library's RBM does."""


class TorusRBM(AbstractAnsatz):
    """An RBM with shared weights: log psi(s) = sum_f sum_t log cosh(b_f + sum_i w_fi s_t(i)), t over all translations.

    It is nl.RBM with alpha N hidden units whose rows are translates of alpha filters, and without visible biases (at
    Sz = 0 a shared one is a constant): alpha (N + 1) complex parameters in place of alpha N (N + 1) + N, each stored
    as two real numbers (first axis). **Arguments** `alpha`: filters. **Raises** ValueError for alpha below 1, a wrong
    dtype or a lattice without translations. carleo2017
    """

    weight: Float[Array, "2 alpha N"]
    hidden: Float[Array, "2 alpha"]
    places: Int[Array, "T N"]
    lattice: Lattice = eqx.field(static=True)
    n_sites: int = eqx.field(static=True)

    def __init__(self, lattice: Lattice, *, alpha: int = 1, dtype=jnp.float64, key: PRNGKeyArray):
        check_dtype(dtype)
        if alpha < 1:
            raise ValueError(f"alpha must be a whole number >= 1, got {alpha}.")
        first, second = jax.random.split(key)
        start = jnp.asarray(START, dtype)
        self.weight = start * jax.random.normal(first, (2, alpha, lattice.n_sites), dtype)
        self.hidden = start * jax.random.normal(second, (2, alpha), dtype)
        self.places = jnp.asarray(lattice.translations().permutations, jnp.int32)
        self.lattice, self.n_sites = lattice, lattice.n_sites

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        images = sigma.at[self.places].get(mode="promise_in_bounds").astype(self.weight.dtype)
        fields = jnp.einsum("cfn,tn->cft", self.weight, images) + self.hidden[:, :, None]
        return jax.lax.complex(*sum_log_cosh(fields[0].reshape(-1), fields[1].reshape(-1)))

    def invariances(self) -> Group | None:
        """All translations, with character 1."""
        return self.lattice.translations()
