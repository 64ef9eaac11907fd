"""What is trained for notebook 05: every run of the shipped file, as a list that can be read."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp

import nqs_lab as nl
from nqs_lab.lab.comparison.setting import problem
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.torus_rbm import TorusRBM

J2_VALUES = (0.0, 0.5, 1.0)
RULES = ("none", "neel", "stripe")
BEST_RULE = {0.0: "neel", 0.5: "neel", 1.0: "stripe"}
EXACT = 0
"""In place of a number of samples: the sum over all configurations."""
SHIFT = 1e-3
CONFIGURATION = {
    "lattice": "4x4 torus, Sz = 0, 12,870 configurations; energies are totals in units of J1, spins S",
    "optimiser": "SR with diag_shift 1e-3, then nl.imaginary_time(0.1, steps): warm-up, cosine decay, step <= 0.3",
    "samples = 0": "exact sum over the configurations, or over one of each orbit of the translations with its size",
    "samples > 0": "nl.ExchangeSampler with as many chains, one sweep of 16 moves between steps",
    "RBM n": "nqs_lab.lab.torus_rbm.TorusRBM with n filters, float64",
    "plain RBM n": "nl.RBM with 16 n hidden units and no symmetry, float64",
    "ViT": "nl.ViT, 1x1 patches, width 16, 4 heads, 1 block, factored attention, float32; head as named",
}


@dataclass(frozen=True)
class Setting:
    """One training run: everything that decides its outcome.

    `network`: "mean field", "Jastrow", "RBM n", "plain RBM n", "ViT small-init" or "ViT layernorm". `sign`: the rule
    put around it, "none", "neel" or "stripe". `samples` of each step, 0 for the exact sum. `rate`: imaginary time of a
    step (1/J1).
    """

    network: str
    j2: float
    sign: str
    seed: int
    samples: int
    steps: int
    rate: float = 0.1

    @property
    def name(self) -> str:
        """A name for arrays."""
        how = f"{self.samples}samples" if self.samples else "exact"
        rate = "" if self.rate == 0.1 else f"-rate{self.rate:g}"
        return f"{self.network.replace(' ', '-')}-j2_{self.j2:.1f}-{self.sign}-{how}{rate}-seed{self.seed}"


def make_model(setting: Setting) -> nl.AbstractAnsatz:
    """The network before training; ValueError for a name that is not in the list."""
    lattice, key = nl.square(4), jax.random.key(setting.seed)
    kind, _, detail = setting.network.partition(" ")
    if setting.network == "mean field":
        model: nl.AbstractAnsatz = nl.MeanField(lattice, share=BEST_RULE[setting.j2], key=key)
    elif kind == "Jastrow":
        model = nl.Jastrow(lattice, key=key)
    elif kind == "RBM":
        model = TorusRBM(lattice, alpha=int(detail), key=key)
    elif kind == "plain":
        model = nl.RBM(lattice, alpha=int(detail.split()[1]), dtype=jnp.float64, key=key)
    elif kind == "ViT":
        model = nl.ViT(lattice, patch=1, width=16, heads=4, depth=1, attention="factored", head=detail, key=key)
    else:
        raise ValueError(
            "networks are mean field, Jastrow, RBM n, plain RBM n, ViT small-init and ViT layernorm; "
            f"got {setting.network!r}"
        )
    return model if setting.sign == "none" else nl.MarshallSign(model, lattice, order=setting.sign)


def make_vmc(setting: Setting) -> nl.VMC:
    """Hamiltonian, sampler and optimiser of a setting; equal ones are the same objects and are compiled once."""
    ham = problem(setting.j2).ham
    sampler = nl.ExchangeSampler(ham, n_chains=setting.samples) if setting.samples else _summation(setting.network)
    return nl.VMC(ham, sampler, nl.SR(diag_shift=SHIFT), _optimiser(setting.rate, setting.steps))


@functools.cache
def _summation(network: str) -> nl.ExactSampler:
    """One configuration of each orbit of the translations, or all of them for the mean field, which has sublattices."""
    lattice = nl.square(4)
    group = None if network == "mean field" else lattice.translations(step=1)
    return nl.ExactSampler(nl.SpinBasis(lattice), group=group)


@functools.cache
def _optimiser(rate: float, steps: int):
    """One object for equal arguments."""
    return nl.imaginary_time(rate, steps)


def all_settings() -> list[Setting]:
    """Every shipped run: sign rules, sizes, samples, heads. Five seeds for the rules, three for the rest."""
    return [*sign_settings(), *size_settings(), *rate_settings(), *sampled_settings(), *head_settings()]


def sign_settings() -> list[Setting]:
    """The same network under each rule at each J2, by exact sums."""
    return [Setting("RBM 4", j2, sign, seed, EXACT, 200) for j2 in J2_VALUES for sign in RULES for seed in seeds(5)]


def size_settings() -> list[Setting]:
    """Mean field, Jastrow and RBMs of 1, 2 and 8 filters under the better rule, by exact sums."""
    networks = ("mean field", "Jastrow", "RBM 1", "RBM 2", "RBM 8")
    return [
        Setting(net, j2, BEST_RULE[j2], seed, EXACT, 200) for net in networks for j2 in J2_VALUES for seed in seeds(3)
    ]


def rate_settings() -> list[Setting]:
    """Is it the rate? Exact sums without a rule at J2 = 0.5 with a third and with three times the rate."""
    chosen = seeds(3)
    return [
        Setting("RBM 4", 0.5, "none", seed, EXACT, steps, rate)
        for rate, steps in ((0.03, 600), (0.3, 200))
        for seed in chosen
    ]


def sampled_settings() -> list[Setting]:
    """The network of the sign runs at J2 = 0.5, from 256 samples; without a rule from 1,024; without its symmetry."""
    few = [Setting("RBM 4", 0.5, sign, seed, 256, 300) for sign in RULES for seed in seeds(5)]
    more = [Setting("RBM 4", 0.5, "none", seed, 1024, 300) for seed in seeds(3)]
    return [*few, *more, *(Setting("plain RBM 4", 0.5, "neel", seed, 256, 300) for seed in seeds(3))]


def head_settings() -> list[Setting]:
    """Transformers with either head, without a sign rule, from samples."""
    return [Setting(f"ViT {h}", 0.5, "none", seed, 512, 120) for h in ("layernorm", "small-init") for seed in seeds(3)]
