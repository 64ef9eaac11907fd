"""What is measured on an exact vector: correlations, structure factors, sign rules, entanglement, gaps.

A single product S_i . S_j does not commute with the projector on a symmetry sector: applied to a sector's vector it
leads out of the sector, and a naive matrix element is wrong. Here such an operator is first averaged over the group,
or the vector is expanded to all configurations.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Float, Int

from nqs_lab.spins import bits
from nqs_lab.spins.basis import SpinBasis
from nqs_lab.spins.exact import ground_state
from nqs_lab.spins.hamiltonian import Heisenberg
from nqs_lab.spins.lattice import Lattice
from nqs_lab.spins.operator import Rows

Vector = Float[np.ndarray, " D"] | Complex[np.ndarray, " D"]


def expectation(ham: Heisenberg, state: Vector, basis: SpinBasis) -> float:
    """<psi|H|psi> / <psi|psi> for any sum of J_b S_i . S_j.

    Raises: ValueError if the vector does not belong to the basis, or if the operator does not have the symmetry of the
    basis (average it over the group first, or expand the vector: `basis.expand(state)` in the plain basis).
    """
    _check_vector(state, basis)
    total = 0.0
    for start, block in Rows(ham, basis).blocks():
        total += np.vdot(state[start : start + block.shape[0]], block @ state).real
    return float(total / np.vdot(state, state).real)


def pair_correlations(state: Vector, basis: SpinBasis) -> Float[np.ndarray, "N N"]:
    """<S_i . S_j> for every two sites (3/4 on the diagonal).

    In a sector the pairs are gathered into classes that the group maps onto each other; the average over a class
    commutes with the projector and has the same expectation as each of its members.
    """
    n = basis.n_sites
    permutations = np.arange(n)[None, :] if basis.group is None else basis.group.permutations
    table, done = np.full((n, n), 0.75), np.eye(n, dtype=bool)
    for i in range(n):
        for j in range(i + 1, n):
            if done[i, j]:
                continue
            pairs = np.unique(np.sort(permutations[:, [i, j]], axis=1), axis=0)
            value = expectation(Heisenberg(pairs, np.ones(len(pairs)), n), state, basis) / len(pairs)
            for a, b in ((0, 1), (1, 0)):
                table[pairs[:, a], pairs[:, b]] = value
                done[pairs[:, a], pairs[:, b]] = True
    return table


def correlations(state: Vector, basis: SpinBasis) -> Float[np.ndarray, " N"]:
    """C(r) = (1/N) sum_x <S_x . S_{x+r}>, indexed by the site number of r (C at site 0 is 3/4).

    The nearest-neighbour values add up to the energy: E = J1 sum_<ij> C(r_ij) + ...
    Raises: ValueError on a lattice with open edges (use `pair_correlations`).
    """
    lattice = _periodic(basis)
    table = pair_correlations(state, basis)
    points = np.array(lattice.coordinates)
    rows = np.arange(lattice.n_sites)
    return np.array([table[rows, lattice.sites(points + shift)].mean() for shift in points])


def structure_factor(
    correlation: Float[np.ndarray, " N"], lattice: Lattice, q: tuple[float | int, float | int]
) -> float:
    """S(q) = sum_r C(r) exp(i q.r) of a correlation function as `correlations` returns it.

    Normalisations in the literature: Schulz m^2(q) = S(q) / (N + 2), Sandvik M^2 = S(pi, pi) / N.

    Arguments: correlation C(r) by site number; lattice, periodic; q in radians per site (`lattice.wavevector`).
    Raises: ValueError if q is not a wave vector of the cluster.
    """
    if len(correlation) != lattice.n_sites:
        raise ValueError(f"C(r) has {len(correlation)} entries, the lattice {lattice.n_sites} sites.")
    turns = np.array(lattice.cluster)[list(lattice.periodic)] @ np.array(q, dtype=np.float64) / (2 * np.pi)
    if not np.allclose(turns, np.round(turns), atol=1e-9):
        raise ValueError(f"q = {q} does not fit the periods of {lattice.name}; use lattice.wavevector(momentum).")
    phases = np.exp(1j * (np.array(lattice.coordinates) @ np.array(q, dtype=np.float64)))
    return float(np.real(phases @ correlation))


def dimer_correlations(
    state: Vector, basis: SpinBasis, bonds: Int[np.ndarray, "B 2"], reference: int = 0, connected: bool = True
) -> Float[np.ndarray, " B"]:
    """<D_0 D_b> - <D_0><D_b> with D_b = S_i . S_j, for one reference bond and all bonds.

    The real part is taken where D_0 and D_b share a site and do not commute. connected=False leaves the product of
    means in. A sector's vector is expanded to all configurations first.

    Arguments: bonds Int[B, 2] (`lattice.bonds()`); reference: row of the reference bond.
    """
    _check_vector(state, basis)
    psi = basis.expand(state)
    states = bits.LinTable(basis.n_sites, basis.n_up).states()
    psi = psi / np.linalg.norm(psi)
    first = _exchange(psi, states, basis, bonds[reference])
    mean, found = np.vdot(psi, first).real, np.empty(len(bonds))
    for row, bond in enumerate(bonds):
        other = _exchange(psi, states, basis, bond)
        found[row] = np.vdot(first, other).real - (mean * np.vdot(psi, other).real if connected else 0)
    return found


def _exchange(psi: np.ndarray, states: np.ndarray, basis: SpinBasis, bond: np.ndarray) -> np.ndarray:
    """(S_i . S_j) psi on all configurations: 1/4 on parallel spins, -1/4 and 1/2 to the exchanged pair on others."""
    one = np.uint64(1)
    mask = (one << np.uint64(bond[0])) | (one << np.uint64(bond[1]))
    anti = np.flatnonzero(np.bitwise_count(states & mask) == 1)
    swapped = bits.LinTable(basis.n_sites, basis.n_up).position(states[anti] ^ mask)
    result = psi / 4
    result[anti] += psi[swapped] / 2 - psi[anti] / 2
    return result


def sign_weight(state: Vector, basis: SpinBasis, order: str = "neel") -> float:
    """Weight W = sum |psi_s|^2 of the configurations whose sign obeys the rule of a classical order.

    The rule says sign(psi_s) = (-1)^(up spins on the second sublattice); for "neel" it is Marshall's (marshall1955),
    exact without frustration (W = 1). The global sign is chosen so that W >= 1/2.

    Arguments: order "neel" or "stripe", as in `Lattice.order`.
    Raises: ValueError if the lattice cannot carry the order or the basis has no lattice.
    """
    _check_vector(state, basis)
    if basis.lattice is None:
        raise ValueError("A sign rule needs sublattices; build the basis on a lattice.")
    second = np.flatnonzero(basis.lattice.order(order) < 0)
    mask = np.bitwise_or.reduce(np.uint64(1) << second.astype(np.uint64)) if len(second) else np.uint64(0)
    states = bits.LinTable(basis.n_sites, basis.n_up).states()
    rotated = basis.expand(state) * (1.0 - 2.0 * (np.bitwise_count(states & mask) % 2))
    # A vector that is real up to one global phase becomes real.
    phase = np.exp(-0.5j * np.angle(np.sum(rotated**2))) if np.iscomplexobj(rotated) else 1.0
    real, weights = np.real(rotated * phase), np.abs(rotated) ** 2
    positive = float(weights[real > 0].sum() / weights.sum())
    return max(positive, 1 - positive)


def entanglement_entropy(state: Vector, basis: SpinBasis, sites: list[int] | Int[np.ndarray, " K"]) -> float:
    """Von Neumann entropy -sum_k p_k ln p_k of the sites in `sites` with the rest (natural logarithm).

    p_k are the squared singular values of psi as a matrix of the two halves; Sz makes it block diagonal.
    Raises: ValueError for repeated or missing sites, or a cut whose blocks are too large.
    """
    _check_vector(state, basis)
    inside = np.unique(np.asarray(sites, dtype=np.int64))
    if len(inside) != len(sites) or not len(inside) or inside.min() < 0 or inside.max() >= basis.n_sites:
        raise ValueError(f"sites must be different numbers between 0 and {basis.n_sites - 1}; got {list(sites)}.")
    outside = np.setdiff1d(np.arange(basis.n_sites), inside)
    if min(len(inside), len(outside)) > 14:
        raise ValueError("The smaller side of the cut may have at most 14 sites.")
    states = bits.LinTable(basis.n_sites, basis.n_up).states()
    psi = basis.expand(state) / np.linalg.norm(state)
    a, b = _gather_bits(states, inside), _gather_bits(states, outside)
    entropy, ups = 0.0, np.bitwise_count(a)
    for count in np.unique(ups):
        block = np.flatnonzero(ups == count)
        rows, r = np.unique(a[block], return_inverse=True)
        columns, c = np.unique(b[block], return_inverse=True)
        table = np.zeros((len(rows), len(columns)), dtype=psi.dtype)
        table[r, c] = psi[block]
        probability = np.linalg.svd(table, compute_uv=False) ** 2
        probability = probability[probability > 1e-300]
        entropy -= float(np.sum(probability * np.log(probability)))
    return entropy


def _gather_bits(states: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """The bits of chosen sites, packed together."""
    packed = np.zeros_like(states)
    for place, site in enumerate(sites):
        packed |= ((states >> np.uint64(site)) & np.uint64(1)) << np.uint64(place)
    return packed


def fidelity(first: Vector, second: Float[np.ndarray, " E"] | Complex[np.ndarray, " E"]) -> float:
    """|<a|b>|^2 / (<a|a><b|b>) of two vectors in the same basis; 1 - fidelity is the infidelity.

    Raises: ValueError for different lengths or a zero vector.
    """
    if first.shape != second.shape:
        raise ValueError(f"Both vectors must be in the same basis; got lengths {len(first)} and {len(second)}.")
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    if not norms > 0:
        raise ValueError("A vector is zero or not finite, so it has no fidelity.")
    return float(min(1.0, (abs(np.vdot(first, second)) / norms) ** 2))


def triplet_gap(ham: Heisenberg, ground_energy: float | None = None) -> float:
    """Delta_T = E0(Sz = 1) - E0(Sz = 0), the cost of the lowest triplet.

    It is not always the gap: on 4x4 for J2 >= 0.45 the first excited level is another singlet, below the triplet.
    Arguments: ground_energy: E0(Sz = 0) if it is known already.
    Raises: ValueError for an odd number of sites.
    """
    if ham.n_sites % 2:
        raise ValueError(f"A triplet gap needs an even number of sites; got {ham.n_sites}.")
    below = ground_state(ham).energy if ground_energy is None else ground_energy
    return ground_state(ham, total_sz=1).energy - below


def _check_vector(state: Vector, basis: SpinBasis) -> None:
    """Refuse a vector that does not belong to the basis."""
    if len(state) != basis.dim:
        raise ValueError(f"The vector has {len(state)} entries, the basis {basis.dim} states.")


def _periodic(basis: SpinBasis) -> Lattice:
    """The basis' lattice, refused if it has open edges."""
    if basis.lattice is None or not basis.lattice.is_periodic:
        raise ValueError("C(r) averages over translations and needs a periodic lattice; use pair_correlations.")
    return basis.lattice
