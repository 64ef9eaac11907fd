"""Metropolis sampling of |psi|^2 at fixed magnetisation by exchanging antiparallel neighbours."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, Int8, PRNGKeyArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.vmc.batching import log_amplitudes
from nqs_lab.vmc.cores import on_all_cores
from nqs_lab.vmc.estimate import local_energy
from nqs_lab.vmc.samples import AbstractSampler, Samples


class ExchangeSampler(AbstractSampler):
    """Metropolis-Hastings with exchanges of the two spins of a flippable bond; magnetisation is conserved.

    A flippable bond is drawn uniformly from the A(s) antiparallel ones and the exchange accepted with probability
    min(1, |psi(s')/psi(s)|^2 A(s)/A(s')): the Hastings factor makes detailed balance exact.
    - `ham`: its bonds (also those of zero coupling) are the moves. `n_chains`: one sample each per step.
    - `sweep_size`: moves between samples (default N). `thermal_sweeps`: sweeps before the first sample (default 20).
    - `total_sz`: magnetisation in units of hbar (integer or half-integer). `flip_probability`: share of moves that
      propose the global spin flip, at Sz = 0 only.
    Raises ValueError for negative sizes, an impossible total_sz, or bonds that do not connect the sites, since then
    exchanges cannot reach every configuration. Reference: becca2017.
    """

    exact: ClassVar[bool] = False

    bonds: Int[Array, "B 2"]
    n_sites: int = eqx.field(static=True)
    n_chains: int = eqx.field(static=True)
    sweep_size: int = eqx.field(static=True)
    thermal_sweeps: int = eqx.field(static=True)
    total_sz: float = eqx.field(static=True)
    flip_probability: float = eqx.field(static=True)

    def __init__(
        self,
        ham: Heisenberg,
        *,
        n_chains: int = 1024,
        sweep_size: int | None = None,
        thermal_sweeps: int = 20,
        total_sz: float | int = 0,
        flip_probability: float | int = 0.0,
    ):
        self.bonds, self.n_sites = ham.bonds, ham.n_sites
        self.n_chains = _positive("n_chains", n_chains)
        self.sweep_size = _positive("sweep_size", ham.n_sites if sweep_size is None else sweep_size)
        self.thermal_sweeps = _positive("thermal_sweeps", thermal_sweeps, least=0)
        self.total_sz, self.flip_probability = float(total_sz), float(flip_probability)
        self._check()

    def _check(self) -> None:
        """Every configuration of the sector must exist and be reachable."""
        up = self.n_sites / 2 + self.total_sz
        if up != int(up) or not 0 < up < self.n_sites:
            raise ValueError(
                f"total_sz={self.total_sz:g} is impossible or frozen on {self.n_sites} sites: N/2 + total_sz must be "
                f"an integer between 1 and {self.n_sites - 1}"
                + ("; an odd number of sites needs total_sz=0.5." if self.n_sites % 2 else ".")
            )
        if not 0 <= self.flip_probability < 1 or (self.flip_probability and self.total_sz):
            raise ValueError(
                f"flip_probability must lie in [0, 1) and be 0 unless total_sz=0; got {self.flip_probability} at "
                f"total_sz={self.total_sz:g}."
            )
        i, j = np.asarray(self.bonds).T
        pieces, _ = connected_components(
            coo_array((np.ones(i.size), (i, j)), shape=(self.n_sites, self.n_sites)), directed=False
        )
        if pieces > 1:
            raise ValueError(
                f"the bonds split the {self.n_sites} sites into {pieces} pieces: exchanges cannot move spins between "
                "them, so not every configuration is reachable. Add bonds (a zero coupling is enough)."
            )

    def prepare(self, ham: Heisenberg) -> "ExchangeSampler":
        """The sampler itself, if it was made for as many sites."""
        if ham.n_sites != self.n_sites:
            raise ValueError(
                f"the sampler has {self.n_sites} sites, the Hamiltonian {ham.n_sites}: build both from one lattice."
            )
        return self

    def init(self, model: AbstractAnsatz, *, key: PRNGKeyArray, chunk_size: int) -> Samples:
        """Random configurations at this magnetisation, thermalised for `thermal_sweeps` sweeps."""
        shuffle, key = jax.random.split(key)
        up = round(self.n_sites / 2 + self.total_sz)
        start = jnp.where(jnp.arange(self.n_sites) < up, 1, -1).astype(jnp.int8)
        sigma = jax.vmap(lambda k: jax.random.permutation(k, start))(jax.random.split(shuffle, self.n_chains))
        weight = jnp.full((self.n_chains,), 1 / self.n_chains, jnp.float64)
        unknown = jnp.zeros((self.n_chains,), jnp.complex128)
        samples = Samples(sigma, unknown, weight, key, jnp.zeros((), jnp.float64))
        return on_all_cores(_sweep, self, model, samples, self.thermal_sweeps * self.sweep_size, chunk_size)

    def step(self, model: AbstractAnsatz, samples: Samples, *, chunk_size: int) -> Samples:
        """One sweep of every chain, after refreshing log psi (the parameters have moved)."""
        return _sweep(self, model, samples, self.sweep_size, chunk_size)

    def local_energy(
        self, model: AbstractAnsatz, ham: Heisenberg, samples: Samples, *, chunk_size: int
    ) -> Complex[Array, " S"]:
        """E_loc over the compact list of flippable bonds."""
        return local_energy(model, ham, samples.sigma, samples.log_psi, chunk_size=chunk_size)

    def forwards(self, ham: Heisenberg) -> tuple[int, float]:
        """Refresh + sweep + the flippable share N / (2 (N - 1)) of the bonds with a coupling."""
        share = self.n_sites / (2 * (self.n_sites - 1))
        return self.n_chains, 1 + self.sweep_size + share * int(np.count_nonzero(np.asarray(ham.coupling)))

    def propose(
        self, sigma: Int8[Array, "S N"], uniform: Float[Array, " S"]
    ) -> tuple[Int8[Array, "S N"], Float[Array, " S"]]:
        """Exchange the k-th flippable bond, k = floor(u A(s)); returns the new configurations and log A(s)/A(s')."""
        flippable = self._flippable(sigma)
        before = jnp.sum(flippable, axis=1, dtype=jnp.int32)
        rank = jnp.minimum((uniform * before.astype(uniform.dtype)).astype(jnp.int32), before - 1)
        bond = jnp.sum(jnp.cumsum(flippable, axis=1, dtype=jnp.int32) <= rank[:, None], axis=1, dtype=jnp.int32)
        i, j = self.bonds[bond, 0], self.bonds[bond, 1]
        row = jnp.arange(sigma.shape[0])
        proposed = sigma.at[row, i].multiply(-1).at[row, j].multiply(-1)  # antiparallel: an exchange flips both
        after = jnp.sum(self._flippable(proposed), axis=1, dtype=jnp.int32)
        return proposed, jnp.log(before.astype(jnp.float64)) - jnp.log(after.astype(jnp.float64))

    def _flippable(self, sigma: Int8[Array, "S N"]) -> Bool[Array, "S B"]:
        """Antiparallel bonds of every configuration."""
        return sigma[:, self.bonds[:, 0]] != sigma[:, self.bonds[:, 1]]


@eqx.filter_jit
def _sweep(sampler: ExchangeSampler, model: AbstractAnsatz, samples: Samples, moves: int, chunk_size: int) -> Samples:
    """Refresh log psi, then `moves` Metropolis steps of every chain."""
    shape = (sampler.n_chains,)

    def body(_, carry):
        sigma, log_psi, key, accepted = carry
        key, pick, flip, accept = jax.random.split(key, 4)
        proposed, log_hastings = sampler.propose(sigma, jax.random.uniform(pick, shape, jnp.float32))
        if sampler.flip_probability:
            whole = jax.random.uniform(flip, shape, jnp.float32) < sampler.flip_probability
            proposed = jnp.where(whole[:, None], -sigma, proposed)
            log_hastings = jnp.where(whole, jnp.zeros_like(log_hastings), log_hastings)
        new = log_amplitudes(model, proposed, chunk_size)
        take = jax.random.uniform(accept, shape, jnp.float64) < acceptance(log_psi, new, log_hastings)
        sigma, log_psi = jnp.where(take[:, None], proposed, sigma), jnp.where(take, new, log_psi)
        return sigma, log_psi, key, accepted + jnp.mean(take.astype(jnp.float64))

    log_psi = log_amplitudes(model, samples.sigma, chunk_size)
    start = (samples.sigma, log_psi, samples.key, jnp.zeros((), jnp.float64))
    sigma, log_psi, key, accepted = jax.lax.fori_loop(0, moves, body, start)
    return Samples(sigma, log_psi, samples.weight, key, accepted / max(1, moves))


def acceptance(
    old: Complex[Array, " S"], new: Complex[Array, " S"], log_hastings: Float[Array, " S"]
) -> Float[Array, " S"]:
    """min(1, |psi'/psi|^2 A(s)/A(s')); where psi = 0 is always left, where psi is NaN never entered."""
    log_ratio = jnp.where(old.real == -jnp.inf, jnp.inf, 2 * (new.real - old.real) + log_hastings)
    return jnp.where(jnp.isnan(new.real), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))


def _positive(name: str, value: int, least: int = 1) -> int:
    """An integer of at least `least`, or a ValueError that says so."""
    if int(value) != value or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")
    return int(value)
