"""Random cases for the checks of notebook 04, and the comparisons that several of its properties share.

Slopes and distances come from finite steps of a random wave function, not from any formula of the lesson.
"""

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs


@dataclass(frozen=True)
class Family:
    """log psi(theta) = A theta + sin(B theta) / 3 on a few configurations, with a random Hermitian H; theta is real."""

    a: np.ndarray
    b: np.ndarray
    hamiltonian: np.ndarray
    theta: np.ndarray

    def psi(self, theta: np.ndarray) -> np.ndarray:
        """The normalised amplitudes."""
        psi = np.exp(self.a @ theta + np.sin(self.b @ theta) / 3)
        return psi / np.linalg.norm(psi)

    def energy(self, theta: np.ndarray) -> float:
        """<H> in the normalised state."""
        psi = self.psi(theta)
        return float(np.vdot(psi, self.hamiltonian @ psi).real)

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the reader gets at theta: log-derivatives O (S, P), local energies (S,), weights (S,)."""
        psi = self.psi(self.theta)
        o = self.a + np.cos(self.b @ self.theta)[:, None] * self.b / 3
        return o, self.hamiltonian @ psi / psi, np.abs(psi) ** 2


def random_family(rng: np.random.Generator, *, real: bool) -> Family:
    """A random family of 8 to 13 configurations and 3 to 5 parameters."""
    size, count = int(rng.integers(8, 14)), int(rng.integers(3, 6))

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) + (0.0 if real else 1j * rng.normal(size=shape))

    h = draw(size, size)
    return Family(0.5 * draw(size, count), 0.5 * draw(size, count), h + h.conj().T, 0.3 * rng.normal(size=count))


def off(seen: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """True where arrays differ by more than a share of the largest wanted number."""
    return not float(np.abs(seen - wanted).max()) <= tolerance * float(np.abs(wanted).max())


def read_gradient(answer: Any, family: Family) -> np.ndarray:
    """The reader's gradient, real and of the right shape."""
    got = np.asarray(asked(answer, *family.data()))
    if got.shape != family.theta.shape:
        raise ValueError(
            f"with {len(family.theta)} parameters the shape should be {family.theta.shape}, got {got.shape}"
        )
    return got


def read_metric(answer: Any, family: Family, moved: np.ndarray | float = 0.0) -> np.ndarray:
    """The reader's matrix for O + moved."""
    o, _, weights = family.data()
    got, count = np.asarray(asked(answer, o + moved, weights)), len(family.theta)
    if got.shape != (count, count):
        raise ValueError(f"with {count} parameters the shape should be {(count, count)}, got {got.shape}")
    return got


def compare_slope(answer: Any, rng: np.random.Generator, *, real: bool) -> str | None:
    """Compare with the slope of the energy along each parameter."""
    family = random_family(rng, real=real)
    got, step = read_gradient(answer, family), 1e-5
    want = np.array(
        [
            (family.energy(family.theta + step * axis) - family.energy(family.theta - step * axis)) / (2 * step)
            for axis in np.eye(len(family.theta))
        ]
    )
    if off(got, want, 1e-6):
        k = int(np.abs(got - want).argmax())
        return f"parameter {k}: yours {got[k]:.6f}, the energy's slope {want[k]:.6f} (ratio {got[k] / want[k]:.4g})"
    return None


def compare_length(answer: Any, rng: np.random.Generator, *, real: bool) -> str | None:
    """Compare with the infidelity of states a small step apart."""
    family = random_family(rng, real=real)
    got, step, psi = read_metric(answer, family), 1e-3, family.psi(family.theta)
    for _ in range(4):
        d = rng.normal(size=len(family.theta))
        lost = [1 - abs(np.vdot(psi, family.psi(family.theta + s * step * d))) ** 2 for s in (1, -1)]
        want, have = float(np.mean(lost)) / step**2, float(d @ got @ d)
        if abs(have - want) > 1e-4 * want:
            return f"d.S d = {have:.6f} where 1 - fidelity grows by {want:.6f} per (step)^2 (ratio {have / want:.4g})"
    return None


def random_system(rng: np.random.Generator, rows: int, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A random least-squares problem X x = eps and a shift."""
    return rng.normal(size=(rows, count)), rng.normal(size=rows), float(10 ** rng.uniform(-2, 1))


def peak_memory(answer: Any, *arguments: Any) -> float:
    """The most memory, in MiB, that the reader's function holds at a time beyond what there was before."""
    running = tracemalloc.is_tracing()
    tracemalloc.start() if not running else tracemalloc.reset_peak()
    try:
        before = tracemalloc.get_traced_memory()[0]
        asked(answer, *arguments)
        return (tracemalloc.get_traced_memory()[1] - before) / 2**20
    finally:
        if not running:
            tracemalloc.stop()


def same_step(answer: Any, rng: np.random.Generator, pauli: bool, doubled: bool) -> str | None:
    """Take the step in both conventions and compare."""
    x, eps, shift = random_system(rng, 12, 5)
    rate = float(10 ** rng.uniform(-3, -1))
    matrix = x.T @ x + shift * np.eye(5)
    theirs = rate * np.linalg.solve(matrix, (2.0 if doubled else 1.0) * x.T @ ((4.0 if pauli else 1.0) * eps))
    ours = float(asked(answer, rate, pauli, doubled)) * np.linalg.solve(matrix, x.T @ eps)
    if differs(ours / rate, theirs / rate, 1e-8):
        ratio = float(ours @ theirs / (theirs @ theirs))
        return f"their rate {rate:.4g}: with your rate the step of this library is {ratio:.4g} times theirs"
    return None


def too_long(rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """A direction, a rate and a limit that the step exceeds; one component stands out, so that clipping turns it."""
    direction = rng.normal(size=int(rng.integers(3, 30)))
    direction[rng.integers(len(direction))] = 10 * rng.choice([-1.0, 1.0])
    limit = float(rng.uniform(0.1, 0.5))
    return direction, float(rng.uniform(1.5, 40)) * limit / float(np.linalg.norm(direction)), limit


def random_bowl(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random matrix of second derivatives and a random metric, both positive."""
    count = int(rng.integers(2, 6))

    def positive() -> np.ndarray:
        q = np.linalg.qr(rng.normal(size=(count, count)))[0]
        return q @ np.diag(10 ** rng.uniform(-0.7, 0.7, count)) @ q.T

    return positive(), positive()


def random_turn(rng: np.random.Generator, count: int) -> np.ndarray:
    """A random change of parameters, neither symmetric nor close to singular."""
    left, right = (np.linalg.qr(rng.normal(size=(count, count)))[0] for _ in range(2))
    return left @ np.diag(10 ** rng.uniform(-0.5, 0.5, count)) @ right


def settles_up_to(name: str, rate: float, motion: np.ndarray) -> str | None:
    """theta <- theta - rate * motion theta must settle just below the rate and explode just above."""
    eye = np.eye(len(motion))
    below, above = (np.abs(np.linalg.eigvals(eye - f * rate * motion)).max() for f in (0.99, 1.01))
    if not below < 1 < above:
        word = "explodes already just below" if below >= 1 else "still settles above"
        return f"{name} {word} your rate {rate:.4g}: errors times {below:.4f} a step at 0.99 of it, {above:.4f} at 1.01"
    return None
