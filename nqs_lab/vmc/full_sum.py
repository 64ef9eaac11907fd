"""Full summation: the noise-free run through the same code as the sampled one."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8, PRNGKeyArray

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins import bits
from nqs_lab.spins.basis import SpinBasis
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.spins.symmetry import Group
from nqs_lab.vmc.batching import choose_chunk, log_amplitudes
from nqs_lab.vmc.samples import AbstractSampler, Samples

PROBE_CHUNK = 64
"""Configurations at a time where the symmetry of an ansatz is measured."""


class Connections(eqx.Module):
    """Where H takes the representatives: `target` (S, B) and the group `element` (S, B) that leads back to one."""

    target: Int[Array, "S B"]
    element: Int[Array, "S B"]


class ExactSampler(AbstractSampler):
    """Every configuration of a basis, or one per orbit of a symmetry group, each with its exact weight.

    weight_r = |orbit_r| |psi(r)|^2 / sum.  H takes a representative r to P_b r, and some g takes that to its own
    representative; with chi_g = psi(g s) / psi(s), psi(P_b r) = conj(chi_g) psi(g P_b r), so the local energies need
    no forward beyond the representatives.
    - `basis`: a plain Sz basis. `group`: permutations and, at Sz = 0, spin flips. Its characters are not read: chi_g is
      measured on the ansatz.
    Raises ValueError for a basis with a sector, for a group that does not map the weighted bonds onto themselves, and
    in `init` for an ansatz for which psi(g s) / psi(s) is not a phase that is independent of s and of the parameters
    (checked in float64 on copies with random parameters of order one).
    """

    exact: ClassVar[bool] = True

    group: Group
    representatives: Int8[Array, "S N"]
    orbit_size: Float[Array, " S"]
    probes: Int8[Array, "K N"]
    connections: Connections | None
    n_states: int = eqx.field(static=True)
    _lookup: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None

    def __init__(self, basis: SpinBasis, group: Group | None = None):
        if basis.sector is not None:
            raise ValueError(
                "ExactSampler takes a plain basis, nl.SpinBasis(lattice), and the symmetry as group=; this basis "
                "already holds one state per orbit of a sector."
            )
        if group is None:
            group = Group(np.arange(basis.n_sites)[None])
        if group.n_sites != basis.n_sites:
            raise ValueError(
                f"the group acts on {group.n_sites} sites, the basis has {basis.n_sites}: use one lattice."
            )
        if np.any(group.flips < 0) and basis.total_sz != 0:
            raise ValueError(f"a group with spin flips needs total_sz=0, the basis has total_sz={basis.total_sz:g}.")
        leader, element = _orbits(basis, group)
        representative, size = np.unique(leader, return_counts=True)
        self.group, self.n_states, self.connections = group, basis.dim, None
        configurations = basis.configurations()
        self.representatives = jnp.asarray(configurations[representative])
        self.orbit_size = jnp.asarray(size, jnp.float64)
        probes = np.random.default_rng(0).choice(basis.dim, size=min(8, basis.dim), replace=False)
        self.probes = jnp.asarray(configurations[probes])
        self._lookup = (basis.states, representative, leader, element)

    def prepare(self, ham: Heisenberg) -> "ExactSampler":
        """This sampler with the table of connected representatives for the bonds of `ham`."""
        if ham.n_sites != self.group.n_sites:
            raise ValueError(
                f"the basis has {self.group.n_sites} sites, the Hamiltonian {ham.n_sites}: use one lattice."
            )
        _check_symmetry(ham, self.group)
        if self._lookup is None:
            return self
        states, representative, leader, element = self._lookup
        sigma = np.asarray(self.representatives)
        target = np.zeros((len(sigma), ham.n_bonds), np.int32)
        which = np.zeros((len(sigma), ham.n_bonds), np.int32)
        for b, (i, j) in enumerate(np.asarray(ham.bonds)):
            swapped = sigma.copy()
            swapped[:, [i, j]] = sigma[:, [j, i]]
            position = np.searchsorted(states, bits.from_configurations(swapped))
            target[:, b] = np.searchsorted(representative, leader[position])
            which[:, b] = element[position]
        table = Connections(jnp.asarray(target), jnp.asarray(which))
        return eqx.tree_at(lambda s: (s.connections, s._lookup), self, (table, None), is_leaf=lambda leaf: leaf is None)

    def init(self, model: AbstractAnsatz, *, key: PRNGKeyArray, chunk_size: int) -> Samples:
        """All representatives under `model`, after checking that the ansatz has the symmetry."""
        probe, key = jax.random.split(key)
        phases = measure_phases(model, self.group, self.probes, key=probe)
        one = jnp.ones((), jnp.float64)
        empty = jnp.zeros(self.orbit_size.shape, jnp.complex128)
        samples = Samples(self.representatives, empty, self.orbit_size / self.n_states, key, one, phases)
        return _refresh(self, model, samples, chunk_size)

    def step(self, model: AbstractAnsatz, samples: Samples, *, chunk_size: int) -> Samples:
        """The same configurations with amplitudes and weights of the current parameters."""
        log_psi = log_amplitudes(model, samples.sigma, chunk_size)
        log_weight = jnp.log(self.orbit_size) + 2 * log_psi.real
        weight = jnp.exp(log_weight - jnp.max(log_weight))
        return eqx.tree_at(lambda s: (s.log_psi, s.weight), samples, (log_psi, weight / jnp.sum(weight)))

    def local_energy(
        self, model: AbstractAnsatz, ham: Heisenberg, samples: Samples, *, chunk_size: int
    ) -> Complex[Array, " S"]:
        """E_loc of the representatives from the amplitudes already known; zero where psi = 0 (weight zero)."""
        del model, chunk_size
        table, log_psi = self.connections, samples.log_psi
        if table is None or samples.phases is None:
            raise ValueError("this sampler has no table of connections: nl.VMC makes it, or call sampler.prepare(ham).")
        ratio = jnp.conj(samples.phases)[table.element] * jnp.exp(log_psi[table.target] - log_psi[:, None])
        flippable = jax.vmap(ham.flippable)(samples.sigma)
        half = 0.5 * ham.coupling.astype(jnp.complex128)[None]
        moved = jnp.sum(jnp.where(flippable, half * ratio, jnp.zeros((), ratio.dtype)), axis=1)
        energy = jax.vmap(ham.diagonal)(samples.sigma).astype(jnp.complex128) + moved
        return jnp.where(samples.weight > 0, energy, jnp.zeros((), energy.dtype))

    def forwards(self, ham: Heisenberg) -> tuple[int, float]:
        """One forward per representative: the table does the rest."""
        del ham
        return self.orbit_size.shape[0], 1.0


@eqx.filter_jit
def _refresh(sampler: ExactSampler, model: AbstractAnsatz, samples: Samples, chunk_size: int) -> Samples:
    """`sampler.step`, compiled."""
    return sampler.step(model, samples, chunk_size=chunk_size)


def state_vector(model: AbstractAnsatz, basis: SpinBasis) -> Complex[np.ndarray, " D"]:
    """The normalised amplitudes of an ansatz on a plain basis, in its order: for fidelities and exact observables.

    Raises ValueError for a basis with a sector, or if the ansatz vanishes or is not finite on the whole basis.
    """
    if basis.sector is not None or basis.n_sites != model.n_sites:
        raise ValueError(f"state_vector needs a plain basis of {model.n_sites} sites: nl.SpinBasis(lattice).")
    log_psi = np.asarray(_all_amplitudes(model, jnp.asarray(basis.configurations()), choose_chunk(model)))
    size = np.real(log_psi).max()
    if np.any(np.isnan(log_psi)) or not np.isfinite(size):
        raise ValueError("the ansatz is NaN somewhere or zero everywhere on this basis; its parameters have diverged.")
    psi = np.exp(log_psi - size)
    return psi / np.linalg.norm(psi)


_all_amplitudes = eqx.filter_jit(log_amplitudes)


def measure_phases(
    model: AbstractAnsatz, group: Group, probes: Int8[Array, "K N"], *, key: PRNGKeyArray
) -> Complex[Array, " G"]:
    """chi_g = psi(g s) / psi(s), measured in float64 on two copies of the ansatz with random parameters of order one.

    Raises ValueError if chi_g depends on s or on the parameters, or is not of modulus one.
    """
    if group.n_elements == 1:
        return jnp.ones((1,), jnp.complex128)
    images = jax.vmap(group.apply)(probes).reshape(-1, group.n_sites)  # element 0 is the identity
    ratios = []
    for copy in jax.random.split(key, 2):
        log_psi = np.asarray(_all_amplitudes(_randomised(model, copy), images, PROBE_CHUNK))
        log_psi = log_psi.reshape(len(probes), group.n_elements)
        with np.errstate(invalid="ignore"):  # zeros of the ansatz, which are left out below
            ratios.append(np.exp(log_psi - log_psi[:, :1]))
    found = np.concatenate(ratios)
    found = found[np.all(np.isfinite(found), axis=1)]
    spread = np.max(np.abs(found - found[:1])) if len(found) else np.inf
    if not spread < 1e-6 or not np.max(np.abs(np.abs(found) - 1)) < 1e-6:
        raise ValueError(
            f"the ansatz lacks the symmetry of this group: psi(g s) / psi(s) varies by {spread:.2g} between "
            "configurations or parameters, where it must be one fixed phase. Sum over the whole basis (group=None), "
            "take a group that the ansatz has (lattice.translations(step=patch) for a ViT), or wrap it in "
            "nl.Symmetrized(ansatz, group)."
        )
    return jnp.asarray(found[0] / np.abs(found[0]))


def _randomised(model: AbstractAnsatz, key: PRNGKeyArray) -> AbstractAnsatz:
    """The ansatz with normally distributed parameters of order one, in float64."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    # NumPy draws them: jax.random would compile a program for each shape, which takes longer than the test itself.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    drawn = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), arrays)
    return eqx.combine(drawn, static)


def _orbits(basis: SpinBasis, group: Group) -> tuple[Int[np.ndarray, " D"], Int[np.ndarray, " D"]]:
    """For every state the smallest index in its orbit, and an element that takes the state there."""
    sigma = basis.configurations()
    leader, element = np.arange(basis.dim), np.zeros(basis.dim, np.int32)
    for g in range(1, group.n_elements):
        image = sigma[:, group.permutations[g]] * group.flips[g]
        index = np.searchsorted(basis.states, bits.from_configurations(image))
        better = index < leader
        leader[better], element[better] = index[better], g
    return leader, element


def _check_symmetry(ham: Heisenberg, group: Group) -> None:
    """Every element must map the weighted bonds onto themselves."""

    def weights(bonds):
        dense = np.zeros((ham.n_sites, ham.n_sites))
        np.add.at(dense, (bonds[:, 0], bonds[:, 1]), np.asarray(ham.coupling))
        return dense + dense.T

    bonds = np.asarray(ham.bonds)
    original = weights(bonds)
    for g, permutation in enumerate(group.permutations):
        if not np.allclose(weights(permutation[bonds]), original, rtol=1e-12, atol=1e-14):
            raise ValueError(
                f"element {g} of the group does not map the weighted bonds of the Hamiltonian onto themselves, so "
                "it is no symmetry; use a smaller group (Shastry-Sutherland: lattice.translations(step=2))."
            )
