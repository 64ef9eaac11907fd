"""Physics put around an ansatz: the Marshall sign, and projection on a symmetry sector."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8

from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.symmetry import Group


class MarshallSign(AbstractAnsatz):
    """The ansatz times a sign: psi(sigma) -> (-1)^(number of up spins on sublattice A) psi(sigma).

    A is the + sublattice of a classical order. `order="neel"` (checkerboard) makes the exact ground state positive
    for a bipartite antiferromagnet (Marshall's theorem; J2 = 0); "stripe" (alternate columns) suits large J2.

    **Raises** ValueError if the lattice cannot carry the order (odd rings, 3x3), for another order, or if the ansatz
    has another number of sites. marshall1955
    """

    ansatz: AbstractAnsatz
    sublattice: Int8[Array, " N"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, ansatz: AbstractAnsatz, lattice: Lattice, order: str = "neel"):
        if ansatz.n_sites != lattice.n_sites:
            raise ValueError(f"the ansatz has {ansatz.n_sites} sites, {lattice.name} has {lattice.n_sites}.")
        self.ansatz, self.n_sites = ansatz, lattice.n_sites
        self.sublattice = jnp.asarray(lattice.order(order))

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        log_psi = self.ansatz(sigma)
        odd = jnp.sum((sigma > 0) & (self.sublattice > 0)) % 2
        pi = jnp.asarray(math.pi, log_psi.real.dtype)
        return jax.lax.complex(log_psi.real, log_psi.imag + pi * odd.astype(pi.dtype))

    def invariances(self) -> Group | None:
        """The elements known for the ansatz that keep sublattice A in place; a spin flip picks up (-1)^|A|.

        Elements that swap the sublattices pick up (-1)^(number of up spins), which depends on the sector.
        """
        known = self.ansatz.invariances()
        if known is None:
            return None
        sublattice = np.asarray(self.sublattice)
        keep = np.all(sublattice[known.permutations] == sublattice, axis=1)
        sign = np.where(known.flips[keep] < 0, (-1.0) ** np.sum(sublattice > 0), 1.0)
        return Group(known.permutations[keep], known.flips[keep], known.characters[keep] * sign)


class Symmetrized(AbstractAnsatz):
    """Projection on a symmetry sector: psi_sym(s) = (1/G) sum_g conj(chi(g)) psi(g s).

    Then psi_sym(g s) = chi(g) psi_sym(s) for every element.

    Where the ansatz is already invariant under a subgroup (`invariances()`), one element per coset is enough: 32
    forward passes instead of 288 for a 6x6 lattice with 2x2 patches. The sum is a complex log-sum-exp: no overflow,
    psi = 0 terms are allowed, a sum that is exactly zero gives -inf (with zero derivatives).

    **Arguments** `group`: any Group with one-dimensional characters. `probes` (S, N): configurations on which the
    construction checks that something survives; by default random ones, half of them with Sz = 0.

    **Raises** ValueError if sites do not match, if the character contradicts the ansatz's own invariance, or if psi_sym
    vanishes to rounding on every probe: such a character kills the state. becca2017
    """

    ansatz: AbstractAnsatz
    permutations: Int[Array, "G N"]
    flips: Int8[Array, " G"]
    phases: Int[Array, " G"]
    representatives: Int[Array, " R"]
    n_sites: int = eqx.field(static=True)

    def __init__(self, ansatz: AbstractAnsatz, group: Group, *, probes: Int8[np.ndarray, "S N"] | None = None):
        if ansatz.n_sites != group.n_sites:
            raise ValueError(f"the ansatz has {ansatz.n_sites} sites, the group acts on {group.n_sites}.")
        self.ansatz, self.n_sites = ansatz, group.n_sites
        self.permutations = jnp.asarray(group.permutations, jnp.int32)
        self.flips = jnp.asarray(group.flips, jnp.int8)
        # chi(g) is a root of unity, exp(2 pi i k / G): the integer k is exact and is no parameter.
        turns = np.angle(group.characters) * group.n_elements / (2 * np.pi)
        self.phases = jnp.asarray(np.round(turns).astype(np.int32) % group.n_elements)
        self.representatives = jnp.asarray(_coset_representatives(group, ansatz.invariances()), jnp.int32)
        _check_survives(self, probes)

    def images(self, sigma: Int8[Array, " N"]) -> Int8[Array, "R N"]:
        """The configurations g s that are evaluated, g one representative per coset."""
        rows = self.permutations[self.representatives]
        return sigma.at[rows].get(mode="promise_in_bounds") * self.flips[self.representatives][:, None]

    def terms(self, sigma: Int8[Array, " N"]) -> tuple[Float[Array, " R"], Float[Array, " R"]]:
        """Log-modulus and phase of every term conj(chi(g)) psi(g s)."""
        log_psi = jax.vmap(self.ansatz)(self.images(sigma))
        unit = jnp.asarray(2 * math.pi / len(self.phases), log_psi.real.dtype)
        return log_psi.real, log_psi.imag - unit * self.phases[self.representatives].astype(unit.dtype)

    def __call__(self, sigma: Int8[Array, " N"]) -> Complex[Array, ""]:
        modulus, phase = self.terms(sigma)
        largest = jax.lax.stop_gradient(jnp.max(modulus))
        largest = jnp.where(jnp.isfinite(largest), largest, jnp.zeros_like(largest))
        weight = jnp.exp(modulus - jnp.broadcast_to(largest, modulus.shape)) / len(modulus)
        real, imag = jnp.sum(weight * jnp.cos(phase)), jnp.sum(weight * jnp.sin(phase))
        zero = (real == 0) & (imag == 0)
        # The logarithm of a harmless 1 where the sum is zero: its derivative there would be NaN otherwise.
        real, imag = jnp.where(zero, jnp.ones_like(real), real), jnp.where(zero, jnp.zeros_like(imag), imag)
        log_modulus = largest + jnp.log(real * real + imag * imag) / 2
        return jax.lax.complex(jnp.where(zero, -jnp.inf, log_modulus), jnp.arctan2(imag, real))

    def invariances(self) -> Group:
        """The group of the projection."""
        characters = np.exp(2j * np.pi * np.asarray(self.phases) / len(self.phases))
        return Group(np.asarray(self.permutations), np.asarray(self.flips), characters)


def _coset_representatives(group: Group, known: Group | None) -> Int[np.ndarray, " R"]:
    """Indices of one element r per right coset K r, K the elements of `group` under which psi is known to be invariant.

    psi(k r s) = kappa(k) psi(r s), so a coset adds up to conj(chi(r)) psi(r s) sum_k conj(chi(k)) kappa(k): all of
    K r or, where kappa differs from chi, nothing.
    """
    if known is None:
        return np.arange(group.n_elements)
    rows = _elements(group)
    place = {row: index for index, row in enumerate(rows)}
    shared = [(place[row], g) for g, row in enumerate(_elements(known)) if row in place]
    for index, g in shared:
        chi, kappa = group.characters[index], known.characters[g]
        if abs(chi - kappa) > 1e-8:
            raise ValueError(
                f"this character kills the state: the ansatz already has psi(g s) = {kappa:.3g} psi(s) for an "
                f"element g with chi(g) = {chi:.3g}. Choose a sector that agrees with the ansatz."
            )
    subgroup = [index for index, _ in shared]
    seen, representatives = set(), []
    for r in range(group.n_elements):
        if r not in seen:
            representatives.append(r)
            # (k r)_i = f_k f_r s[p_r[p_k[i]]]: the product applies r first.
            rows_of_coset = group.permutations[r][group.permutations[subgroup]]
            flips = group.flips[subgroup] * group.flips[r]
            seen.update(place[(*row, f)] for row, f in zip(rows_of_coset.tolist(), flips.tolist(), strict=True))
    return np.asarray(representatives)


def _elements(group: Group) -> list[tuple[int, ...]]:
    """Every element as one hashable tuple: its permutation, then its flip."""
    return [(*row, f) for row, f in zip(group.permutations.tolist(), group.flips.tolist(), strict=True)]


@eqx.filter_jit
def _evaluate(ansatz: AbstractAnsatz, sigma: Int8[Array, "S N"]) -> Complex[Array, " S"]:
    """log psi of many configurations, compiled once for all groups."""
    return jax.vmap(ansatz)(sigma)


def _check_survives(model: Symmetrized, probes: Int8[np.ndarray, "S N"] | None) -> None:
    """Refuse a projection whose terms cancel to rounding on every probe."""
    if probes is None:
        rng = np.random.default_rng(0)
        balanced = np.where(np.arange(model.n_sites) < model.n_sites // 2, 1, -1)
        mixed = rng.choice([-1, 1], (32, model.n_sites))
        probes = np.concatenate([rng.permuted(np.tile(balanced, (32, 1)), axis=1), mixed]).astype(np.int8)
    # In float64 where that exists, so that a psi that starts nearly constant is not mistaken for a dead one.
    wide = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32  # pyright: ignore[reportAttributeAccessIssue]
    ansatz = jax.tree.map(lambda leaf: leaf.astype(wide) if eqx.is_inexact_array(leaf) else leaf, model.ansatz)
    turns = np.asarray(model.phases) / len(model.phases)
    permutations, flips = np.asarray(model.permutations), np.asarray(model.flips)
    log_terms = np.stack(
        [
            np.asarray(_evaluate(ansatz, jnp.asarray(flips[r] * probes[:, permutations[r]]))) - 2j * np.pi * turns[r]
            for r in np.asarray(model.representatives)
        ]
    )
    largest = np.max(log_terms.real, axis=0)
    if not np.any(np.isfinite(largest)):
        raise ValueError("the ansatz vanishes on every probe configuration. Pass probes= configurations of its sector.")
    total = np.mean(np.exp(log_terms - np.where(np.isfinite(largest), largest, 0)), axis=0)
    if not np.any(np.abs(total) > 64 * np.finfo(wide).eps):
        raise ValueError(
            "this character kills the state: its projection is zero on every probe. Choose another sector."
        )
