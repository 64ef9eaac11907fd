"""Published energies of the 6x6 J1-J2 torus, to stand beside ours: varbench (wu2024vscore) and nomura2021."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import nqs_lab as nl

SITES = 36
EXACT, DMRG, RBM, JASTROW = "exact", "DMRG, 2,048 states", "RBM, alpha = 1", "Jastrow"
BCS, SYMMETRISED_RBM, PAIR_PRODUCT = "projected BCS", "symmetrised RBM", "RBM + pair product"
FAMILY = (DMRG, RBM, JASTROW)
"""The methods with a row at each of the nine couplings."""


class Printed(NamedTuple):
    """A row as it is printed: total energy and its standard error, variance of H, all with Pauli matrices."""

    total: float
    sigma: float | None = None
    variance: float | None = None


class Published(NamedTuple):
    """The same in our units: E/N and its standard error (J1, spins S), V-score (no units); None where not printed."""

    method: str
    energy: float
    error: float | None
    v_score: float | None


_FAMILY_ROWS = {  # J2: exact total; then total, sigma, variance of DMRG, RBM, Jastrow
    0.0: (-97.7575895972357, (-97.72162414, 1.38514), (-96.2702, 0.0037, 13.9167), (-96.4427, 0.0038, 14.7488)),
    0.3: (-80.994163118435, (-80.91180917, 1.93776), (-79.9195, 0.0035, 12.5730), (-79.2055, 0.0042, 18.4944)),
    0.4: (-76.283280827996, (-76.16430367, 2.17219), (-74.8125, 0.0038, 15.0651), (-73.9019, 0.0046, 22.0753)),
    0.5: (-72.548590160286, (-72.37403752, 2.25309), (-70.1176, 0.0035, 12.3053), (-68.8603, 0.0052, 27.4161)),
    0.6: (-71.026357467734, (-70.94811548, 0.27766), (-69.2165, 0.0021, 4.37917), (-68.2285, 0.0065, 42.6698)),
    0.7: (-76.320176597454, (-76.30909589, 0.19628), (-75.9732, 0.0028, 7.80946), (-69.5699, 0.0083, 70.6665)),
    0.8: (-84.454070394730, (-84.35283374, 0.90388), (-84.1270, 0.0026, 7.07829), (-83.0161, 0.0042, 18.2412)),
    0.9: (-93.463489624054, (-93.29335086, 5.58989), (-92.3972, 0.0047, 22.1831), (-91.7305, 0.0046, 21.5075)),
    1.0: (-102.867902314985, (-102.67869885, 7.16453), (-102.12601, 0.0045, 20.4796), (-100.82252, 0.0050, 25.3075)),
}
_MIDDLE = {  # J2 = 0.5 only
    BCS: Printed(-72.167, 0.003, 5.42),
    SYMMETRISED_RBM: Printed(-72.54140, 0.00009, 0.1905),
    PAIR_PRODUCT: Printed(-72.54722, 0.00016, 0.037),
}


def _tables() -> dict[float, Mapping[str, Printed]]:
    """The rows by coupling and method."""
    found = {}
    for j2, (exact, dmrg, rbm, jastrow) in _FAMILY_ROWS.items():
        rows = {EXACT: Printed(exact), DMRG: Printed(dmrg[0], None, dmrg[1])}
        rows |= {RBM: Printed(*rbm), JASTROW: Printed(*jastrow)}
        found[j2] = MappingProxyType(rows | (_MIDDLE if j2 == 0.5 else {}))
    return found


PAULI_TOTALS: Mapping[float, Mapping[str, Printed]] = MappingProxyType(_tables())
"""J2 -> method -> the printed row: totals with Pauli matrices, four times those of spins S. DMRG prints no sigma."""


def published(j2: float) -> tuple[Published, ...]:
    """Published rows of the 6x6 torus at one J2 per site in units of J1, spins S, the highest energy first.

        E/N = total / (4 N),    V = N Var / total^2    (the factors 4 cancel in V)

    The exact row comes last. Empty for a coupling without rows. References: wu2024vscore, nomura2021.
    """
    table = next((rows for known, rows in PAULI_TOTALS.items() if abs(known - j2) < 1e-9), {})
    rows = []
    for method, row in table.items():
        error = None if row.sigma is None else row.sigma / (4 * SITES)
        score = None if row.variance is None else nl.v_score(row.total, row.variance, SITES)
        rows.append(Published(method, row.total / (4 * SITES), error, score))
    return tuple(sorted(rows, key=lambda row: -row.energy))
