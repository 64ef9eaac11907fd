"""The Hamiltonian as a sparse matrix, or applied without one."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Any

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Complex, Float, UInt64
from scipy.sparse.linalg import LinearOperator

from nqs_lab.spins import bits
from nqs_lab.spins.basis import SpinBasis
from nqs_lab.spins.fast import kernels
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.spins.orbits import OrbitTables
from nqs_lab.spins.sectors import check_symmetry, coupling_matrix

Vector = Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]


def check_match(ham: Heisenberg, basis: SpinBasis) -> None:
    """Raise ValueError unless basis and Hamiltonian have the same sites and the sector is a symmetry of H."""
    if ham.n_sites != basis.n_sites:
        raise ValueError(
            f"The Hamiltonian has {ham.n_sites} sites, the basis {basis.n_sites}; build both on one lattice."
        )
    if basis.group is not None:
        check_symmetry(ham, basis.group)


def weighted_pairs(ham: Heisenberg) -> tuple[UInt64[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """Bit masks and total couplings of the pairs of sites that H couples; zero couplings are dropped."""
    table = np.triu(coupling_matrix(ham))
    first, second = np.nonzero(table)
    one = np.uint64(1)
    return (one << first.astype(np.uint64)) | (one << second.astype(np.uint64)), table[first, second]


class Rows:
    """Produces the rows of H in a basis, block by block."""

    def __init__(self, ham: Heisenberg, basis: SpinBasis):
        check_match(ham, basis)
        self.basis = basis
        self.masks, self.coupling = weighted_pairs(ham)
        self.table = bits.LinTable(basis.n_sites, basis.n_up)
        self.orbits = None if basis.group is None else OrbitTables(basis.group, self.nonzeros())
        self.dtype = np.float64 if basis.is_real else np.complex128
        # A block holds about a million candidate elements, so that its arrays stay near the cache.
        self.size = max(1, (1 << 20) // max(1, len(self.masks)))

    def nonzeros(self) -> int:
        """Number of stored elements, exact in the plain basis, an upper estimate in a sector."""
        basis, n = self.basis, self.basis.n_sites
        moves = 2 * comb(n - 2, basis.n_up - 1) if 0 < basis.n_up < n else 0
        return basis.dim + int(len(self.masks) * basis.dim * moves / comb(n, basis.n_up) + 0.5)

    def block(self, start: int, stop: int) -> Any:
        """Rows start..stop as a sparse matrix."""
        states = self.basis.states[start:stop]
        anti = np.bitwise_count(states[:, None] & self.masks) == 1
        diagonal = self.coupling.sum() / 4 - anti @ (self.coupling / 2)
        row, pair = np.nonzero(anti)
        other, value = states[row] ^ self.masks[pair], self.coupling[pair] / 2
        if self.orbits is None:
            column = self.table.position(other)
        else:
            column, factor = self.basis.locate(other, self.orbits)
            kept = column >= 0
            row, column = row[kept], column[kept]
            value = value[kept] * factor[kept] * self.basis.norms[start + row]
        # Row by row: the diagonal element first, then the others, which nonzero() lists in row order.
        indptr = np.concatenate([[0], np.cumsum(1 + np.bincount(row, minlength=len(states)))])
        indices, data = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=self.dtype)
        slots = np.arange(len(row)) + row + 1
        indices[slots], data[slots] = column, value
        indices[indptr[:-1]], data[indptr[:-1]] = np.arange(start, start + len(states)), diagonal
        block = sparse.csr_matrix((data, indices, indptr.astype(np.int32)), shape=(len(states), self.basis.dim))
        if self.orbits is not None:
            block.sum_duplicates()
        return block

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """All blocks in order, each with its first row."""
        for start in range(0, self.basis.dim, self.size):
            yield start, self.block(start, min(start + self.size, self.basis.dim))


def matrix(ham: Heisenberg, basis: SpinBasis) -> sparse.csr_matrix:
    """H in a basis as a sparse matrix (float64, or complex128 at a momentum with complex phases).

    In a sector the element between representatives r and r' is sum over s' = g r' of
    <r|H|s'> chi(g) norms[r] / norms[r'].

    Arguments: ham and basis on the same sites.
    Raises: ValueError if they differ in size, or if an element of the basis' group does not map the weighted bonds of
    H onto themselves.
    """
    rows = Rows(ham, basis)
    if basis.group is not None:
        stacked: Any = sparse.vstack([block for _, block in rows.blocks()], format="csr")
        return stacked
    return _plain_matrix(rows)


def _plain_matrix(rows: Rows) -> sparse.csr_matrix:
    """The plain-Sz matrix, written in place: at 2.7 million states a second copy would not fit."""
    total, dim = rows.nonzeros(), rows.basis.dim
    if total >= 2**31:
        raise ValueError(f"The matrix would hold {total:,} elements; use a symmetric sector or `linear_operator`.")
    indptr = np.zeros(dim + 1, dtype=np.int32)
    indices, data = np.empty(total, dtype=np.int32), np.empty(total)
    fast = kernels(16 * total)
    if fast is not None:
        indptr[1:] = np.cumsum(1 + fast.count_antiparallel(rows.basis.states, rows.masks))
        lin = rows.table
        fast.fill_rows(
            rows.basis.states, rows.masks, rows.coupling, lin.offset, lin.rank, lin.n_low, indptr, indices, data
        )
    else:
        filled = 0
        for start, block in rows.blocks():
            indptr[start + 1 : start + 1 + block.shape[0]] = filled + block.indptr[1:]
            indices[filled : filled + block.nnz], data[filled : filled + block.nnz] = block.indices, block.data
            filled += block.nnz
    return sparse.csr_matrix((data, indices, indptr), shape=(dim, dim))


def linear_operator(ham: Heisenberg, basis: SpinBasis) -> LinearOperator:
    """H in a basis as a scipy LinearOperator that computes its elements anew at every product (no matrix in memory).

    Raises: ValueError as `matrix`.
    """
    rows = Rows(ham, basis)

    def matvec(vector: np.ndarray) -> np.ndarray:
        flat, fast = np.ascontiguousarray(np.reshape(vector, -1)), kernels(16 * rows.nonzeros())
        if fast is not None and basis.group is None:
            lin = rows.table
            return fast.apply_plain(basis.states, rows.masks, rows.coupling, lin.offset, lin.rank, lin.n_low, flat)
        return np.concatenate([block @ flat for _, block in rows.blocks()])

    return LinearOperator((basis.dim, basis.dim), matvec=matvec, dtype=np.dtype(rows.dtype))  # pyright: ignore


def shared_matvec(stored: sparse.csr_matrix) -> LinearOperator:
    """A stored matrix as an operator whose product uses every core, if numba is there."""
    fast = kernels(100 * stored.nnz)  # about a hundred products in a Lanczos run

    def matvec(vector: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(np.reshape(vector, -1))
        if fast is None:
            return stored @ flat
        return fast.csr_matvec(stored.indptr, stored.indices, stored.data, flat.astype(stored.dtype, copy=False))

    return LinearOperator(stored.shape, matvec=matvec, dtype=stored.dtype)  # pyright: ignore
