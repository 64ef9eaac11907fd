"""Configurations as integers: bit i of a state is 1 where spin i points up."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np
from jaxtyping import Int, Int8, UInt64


def to_configurations(states: UInt64[np.ndarray, " D"], n_sites: int) -> Int8[np.ndarray, "D N"]:
    """Rows of +1 (up, bit set) and -1 (down)."""
    out = np.empty((len(states), n_sites), dtype=np.int8)
    for site in range(n_sites):
        out[:, site] = 2 * ((states >> np.uint64(site)) & np.uint64(1)).astype(np.int8) - 1
    return out


def from_configurations(sigma: Int8[np.ndarray, "D N"]) -> UInt64[np.ndarray, " D"]:
    """The inverse of `to_configurations`."""
    states = np.zeros(len(sigma), dtype=np.uint64)
    for site in range(sigma.shape[1]):
        states |= (sigma[:, site] > 0).astype(np.uint64) << np.uint64(site)
    return states


class LinTable:
    """Lin's two tables: the position of a state among all states with n_up up spins, sorted (lin1990).

        index(state) = offset[high half] + rank[low half]

    `offset` counts the states below the first with that high half; `rank` orders low halves of equal up-spin number.
    """

    def __init__(self, n_sites: int, n_up: int):
        self.n_sites, self.n_up = n_sites, n_up
        self.n_low = n_sites // 2
        lows, highs = np.arange(1 << self.n_low), np.arange(1 << (n_sites - self.n_low))
        low_ups, high_ups = np.bitwise_count(lows).astype(np.int64), np.bitwise_count(highs).astype(np.int64)
        self.by_ups = np.argsort(low_ups, kind="stable")
        sizes = np.bincount(low_ups, minlength=self.n_low + 1)
        self.start = np.concatenate([[0], np.cumsum(sizes)])
        self.rank = np.empty(len(lows), dtype=np.int64)
        self.rank[self.by_ups] = np.arange(len(lows)) - np.repeat(self.start[:-1], sizes)
        need = n_up - high_ups
        possible = (need >= 0) & (need <= self.n_low)
        self.need = np.where(possible, need, 0)
        self.counts = np.where(possible, sizes[self.need], 0)
        self.offset = np.concatenate([[0], np.cumsum(self.counts)])[:-1]
        self.dim = comb(n_sites, n_up)

    def blocks(self, size: int) -> Iterator[UInt64[np.ndarray, " K"]]:
        """All states in ascending order, about `size` at a time."""
        ends = np.cumsum(self.counts)
        cuts = np.unique(np.searchsorted(ends, np.arange(size, self.dim + size, size), side="left") + 1)
        first = 0
        for last in np.minimum(cuts, len(ends)).tolist():
            highs = np.arange(first, last)
            repeated = np.repeat(highs, self.counts[first:last])
            begin = self.offset[first] if first < len(ends) else 0
            rank = np.arange(len(repeated)) + begin - self.offset[repeated]
            lows = self.by_ups[self.start[self.need[repeated]] + rank]
            first = last
            if len(lows):
                yield ((repeated << self.n_low) | lows).astype(np.uint64)

    def states(self) -> UInt64[np.ndarray, " D"]:
        """All states in ascending order."""
        return np.concatenate(list(self.blocks(1 << 22)))

    def position(self, states: UInt64[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
        """Positions of states known to have n_up up spins."""
        signed = states.astype(np.int64)
        return self.offset[signed >> self.n_low] + self.rank[signed & ((1 << self.n_low) - 1)]
