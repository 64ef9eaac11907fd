"""What is trained beyond the 4x4 torus: every run as a list that can be read, and how each is built."""

import functools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax

import nqs_lab as nl
from nqs_lab.lab.comparison.setting import STEPS, WIDTH, Problem, default_sign
from nqs_lab.lab.notebook import seeds

TYPES = ("t5", "factored")
FAMILIES = ("torus", "chains", "sqrt20")
TORUS_J2 = (0.5, 0.0, 0.8)  # the middle first
RING_SITES = (16, 32, 64)
RING_J2 = (0.0, 0.5)  # where the energy is known for every length


@dataclass(frozen=True)
class Setting:
    """One training run: everything that decides its outcome.

    `lattice`: "6x6", "ring32" or "sqrt20". `sign`: "neel" or "stripe", the sign rule around the network. `chains`:
    Markov chains, one sample each per step; 0 for a sum over all configurations. `rate`: imaginary time of a step,
    units of 1/J1. `steps`: length of the run, which the decay of the rate spans. `momentum`: of SPRING, 0 is plain SR.
    """

    lattice: str
    attention: str
    j2: float
    sign: str
    seed: int
    patch: int
    width: int
    chains: int
    steps: int
    rate: float
    diag_shift: float
    heads: int = 4
    depth: int = 2
    momentum: float = 0.0

    @property
    def name(self) -> str:
        """A name for files; without sizes and rates, which are the same for all runs on one lattice."""
        return f"{self.lattice}-{self.attention}-j2_{self.j2:.1f}-{self.sign}-seed{self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def make_lattice(name: str) -> nl.Lattice:
    """The periodic lattice called "6x6", "ring32" or "sqrt20". Raises ValueError for another name."""
    found = re.fullmatch(r"(\d+)x(\d+)|(ring|sqrt)(\d+)", name)
    if found is None:
        raise ValueError(f'expected a lattice like "6x6", "ring32" or "sqrt20", got {name!r}.')
    if found[1]:
        return nl.rectangle(int(found[1]), int(found[2]))
    return nl.chain(int(found[4])) if found[3] == "ring" else nl.tilted(int(found[4]))


def make_model(setting: Setting) -> nl.AbstractAnsatz:
    """The network before training. One seed gives every type the same weights, where it has them."""
    lattice = make_lattice(setting.lattice)
    network = nl.ViT(
        lattice,
        patch=setting.patch,
        width=setting.width,
        heads=setting.heads,
        depth=setting.depth,
        attention=setting.attention,
        key=jax.random.key(setting.seed),
    )
    return nl.MarshallSign(network, lattice, order=setting.sign)


def make_ham(setting: Setting) -> nl.Heisenberg:
    """The Hamiltonian of a setting."""
    return nl.j1j2(make_lattice(setting.lattice), setting.j2)


def make_vmc(setting: Setting) -> nl.VMC:
    """The optimisation of a setting: samples or a full summation, SR, imaginary time."""
    ham = make_ham(setting)
    sampler = nl.ExchangeSampler(ham, n_chains=setting.chains) if setting.chains else _whole_sum(setting.lattice)
    sr = nl.SR(diag_shift=setting.diag_shift, momentum=setting.momentum)
    return nl.VMC(ham, sampler, sr, _optimiser(setting.rate, setting.steps))


@functools.cache
def _optimiser(rate: float, steps: int):
    """One object for equal arguments, so that equal programs are compiled once."""
    return nl.imaginary_time(rate, steps)


@functools.lru_cache(maxsize=2)
def _whole_sum(name: str) -> nl.ExactSampler:
    """One configuration per orbit of the translations, weighted by the size of the orbit."""
    lattice = make_lattice(name)
    return nl.ExactSampler(nl.SpinBasis(lattice), group=lattice.translations(step=1))


@functools.lru_cache(maxsize=4)
def solved(lattice_name: str, j2: float) -> Problem:
    """A small magnet solved exactly, in the plain Sz = 0 basis."""
    lattice = make_lattice(lattice_name)
    ham, basis = nl.j1j2(lattice, j2), nl.SpinBasis(lattice)
    return Problem(lattice, ham, basis, nl.ground_state(ham, basis))


def torus_settings() -> list[Setting]:
    """The 6x6 torus with 2x2 patches, sampled: one seed, both types at each coupling before the next.

    Not tuned: short trials on a seed that is not reported (211, factored, J2 = 0.5) saw no setting better than another
    by more than its error, and this shift is the cheapest, since it allows a kernel in float32.
    """
    recipe = {"patch": 2, "width": 32, "chains": 1024, "steps": 2000, "rate": 0.2, "diag_shift": 1e-2}
    return _pairs("6x6", TORUS_J2, seeds(1), **recipe)


def chain_settings() -> list[Setting]:
    """Rings of 16, 32 and 64 sites, one token a site, sampled: seed by seed, all lengths and couplings of one first.

    Hardly tuned: with seed 211, which is not reported, on 32 sites at J2 = 0, t5 stood at two per cent with a shift of
    1e-3, and forty times lower with 1e-2 or 1e-1; factored did not mind. `dataclasses.replace` repeats a trial. The
    trials had 512 chains; 256 make all 36 runs a matter of two hours on one core.
    """
    recipe = {"patch": 1, "width": WIDTH, "chains": 256, "steps": 300, "rate": 0.1, "diag_shift": 1e-2}
    return [
        setting
        for seed in seeds(3)
        for sites in RING_SITES
        for setting in _pairs(f"ring{sites}", RING_J2, (seed,), **recipe)
    ]


def sqrt20_settings() -> list[Setting]:
    """The tilted torus of 20 sites, one token a site, a sum over all configurations: network and steps of 4x4.

    Not tuned: rate and shift are those of the rings.
    """
    recipe = {"patch": 1, "width": WIDTH, "chains": 0, "steps": STEPS, "rate": 0.1, "diag_shift": 1e-2}
    return _pairs("sqrt20", (0.5, 0.0), seeds(1), **recipe)


def settings_of(family: str) -> list[Setting]:
    """All runs of "torus", "chains" or "sqrt20", in the order in which they are trained."""
    lists = {"torus": torus_settings, "chains": chain_settings, "sqrt20": sqrt20_settings}
    if family not in lists:
        raise ValueError(f"expected one of {', '.join(FAMILIES)}, got {family!r}.")
    return lists[family]()


def _pairs(lattice: str, couplings: Sequence[float], chosen: Sequence[int], **recipe: Any) -> list[Setting]:
    """Both types side by side at each coupling, seed by seed: whatever is finished is balanced, up to one run."""
    return [
        Setting(lattice, kind, j2, default_sign(j2), seed, **recipe)
        for seed in chosen
        for j2 in couplings
        for kind in TYPES
    ]
