"""What a sampler is: weighted configurations, and local energies to go with them."""

import abc

import equinox as eqx
from jaxtyping import Array, Complex, Float, Int8, PRNGKeyArray

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins.hamiltonian import Heisenberg


class Samples(eqx.Module):
    """Weighted configurations: sum_s weight_s f(sigma_s) estimates <f>. What every sampler carries between steps.

    `sigma` (S, N) of +1/-1, `log_psi` (S,) complex128, `weight` (S,) summing to one, `key`, `acceptance` of the last
    sweep, and `phases`: psi(g s) / psi(s) for each element of a summation group, else None.
    """

    sigma: Int8[Array, "S N"]
    log_psi: Complex[Array, " S"]
    weight: Float[Array, " S"]
    key: PRNGKeyArray
    acceptance: Float[Array, ""]
    phases: Complex[Array, " G"] | None = None


class AbstractSampler(eqx.Module):
    """A source of weighted configurations: `init` once, `step` before every update, and local energies to go with it.

    `exact`: whether the weights are exact, so that energies carry no statistical error.
    """

    exact: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def prepare(self, ham: Heisenberg) -> "AbstractSampler":
        """Check that this sampler fits the Hamiltonian and tabulate what depends on its bonds alone."""

    @abc.abstractmethod
    def init(self, model: AbstractAnsatz, *, key: PRNGKeyArray, chunk_size: int) -> Samples:
        """First samples."""

    @abc.abstractmethod
    def step(self, model: AbstractAnsatz, samples: Samples, *, chunk_size: int) -> Samples:
        """Next samples, under the current parameters."""

    @abc.abstractmethod
    def local_energy(
        self, model: AbstractAnsatz, ham: Heisenberg, samples: Samples, *, chunk_size: int
    ) -> Complex[Array, " S"]:
        """E_loc of every sample (total, units of J1)."""

    @abc.abstractmethod
    def forwards(self, ham: Heisenberg) -> tuple[int, float]:
        """(samples, evaluations of log psi per sample) of one step, for `VMC.plan`."""
