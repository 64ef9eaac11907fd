"""Ground states by exact diagonalisation: dense, sparse Lanczos or matrix-free, chosen by size."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import numpy as np
import scipy.linalg
from jaxtyping import Complex, Float
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from nqs_lab.spins.basis import SpinBasis, plain_dimension
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.spins.operator import Rows, check_match, linear_operator, matrix, shared_matvec
from nqs_lab.spins.orbits import sector_dimension
from nqs_lab.spins.quantum_numbers import read_quantum_numbers, unsharp
from nqs_lab.spins.sectors import candidate_sectors, sector_group
from nqs_lab.spins.symmetry import Sector

DENSE_LIMIT = 400
PLAIN_LIMIT = 3_100_000
STORED_BYTES = 3_000_000_000
COPY_CHECK_LIMIT = 300_000


class GroundState(eqx.Module):
    """The lowest levels of H in a basis.

    energy: lowest eigenvalue (total, units of J1); state: its vector in `basis.states` order; energies, states: the k
    lowest levels and vectors; degeneracy: number of levels equal to the lowest; residual |H psi - E psi|; method:
    "dense", "sparse Lanczos" or "matrix-free Lanczos"; quantum_numbers: momentum, irrep, flip, spin where they are
    sharp (None where degenerate levels mix); searched: (sector, dimension, energy) of every sector tried;
    skipped: sectors too large to try.
    """

    energy: float
    basis: SpinBasis
    sector: Sector | None
    residual: float
    energies: Float[np.ndarray, " K"]
    states: Float[np.ndarray, "K D"] | Complex[np.ndarray, "K D"]
    degeneracy: int
    method: str
    quantum_numbers: dict[str, Any]
    searched: tuple[tuple[Sector | None, int, float], ...] = ()
    skipped: tuple[tuple[Sector, int], ...] = ()

    @property
    def state(self) -> Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]:
        """The ground state's vector, normalised, in the order of basis.states."""
        return self.states[0]


def ground_state(
    ham: Heisenberg,
    basis: SpinBasis | None = None,
    k: int = 1,
    *,
    method: str | None = None,
    total_sz: float | int | None = None,
) -> GroundState:
    """The ground state and the k lowest levels of H in a basis.

    Without a basis: the plain configurations with Sz = 0 (1/2 for odd N) up to about 3 million of them, with the
    quantum numbers read off as <psi|g|psi>; above that every sector at Gamma, M and X that H allows and that fits, the
    lowest of which is returned with the list of those searched.

    Arguments: ham; basis; k levels; method "dense", "sparse" or "matrix-free" (default: by size); total_sz in place of
    the default one, if no basis is given.
    Raises: ValueError for a basis that does not match H or a bad argument; RuntimeError if Lanczos did not converge.
    The start vector is fixed, so two runs give the same result.
    """
    if method not in (None, "dense", "sparse", "matrix-free"):
        raise ValueError(f'method must be "dense", "sparse", "matrix-free" or None; got {method!r}.')
    if basis is not None:
        if total_sz not in (None, basis.total_sz):
            raise ValueError(f"The basis has total_sz={basis.total_sz}; leave total_sz out or build another basis.")
        return _solve(ham, basis, k, method)
    if total_sz is None:
        total_sz = 0 if ham.n_sites % 2 == 0 else 0.5
    if plain_dimension(ham.n_sites, total_sz) <= PLAIN_LIMIT:
        return _solve(ham, SpinBasis(ham.lattice or ham.n_sites, total_sz), k, method)
    return _search(ham, total_sz, k, method)


def spectrum(ham: Heisenberg, basis: SpinBasis) -> Float[np.ndarray, " D"]:
    """Every eigenvalue of H in a basis, ascending (dense; meant for a few thousand states).

    Raises: ValueError above 20,000 states, or for a basis that does not match.
    """
    if basis.dim > 20_000:
        raise ValueError(f"A full spectrum of {basis.dim:,} states needs too much memory; use sectors or ground_state.")
    return scipy.linalg.eigvalsh(matrix(ham, basis).toarray())


def _solve(ham: Heisenberg, basis: SpinBasis, k: int, method: str | None) -> GroundState:
    """The k lowest levels in one basis."""
    check_match(ham, basis)
    if not 1 <= k <= basis.dim:
        raise ValueError(f"k must lie between 1 and the number of states {basis.dim}; got {k}.")
    method = "dense" if basis.dim < k + 3 else method or _choose(ham, basis, k)  # Lanczos needs some room
    if method == "dense":
        dense = matrix(ham, basis).toarray()
        energies, vectors = scipy.linalg.eigh(dense)
        keep = max(k, _copies(energies))
        operator, energies, vectors = dense, energies[:keep], vectors[:, :keep]
    else:
        operator = shared_matvec(matrix(ham, basis)) if method == "sparse" else linear_operator(ham, basis)
        energies, vectors = _lanczos(operator, k, _bound(ham))
        energies, vectors = _complete(ham, basis, operator, energies, vectors)
    states = np.ascontiguousarray(vectors.T)
    residual = float(np.linalg.norm(operator @ states[0] - energies[0] * states[0]))
    if not residual < 1e-7 * max(1.0, _bound(ham)):
        raise RuntimeError(
            f"The eigenvector has a residual of {residual:.1e}; Lanczos did not converge. Try k=2 or more."
        )
    return GroundState(
        energy=float(energies[0]),
        basis=basis,
        sector=basis.sector,
        residual=residual,
        energies=energies,
        states=states,
        degeneracy=_copies(energies) if _bound(ham) else basis.dim,
        method={"dense": "dense", "sparse": "sparse Lanczos", "matrix-free": "matrix-free Lanczos"}[method],
        quantum_numbers=read_quantum_numbers(ham, basis, states[0]),
        searched=((basis.sector, basis.dim, float(energies[0])),),
    )


def _choose(ham: Heisenberg, basis: SpinBasis, k: int) -> str:
    """Dense where small, stored where the matrix fits, else matrix-free."""
    if basis.dim <= DENSE_LIMIT or k > basis.dim // 4:
        return "dense"
    nonzeros = Rows(ham, basis).nonzeros()
    return "sparse" if nonzeros * (12 if basis.is_real else 20) <= STORED_BYTES and nonzeros < 2**31 else "matrix-free"


def _bound(ham: Heisenberg) -> float:
    """An upper bound of |E|: every bond lies between -3/4 and 1/4 of its coupling."""
    return float(0.75 * np.abs(np.asarray(ham.coupling, dtype=np.float64)).sum())


def _copies(energies: Float[np.ndarray, " K"]) -> int:
    """How many levels equal the lowest."""
    return int(np.sum(energies - energies[0] < 1e-8 * max(1.0, abs(energies[0]))))


def _lanczos(
    operator: LinearOperator, k: int, bound: float, tolerance: float | None = None, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The k lowest levels by scipy's eigsh from a fixed random vector."""
    start = np.random.default_rng(seed).standard_normal(operator.shape[0])
    if tolerance is None:  # 0: to the last digit; costs a tenth more products
        tolerance = 0.0 if len(start) <= COPY_CHECK_LIMIT else 1e-11
    if bound == 0:  # ARPACK cannot start on the zero matrix
        return np.zeros(k), np.eye(operator.shape[0], k)
    try:
        start = start.astype(operator.dtype)
        energies, vectors = eigsh(operator, k=k, which="SA", v0=start, tol=tolerance, maxiter=3000)  # pyright: ignore
    except ArpackNoConvergence as failure:
        raise RuntimeError(
            "Lanczos did not converge; ask for more levels (k=2 or 3) or use a smaller sector."
        ) from failure
    order = np.argsort(energies)
    # A complex eigenproblem can return nearly parallel vectors for equal levels: orthonormalise.
    return energies[order], np.linalg.qr(vectors[:, order])[0]


def _complete(
    ham: Heisenberg, basis: SpinBasis, operator: LinearOperator, energies: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add copies of degenerate levels that Lanczos cannot see, by lifting the levels already found.

    A Krylov space holds one vector of each degenerate level. On large bases the search is made only where a symmetry
    of H has no sharp value in the vector, which is how a degenerate level shows. At most 16 copies are added.
    """
    if _bound(ham) == 0:
        return energies, vectors
    if basis.dim > COPY_CHECK_LIMIT and basis.lattice is not None and not unsharp(ham, basis, vectors[:, 0]):
        return energies, vectors
    lift = 2 * _bound(ham) + 1
    for _ in range(16):
        found = vectors

        def lifted(x: np.ndarray, found: np.ndarray = found) -> np.ndarray:
            x = np.reshape(x, -1)
            return operator @ x + lift * (found @ (found.conj().T @ x))

        shape, kind = operator.shape, operator.dtype
        deflated = LinearOperator(shape, matvec=lifted, dtype=kind)  # pyright: ignore
        # A new start vector: of the old one, nothing but rounding lies in the copies. A rough value is enough to see
        # that the next level is another one; only a copy is worth all digits.
        seed = 1 + vectors.shape[1]
        rough, _ = _lanczos(deflated, 1, _bound(ham), tolerance=1e-6, seed=seed)
        if rough[0] > energies[-1] + 1e-4 * max(1.0, abs(energies[-1])):
            break
        extra, vector = _lanczos(deflated, 1, _bound(ham), seed=seed)
        if extra[0] > energies[-1] + 1e-8 * max(1.0, abs(energies[-1])):
            break
        vectors = np.linalg.qr(np.concatenate([vectors, vector], axis=1))[0]
        energies = np.append(energies, extra[0])
        order = np.argsort(energies, kind="stable")
        energies, vectors = energies[order], vectors[:, order]
    return energies, vectors


def _search(ham: Heisenberg, total_sz: float | int, k: int, method: str | None) -> GroundState:
    """The lowest of all candidate sectors, for systems too large for the plain basis."""
    lattice = ham.lattice
    if lattice is None:
        raise ValueError(
            f"{plain_dimension(ham.n_sites, total_sz):,} configurations are too many for the plain basis, and the "
            "Hamiltonian knows no lattice. Pass Heisenberg(..., lattice=lattice) or a basis with a sector."
        )
    best, searched, skipped = None, [], []
    for sector in candidate_sectors(ham, flips=total_sz == 0):
        dim = sector_dimension(sector_group(lattice, sector), (ham.n_sites + int(2 * total_sz)) // 2)
        if dim == 0 or dim > PLAIN_LIMIT:
            skipped += [(sector, dim)] if dim else []
            continue
        result = _solve(ham, SpinBasis(lattice, total_sz, sector), k, method)
        searched.append((sector, dim, result.energy))
        best = result if best is None or result.energy < best.energy else best
    if best is None:
        raise ValueError(
            f"No sector of {lattice.name} fits {PLAIN_LIMIT:,} states (skipped: {skipped}); choose a basis yourself."
        )
    equal = sum(energy - best.energy < 1e-8 * max(1.0, abs(best.energy)) for _, _, energy in searched)
    copies = max(best.degeneracy, equal)
    return dataclasses.replace(best, searched=tuple(searched), skipped=tuple(skipped), degeneracy=copies)
