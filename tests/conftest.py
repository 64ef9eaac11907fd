"""What every test stands on: shape annotations that are executed, 64-bit numbers, no silent promotion, fixed seeds."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

from jaxtyping import install_import_hook

# Before anything imports nqs_lab: from here on each jaxtyping annotation of the package is checked at every call.
install_import_hook("nqs_lab", "beartype.beartype")

import jax
import pytest

import nqs_lab

nqs_lab.enable_x64()
assert len(jax.devices()) == 1  # JAX starts here, with one device: no test can give another several by use_cores()
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

SEED = 20240518


@pytest.fixture(autouse=True)
def quick_compilation(request, monkeypatch):
    """Most tests compile far longer than they compute: XLA is told not to optimise, unless they are marked.

    Child processes are told the same, or their numbers would differ from ours in the last bits.
    """
    optimise = request.node.get_closest_marker("optimised") is not None
    jax.config.update("jax_disable_most_optimizations", not optimise)
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0" if optimise else "1")
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Compiled programs are kept for one file only: those of the whole suite would take 5 GB in each process."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    """One typed PRNG key with the suite's fixed seed."""
    return jax.random.key(SEED)


@pytest.fixture
def getkey():
    """A function that returns a new typed PRNG key at each call, the same sequence in every run."""
    root, count = jax.random.key(SEED), iter(range(10**9))
    return lambda: jax.random.fold_in(root, next(count))
