"""C(r) and S(q) with errors from samples, and exactly from a vector."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins.observables import expectation
from nqs_lab.vmc.cores import on_all_cores
from nqs_lab.vmc.estimate import local_energy, statistics


class Distance(NamedTuple):
    """One displacement r and its opposite: the one or two site numbers, and all pairs of sites that far apart."""

    sites: tuple[int, ...]
    pairs: Int[np.ndarray, "P 2"]

    def bond_average(self, n_sites: int) -> nl.Heisenberg:
        """The mean of S_i . S_j over the pairs, always as N bonds, so that one program serves every distance."""
        padded = np.resize(self.pairs, (n_sites, 2))
        used = np.arange(n_sites) < len(self.pairs)
        return nl.Heisenberg(padded, used / len(self.pairs), n_sites)


def distances(lattice: nl.Lattice) -> list[Distance]:
    """All displacements of a periodic lattice but zero, r and -r together. Raises ValueError for open edges."""
    if not lattice.is_periodic:
        raise ValueError(f"C(r) averages over translations and needs a periodic lattice, got {lattice.name}.")
    points = np.array(lattice.coordinates)
    opposite = lattice.sites(-points)
    found = []
    for r in range(1, lattice.n_sites):
        if r <= opposite[r]:
            pairs = np.stack([np.arange(lattice.n_sites), lattice.sites(points + points[r])], axis=1)
            found.append(Distance(tuple(sorted({r, int(opposite[r])})), np.unique(np.sort(pairs, axis=1), axis=0)))
    return found


class Correlations(NamedTuple):
    """C(r) by site number and S(q) by momentum (k1, k2) of the cluster, each with its standard error (0: exact)."""

    c: Float[np.ndarray, " N"]
    c_error: Float[np.ndarray, " N"]
    momenta: Int[np.ndarray, "K 2"]
    s: Float[np.ndarray, " K"]
    s_error: Float[np.ndarray, " K"]

    def at(self, lattice: nl.Lattice, *names: str) -> tuple[float, float]:
        """S and its error at a named momentum ("M" is (pi, pi), "Gamma" zero), or the mean of several.

        The error of a mean is that of its terms as if they moved together: not too small.
        """
        rows = [self.momenta.tolist().index(list(lattice.momentum(name))) for name in names]
        return float(self.s[rows].mean()), float(self.s_error[rows].mean())


def sampled_correlations(
    model: AbstractAnsatz,
    lattice: nl.Lattice,
    sigma: Int8[np.ndarray, "draws chains N"],
    log_psi: Complex[np.ndarray, "draws chains"],
    *,
    chunk_size: int,
) -> Correlations:
    """C(r) = <S_x . S_{x+r}>, averaged over x, and S(q) = sum_r C(r) exp(i q.r) from samples of |psi|^2.

    S_i . S_j is a bond of a Heisenberg model, so its local value is (1/2) psi(P_ij s) / psi(s) - 1/4 and its estimator
    the local energy: right for any state, where 3 <Sz Sz> would assume a singlet. Reference: becca2017.
    """
    groups = distances(lattice)
    local = np.empty((*log_psi.shape, len(groups)))
    for draw, (configurations, amplitudes) in enumerate(zip(sigma, log_psi, strict=True)):
        rows = jnp.asarray(configurations), jnp.asarray(amplitudes)
        for k, group in enumerate(groups):
            bonds = group.bond_average(lattice.n_sites)
            local[draw, :, k] = np.real(on_all_cores(_local, model, bonds, *rows, chunk_size))
    return _gather(lattice, groups, local)


def exact_correlations(
    psi: Float[np.ndarray, " D"] | Complex[np.ndarray, " D"], basis: nl.SpinBasis, lattice: nl.Lattice
) -> Correlations:
    """The same from a vector on a plain basis, without errors."""
    groups = distances(lattice)
    values = [expectation(group.bond_average(lattice.n_sites), psi, basis) for group in groups]
    return _gather(lattice, groups, np.broadcast_to(np.array(values), (1, 2, len(groups))))


def _gather(lattice: nl.Lattice, groups: list[Distance], local: Float[np.ndarray, "draws chains R"]) -> Correlations:
    """Means and binned errors of C(r), and of S(q), which is put together sample by sample."""
    c, c_error = np.full(lattice.n_sites, 0.75), np.zeros(lattice.n_sites)
    for k, group in enumerate(groups):
        c[list(group.sites)], c_error[list(group.sites)] = _mean(local[..., k])
    points, momenta = np.array(lattice.coordinates), np.array(lattice.momenta())
    first = points[[group.sites[0] for group in groups]]
    count = np.array([len(group.sites) for group in groups])
    s, s_error = np.empty(len(momenta)), np.empty(len(momenta))
    for row, momentum in enumerate(momenta):
        q = np.array(lattice.wavevector((int(momentum[0]), int(momentum[1]))))
        s[row], s_error[row] = _mean(0.75 + local @ (count * np.cos(first @ q)))
    return Correlations(c, c_error, momenta, s, s_error)


def _mean(values: Float[np.ndarray, "draws chains"]) -> tuple[float, float]:
    """Mean and binned standard error."""
    stats = statistics(values.astype(np.complex128))
    return stats.mean.real, stats.error


@eqx.filter_jit
def _local(
    model: AbstractAnsatz, ham: nl.Heisenberg, sigma: Int8[Array, "S N"], log_psi: Complex[Array, " S"], chunk_size: int
) -> Complex[Array, " S"]:
    """Local energies, compiled."""
    return local_energy(model, ham, sigma, log_psi, chunk_size=chunk_size)
