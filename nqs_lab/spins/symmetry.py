"""Symmetry groups of a spin lattice: permutations of the sites, the global spin flip, and their characters."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8


class Group(eqx.Module):
    """A finite group acting on configurations, with a one-dimensional representation chi.

        (g s)_i = flips[g] * s[permutations[g, i]],      psi(g s) = chi(g) psi(s)

    The second line is what it means for a wave function to lie in the sector of chi. Element 0 is the identity.

    Arguments: permutations Int[G, N]; flips Int[G] of +1/-1 (default all +1); characters Complex[G] (default all 1).
    Raises: ValueError if the elements are not permutations, not closed under products, listed twice, or if chi is not a
    homomorphism, chi(gh) = chi(g) chi(h).
    """

    permutations: Int[np.ndarray, "G N"]
    flips: Int8[np.ndarray, " G"]
    characters: Complex[np.ndarray, " G"]

    def __init__(
        self,
        permutations: Int[np.ndarray, "G N"],
        flips: Int[np.ndarray, " G"] | None = None,
        characters: Float[np.ndarray, " G"] | Complex[np.ndarray, " G"] | None = None,
    ):
        permutations = np.asarray(permutations).astype(np.int32)
        n_elements, n_sites = permutations.shape
        flips = np.ones(n_elements, np.int8) if flips is None else np.asarray(flips).astype(np.int8)
        chars = np.ones(n_elements, np.complex128) if characters is None else np.asarray(characters, np.complex128)
        if len(flips) != n_elements or len(chars) != n_elements:
            raise ValueError(
                f"{n_elements} permutations need as many flips and characters; got {len(flips)}, {len(chars)}."
            )
        if not np.array_equal(np.sort(permutations, axis=1), np.broadcast_to(np.arange(n_sites), permutations.shape)):
            raise ValueError(f"Every row must be a permutation of 0..{n_sites - 1}.")
        if not np.all(np.abs(flips) == 1):
            raise ValueError("flips must be +1 or -1.")
        _check_group(permutations, flips, chars)
        first = np.all(permutations == np.arange(n_sites), axis=1) & (flips == 1)
        order = np.argsort(~first, kind="stable")
        self.permutations, self.flips, self.characters = permutations[order], flips[order], chars[order]

    @property
    def n_elements(self) -> int:
        """Group order G."""
        return self.permutations.shape[0]

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return self.permutations.shape[1]

    @property
    def is_real(self) -> bool:
        """Whether every character is +1 or -1, so that wave functions of the sector can be taken real."""
        return bool(np.allclose(np.imag(self.characters), 0, atol=1e-12))

    def apply(self, sigma: Int8[Array, " N"] | Int8[np.ndarray, " N"]) -> Int8[Array, "G N"]:
        """All images g s of one configuration; pure jax, so it works under jit and vmap."""
        images = jnp.asarray(sigma)[jnp.asarray(self.permutations)]
        return images * jnp.asarray(self.flips)[:, None]

    def __mul__(self, other: Group) -> Group:
        """All products g h, each once, with chi(g) chi(h): translations * point group * spin flip.

        Raises: ValueError if the products do not form a group or the characters do not agree on it.
        """
        if self.n_sites != other.n_sites:
            raise ValueError(f"Both groups must act on the same sites; got {self.n_sites} and {other.n_sites}.")
        return _assemble(
            other.permutations[:, self.permutations].transpose(1, 0, 2).reshape(-1, self.n_sites),
            (self.flips[:, None] * other.flips[None, :]).reshape(-1),
            (self.characters[:, None] * other.characters[None, :]).reshape(-1),
        )

    @staticmethod
    def generate(
        generators: Int[np.ndarray, "K N"],
        characters: Float[np.ndarray, " K"] | Complex[np.ndarray, " K"] | None = None,
        flips: Int[np.ndarray, " K"] | None = None,
    ) -> Group:
        """The smallest group that contains the generators, with the characters they fix.

        Raises: ValueError if the generators' characters contradict each other (chi(T)^L = 1 for a ring of L).
        """
        generators = np.asarray(generators)
        n_generators, n_sites = generators.shape
        signs = np.ones(n_generators, np.int8) if flips is None else np.asarray(flips, np.int8)
        chars = np.ones(n_generators, complex) if characters is None else np.asarray(characters, complex)
        found = {(*range(n_sites), 1): complex(1)}
        frontier = list(found)
        while frontier:
            fresh = []
            for element in frontier:
                for row, sign, chi in zip(generators, signs, chars, strict=True):
                    product = (*np.array(element[:-1])[row].tolist(), int(element[-1] * sign))
                    value = found[element] * chi
                    if product not in found:
                        found[product] = value
                        fresh.append(product)
                    elif abs(found[product] - value) > 1e-9:
                        raise ValueError(
                            "The characters of the generators contradict each other; check chi(g)^order = 1."
                        )
            frontier = fresh
        table = np.array(list(found))
        return Group(table[:, :-1], table[:, -1], np.array(list(found.values())))


class Sector(eqx.Module):
    """Names of a symmetry sector; a field left at None is not used.

    momentum: two integers, see `Lattice.wavevector` (on rectangles units of 2 pi / L); irrep: a name of
    `Lattice.point_group`; flip: eigenvalue +1 or -1 of the global spin flip (total_sz = 0 only).
    """

    momentum: tuple[int, int] | None = eqx.field(static=True, default=None)
    irrep: str | None = eqx.field(static=True, default=None)
    flip: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.flip not in (None, 1, -1):
            raise ValueError(f"flip must be +1, -1 or None; got {self.flip}.")


def spin_flip(n_sites: int, parity: int = 1) -> Group:
    """The group of the identity and the global spin flip; psi(-s) = parity * psi(s)."""
    if parity not in (1, -1):
        raise ValueError(f"parity must be +1 or -1; got {parity}.")
    rows = np.tile(np.arange(n_sites), (2, 1))
    return Group(rows, np.array([1, -1]), np.array([1.0, float(parity)]))


def _keys(permutations: np.ndarray, flips: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One random 64-bit number per element, the same for equal elements."""
    total = permutations.astype(np.uint64) @ weights[:-1]
    return np.where(flips > 0, total, total + weights[-1])


def _weights(n_sites: int) -> np.ndarray:
    """Fixed random 64-bit numbers that make the keys."""
    return np.random.default_rng(20260101).integers(1, 2**63, n_sites + 1).astype(np.uint64)


def _assemble(permutations: np.ndarray, flips: np.ndarray, characters: np.ndarray) -> Group:
    """Drop repeated elements, refusing those that come with different characters."""
    keys = _keys(permutations, flips, _weights(permutations.shape[1]))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if not np.allclose(characters, characters[first][inverse], atol=1e-9):
        raise ValueError("The two characters disagree on an element that both groups contain, so no state has both.")
    first = np.sort(first)
    return Group(permutations[first], flips[first], characters[first])


def _check_group(permutations: np.ndarray, flips: np.ndarray, characters: np.ndarray) -> None:
    """Refuse repeated elements, sets that are not closed and characters that are not a homomorphism."""
    weights = _weights(permutations.shape[1])
    keys = _keys(permutations, flips, weights)
    order = np.argsort(keys)
    if len(np.unique(keys)) != len(keys):
        raise ValueError("The same group element is listed twice.")
    inverse = np.argsort(permutations, axis=1)
    # key(gh) = sum_i w_i perm_h[perm_g[i]] = sum_j w[inverse_g[j]] perm_h[j]
    products = weights[:-1][inverse] @ permutations.astype(np.uint64).T
    products = np.where(flips[:, None] * flips[None, :] > 0, products, products + weights[-1])
    position = np.minimum(np.searchsorted(keys[order], products), len(keys) - 1)
    if not np.array_equal(keys[order][position], products):
        raise ValueError("The elements do not form a group: a product of two of them is missing.")
    if not np.allclose(characters[order][position], characters[:, None] * characters[None, :], atol=1e-9):
        raise ValueError(
            "The characters are not a representation: chi(gh) differs from chi(g) chi(h). A point-group representation "
            "can be combined with a momentum only if every operation keeps that momentum."
        )
