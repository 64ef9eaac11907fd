"""Random energy mixers and tokens for the tests of blocks; NumPy draws them, so that nothing is compiled for it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flow_cases import Cases

from nqs_lab.attention import ENERGY_MIXERS, causal_mask, make_energy_mixer
from nqs_lab.attention.energy_mixers import mirrored

SIZES = [(2, 1, 3), (7, 2, 2), (6, 3, 1)]
"""(n, h, r)."""


def ring(n):
    """Displacement table of n tokens on a ring."""
    return (np.arange(n)[:, None] - np.arange(n)[None]) % n


def text(n):
    """Displacement table of n tokens in a row: i - j, counted from 0."""
    return np.arange(n)[:, None] - np.arange(n)[None] + n - 1


def energy_mixer(name, n, h, r, *, causal=False, dtype=jnp.float64, seed=0):
    """An energy mixer with random symmetric A (indefinite), positive B, symmetric V and position table."""
    cases = Cases(n, h, r, ENERGY_MIXERS.index(name), causal, seed)
    table, mask = (text(n), causal_mask(n)) if causal else (ring(n), None)
    make = lambda key: make_energy_mixer(name, h * r, h, table, mask=mask, dtype=dtype, key=key)
    mixer = eqx.filter_eval_shape(make, jax.random.key(0))
    lower = np.tril_indices(r)
    pack = lambda draw: jnp.asarray(np.stack([np.asarray(draw())[lower] for _ in range(h)]), dtype)
    new = {"a": pack(lambda: cases.symmetric(r))}
    if name == "linear":
        new["v"] = pack(lambda: cases.symmetric(r))
    else:
        new["b"] = pack(lambda: np.linalg.cholesky(cases.positive(r)))
    mixer = eqx.tree_at(lambda m: [getattr(m, k).packed for k in new], mixer, list(new.values()))
    if name in ("t5", "factored"):
        shape = mixer.positions.table.shape
        rows = jnp.asarray(cases.rng.normal(size=shape) / (1 if name == "t5" else n**0.5), dtype)
        index = jnp.asarray(mirrored(table, causal), jnp.int32)
        mixer = eqx.tree_at(lambda m: (m.positions.table, m.positions.displacement), mixer, (rows, index))
    return mixer


def cloud(n, h, r, seed=1):
    """Tokens and momenta (n, h r), bounded."""
    cases = Cases(n, h, r, seed)
    return tuple(jnp.concatenate([cases.tokens(n, r) for _ in range(h)], axis=1) for _ in range(2))


def per_head(h, *arrays):
    """The heads' parts of (n, h r) arrays, one tuple for each head."""
    return list(zip(*(np.split(np.asarray(array), h, axis=1) for array in arrays), strict=True))
