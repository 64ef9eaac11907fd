"""Compiled versions of the loops that take the time; compiled once and kept on disk.

`no_type_check` keeps the tests' annotation hook away: numba compiles plain functions only.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

_BLOCK = 1024


@numba.njit(parallel=True, cache=True)
@no_type_check
def orbit_minimum(states, tables, masks, width):
    """Smallest key over all group elements; see `orbits.OrbitTables.minimum`."""
    n_states, n_pieces, n_elements = len(states), tables.shape[0], tables.shape[1]
    best = np.full(n_states, np.uint64(0xFFFFFFFFFFFFFFFF))
    low, by = np.uint64((1 << width) - 1), np.uint64(width)
    for block in numba.prange((n_states + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, n_states)
        here = states[first:last]
        smallest = best[first:last]
        for g in range(n_elements):
            table0, table1, mask = tables[0, g], tables[min(1, n_pieces - 1), g], masks[g]
            # Unsigned indices spare numba the test for negative ones.
            if n_pieces == 1:
                for k in range(len(here)):
                    smallest[k] = min(smallest[k], table0[here[k]] ^ mask)
            elif n_pieces == 2:
                for k in range(len(here)):
                    key = (table0[here[k] & low] | table1[here[k] >> by]) ^ mask
                    smallest[k] = min(smallest[k], key)
            else:
                table2 = tables[2, g]
                for k in range(len(here)):
                    state = here[k]
                    key = table0[state & low] | table1[(state >> by) & low] | table2[(state >> by) >> by]
                    smallest[k] = min(smallest[k], key ^ mask)
    return best


@numba.njit(parallel=True, cache=True)
@no_type_check
def stabilizer_sizes(states, tables, masks, width, shift, trivial):
    """Number of elements that fix each state; 0 if it is not the smallest of its orbit or the sector loses it."""
    n_pieces, n_elements = tables.shape[0], tables.shape[1]
    fixed = np.zeros(len(states), np.int64)
    low = np.uint64((1 << width) - 1)
    for k in numba.prange(len(states)):
        state, count = states[k], 1
        for g in range(1, n_elements):
            key = tables[0, g, state & low]
            for piece in range(1, n_pieces):
                key |= tables[piece, g, (state >> np.uint64(width * piece)) & low]
            image = (key ^ masks[g]) >> np.uint64(shift)
            if image < state or (image == state and not trivial[g]):
                count = 0
                break
            if image == state:
                count += 1
        fixed[k] = count
    return fixed


@numba.njit(parallel=True, cache=True)
@no_type_check
def fill_rows(states, pair_masks, coupling, offset, rank, n_low, row_start, indices, data):
    """Write the rows of the plain-Sz matrix: diagonal first, then one entry per antiparallel bond."""
    low = np.uint64((1 << n_low) - 1)
    for k in numba.prange(len(states)):
        state = states[k]
        place = row_start[k]
        slot, diagonal = place + 1, 0.0
        for b in range(len(pair_masks)):
            mask = pair_masks[b]
            common = state & mask
            if common == 0 or common == mask:
                diagonal += coupling[b] / 4
            else:
                diagonal -= coupling[b] / 4
                other = state ^ mask
                indices[slot] = offset[other >> np.uint64(n_low)] + rank[other & low]
                data[slot] = coupling[b] / 2
                slot += 1
        indices[place] = k
        data[place] = diagonal


@numba.njit(parallel=True, cache=True)
@no_type_check
def apply_plain(states, pair_masks, coupling, offset, rank, n_low, vector):
    """H times a vector in the plain-Sz basis, without a matrix."""
    low = np.uint64((1 << n_low) - 1)
    result = np.empty_like(vector)
    for k in numba.prange(len(states)):
        state = states[k]
        diagonal, moved = 0.0, vector[k] * 0
        for b in range(len(pair_masks)):
            mask = pair_masks[b]
            common = state & mask
            if common == 0 or common == mask:
                diagonal += coupling[b] / 4
            else:
                diagonal -= coupling[b] / 4
                other = state ^ mask
                moved += coupling[b] / 2 * vector[offset[other >> np.uint64(n_low)] + rank[other & low]]
        result[k] = diagonal * vector[k] + moved
    return result


@numba.njit(parallel=True, cache=True)
@no_type_check
def count_antiparallel(states, pair_masks):
    """Number of antiparallel bonds of each state."""
    count = np.zeros(len(states), np.int64)
    for k in numba.prange(len(states)):
        for b in range(len(pair_masks)):
            common = states[k] & pair_masks[b]
            if common != 0 and common != pair_masks[b]:
                count[k] += 1
    return count


@numba.njit(parallel=True, cache=True)
@no_type_check
def csr_matvec(indptr, indices, data, vector):
    """A sparse matrix times a vector, rows shared among the cores."""
    result = np.empty_like(vector)
    for row in numba.prange(len(indptr) - 1):
        total = vector[0] * 0
        for slot in range(indptr[row], indptr[row + 1]):
            total += data[slot] * vector[indices[slot]]
        result[row] = total
    return result
