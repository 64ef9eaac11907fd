"""Symmetry orbits of bit patterns: images, smallest members, representatives.

An image under a permutation is looked up, not computed: the N bits are cut into two or three pieces, and a table holds
the image of every piece, so that one image costs two or three look-ups. The number of the group element rides in
the low bits of every image, so that a minimum over images also says which element gave it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Int, UInt64

from nqs_lab.spins.fast import kernels
from nqs_lab.spins.symmetry import Group

_PIECE = 13  # bits per table: at most 8,192 entries of 8 bytes, which stay in a core's cache
_BLOCK = 1 << 14


class OrbitTables:
    """Look-up tables for the images of bit patterns under every element of a group.

    `n_states` says for how many states the minimum will be wanted, which decides whether compiled loops are worth it.
    """

    def __init__(self, group: Group, n_states: int = 0):
        self.fast = kernels(n_states * group.n_elements)
        self.group, self.n_sites = group, group.n_sites
        self.shift = max(1, int(group.n_elements - 1).bit_length())
        if self.n_sites + self.shift > 63:
            raise ValueError(f"{self.n_sites} sites and {group.n_elements} group elements do not fit 64 bits.")
        pieces = -(-self.n_sites // _PIECE)
        if pieces > 3:
            raise ValueError(f"Sectors are built for up to {3 * _PIECE} sites; got {self.n_sites}.")
        self.width = -(-self.n_sites // pieces)
        target = np.argsort(group.permutations, axis=1).astype(np.uint64) + np.uint64(self.shift)
        self.tables = np.zeros((pieces, group.n_elements, 1 << self.width), dtype=np.uint64)
        for piece in range(pieces):
            low = np.zeros((group.n_elements, 1), dtype=np.uint64)
            for site in range(piece * self.width, min((piece + 1) * self.width, self.n_sites)):
                low = np.concatenate([low, low | (np.uint64(1) << target[:, site, None])], axis=1)
            self.tables[piece, :, : low.shape[1]] = low
        everything = np.uint64(((1 << self.n_sites) - 1) << self.shift)
        # Flipping all spins and adding the element's number both act on the whole key: fold them into piece 0.
        number = np.arange(group.n_elements, dtype=np.uint64)
        self.tables[0] |= number[:, None]
        self.masks = np.where(group.flips < 0, everything, np.uint64(0))

    def keys(self, element: int, pieces: list[np.ndarray]) -> UInt64[np.ndarray, " K"]:
        """Images of cut-up states under one element, shifted, with the element's number in the low bits."""
        key = self.tables[0, element].take(pieces[0])
        for table, piece in zip(self.tables[1:, element], pieces[1:], strict=True):
            key |= table.take(piece)
        return key ^ self.masks[element] if self.masks[element] else key

    def cut(self, states: UInt64[np.ndarray, " K"]) -> list[np.ndarray]:
        """The pieces of every state, as table indices."""
        signed, mask = states.astype(np.int64), (1 << self.width) - 1
        return [(signed >> (self.width * piece)) & mask for piece in range(len(self.tables))]

    def image(self, element: int, states: UInt64[np.ndarray, " K"]) -> UInt64[np.ndarray, " K"]:
        """The states g s for one element g."""
        return self.keys(element, self.cut(states)) >> np.uint64(self.shift)

    def minimum(self, states: UInt64[np.ndarray, " K"]) -> tuple[UInt64[np.ndarray, " K"], Int[np.ndarray, " K"]]:
        """The smallest member of each state's orbit, and the number of an element that leads there."""
        if self.fast is not None:
            best = self.fast.orbit_minimum(np.ascontiguousarray(states), self.tables, self.masks, self.width)
        else:
            best = np.empty_like(states)
            for start in range(0, len(states), _BLOCK):
                pieces = self.cut(states[start : start + _BLOCK])
                smallest = self.keys(0, pieces)
                for element in range(1, self.group.n_elements):
                    np.minimum(smallest, self.keys(element, pieces), out=smallest)
                best[start : start + _BLOCK] = smallest
        return best >> np.uint64(self.shift), (best & np.uint64((1 << self.shift) - 1)).astype(np.int64)

    def representatives(
        self, states: UInt64[np.ndarray, " K"]
    ) -> tuple[UInt64[np.ndarray, " R"], Int[np.ndarray, " R"]]:
        """Those states that are the smallest of their orbit and that the sector keeps, with the sizes of their orbits.

        A state is lost to the sector if an element that leaves it unchanged has a character other than 1.
        """
        chars = self.group.characters
        if self.fast is not None:
            trivial = np.abs(chars - 1) < 1e-9
            fixed = self.fast.stabilizer_sizes(states, self.tables, self.masks, self.width, self.shift, trivial)
            alive, fixed = states[fixed > 0], fixed[fixed > 0]
            return alive, self.group.n_elements // fixed
        alive, total = states, np.full(len(states), chars[0])
        for element in range(1, self.group.n_elements):
            image = self.image(element, alive)
            total[image == alive] += chars[element]
            keep = image >= alive
            alive, total = alive[keep], total[keep]
        kept = np.abs(total) > 0.5
        return alive[kept], self.group.n_elements // np.rint(np.real(total[kept])).astype(np.int64)


def sector_dimension(group: Group, n_up: int) -> int:
    """Number of states of a sector, from characters alone: D = (1/G) sum_g conj(chi(g)) tr g.

    tr g counts the configurations that g leaves unchanged: without a flip each cycle of sites is all up or all down;
    with a flip the spins alternate along every cycle, which needs even cycles and n_up = N/2.
    """
    total = complex(0)
    for permutation, flip, chi in zip(group.permutations, group.flips, group.characters, strict=True):
        total += np.conj(chi) * _fixed_configurations(_cycle_lengths(permutation), int(flip), n_up)
    return round((total / group.n_elements).real)


def _cycle_lengths(permutation: Int[np.ndarray, " N"]) -> list[int]:
    """Lengths of the cycles of a permutation."""
    seen, lengths = set(), []
    for start in range(len(permutation)):
        length, site = 0, start
        while site not in seen:
            seen.add(site)
            site, length = int(permutation[site]), length + 1
        if length:
            lengths.append(length)
    return lengths


def _fixed_configurations(lengths: list[int], flip: int, n_up: int) -> int:
    """Number of configurations with n_up up spins that an element with these cycles leaves unchanged."""
    if flip < 0:
        return 2 ** len(lengths) if all(n % 2 == 0 for n in lengths) and 2 * n_up == sum(lengths) else 0
    ways = [1] + [0] * n_up
    for length in lengths:
        for ups in range(n_up, length - 1, -1):
            ways[ups] += ways[ups - length]
    return ways[n_up]


def amplitude_phases(group: Group, elements: Int[np.ndarray, " K"]) -> Complex[np.ndarray, " K"]:
    """psi(s) / psi(r) for states s that the given elements carry to their representatives r = g s: conj(chi(g))."""
    return np.conj(group.characters)[elements]
