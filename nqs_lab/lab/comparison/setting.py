"""What is trained for the comparison: every run of the shipped grid, as a list that can be read."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax

import nqs_lab as nl
from nqs_lab.lab.notebook import seeds

WIDTH, HEADS, DEPTH, STEPS = 16, 4, 2, 100
TYPES = ("t5", "decoupled", "factored")
J2_GRID = tuple(k / 10 for k in range(11))
UNSIGNED_J2 = (0.0, 0.5, 1.0)  # the authors use no sign rule; here it is the second protocol
RATES, SHIFTS = (0.05, 0.1, 0.2), (1e-4, 1e-3, 1e-2)
WIDER_MLP = 5  # factored attention with this MLP has the parameters of t5 with the usual one, to 0.5 %


@dataclass(frozen=True)
class Setting:
    """One training run on the 4x4 torus, by full summation: everything that decides its outcome.

    `sign`: "neel", "stripe" or "none", the sign rule put around the network. `rate`: imaginary time of a step, units of
    1/J1. `steps`: length of the run, which the decay of the rate spans.
    """

    attention: str
    j2: float
    sign: str
    seed: int
    rate: float
    diag_shift: float
    steps: int = STEPS
    mlp_ratio: int = 4

    @property
    def name(self) -> str:
        """A name for files; without rate and shift, which are the same for all runs of one type in the grid."""
        kind = self.attention if self.mlp_ratio == 4 else f"{self.attention}-mlp{self.mlp_ratio}"
        return f"{kind}-j2_{self.j2:.1f}-{self.sign}-seed{self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


class Problem(NamedTuple):
    """The magnet of one J2: lattice, Hamiltonian, plain Sz = 0 basis and exact ground state."""

    lattice: nl.Lattice
    ham: nl.Heisenberg
    basis: nl.SpinBasis
    ground: nl.GroundState


@functools.lru_cache(maxsize=16)
def problem(j2: float) -> Problem:
    """The 4x4 torus at one J2, solved exactly."""
    lattice = nl.square(4)
    ham, basis = nl.j1j2(lattice, j2), nl.SpinBasis(lattice)
    return Problem(lattice, ham, basis, nl.ground_state(ham, basis))


@functools.cache
def _sampler() -> nl.ExactSampler:
    """All 822 translation representatives, weighted by the size of their orbits."""
    lattice = nl.square(4)
    return nl.ExactSampler(nl.SpinBasis(lattice), group=lattice.translations(step=1))


@functools.cache
def _optimiser(rate: float, steps: int):
    """One object for equal arguments, so that equal programs are compiled once."""
    return nl.imaginary_time(rate, steps)


def make_vmc(setting: Setting) -> nl.VMC:
    """The noise-free optimisation of a setting: full summation, SR, imaginary time."""
    optimiser = _optimiser(setting.rate, setting.steps)
    return nl.VMC(problem(setting.j2).ham, _sampler(), nl.SR(diag_shift=setting.diag_shift), optimiser)


def make_model(setting: Setting) -> nl.AbstractAnsatz:
    """The network before training. One seed gives every type the same weights, where it has them."""
    lattice = nl.square(4)
    network = nl.ViT(
        lattice,
        patch=1,
        width=WIDTH,
        heads=HEADS,
        depth=DEPTH,
        mlp_ratio=setting.mlp_ratio,
        attention=setting.attention,
        key=jax.random.key(setting.seed),
    )
    return network if setting.sign == "none" else nl.MarshallSign(network, lattice, order=setting.sign)


def default_sign(j2: float) -> str:
    """The stated default: Neel signs up to J2 = 0.5 and stripe signs above."""
    return "neel" if j2 <= 0.5 else "stripe"


def tuning_settings(
    types: Sequence[str] = TYPES, rates: Sequence[float] = RATES, shifts: Sequence[float] = SHIFTS
) -> list[Setting]:
    """Every rate with every shift for every type, J2 = 0.5, on seeds that are not reported."""
    return [
        Setting(attention=kind, j2=0.5, sign="neel", seed=seed, rate=rate, diag_shift=shift)
        for kind in types
        for rate in rates
        for shift in shifts
        for seed in seeds(2, purpose="tuning")
    ]


def grid_settings(tuned: dict[str, tuple[float, float]]) -> list[Setting]:
    """All reported runs, seed by seed and the middle of the grid first: what is finished is a balanced part.

    `tuned`: (rate, diag_shift) of every type, as the tuning runs chose them.
    """
    cases = [(kind, j2, default_sign(j2), 4) for j2 in J2_GRID for kind in TYPES]
    cases += [(kind, j2, "none", 4) for j2 in UNSIGNED_J2 for kind in TYPES]
    cases += [("factored", j2, default_sign(j2), WIDER_MLP) for j2 in UNSIGNED_J2]
    return [
        Setting(kind, j2, sign, seed, *tuned[kind], mlp_ratio=mlp) for seed in seeds(5) for kind, j2, sign, mlp in cases
    ]
