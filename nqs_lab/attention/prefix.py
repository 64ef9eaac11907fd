"""Causal oracles: every token moves in the Hamiltonian of its own prefix, in n^2 and not n^3 operations."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nqs_lab.attention.mixers import Mask


def causal_mask(n: int) -> Bool[np.ndarray, "n n"]:
    """True where token i may see token j: j <= i."""
    return np.tri(n, dtype=bool)


def is_causal(mask: Mask | None, n: int) -> bool:
    """Whether a mask is the causal one (True) or none at all (False). **Raises** ValueError for any other mask."""
    if mask is None or (mask.shape == (n, n) and np.all(np.asarray(mask))):
        return False
    if mask.shape != (n, n) or not np.array_equal(np.asarray(mask), causal_mask(n)):
        raise ValueError(
            f"an energy knows two masks for {n} tokens: none, where all pairs interact, and the causal one (True for "
            f"j <= i), where each token moves in the energy of its prefix; got another one of shape {mask.shape}."
        )
    return True


def prefix_counts(x: Float[Array, "h n r"]) -> Float[Array, "1 n 1"]:
    """i + 1, the number of tokens in the prefix of token i."""
    return jnp.arange(1, x.shape[1] + 1, dtype=x.dtype)[None, :, None]


def softmax_prefix_force(
    m: Float[Array, "h n n"], x: Float[Array, "h n r"], y: Float[Array, "h n r"], b: Float[Array, "h r r"]
) -> Float[Array, "h n r"]:
    """(1/2(i+1)) sum_{j<=i} M_ij (s_i + s_ij + 2) x_j, before A: softmax's force in the prefix of each token i.

    s_ij = y_j . B y_j / z_ij^2, z_ij = (1/(i+1)) sum_{k<=i} M_jk: what token j would be in the prefix of i. Token j
    sees the tokens between j and i there, token i sees nothing later than itself; sums along k give all z_ij at once.
    """
    n = m.shape[-1]
    inside = jnp.broadcast_to(jnp.asarray(causal_mask(n)), m.shape)
    counts = prefix_counts(x)
    # cumsum over keys: row j, column i holds sum_{k<=i} M_jk; transposed, row i is the prefix
    z = jnp.cumsum(m, axis=2).transpose(0, 2, 1) / counts
    z = jnp.where(inside, z, jnp.ones_like(z))  # z_ij with j > i has no meaning and must not overflow
    size = jnp.sum(y * (y @ b), axis=2)[:, None, :]
    s = size / z / z
    own = jnp.diagonal(s, axis1=1, axis2=2)[:, :, None]
    return jnp.where(inside, m * (own + s + 2), jnp.zeros_like(m)) @ x / (2 * counts)
