"""Random tokens and matrices for the tests of flows, made by NumPy: nothing to compile."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

SIZES = [(n, d) for n in (2, 7, 16) for d in (1, 3, 8)]
SOME = [(2, 8), (7, 3), (16, 1)]


class Cases:
    """A stream of random cases."""

    def __init__(self, *seed):
        self.rng = np.random.default_rng([20240518, *seed])

    def tokens(self, n, d):
        """n tokens with entries of about 1 / sqrt(d): exponents stay of order one."""
        return jnp.asarray(self.rng.uniform(-1.5, 1.5, (n, d)) / np.sqrt(d))

    def general(self, d):
        """A matrix of norm of order one, not symmetric."""
        return jnp.asarray(self.rng.normal(size=(d, d)) / np.sqrt(d))

    def symmetric(self, d):
        """A symmetric matrix with eigenvalues of both signs (for d > 1), none of them tiny."""
        q = np.linalg.qr(self.rng.normal(size=(d, d)))[0]
        values = self.rng.uniform(0.3, 1.2, d) * np.where(np.arange(d) % 2, -1, 1)
        m = (q * values) @ q.T
        return jnp.asarray((m + m.T) / 2)

    def positive(self, d):
        """A symmetric matrix with eigenvalues above 1/2."""
        m = self.rng.normal(size=(d, d)) / np.sqrt(d)
        m = m @ m.T + np.eye(d) / 2
        return jnp.asarray((m + m.T) / 2)

    def orthogonal(self, d):
        """A random rotation or reflection."""
        return jnp.asarray(np.linalg.qr(self.rng.normal(size=(d, d)))[0])


def error(found, expected):
    """Largest deviation relative to the largest expected entry."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def compiled(function, *arguments):
    """The values of a function of several arrays, as one program: op by op, JAX would compile hundreds."""
    return eqx.filter_jit(function)(*arguments)


def reference(flow, x, y, start, end):
    """(x, y) at the end by SciPy's DOP853 at rtol 1e-12: an integrator that is not ours."""
    shape = x.shape

    @jax.jit
    def field(t, u):
        x, y = u.reshape(2, *shape)
        return jnp.stack([flow.velocity(x, y), flow.force(x, y) - flow.damping(t) * y]).reshape(-1)

    u = np.concatenate([np.ravel(x), np.ravel(y)])
    done = solve_ivp(field, (start, end), u, method="DOP853", rtol=1e-12, atol=1e-14)
    assert done.success and np.all(np.isfinite(done.y))
    return done.y[:, -1].reshape(2, *shape)
