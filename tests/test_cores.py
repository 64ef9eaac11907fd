"""Sharing forward passes among cores changes the speed and nothing else (each case in a process of its own)."""

import json
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.vmc.batching import choose_chunk
from nqs_lab.vmc.cores import available_cores, core_count, settle, visible_cores

PROGRAM = textwrap.dedent(
    """
    import json, sys
    import nqs_lab as nl
    cores, chains, sz, chunk = json.loads(sys.argv[1])
    seen = nl.use_cores(cores)
    nl.enable_x64()
    import equinox as eqx, jax, jax.numpy as jnp, numpy as np, optax
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    from nqs_lab.vmc import driver
    lattice = nl.square(4)
    ham = nl.j1j2(lattice, j2=0.5)
    network = nl.ViT(lattice, patch=2, width=8, heads=2, depth=1, dtype=jnp.float64, key=jax.random.key(0))
    model = nl.MarshallSign(network, lattice)
    sampler = nl.ExchangeSampler(ham, n_chains=chains, thermal_sweeps=3, total_sz=sz)
    vmc = nl.VMC(ham, sampler, nl.SR(1e-2, momentum=0.5), optax.sgd(0.05), chunk_size=chunk)
    state, history = vmc.init(model, key=jax.random.key(1)), nl.History()
    state = nl.run(vmc, state, 4, callbacks=[history])
    stats = nl.measure(vmc, state, n_draws=4)
    out = dict(seen=seen, devices=len(jax.devices()), energy=history["energy"].tolist(), mean=stats.mean.real,
               sigma=np.asarray(state.samples.sigma).tolist(), theta=np.asarray(jax.flatten_util.ravel_pytree(
                   eqx.filter(state.model, eqx.is_inexact_array))[0]).tolist(),
               homes=sorted({str(x.devices()) for x in jax.tree.leaves(eqx.filter(state, eqx.is_array))}),
               compiled=[driver._compiled_draw._cached._cache_size(), driver._update._cached._cache_size()])
    print("RESULT" + json.dumps(out))
    """
)


def with_cores(cores, chains=12, total_sz=0, chunk=None):
    """A short run in a process that sees so many cores."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, json.dumps([cores, chains, total_sz, chunk])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("RESULT")[1])


# 13 chains do not divide by the cores; at Sz = 1 and with chunks of 5 the last chunks are partly empty.
@pytest.mark.slow
@pytest.mark.parametrize(("cores", "chains", "total_sz", "chunk"), [(2, 12, 0, None), (3, 13, 1, 5)])
def test_a_run_on_several_cores_is_the_run_on_one(cores, chains, total_sz, chunk):
    one, several = (with_cores(n, chains, total_sz, chunk) for n in (1, cores))
    assert (one["seen"], one["devices"]) == (1, 1) and (several["seen"], several["devices"]) == (cores, cores)
    assert one["sigma"] == several["sigma"], "the same chains"
    for name in ("energy", "mean", "theta"):
        np.testing.assert_allclose(several[name], one[name], rtol=1e-9, atol=1e-12)
    assert len(several["homes"]) == 1, "what a reader gets lies on one device"
    assert several["compiled"] == [1, 1] and one["compiled"] == [1, 1], "compiled once, not again for the second step"


def test_one_device_changes_nothing():
    assert visible_cores() == core_count() == 1 and available_cores() >= 1
    tree = {"a": jnp.arange(3), "b": "text"}
    assert settle(tree) is tree


def test_a_core_takes_smaller_chunks():
    model = nl.ViT(nl.square(6), dtype=jnp.float64, key=jax.random.key(0))
    assert choose_chunk(model, cores=4) == choose_chunk(model) // 4
    assert choose_chunk(model, cores=4, backward=True) == choose_chunk(model, backward=True)


@pytest.mark.parametrize("count", [0, -2])
def test_no_cores_are_refused(count):
    with pytest.raises(ValueError, match="at least 1"):
        nl.use_cores(count)


def test_too_late_is_said_with_advice():
    jnp.zeros(1).block_until_ready()
    assert nl.use_cores() == 1, "asking for what there is never fails"
    with pytest.raises(ValueError, match="before the first array"):
        nl.use_cores(5)
