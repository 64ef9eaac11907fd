"""nqs-lab doctor: what is installed, and whether exact and variational answers agree here."""

import argparse
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version

CORE = ("jax", "jaxlib", "equinox", "optax", "jaxtyping", "numpy", "scipy", "matplotlib", "tqdm")
OPTIONAL = {"jupyterlab": "lab", "ipywidgets": "lab", "ipykernel": "lab", "numba": "fast"}
TORUS = 16 * -0.528620209462
"""Ground-state energy of the 4x4 torus at J2 = 0.5, in units of J1."""
RING = -3.651093408937
"""Ground-state energy of the Heisenberg ring of 8 spins."""
STEPS, ALLOWED = 40, 5e-3
"""The relative error that a network must reach in so many steps: ten times what is usual."""


def doctor(args: argparse.Namespace) -> int:
    """Print the report; 0 if every line is all right, else 1."""
    del args
    lines_ok = [_python(), *_packages()]
    import nqs_lab

    nqs_lab.enable_x64()
    lines_ok += [_devices(), *_physics()]
    good = all(lines_ok)
    print("\nAll is well." if good else "\nSomething is wrong: see the lines marked with !! above.")
    return 0 if good else 1


def _say(good: bool, name: str, text: str) -> bool:
    """One line of the report."""
    print(f"{'  ' if good else '!!'} {name:22}{text}", flush=True)
    return good


def _python() -> bool:
    """The version of Python."""
    found = sys.version.split()[0]
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return _say(good, "Python", found if good else f"{found}: 3.11 to 3.13 are supported")


def _packages() -> list[bool]:
    """The packages that must be there, and those that may."""
    good = []
    for name in ("nqs-lab", *CORE):
        try:
            good.append(_say(True, name, version(name)))
        except PackageNotFoundError:
            good.append(_say(False, name, f"missing: pip install {name}"))
    for name, extra in OPTIONAL.items():
        try:
            _say(True, name, version(name))
        except PackageNotFoundError:
            _say(True, name, f"not installed (optional: pip install 'nqs-lab[{extra}]')")
    return good


def _devices() -> bool:
    """What JAX computes on, and with how many bits."""
    import jax
    import jax.numpy as jnp

    kinds = [f"{device.platform} ({device.device_kind})" for device in jax.devices()]
    _say(True, "devices", ", ".join(kinds))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in ("XLA_FLAGS", "OMP_NUM_THREADS") if name in os.environ]
    _say(True, "threads", ", ".join([f"{cores} processor cores may be used", *limits]))
    found = jnp.zeros(()).dtype
    return _say(found == jnp.float64, "numbers", f"{found} after nqs_lab.enable_x64()")


def _physics() -> list[bool]:
    """Exact diagonalisation against a known number, then sampling and learning against exact diagonalisation."""
    import jax
    import optax

    import nqs_lab as nl

    start = time.perf_counter()
    print("\nTotal energies in units of J1:")
    lattice = nl.square(4)
    energy = nl.ground_state(nl.j1j2(lattice, j2=0.5), nl.SpinBasis(lattice)).energy
    good = [_say(abs(energy - TORUS) < 1e-8, "4x4 torus, J2 = 0.5", f"exact {energy:.6f}, expected {TORUS:.6f}")]

    lattice = nl.chain(8)
    ham = nl.j1j2(lattice, j2=0.0)
    model = nl.MarshallSign(nl.RBM(lattice, key=jax.random.key(1)), lattice)
    optimiser = optax.chain(optax.sgd(0.1), optax.clip_by_global_norm(0.3))
    vmc = nl.VMC(ham, nl.ExchangeSampler(ham, n_chains=128), nl.SR(diag_shift=1e-3), optimiser)
    history = nl.History()
    nl.run(vmc, vmc.init(model, key=jax.random.key(2)), STEPS, callbacks=[history])
    energy = float(history["energy"][-10:].mean())
    error = abs(energy / RING - 1)
    text = f"trained {energy:.4f}, exact {RING:.4f}: relative error {error:.1e}, allowed {ALLOWED:.0e}"
    good.append(_say(error < ALLOWED, "ring of 8 spins", text))
    print(f"   ({time.perf_counter() - start:.1f} s)")
    return good
