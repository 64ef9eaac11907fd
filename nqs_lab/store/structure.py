"""What a pytree looks like, as text: the class and the static fields of each node, the shape and dtype of each leaf."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

_SCALARS = (bool, int, float, complex, str)


def describe(tree: PyTree) -> tuple[list[tuple[str, str]], list[tuple[str, Any]]]:
    """Every node and leaf as (place, what it is), and the leaves alone as (place, value), both in JAX's order."""
    nodes, leaves = [], []

    def walk(place: str, node: PyTree) -> None:
        children = _children(node)
        nodes.append((place, _leaf_text(place, node) if children is None else _node_text(node)))
        if children is None:
            leaves.append((place, node))
        for key, child in children or ():
            walk(place + key, child)

    walk("", tree)
    return nodes, leaves


def check(path: Any, found: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    """Raise the ValueError that names the first place where a file and the tree it should fill differ."""
    for (place, got), (where, wanted) in zip(found, expected, strict=False):
        if (place, got) != (where, wanted):
            there = f"{wanted} at {where or 'the top'}"
            here = got if place == where else f"{got} at {place or 'the top'}"
            break
    else:
        if len(found) == len(expected):
            return
        there, here = f"{len(expected)} nodes and leaves", f"{len(found)}"
    raise ValueError(
        f"{path} holds another kind of tree: expected {there}, got {here}. Build `like` with the settings that the "
        "file was made with (nqs_lab.store.read_header(path) shows them), or choose another file; if only float32 and "
        "float64 differ, call nqs_lab.enable_x64() first"
    )


def skeleton(tree: PyTree, numbers: Iterator[int]) -> Any:
    """Dicts, lists, tuples and None as JSON with the leaves numbered; TypeError for any other container."""
    if tree is None:
        return None
    if type(tree) is dict:
        if not all(type(key) is str for key in tree):
            raise TypeError("a key that is not a string")
        return {"dict": {key: skeleton(tree[key], numbers) for key in sorted(tree)}}
    if type(tree) in (list, tuple):
        return {type(tree).__name__: [skeleton(child, numbers) for child in tree]}
    if _children(tree) is not None or not (type(tree) in _SCALARS or hasattr(tree, "dtype")):
        raise TypeError("not a plain container")
    return next(numbers)


def rebuild(plain: Any, values: list[Any]) -> PyTree:
    """The tree of a skeleton."""
    if plain is None:
        return None
    if isinstance(plain, int):
        return values[plain]
    ((kind, children),) = plain.items()
    if kind == "dict":
        return {key: rebuild(child, values) for key, child in children.items()}
    return {"list": list, "tuple": tuple}[kind](rebuild(child, values) for child in children)


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed PRNG keys (or the shape of one)."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_extension(dtype: Any) -> bool:
    """Whether a dtype is one of JAX's own (bfloat16, float8_e5m2, int4, ...), unknown to NumPy's file format."""
    return np.dtype(dtype).isbuiltin == 2 and hasattr(jnp, np.dtype(dtype).name)


def _children(node: PyTree) -> list[tuple[str, PyTree]] | None:
    """The children of one node, each with its key as text; None if the node is a leaf."""
    found, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    if len(found) == 1 and found[0][0] == ():
        return None
    return [(jax.tree_util.keystr(path), child) for path, child in found]


def _node_text(node: PyTree) -> str:
    """A container's class with its static fields: a "t5" network must not read the weights of a "factored" one."""
    name = type(node).__qualname__
    if not dataclasses.is_dataclass(node):
        return name
    static = [field.name for field in dataclasses.fields(node) if field.metadata.get("static", False)]
    text = ", ".join(f"{field}={_static_text(getattr(node, field, None))}" for field in static)
    return f"{name}({text})"


def _static_text(value: Any) -> str:
    """A static value as text that is the same in every process: functions by name, no addresses."""
    if callable(value) and not dataclasses.is_dataclass(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _leaf_text(place: str, leaf: Any) -> str:
    """What a leaf is: "array float32[2,3]", "key key<fry>[]", "int", "function gelu"."""
    where = place or "the top"
    if isinstance(leaf, jax.ShapeDtypeStruct | jax.Array | np.ndarray | np.generic) and type(leaf) not in _SCALARS:
        if not is_key(leaf) and np.dtype(leaf.dtype).kind not in "biufc" and not is_extension(leaf.dtype):
            raise ValueError(
                f"expected arrays of numbers, got dtype {leaf.dtype} at {where}: store booleans, integers, floats and "
                "complex numbers (objects would need pickle, which can run code)"
            )
        return f"{'key' if is_key(leaf) else 'array'} {leaf.dtype}[{','.join(map(str, leaf.shape))}]"
    if type(leaf) in _SCALARS:
        return type(leaf).__name__
    if callable(leaf):
        return f"function {_static_text(leaf)}"
    raise ValueError(
        f"expected arrays, numbers, strings or functions as leaves, got {type(leaf).__name__} at {where}: "
        "turn it into an array, or make it a static field"
    )
