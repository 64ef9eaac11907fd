"""Ground-state energies that need no diagonalisation: from the Bethe equations, from an argument, or from a table."""

from __future__ import annotations

import numpy as np

from nqs_lab.spins.lattice import Lattice

# Exact energies per site of the 6x6 torus by J2, units of J1. J2 = 0, 0.3, 0.4, 0.5, 0.6 and from 0.7 in tenths:
# varbench, wu2024vscore (Pauli totals there, divided by 4 N). The rest: recomputed independently by others, two bases.
SIX_BY_SIX: dict[float, float] = {
    0.0: -0.678872149981,
    0.1: -0.638095435763,
    0.2: -0.599046321953,
    0.3: -0.562459466100,
    0.4: -0.529745005750,
    0.5: -0.503809653891,
    0.55: -0.495177700414,
    0.6: -0.493238593526,
    0.65: -0.506587858692,
    0.7: -0.530001226371,
    0.8: -0.586486599963,
    0.9: -0.649052011278,
    1.0: -0.714360432743,
}

# Exact m^2(q) = S(q) / (N + 2) of the 6x6 torus at q = (pi, pi) and (pi, 0), five digits, schulz1996 (read in a copy).
SIX_BY_SIX_ORDER: dict[float, tuple[float, float]] = {
    0.0: (0.19879, 0.01322),
    0.1: (0.18893, 0.01326),
    0.2: (0.17601, 0.01335),
    0.3: (0.15800, 0.01354),
    0.4: (0.13109, 0.01404),
    0.5: (0.09236, 0.01594),
    0.55: (0.07062, 0.01965),
    0.6: (0.04378, 0.03822),
    0.65: (0.01954, 0.08167),
    0.7: (0.01232, 0.10006),
    0.8: (0.00611, 0.11370),
    0.9: (0.00314, 0.11925),
    1.0: (0.00183, 0.12183),
}


def bethe_energy(n_sites: int) -> float:
    """E0 of the Heisenberg ring of N spins (total, units of J1), from the Bethe equations by Newton's method.

        N arctan(2 l_j) = pi I_j + sum_k arctan(l_j - l_k),     I_j = -N/4 + 1/2, ..., N/4 - 1/2
        E0 = N/4 - sum_j 2 / (4 l_j^2 + 1)

    One real root l_j for each of the N/2 down spins. Raises ValueError unless N is even and at least 4.
    References: bethe1931, hulthen1938.
    """
    if n_sites < 4 or n_sites % 2:
        raise ValueError(f"the Bethe ground state needs an even ring of at least 4 sites, got {n_sites}.")
    numbers = np.arange(n_sites // 2) - n_sites / 4 + 0.5
    roots = np.tan(np.pi * numbers / n_sites) / 2
    for _ in range(60):
        gaps = roots[:, None] - roots[None, :]
        fault = n_sites * np.arctan(2 * roots) - np.pi * numbers - np.arctan(gaps).sum(axis=1)
        slopes = 1 / (1 + gaps**2) - np.eye(len(roots))
        jacobian = slopes + np.diag(2 * n_sites / (1 + 4 * roots**2) - slopes.sum(axis=1))
        change = np.linalg.solve(jacobian, fault)
        roots = roots - change
        if np.abs(change).max() < 1e-13 * max(1.0, np.abs(roots).max()):
            return float(n_sites / 4 - np.sum(2 / (4 * roots**2 + 1)))
    raise ValueError(f"Newton's method did not converge for a ring of {n_sites} sites.")


def known_energy(lattice: Lattice, j2: float | int) -> float | None:
    """The exact E0 of the J1-J2 model (total, units of J1) where it is known without diagonalising, else None.

    Even rings at J2 = 0 (Bethe) and, from 6 sites, at J2 = 1/2: -3/8 N, products of singlets on every other bond.
    The 6x6 torus at the couplings of SIX_BY_SIX. References: bethe1931, majumdar1969, wu2024vscore.
    """
    n = lattice.n_sites
    if lattice.shape == (n, 1) and lattice.is_periodic and n % 2 == 0:
        if j2 == 0 and n >= 4:
            return bethe_energy(n)
        if j2 == 0.5 and n >= 6:
            return -0.375 * n
    if lattice.shape == (6, 6) and all(lattice.periodic) and j2 in SIX_BY_SIX:
        return 36 * SIX_BY_SIX[float(j2)]
    return None
