"""The counting exercises of notebook 06: parameters of a network, and what content alone can tell apart."""

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from nqs_lab.ansatz import ViT
from nqs_lab.attention import MIXERS
from nqs_lab.lab.checks import asked
from nqs_lab.spins import rectangle

# --- 06.5 parameters of the library's network


def _options(rng: np.random.Generator) -> dict[str, int]:
    """Random sizes of a network."""
    heads = int(rng.integers(2, 5))
    return {
        "n": int(rng.integers(2, 5)) * int(rng.integers(2, 5)),
        "patch_sites": 4,
        "width": heads * int(rng.integers(3, 7)),
        "heads": heads,
        "depth": int(rng.integers(1, 4)),
        "ratio": int(rng.integers(1, 5)),
    }


def _count(answer: Any, sizes: Mapping[str, int], attention: str) -> int:
    """The reader's count."""
    return int(asked(answer, *sizes.values(), attention))


def without_content(answer: Any, rng: np.random.Generator) -> str | None:
    """leaving out queries and keys saves 2 (d^2 + d) in each block"""
    sizes = _options(rng)
    width, depth = sizes["width"], sizes["depth"]
    for kind in ("t5", "decoupled"):
        got = _count(answer, sizes, kind) - _count(answer, sizes, "factored")
        if got != 2 * depth * (width**2 + width):
            return f"{sizes}: {kind} minus factored is {got}, expected {2 * depth * (width**2 + width)}"
    return None


def no_table(answer: Any, rng: np.random.Generator) -> str | None:
    """the controls have no table: on more patches they have no more parameters; t5 has heads x depth more for each"""
    sizes = _options(rng)
    more = sizes | {"n": sizes["n"] + 1}
    for kind in ("dot-product", "linear", "t5", "factored"):
        got = _count(answer, more, kind) - _count(answer, sizes, kind)
        want = sizes["heads"] * sizes["depth"] if kind in ("t5", "factored") else 0
        if got != want:
            return f"{kind}: one more patch adds {got} parameters, expected {want} ({sizes})"
    return None


def library_total(answer: Any, rng: np.random.Generator) -> str | None:
    """equal to the number of parameters of networks that the library builds"""
    for kind in MIXERS:
        sizes = _options(rng)
        columns = next(c for c in range(2, sizes["n"] + 1) if sizes["n"] % c == 0)
        lattice = rectangle(2 * columns, 2 * sizes["n"] // columns)
        keep = {name: sizes[name] for name in ("width", "heads", "depth")}
        shapes = eqx.filter_eval_shape(
            lambda key, lattice=lattice, keep=keep, sizes=sizes, kind=kind: ViT(
                lattice, patch=2, mlp_ratio=sizes["ratio"], attention=kind, key=key, **keep
            ),
            jax.random.key(0),
        )
        leaves = [leaf for leaf in jax.tree.leaves(shapes) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        got, want = _count(answer, sizes, kind), sum(leaf.size for leaf in leaves)
        if got != want:
            return f"{kind}, {sizes}: yours {got}, built {want}, difference {got - want}"
    return None


# --- 06.6 what content alone can tell apart


def single_sites(answer: Any, rng: np.random.Generator) -> str | None:
    """patches of a single site: content alone sees one class"""
    for n in (2, 2 * int(rng.integers(3, 9))):
        got = int(asked(answer, n, 1))
        if got != 1:
            return f"{n} patches of 1 site: you count {got}"
    return None


def no_class(answer: Any, rng: np.random.Generator) -> str | None:
    """an odd number of spins cannot have Sz = 0: no class at all"""
    for n, b in ((3, 1), (3, 3), (1, 3)):
        got = int(asked(answer, n, b))
        if got != 0:
            return f"{n} patches of {b} sites ({n * b} spins): you count {got}"
    return None


def listed(answer: Any, rng: np.random.Generator) -> str | None:
    """equal to the number of different bags of patches, listed one by one"""
    for n, b in ((2, 2), (4, 2), (2, 3), (4, 3), (3, 4), (int(rng.integers(4, 6)), 4)):
        ups = [bin(kind).count("1") for kind in range(2**b)]
        want = sum(2 * sum(bag) == n * b for bag in combinations_with_replacement(ups, n))
        got = int(asked(answer, n, b))
        if got != want:
            return f"{n} patches of {b} sites: you count {got}, listed {want}"
    return None
