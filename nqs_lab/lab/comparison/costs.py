"""What queries and keys cost: parameters, operations from a formula and from the program, and seconds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_lab.lab.comparison.pairing import Contender
from nqs_lab.lab.comparison.setting import DEPTH, WIDTH, Setting, make_model, make_vmc
from nqs_lab.lab.maps import network
from nqs_lab.lab.shelf import Row
from nqs_lab.vmc.batching import count_work


def layer_operations(n: int, d: int, *, content: bool) -> int:
    """Operations in the matrix products of one attention layer on n tokens of width d.

        V and W: 4 n d^2;  mixing: 2 n^2 d;  with content also Q and K: 4 n d^2, and q.k: 2 n^2 d.

    A product of an (a, b) with a (b, c) matrix counts 2abc. The number of heads does not come in: h heads of width
    d / h cost what one of width d does.
    """
    return (2 if content else 1) * (4 * n * d**2 + 2 * n**2 * d)


def network_operations(n: int, patch_sites: int, d: int, depth: int, ratio: int, *, content: bool) -> int:
    """Operations in the matrix products of one log psi: embedding, `depth` blocks with an MLP d -> ratio d -> d, head.

    2 n b d + depth (attention layer + 4 ratio n d^2) + 4 d^2, with b = `patch_sites`.
    """
    blocks = depth * (layer_operations(n, d, content=content) + 4 * ratio * n * d**2)
    return 2 * n * patch_sites * d + blocks + 4 * d**2


def saved_share(n: float | int, d: float | int, ratio: float | int) -> float:
    """Share of a block's operations that is saved without queries and keys: (2d + n) / ((4 + 2 ratio) d + 2n).

    1 / (2 + ratio) for few tokens (n << d), 1/2 for very many.
    """
    return (2 * d + n) / ((4 + 2 * ratio) * d + 2 * n)


class Cost(NamedTuple):
    """What one contender costs: parameters; operations of one log psi, in matrix products (formula) and in all (read
    off the program); operations of a whole step (VMC.plan), and the share of them that the network takes."""

    who: Contender
    parameters: int
    products: int
    operations: int
    step: float
    network_share: float


def cost(who: Contender) -> Cost:
    """The costs of a contender in the comparison on 4x4; nothing is compiled or run."""
    setting = Setting(who.attention, 0.5, "neel", 11, 0.1, 1e-3, mlp_ratio=who.mlp_ratio)
    model = make_model(setting)
    tokens, patch_sites = network(model).patches.shape
    products = network_operations(tokens, patch_sites, WIDTH, DEPTH, who.mlp_ratio, content=who.attention != "factored")
    plan = make_vmc(setting).plan(model)
    whole = sum(plan.flops.values())
    inside = (plan.flops["forwards"] + plan.flops["derivatives"]) / whole
    return Cost(who, plan.parameters, products, count_work(model).flops, whole, inside)


def step_seconds(rows: Sequence[Row[Any]], who: Contender) -> Float[np.ndarray, " K"]:
    """Median seconds of a step of every run of a contender; runs too short to tell are left out."""
    chosen = [r for r in rows if (r.setting.attention, r.setting.mlp_ratio) == (who.attention, who.mlp_ratio)]
    return np.array([r["step_seconds"] for r in chosen if r["step_seconds"]], dtype=np.float64)


def log_seconds(row: Row[Any]) -> float:
    """log10 of the seconds of a step; NaN where they were not measured."""
    seconds = row["step_seconds"]
    return float(np.log10(seconds)) if seconds else float("nan")
