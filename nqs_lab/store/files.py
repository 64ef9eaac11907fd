"""The file format: an uncompressed zip with `header.json`, then one `leaf_<i>.npy` per array (NumPy can open it)."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import secrets
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .provenance import provenance
from .structure import check, describe, is_extension, is_key, rebuild, skeleton

_FORMAT, _VERSION, _HEADER = "nqs_lab pytree", 1, "header.json"
_STALE_SECONDS = 600.0  # a partial file that nobody has touched for so long belongs to a process that was killed
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip's own dates are constant: equal content, equal bytes
# Scalars as text that is exact and that JSON can hold (also inf, nan and integers of any size).
_SCALARS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bool": (bool, bool),
    "int": (str, int),
    "float": (float.hex, float.fromhex),
    "complex": (lambda z: [z.real.hex(), z.imag.hex()], lambda pair: complex(*map(float.fromhex, pair))),
    "str": (str, str),
}


class _Refused(ValueError):
    """A refusal whose message already says what to do."""


def save(path: str | os.PathLike, tree: PyTree, *, header: dict[str, Any] | None = None) -> None:
    """Write a pytree of arrays and scalars to one file, atomically.

    At every moment the file at `path` is the old one or the new one, complete: the bytes go to a temporary file in the
    same folder, are flushed to the disk, and then take the name. Neither a power cut nor `kill -9` leaves half a file.

    Arguments: `path` the file, used as it stands (its folder is made); `tree` a pytree of JAX or NumPy arrays, typed
    PRNG keys, Python scalars and strings (a function inside it is noted by name and comes from `like` on reading);
    `header` whatever JSON can hold, for `read_header`.

    Raises: ValueError for an array of objects or another leaf that plain bytes cannot hold, or a header not JSON.
    """
    nodes, leaves = describe(tree)
    entries, members = [], []
    for place, leaf in leaves:
        entry, array = _encode(place, leaf)
        if array is not None:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            entry |= {"member": f"leaf_{len(members)}.npy", "sha256": hashlib.sha256(buffer.getbuffer()).hexdigest()}
            members.append((entry["member"], buffer.getbuffer()))
        entries.append(entry)
    head = {"format": _FORMAT, "version": _VERSION, "header": header or {}, "provenance": provenance()}
    try:
        plain = skeleton(tree, itertools.count())
    except TypeError:
        plain = False
    try:
        text = json.dumps(head | {"plain": plain, "structure": nodes, "leaves": entries}, indent=1)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected a header of plain JSON (numbers, strings, lists, dicts), got one that JSON refuses ({error}): "
            "convert arrays with .tolist(), or put them into the tree"
        ) from error
    _write_atomically(Path(os.path.realpath(path)), [(_HEADER, text.encode()), *members])


def load(path: str | os.PathLike, like: PyTree = None) -> PyTree:
    """Read a pytree that `save` wrote, in the shape of `like`. Nothing in the file is ever executed.

    Arguments: `path` the file; `like` a pytree with the same structure, shapes and dtypes (its values are ignored, and
    `jax.ShapeDtypeStruct` will do), which also says what becomes NumPy and what JAX. Without `like`, a tree made of
    dicts, lists, tuples and None comes back with NumPy arrays.

    Raises: FileNotFoundError; ValueError, with what was expected, what came and what to do, for a damaged, foreign or
    newer file and wherever its structure, static settings, shapes or dtypes differ from those of `like`.
    """
    expected, wanted = (None, None) if like is None else describe(like)
    with _opened(path) as (archive, head):
        if expected is None and head["plain"] is False:
            raise _Refused(
                f"{path} holds more than dicts, lists and tuples: pass like=, a pytree of the same structure"
            )
        if expected is not None:
            try:
                check(path, [(place, text) for place, text in head["structure"]], expected)
            except ValueError as error:
                raise _Refused(str(error)) from None
        targets = [leaf for _, leaf in wanted] if wanted is not None else [None] * len(head["leaves"])
        values = [_decode(archive, entry, target) for entry, target in zip(head["leaves"], targets, strict=True)]
        if wanted is None:
            return rebuild(head["plain"], values)
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), values)


def read_header(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON header of a file: "header" (what the caller gave), "provenance", "structure", "version", "leaves".

    Raises: FileNotFoundError; ValueError for a damaged, foreign or newer file.
    """
    with _opened(path) as (_, head):
        return head


def cached(
    path: str | os.PathLike, compute: Callable[[], PyTree], *, config: dict[str, Any] | None = None, like: PyTree = None
) -> PyTree:
    """The result of `compute()`: from the file if it is there, computed and saved if not.

    Arguments: `compute` a function without arguments; `config` JSON values that the result depends on (a file with
    another config is computed anew and replaced); `like` as for `load`, not needed for dicts, lists and tuples. The
    result always comes through the file, so its array types do not depend on whether it was cached. A damaged file
    is replaced, with a warning.
    """
    wanted = json.loads(json.dumps(config or {}))
    if Path(path).exists():
        try:
            if read_header(path)["header"].get("config") == wanted:
                return load(path, like)
        except ValueError as error:
            warnings.warn(f"computing anew, because the file cannot be used: {error}", stacklevel=2)
    save(path, compute(), header={"config": wanted})
    return load(path, like)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """The archive and its checked header; whatever goes wrong inside becomes a ValueError that says what to do."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected a file written by nqs_lab.store.save at {path}, found none: check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            # Nothing that save writes is compressed: a small file that unpacks to a huge one is not ours.
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("its members are compressed")
            head = json.loads(archive.read(_HEADER))
            if head["format"] != _FORMAT:
                raise ValueError(f"its format is {head['format']!r}")
            if head["version"] > _VERSION:
                raise _Refused(
                    f"{path} has format version {head['version']}, expected at most {_VERSION}: it was written by a "
                    "newer nqs_lab, update this one (pip install -U nqs-lab)"
                )
            yield archive, head
    except (_Refused, OSError):
        raise
    except Exception as error:  # a damaged file can make zipfile, json and numpy raise almost anything
        raise ValueError(
            f"{path} is damaged or was not written by nqs_lab (expected a complete file of nqs_lab.store.save, got "
            f"{type(error).__name__}: {error}): restore it from a copy, or delete it and compute it again"
        ) from error


def _encode(place: str, leaf: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """The header entry of a leaf and the array that goes with it (None for a scalar or a function)."""
    kind = type(leaf).__name__
    if kind in _SCALARS and not hasattr(leaf, "dtype"):
        return {"kind": kind, "value": _SCALARS[kind][0](leaf)}, None
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise ValueError(f"expected an array with values, got only a shape ({leaf}) at {place or 'the top'}")
    if not hasattr(leaf, "dtype"):
        return {"kind": "function"}, None
    if is_key(leaf):
        return {"kind": "key", "impl": str(jax.random.key_impl(leaf))}, np.asarray(jax.random.key_data(leaf))
    array = np.array(leaf, order="C")
    entry = {"kind": "array", "dtype": str(leaf.dtype)}
    return entry, array[..., None].view(np.uint8) if is_extension(leaf.dtype) else array


def _decode(archive: zipfile.ZipFile, entry: dict[str, Any], like: Any) -> Any:
    """The value of one leaf, of the kind (NumPy, JAX, Python) that `like` is."""
    kind = entry["kind"]
    if kind == "function":
        return like
    if kind in _SCALARS:
        return _SCALARS[kind][1](entry["value"])
    data = archive.read(entry["member"])
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ValueError(f"the checksum of {entry['member']} does not match")
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if kind == "key":
        return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["impl"])
    dtype = np.dtype(getattr(jnp, entry["dtype"], entry["dtype"]))
    array = array.view(dtype)[..., 0] if is_extension(dtype) else array
    if like is None:
        return array
    if array.dtype != like.dtype or array.shape != tuple(like.shape):
        raise ValueError(f"{entry['member']} holds {array.dtype}{array.shape} and the header says otherwise")
    if isinstance(like, np.generic):
        return array[()]
    return array if isinstance(like, np.ndarray) else jnp.asarray(array)


def _write_atomically(path: Path, members: list[tuple[str, Any]]) -> None:
    """Write the zip beside its final place, force it to the disk, and give it the name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                for name, data in members:
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name is only on the disk once the folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove_leftovers(path: Path) -> None:
    """Delete the partial files of killed processes; one that is still being written is younger, and stays."""
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                leftover.unlink()
