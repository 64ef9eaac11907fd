"""The store: exact round trips, files that are always whole, refusals that explain themselves, and nothing executed."""

import getpass
import hashlib
import io
import json
import os
import pickle
import platform
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as npst

from nqs_lab import store


class Layer(eqx.Module):
    weight: jax.Array
    activation: object
    heads: int = eqx.field(static=True)
    rule: object = eqx.field(static=True, default=jnp.tanh)


def same(a, b):
    """Whether two trees agree in structure, types, dtypes and every bit."""
    la, lb = jax.tree.leaves(a), jax.tree.leaves(b)
    if jax.tree.structure(a) != jax.tree.structure(b) or len(la) != len(lb):
        return False
    return all(_same_leaf(x, y) for x, y in zip(la, lb, strict=True))


def _same_leaf(x, y):
    if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x.dtype == y.dtype and _same_leaf(jax.random.key_data(x), jax.random.key_data(y))
    if isinstance(x, (jax.Array, np.ndarray)):
        x_, y_ = np.array(x), np.array(y)
        kinds = isinstance(x, jax.Array) == isinstance(y, jax.Array)
        return kinds and x_.dtype == y_.dtype and x_.shape == y_.shape and x_.tobytes() == y_.tobytes()
    return type(x) is type(y) and (x is y or repr(x) == repr(y))


@pytest.fixture
def tree(getkey):
    """A tree with everything that a training state holds."""
    layer = Layer(jax.random.normal(getkey(), (3, 5)), jax.nn.gelu, heads=4)
    optimiser = optax.chain(optax.adam(1e-2), optax.clip_by_global_norm(0.3))
    return {
        "layers": [layer, Layer(jnp.zeros((0, 2), jnp.float32), jax.nn.gelu, heads=2)],
        "optimiser": optimiser.init(eqx.filter(layer, eqx.is_array)),
        "keys": (getkey(), jax.random.split(jax.random.key(3, impl="rbg"), 4)),
        "numpy": np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1],
        "int8": jnp.array([1, -1, 1], jnp.int8),
        "half": jnp.array([[1.5, -2.0]], jnp.bfloat16),
        "scalar": jnp.asarray(1 + 2j),
        "python": (7, -(10**40), 0.1, float("inf"), 1e-320, complex(-0.0, 3.0), True, "J2 \u2260 0", None),
        "numpy scalar": np.float64(2.5),
    }


def test_round_trip_is_exact(tree, tmp_path):
    file = tmp_path / "new" / "folder" / "state.npz"
    store.save(file, tree, header={"step": 3})
    assert same(store.load(file, tree), tree)
    assert store.read_header(file)["header"] == {"step": 3}
    store.save(file, {"a": jnp.arange(3.0)})
    assert same(store.load(file, {"a": jnp.zeros(3)}), {"a": jnp.arange(3.0)})


def test_shapes_alone_are_enough_to_load(tmp_path):
    tree = {"weight": jnp.arange(6.0).reshape(2, 3), "key": jax.random.key(1)}
    store.save(tmp_path / "a", tree)
    assert same(store.load(tmp_path / "a", jax.eval_shape(lambda: tree)), tree)
    with pytest.raises(ValueError, match="only a shape"):
        store.save(tmp_path / "b", jax.eval_shape(lambda: tree))


def test_plain_trees_need_no_like(tmp_path):
    tree = {"b": [np.arange(3), (1, 2.5, None)], "a": {"c": "text"}, "empty": []}
    store.save(tmp_path / "a", tree)
    assert same(store.load(tmp_path / "a"), tree)
    store.save(tmp_path / "b", Layer(jnp.ones(2), jnp.tanh, heads=1))
    with pytest.raises(ValueError, match="pass like="):
        store.load(tmp_path / "b")


def test_numpy_opens_the_file(tmp_path):
    store.save(tmp_path / "a.npz", {"x": np.arange(4.0)})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert np.array_equal(archive["leaf_0"], np.arange(4.0))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        npst.arrays(
            st.sampled_from(["float32", "float64", "complex64", "complex128", "int8", "uint64", "bool", "<i2", ">i8"]),
            npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        )
        | st.floats()
        | st.integers()
        | st.booleans()
        | st.complex_numbers()
        | st.text(max_size=5)
        | st.none(),
        lambda child: (
            st.lists(child, max_size=3)
            | st.dictionaries(st.text(max_size=4), child, max_size=3)
            | st.tuples(child, child)
        ),
        max_leaves=8,
    )
)
def test_any_plain_tree_round_trips(tmp_path, tree):
    store.save(tmp_path / "any", tree)
    assert same(store.load(tmp_path / "any", tree), tree)
    if tree is not None:
        assert same(store.load(tmp_path / "any"), tree)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.int4])
def test_small_floats(tmp_path, dtype):
    for array in (np.array(1, dtype), np.ones((2, 0), dtype), np.array([[1, 2, -3], [0, 1, 2]], dtype).T):
        store.save(tmp_path / "a", {"x": array})
        assert same(store.load(tmp_path / "a", {"x": array}), {"x": array})


def test_a_tree_of_another_kind_is_refused(tmp_path, key):
    file = tmp_path / "a"
    layer = Layer(jnp.ones((2, 3)), jnp.tanh, heads=4)
    store.save(file, {"layer": layer, "key": key, "n": 3})
    good = {"layer": layer, "key": key, "n": 0}
    others = {
        r"expected array float64\[3,2\] at \['layer'\].weight, got array float64\[2,3\]": eqx.tree_at(
            lambda t: t["layer"].weight, good, jnp.ones((3, 2))
        ),
        r"expected array float32\[2,3\].*got array float64": eqx.tree_at(
            lambda t: t["layer"].weight, good, jnp.ones((2, 3), jnp.float32)
        ),
        r"expected Layer\(heads=2.*got Layer\(heads=4": good | {"layer": Layer(layer.weight, jnp.tanh, heads=2)},
        r"expected Layer\(heads=4, rule=sin\)": good | {"layer": Layer(layer.weight, jnp.tanh, heads=4, rule=jnp.sin)},
        r"expected function sin .*got function tanh": good | {"layer": Layer(layer.weight, jnp.sin, heads=4)},
        r"expected float at \['n'\], got int": good | {"n": 0.0},
        r"key<rbg>": good | {"key": jax.random.key(0, impl="rbg")},
        r"expected 7 nodes and leaves, got 6": good | {"z": None},
        r"expected list .*got dict": [1],
    }
    for message, like in others.items():
        with pytest.raises(ValueError, match=message) as caught:
            store.load(file, like)
        assert "read_header" in str(caught.value)
    assert store.load(file, good)["n"] == 3


def test_what_cannot_be_stored_is_refused_and_leaves_the_old_file(tmp_path):
    file = tmp_path / "a"
    store.save(file, {"x": 1})
    for bad in (
        np.array([object()]),
        np.array(["text"]),
        np.zeros(2, [("a", "f4")]),
        np.array("2020", "M8[D]"),
        object(),
    ):
        with pytest.raises(ValueError, match="expected arrays"):
            store.save(file, {"x": bad})
    with pytest.raises(ValueError, match="expected a header of plain JSON"):
        store.save(file, {"x": 2}, header={"array": np.ones(2)})
    assert store.load(file) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def _rewritten(file, change, name="header.json"):
    """The file again with one member changed by `change(bytes) -> bytes`, as a valid zip."""
    with zipfile.ZipFile(file) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(file, "w") as archive:
        for n, data in members.items():
            archive.writestr(n, data)


def _head(change):
    """A change of the JSON header by a function of the dict."""
    return lambda data: json.dumps(change(json.loads(data))).encode()


def test_damaged_foreign_and_newer_files_are_refused(tmp_path):
    file, like = tmp_path / "a", {"x": jnp.arange(5.0), "n": 1}
    store.save(file, like)
    good = file.read_bytes()

    def refused(match):
        for read in (lambda: store.load(file, like), lambda: store.load(file)):
            with pytest.raises(ValueError, match=match) as caught:
                read()
            assert str(file) in str(caught.value)

    for content in (b"", b"PK", b"\x93NUMPY", pickle.dumps({"x": 1}), good[: len(good) // 2], good[:-1], b"x" * 5000):
        file.write_bytes(content)
        refused("damaged or was not written by nqs_lab")
    np.savez(file.open("wb"), x=np.ones(3))
    refused("damaged or was not written by nqs_lab")
    np.savez_compressed(file.open("wb"), x=np.zeros(10**6))
    refused("compressed")
    changes = {
        "format version 2, expected at most 1": _head(lambda h: h | {"version": 2}),
        "its format is 'other'": _head(lambda h: h | {"format": "other"}),
        "damaged": _head(lambda h: h | {"leaves": h["leaves"][:1]}),
        "damaged or was": _head(lambda h: h | {"leaves": [{"kind": "mystery"}] * 2}),
        "damaged or was not": _head(lambda h: [1, 2]),
        "Decode": lambda data: b"\xff" + data,
    }
    for message, change in changes.items():
        file.write_bytes(good)
        _rewritten(file, change)
        refused(message)
    file.write_bytes(good)
    _rewritten(file, lambda data: data[:-8] + bytes(8), "leaf_0.npy")
    refused("checksum of leaf_0.npy")
    with pytest.raises(FileNotFoundError, match="expected a file written by"):
        store.load(tmp_path / "missing", like)


def test_a_header_that_lies_about_an_array_is_refused(tmp_path):
    file, like = tmp_path / "a", {"x": np.arange(4.0)}
    store.save(file, like)
    buffer = io.BytesIO()
    np.save(buffer, np.arange(9.0))
    _rewritten(file, lambda _: buffer.getvalue(), "leaf_0.npy")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    _rewritten(file, _head(lambda h: h | {"leaves": [h["leaves"][0] | {"sha256": digest}]}))
    with pytest.raises(ValueError, match="the header says otherwise"):
        store.load(file, like)


def test_a_malicious_pickle_executes_nothing(tmp_path):
    proof, file = tmp_path / "executed", tmp_path / "a"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (proof,))

    payload = io.BytesIO()
    np.lib.format.write_array(payload, np.array([Bomb()], dtype=object), allow_pickle=True)
    digest = hashlib.sha256(payload.getvalue()).hexdigest()
    for like in ({"x": np.zeros(1)}, None):
        store.save(file, {"x": np.zeros(1)})
        _rewritten(file, lambda _: payload.getvalue(), "leaf_0.npy")
        _rewritten(file, _head(lambda h: h | {"leaves": [h["leaves"][0] | {"sha256": digest}]}))
        with pytest.raises(ValueError, match="allow_pickle"):
            store.load(file, like)
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="damaged"):
        store.load(file)
    assert not proof.exists()
    np.load(io.BytesIO(payload.getvalue()), allow_pickle=True)  # the bomb is real: a reader that unpickles sets it off
    assert proof.exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_byte_is_noticed_or_harmless(tmp_path, data):
    file, tree = tmp_path / "a", {"x": np.arange(7.0), "n": 3, "s": "J2"}
    if not file.exists():
        store.save(file, tree)
    good = file.read_bytes()
    place, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    broken = tmp_path / "b"
    broken.write_bytes(good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :])
    for like in (tree, None):
        try:
            assert same(store.load(broken, like), tree)
        except ValueError as error:
            assert str(broken) in str(error)


KILLED = """
import sys, numpy as np
from nqs_lab import store
print("ready", flush=True)
for step in range(10**6):
    store.save(sys.argv[1], {"step": step, "x": np.full(200_000, float(step))})
    print(step, flush=True)
"""


def test_kill_9_while_writing_leaves_a_whole_file(tmp_path):
    file, rng = tmp_path / "state.npz", np.random.default_rng(0)
    like = {"step": 0, "x": np.zeros(200_000)}
    for _ in range(4):
        env = os.environ | {"JAX_PLATFORMS": "cpu"}
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True, env=env)
        assert writer.stdout.readline() == "ready\n" and writer.stdout.readline() == "0\n"
        time.sleep(float(rng.uniform(0.0, 0.2)))
        writer.send_signal(signal.SIGKILL)
        told = [0, *map(int, writer.communicate()[0].split())]
        assert writer.returncode == -signal.SIGKILL
        state = store.load(file, like)
        # the last step that was reported as saved, or the one that was being saved
        assert state["step"] in (told[-1], told[-1] + 1)
        assert np.array_equal(state["x"], np.full(200_000, float(state["step"])))
    leftovers = list(tmp_path.glob(".*.partial"))
    planted = tmp_path / ".state.npz.1-dead.partial"
    planted.write_bytes(b"half")
    for leftover in (*leftovers, planted):
        os.utime(leftover, (0, 0))
    young = tmp_path / ".state.npz.2-alive.partial"
    young.write_bytes(b"another process is writing this")
    store.save(file, like)
    assert sorted(p.name for p in tmp_path.iterdir()) == [young.name, "state.npz"]


def test_an_error_while_writing_keeps_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a"
    store.save(file, {"x": 1})
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.save(file, {"x": 2})
    monkeypatch.undo()
    assert store.load(file) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store.save(tmp_path / "link", {"x": 1})
    assert (tmp_path / "link").is_symlink() and store.load(tmp_path / "real") == {"x": 1}


def test_cached_computes_once_per_config(tmp_path):
    calls, file = [], tmp_path / "c.npz"

    def compute():
        calls.append(1)
        return {"energy": np.arange(3.0), "n": len(calls)}

    first = store.cached(file, compute, config={"j2": 0.5})
    again = store.cached(file, compute, config={"j2": 0.5})
    assert same(first, again) and len(calls) == 1
    assert store.cached(file, compute, config={"j2": 0.6})["n"] == 2
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="computing anew"):
        assert store.cached(file, compute, config={"j2": 0.6})["n"] == 3
    layer = Layer(jnp.ones(2), jnp.tanh, heads=1)
    assert same(store.cached(tmp_path / "l", lambda: layer, like=layer), layer)


def test_provenance_says_where_and_tells_no_secrets():
    record = store.provenance()
    assert record["versions"]["jax"] == jax.__version__ and record["versions"]["numpy"] == np.__version__
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["date"])
    text = json.dumps(record)
    assert str(Path.home()) not in text and str(Path.cwd()) not in text
    assert not platform.node() or platform.node() not in text
    assert getpass.getuser() not in text.replace("provenance", "")
