"""What is trained for lesson 09b: every run of the shipped grid, as a list that can be read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax

from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.models import Reader

TYPES = ("t5", "factored", "dot-product")
LENGTHS = (16, 32, 64, 128, 256, 512)
RATES = (0.003, 0.01, 0.03)
WIDTH = 32
FIRST, LATER = 400, 100
"""Steps at the length a run starts with, and at each longer one."""
WORDS = 2048
"""Words in a training step, whatever the length: 128 sentences of 16 words or 4 of 512."""
MARGIN = 0.05
"""Nats per hidden word, written down before the runs: 5 % in perplexity, 4 % of what a neighbour tells in the chain."""


@dataclass(frozen=True)
class Setting:
    """One run: a reader grows from sentences of `start` words to `stop` words, each length twice the one before.

    `rate`: largest step of Adam. `patience`: all numbers of steps are multiplied by it. `width`: numbers in a token.
    """

    language: str
    attention: str
    seed: int
    rate: float
    start: int = LENGTHS[0]
    stop: int = LENGTHS[-1]
    patience: int = 1
    width: int = WIDTH

    @property
    def name(self) -> str:
        """A name for files; without the rate, which is the same for all runs of one type and language in the grid."""
        extra = "" if self.start == LENGTHS[0] else f"-from{self.start}"
        extra += "" if self.patience == 1 else f"-patience{self.patience}"
        extra += "" if self.width == WIDTH else f"-width{self.width}"
        return f"{self.language}-{self.attention}{extra}-seed{self.seed}"

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the run, one after the other."""
        return tuple(n for n in LENGTHS if self.start <= n <= self.stop)

    def steps(self, n: int) -> int:
        """Training steps at one length."""
        return self.patience * (FIRST if n == self.start else LATER)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def make_reader(setting: Setting, n: int) -> Reader:
    """The network before training, for sentences of n words. One seed gives all types the weights that they share."""
    language = LANGUAGES[setting.language]
    key = jax.random.key(setting.seed)
    return Reader(language.sizes, language.n_answers, n, attention=setting.attention, width=setting.width, key=key)


def tuning_settings(rates: Sequence[float] = RATES) -> list[Setting]:
    """Every rate for every type and language, up to 64 words, on seeds that are not reported."""
    return [
        Setting(language, kind, seed, rate, stop=64)
        for seed in seeds(2, purpose="tuning")
        for language in LANGUAGES
        for kind in TYPES
        for rate in rates
    ]


def grid_settings(tuned: dict[tuple[str, str], float]) -> list[Setting]:
    """The runs reported, seed by seed, so that whatever is finished is balanced up to one seed.

    `tuned`: the rate of every (language, type), as the tuning runs chose it.
    """
    return [
        Setting(language, kind, seed, tuned[language, kind])
        for seed in seeds(3)
        for language in LANGUAGES
        for kind in TYPES
    ]


def control_settings(tuned: dict[tuple[str, str], float]) -> list[Setting]:
    """What a sceptic asks: more patience and more width where one type stays behind; no shorter sentences first."""
    rate = tuned["copy", "factored"]
    behind = [Setting("copy", "factored", seed, rate, stop=128, patience=5) for seed in seeds(3)]
    for seed in seeds(3):
        behind.append(Setting("copy", "factored", seed, rate, stop=64, patience=5, width=2 * WIDTH))
        behind.append(Setting("copy", "factored", seed, rate, stop=64, patience=25))
    cold = [
        Setting(language, kind, seed, tuned[language, kind], start=256, stop=256)
        for seed in seeds(1)
        for language in LANGUAGES
        for kind in TYPES
    ]
    return cold + behind
