"""Forward passes on all cores of a processor: each core walks its own chunks, which stay in its own cache.

XLA cuts every small matrix product among the cores instead, and two of them then hardly go faster than one.
"""

import os
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "cores"
MOST = 8
"""More devices than this are not made unless asked for: every one holds a copy of what is computed."""


def use_cores(count: int | None = None) -> int:
    """Let JAX see `count` cores of this processor as devices of their own, and return how many it will see.

    Sampling and local energies are then shared among them; everything else runs as before. Call it once, before the
    first array is made (JAX fixes its devices then). `count`: default all cores that this process may use, at most 8.

    **Raises** ValueError for a count below 1, or if JAX has started with another number of devices.
    """
    wanted = min(MOST, available_cores()) if count is None else count
    if wanted < 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:  # JAX has started already: fine if it did so with this number
        found = len(jax.devices("cpu"))
        if count is not None and found != wanted:
            raise ValueError(
                f"JAX has already started with {found} device(s) on this processor, {wanted} were asked for. Call "
                "nqs_lab.use_cores() before the first array is made, or restart the kernel."
            ) from None
        return found
    return wanted


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_cores() -> int:
    """Cores that JAX sees as devices; 1 on an accelerator."""
    devices = jax.devices()
    return len(devices) if devices[0].platform == "cpu" else 1


def core_count() -> int:
    """Cores among which the program that is being traced is shared: 1 outside `on_all_cores`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape.get(AXIS, 1) if not mesh.empty else 1


def spread(function: Callable, rows_in: tuple[bool, ...], rows_out: bool) -> Callable:
    """`function`, run by every core on its own rows (`rows_in[k]`: argument k is cut along its first axis) or on all.

    `rows_out`: the results are rows, to be joined; otherwise every core must return the same.
    """
    mine, everything = PartitionSpec(AXIS), PartitionSpec()
    shared = jax.shard_map(
        function,
        in_specs=tuple(mine if cut else everything for cut in rows_in),
        out_specs=mine if rows_out else everything,
        check_vma=False,
    )
    return lambda *arguments: jax.tree.map(
        partial(jax.lax.with_sharding_constraint, shardings=everything), shared(*arguments)
    )


def on_all_cores(compiled: Callable, *arguments):
    """Call a jitted function so that `spread` inside it finds all cores; the result lies on the first device.

    With one device, or on an accelerator, this is a plain call.
    """
    if visible_cores() == 1:
        return compiled(*arguments)
    devices = jax.devices()
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))
    arrays, static = eqx.partition(arguments, eqx.is_array)
    everywhere = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        result = compiled(*eqx.combine(everywhere, static))
    return settle(result)


def settle(tree):
    """The tree with its arrays bound to the first core, where there are several; else as it is.

    `on_all_cores` returns such arrays. A function compiled for arrays that JAX may still move would be compiled again.
    """
    if visible_cores() == 1:
        return tree
    arrays, static = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, jax.devices()[0]), static)
