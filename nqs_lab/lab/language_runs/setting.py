"""What is trained for the comparison of language models: every run, as a list that can be read."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from nqs_lab.lab.notebook import seeds
from nqs_lab.language.model import LanguageModel
from nqs_lab.language.training import Recipe

CORPORA = ("grammar", "docstrings")
VOCABULARY: Mapping[str, int] = MappingProxyType({"grammar": 395, "docstrings": 1024})
"""Pieces of words. Those of the grammar are all words that it has, and what they were merged from."""
BLOCK, WIDTH, HEADS, DEPTH, RATIO = 128, 64, 4, 4, 4
STEPS, BATCH, WARM_UP = 1000, 18, 150
"""The paper's small setting with a quarter of its tokens in a step: 2,304, so that 1,000 steps are 2.3 million."""
SEEDS: Mapping[str, int] = MappingProxyType({"grammar": 5, "docstrings": 3})
TUNING_SEEDS: Mapping[str, int] = MappingProxyType({"grammar": 2, "docstrings": 1})
LEAKING_SEEDS: Mapping[str, int] = MappingProxyType({"grammar": 3, "docstrings": 1})
RATES = (1e-3, 3e-3, 1e-2)
MARGIN = 0.02
"""Nats per token, written down before the runs: 2 % in perplexity, a quarter of the smallest gain over GPT that the
authors report later (0.085 on TinyStories, 0.13 on OpenWebText)."""


class Kind(NamedTuple):
    """One architecture. `constrained`: mixers that are the gradient of an energy, without inertia where dynamics are
    "residual" (a control); `leaking`: the witness that sees its future."""

    dynamics: str
    attention: str
    constrained: bool = False
    leaking: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "gpt": Kind("residual", "dot-product"),
        "nesterov": Kind("nesterov", "dot-product"),
        "momentum": Kind("momentum", "dot-product"),
        "momentum-linear": Kind("momentum", "linear"),
        "gpt-symmetric": Kind("residual", "dot-product", constrained=True),
        "gpt-symmetric-linear": Kind("residual", "linear", constrained=True),
        "leaking": Kind("momentum", "dot-product", leaking=True),
    }
)
ACCELERATED = ("nesterov", "momentum", "momentum-linear")
CONTROL: Mapping[str, str] = MappingProxyType({"momentum": "gpt-symmetric", "momentum-linear": "gpt-symmetric-linear"})
"""The same mixers without inertia: what is left of a difference to GPT when only the dynamics differ."""
HONEST = tuple(name for name, kind in KINDS.items() if not kind.leaking)
MATCHES = ("steps", "parameters", "time")
"""What is equal to GPT's: the steps (and with them the oracle calls, one a block for every kind), or the number of
parameters, by the width of the MLP, or the time, by the number of steps."""
RELATIVE_COST: Mapping[str, float] = MappingProxyType(
    {
        "gpt": 1.0,
        "nesterov": 1.14,
        "momentum": 2.14,
        "momentum-linear": 1.14,
        "gpt-symmetric": 0.8,
        "gpt-symmetric-linear": 0.75,
        "leaking": 1.52,
    }
)
"""Time of a training step against GPT's on one core of a quiet machine, as `python -m nqs_lab.lab.language_runs cost`
measures it: the mean of two measurements on the grammar and one on the docstrings, which differ by up to a fifth."""


@dataclass(frozen=True)
class Setting:
    """One run: everything that decides its outcome.

    `corpus`: one of CORPORA. `kind`: one of KINDS. `rate`: largest learning rate. `match`: one of MATCHES. `steps`,
    `ratio` (of the MLP), `batch`, `block`, `width`, `depth`: sizes.
    """

    corpus: str
    kind: str
    seed: int
    rate: float
    match: str = "steps"
    steps: int = STEPS
    ratio: int = RATIO
    batch: int = BATCH
    block: int = BLOCK
    width: int = WIDTH
    depth: int = DEPTH

    @property
    def name(self) -> str:
        """A name for files; without the rate, which is the same for all reported runs of one kind on one corpus."""
        return f"{self.corpus}-{self.kind}-{self.match}-seed{self.seed}"

    @property
    def recipe(self) -> Recipe:
        """How it is trained; ten looks at the held-out text."""
        warm_up, look = min(WARM_UP, max(1, self.steps // 4)), max(1, self.steps // 10)
        return Recipe(rate=self.rate, steps=self.steps, batch=self.batch, warm_up=warm_up, look=look)

    @property
    def oracle_calls(self) -> int:
        """Evaluations of the tokens' interaction in one forward pass: one a block, whatever the dynamics."""
        return self.depth

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def build(setting: Setting, vocabulary: int, key) -> LanguageModel:
    """The model before training, from a key; see `model_of`."""
    kind = KINDS[setting.kind]
    return LanguageModel(
        vocabulary,
        setting.block,
        width=setting.width,
        heads=HEADS,
        depth=setting.depth,
        mlp_ratio=setting.ratio,
        attention=kind.attention,
        dynamics=kind.dynamics,
        dynamics_options={"force": "leaking"} if kind.leaking else None,
        constrained=kind.constrained,
        key=key,
    )


def model_of(setting: Setting, vocabulary: int) -> LanguageModel:
    """The model before training. One seed gives all kinds the weights that they share."""
    return build(setting, vocabulary, jax.random.key(setting.seed))


@functools.cache
def parameters_of(setting: Setting, vocabulary: int) -> int:
    """Its parameters, embeddings of velocities counted; nothing is computed."""
    shape = eqx.filter_eval_shape(lambda key: build(setting, vocabulary, key), jax.random.key(0))
    leaves = [leaf for leaf in jax.tree.leaves(shape) if hasattr(leaf, "dtype")]
    return sum(int(np.prod(leaf.shape)) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))


def matched_ratio(corpus: str, kind: str) -> int:
    """The ratio of the MLP that brings the parameters nearest to those of GPT with the usual one."""
    vocabulary = VOCABULARY[corpus]
    base = Setting(corpus, kind, 0, 1.0, ratio=1)
    wanted = parameters_of(Setting(corpus, "gpt", 0, 1.0), vocabulary)
    each = DEPTH * (2 * WIDTH**2 + WIDTH)  # parameters that one more unit of the ratio brings
    return max(1, 1 + round((wanted - parameters_of(base, vocabulary)) / each))


def tuning_settings(corpus: str, rates: Sequence[float] = RATES) -> list[Setting]:
    """Every rate for every kind, on seeds that are not reported; the witness takes the rate of momentum."""
    chosen = seeds(TUNING_SEEDS[corpus], purpose="tuning")
    return [Setting(corpus, kind, seed, rate) for seed in chosen for rate in rates for kind in HONEST]


def grid_settings(corpus: str, tuned: Mapping[str, float]) -> list[Setting]:
    """The runs reported, seed by seed, so that whatever is finished is balanced up to one seed.

    `tuned`: the rate of every honest kind, as the tuning runs chose it.
    """
    found = []
    for number, seed in enumerate(seeds(SEEDS[corpus])):
        found += [Setting(corpus, kind, seed, tuned[kind]) for kind in HONEST]
        if number < LEAKING_SEEDS[corpus]:
            found.append(Setting(corpus, "leaking", seed, tuned["momentum"]))
        for kind in ACCELERATED:
            ratio, steps = matched_ratio(corpus, kind), round(STEPS / RELATIVE_COST[kind])
            found.append(Setting(corpus, kind, seed, tuned[kind], match="parameters", ratio=ratio))
            found.append(Setting(corpus, kind, seed, tuned[kind], match="time", steps=steps))
    return found
