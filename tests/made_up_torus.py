"""A shelf of 6x6 runs that nobody trained, of the shape of the real ones, for quick tests."""

import functools
import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import nqs_lab as nl
from nqs_lab.lab.large.__main__ import shelf
from nqs_lab.lab.large.reference import reference
from nqs_lab.lab.large.setting import make_model, settings_of
from nqs_lab.lab.shelf import Outcome
from nqs_lab.lab.torus_results import LATTICE, PROJECTIONS, Torus

FORWARDS = dict(zip(PROJECTIONS, (1, 4, 32, 64), strict=True))


def energies(exact, error, spread=2e-4):
    """The numbers of an energy `error` (relative) above the exact one."""
    energy, variance = exact * (1 - error), 60 * error
    return {
        "energy": energy,
        "error": spread * abs(exact),
        "exact": exact,
        "variance": variance,
        "v_score": nl.v_score(energy, variance, LATTICE.n_sites),
        "r_hat": 1.001,
        "tau": 1.5,
        "samples": 65536,
        "relative_error": error,
        "relative_error_error": spread,
    }


def correlations(setting, *, tilt=0.02, prefix="", seed=0):
    """C(r) of a wave with the right order, `tilt` between rows and columns, and its S(q)."""
    rng = np.random.default_rng(seed)
    point = np.array(LATTICE.coordinates)
    momenta = np.array(LATTICE.momenta())
    phase = np.array([LATTICE.wavevector(tuple(k)) for k in momenta.tolist()]) @ point.T
    order = reference(setting).order
    s = np.full(len(momenta), 0.6) + 0.01 * rng.random(len(momenta))
    rows = {name: momenta.tolist().index(list(LATTICE.momentum(name))) for name in ("M", "X", "Y", "Gamma")}
    s[rows["M"]], s[rows["Gamma"]] = order["neel"], 0.05
    s[rows["X"]], s[rows["Y"]] = order["stripe"] * (1 + tilt), order["stripe"] * (1 - tilt)
    c = (np.cos(phase).T @ s) / LATTICE.n_sites
    c[0] = 0.75
    found = {
        "correlations": c,
        "correlations_error": np.full(36, 2e-3),
        "structure_factor": s,
        "structure_factor_error": np.full(36, 2e-2),
    }
    return {prefix + name: values for name, values in found.items()}, momenta


@functools.cache
def size(attention):
    """Number of parameters of one type, from shapes alone."""
    setting = next(s for s in settings_of("torus") if s.attention == attention)
    shapes = jax.tree.leaves(eqx.filter_eval_shape(make_model, setting))
    return sum(math.prod(x.shape) for x in shapes if jnp.issubdtype(x.dtype, jnp.floating))


def outcome(setting, error=3e-3):
    """A made-up run: numbers, curve, correlations, and the weights of the untrained network."""
    exact = reference(setting).energy
    steps = np.arange(setting.steps)
    curve = exact * (1 - error - 0.4 * np.exp(-steps / 100))
    arrays, momenta = correlations(setting)
    arrays |= {"momenta": momenta.astype(np.int16), "energy": curve, "variance": 60 * (error + np.exp(-steps / 80))}
    count = size(setting.attention)
    arrays["weights"] = np.random.default_rng(setting.seed).normal(size=count).astype(np.float32)
    numbers = energies(exact, error) | {
        "parameters": count,
        "steps": setting.steps,
        "seconds": 1800.0,
        "order": {},
    }
    if setting.attention == "factored" and setting.j2 == 0.5:
        shares = dict(zip(PROJECTIONS[1:], (0.8, 0.5, 0.4), strict=True))
        numbers["symmetrised"] = {
            name: energies(exact, share * error) | {"forwards": FORWARDS[name]} for name, share in shares.items()
        }
        arrays |= correlations(setting, tilt=0.0, prefix="symmetrised_", seed=1)[0]
    return Outcome(numbers, arrays, eqx.nn.Identity())


def torus(folder, chosen=range(6), *, error=3e-3, steps=None):
    """A shelf with some of the six runs, t5 three times worse than factored."""
    place = shelf("torus", folder)
    for k in chosen:
        setting = settings_of("torus")[k]
        setting = setting if steps is None else replace(setting, steps=steps)
        place.add(setting, outcome(setting, error * (3 if setting.attention == "t5" else 1)))
    return Torus(folder)
