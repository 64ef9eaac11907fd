"""Random clusters, states and an independent H for the checks, from an identity that no exercise asks for (Dirac's).

State vectors: bit i of the index set means spin i up.
"""

from typing import Any

import numpy as np


def swapped(psi: np.ndarray, i: int, j: int) -> np.ndarray:
    """The vector with spins i and j exchanged."""
    n = int(np.log2(len(psi)))
    return psi.reshape((2,) * n).swapaxes(n - 1 - i, n - 1 - j).reshape(-1)


def applied(bonds: Any, couplings: Any, psi: np.ndarray) -> np.ndarray:
    """H psi from S_i.S_j = (exchange of i and j)/2 - 1/4, Dirac's identity for two spins 1/2."""
    return sum(c * (0.5 * swapped(psi, i, j) - 0.25 * psi) for (i, j), c in zip(bonds, couplings, strict=True))  # type: ignore[return-value]


def dense(bonds: Any, couplings: Any, n: int) -> np.ndarray:
    """The matrix of `applied` on n sites."""
    return np.stack([applied(bonds, couplings, column) for column in np.eye(2**n)], axis=1)


def turned(psi: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The same 2 x 2 matrix applied to every spin."""
    n = int(np.log2(len(psi)))
    tensor = psi.reshape((2,) * n)
    for axis in range(n):
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)
    return tensor.reshape(-1)


def random_cluster(rng: np.random.Generator, n: int) -> tuple[list[tuple[int, int]], list[float]]:
    """A random connected bond list on n sites, each pair at most once, with couplings of both signs."""
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chain = {(i, i + 1) for i in range(n - 1)}
    bonds = [pair for pair in pairs if pair in chain or rng.random() < 0.4]
    return bonds, [float(c) for c in rng.uniform(0.3, 1.5, len(bonds)) * rng.choice([-1, 1], len(bonds))]


def random_vector(rng: np.random.Generator, n: int) -> np.ndarray:
    """A normalised complex vector on n spins."""
    psi = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return psi / np.linalg.norm(psi)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A random 2 x 2 unitary matrix: one rotation of a spin 1/2."""
    return np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0]
