"""Finite lattices of spins: sites, bonds by distance, translations, point groups."""

from __future__ import annotations

import equinox as eqx
import numpy as np
from jaxtyping import Int, Int8

from nqs_lab.spins.pointgroup import point_group
from nqs_lab.spins.symmetry import Group

_TILTED = {18: (3, 3), 20: (4, 2), 26: (5, 1), 32: (4, 4)}


class Lattice(eqx.Module):
    """A finite piece of the square lattice, cut out by two spanning vectors a1 and a2.

    Sites are numbered row by row: on a rectangle site = x + Lx*y. Along a periodic direction r and r + a coincide.
    Every field is static and hashable, so two lattices compare by value and a lattice can be a static field itself.

    Fields: `coordinates` site -> (x, y); `cluster` (a1, a2); `periodic` along (a1, a2); `shape` (Lx, Ly) or None.
    Build one with `chain`, `square`, `rectangle`, `ladder` or `tilted`.
    """

    name: str = eqx.field(static=True)
    coordinates: tuple[tuple[int, int], ...] = eqx.field(static=True)
    cluster: tuple[tuple[int, int], tuple[int, int]] = eqx.field(static=True)
    periodic: tuple[bool, bool] = eqx.field(static=True)
    shape: tuple[int, int] | None = eqx.field(static=True)

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.coordinates)

    @property
    def active(self) -> tuple[bool, bool]:
        """Which directions have more than one site (a chain has only the first)."""
        return (True, True) if self.shape is None else (self.shape[0] > 1, self.shape[1] > 1)

    @property
    def is_periodic(self) -> bool:
        """True if every direction with more than one site is periodic (false for the ladder, open across its rungs)."""
        return all(p or not a for p, a in zip(self.periodic, self.active, strict=True))

    def sites(self, points: Int[np.ndarray, "K 2"]) -> Int[np.ndarray, " K"]:
        """Site numbers of many integer points, wrapped along periodic directions; -1 off an open edge."""
        (a, b), (c, d) = self.cluster
        area = a * d - b * c
        x, y = points[:, 0], points[:, 1]
        u = (d * x - c * y) // area if self.periodic[0] else np.zeros_like(x)
        v = (a * y - b * x) // area if self.periodic[1] else np.zeros_like(x)
        where = {point: site for site, point in enumerate(self.coordinates)}
        wrapped = zip((x - u * a - v * c).tolist(), (y - u * b - v * d).tolist(), strict=True)
        return np.array([where.get(point, -1) for point in wrapped], dtype=np.int64)

    def site(self, x: int | np.integer, y: int | np.integer = 0) -> int:
        """Site number of the point (x, y), wrapped along periodic directions.

        Raises: ValueError if the point lies beyond an open edge.
        """
        found = int(self.sites(np.array([[x, y]]))[0])
        if found < 0:
            raise ValueError(f"({x}, {y}) lies off the open edge of {self.name}; its sites are {self.coordinates}.")
        return found

    def bonds(self, shell: int = 1, folded: str = "error") -> Int[np.ndarray, "B 2"]:
        """Pairs of sites at the `shell`-th distance of the infinite lattice, each undirected bond once (i < j).

        Shells of the square lattice: 1 nearest, 2 diagonal, 3 two steps straight; of a chain: 1, 2, 3 steps.
        On a very small torus two different bonds can join the same two sites (nearest neighbours at L = 2, second
        neighbours on a ring of 4). `folded` says what you mean then: "error" refuses, "once" keeps one bond per pair
        of sites, "twice" keeps every bond as its own row.

        Raises: ValueError for a folded bond under "error", for a bond from a site to itself, for a bad argument.
        """
        if folded not in ("error", "once", "twice"):
            raise ValueError(f'folded must be "error", "once" or "twice"; got {folded!r}.')
        points = np.array(self.coordinates, dtype=np.int64)
        rows = [np.empty((0, 2), dtype=np.int64)]
        for step in self._half_shell(shell):
            target = self.sites(points + np.array(step))
            start = np.flatnonzero(target >= 0)
            rows.append(np.sort(np.stack([start, target[start]], axis=1), axis=1))
        pairs = np.concatenate(rows)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        if np.any(pairs[:, 0] == pairs[:, 1]):
            raise ValueError(f"Shell {shell} of {self.name} joins a site to itself; use a larger lattice.")
        unique = np.unique(pairs, axis=0)
        if len(unique) < len(pairs) and folded == "error":
            raise ValueError(
                f"On {self.name} different bonds of shell {shell} join the same two sites. Pass folded='once' (one "
                f"bond per pair: {len(unique)}) or folded='twice' (every bond: {len(pairs)}), or use a larger lattice."
            )
        return unique if folded == "once" else pairs

    def _half_shell(self, shell: int) -> list[tuple[int, int]]:
        """Displacements of one shell, one of each pair +d and -d."""
        if shell < 1:
            raise ValueError(f"shell counts distances from 1 (nearest neighbours); got {shell}.")
        xs = range(-shell, shell + 1) if self.active[0] else range(1)
        ys = range(shell + 1) if self.active[1] else range(1)
        half = [(x, y) for y in ys for x in xs if y > 0 or x > 0]
        lengths = sorted({x * x + y * y for x, y in half})
        return [(x, y) for x, y in half if x * x + y * y == lengths[shell - 1]] if lengths else []

    def wavevector(self, momentum: tuple[int, int]) -> tuple[float, float]:
        """Wave vector q (radians per site) of a momentum given as two integers (k1, k2).

            q . a1 = 2 pi k1,   q . a2 = 2 pi k2

        On a rectangle that is q = (2 pi kx / Lx, 2 pi ky / Ly). On a tilted cluster the integers count the reciprocal
        vectors of the cluster; `momentum("M")` finds (pi, pi). The result lies in [0, 2 pi).
        """
        numerators, area = self._phase_numerators(momentum)
        return 2 * np.pi * numerators[0] / area, 2 * np.pi * numerators[1] / area

    def _phase_numerators(self, momentum: tuple[int, int]) -> tuple[tuple[int, int], int]:
        """Integers (m, n) and A with q = 2 pi (m, n) / A."""
        (a, b), (c, d) = self.cluster
        area = a * d - b * c
        k1, k2 = momentum
        for k, periodic, label in zip(momentum, self.periodic, "12", strict=True):
            if k != 0 and not periodic:
                raise ValueError(f"{self.name} is open along direction {label}, so k{label} must be 0; got {momentum}.")
        return ((d * k1 - b * k2) % area, (a * k2 - c * k1) % area), area

    def momentum(self, name: str) -> tuple[int, int]:
        """The integers (k1, k2) of a named point: "Gamma" (0,0), "M" (pi,pi), "X" (pi,0), "Y" (0,pi).

        On a chain "M" and "X" both mean pi. Raises: ValueError if the cluster does not have that momentum.
        """
        points = {"Gamma": (0, 0), "M": (1, 1), "X": (1, 0), "Y": (0, 1)}
        if name not in points:
            raise ValueError(f"momentum names are {', '.join(points)}; got {name!r}.")
        found = []
        for (ax, ay), periodic in zip(self.cluster, self.periodic, strict=True):
            halves = points[name][0] * ax + points[name][1] * ay if periodic else 0
            if halves % 2:
                raise ValueError(f"{self.name} does not have the momentum {name}: its period is odd along {(ax, ay)}.")
            found.append(halves // 2)
        return self.fold(found[0], found[1])

    def fold(self, k1: int, k2: int) -> tuple[int, int]:
        """The standard integers of a momentum: the first in `momenta()` with the same wave vector."""
        target = self._phase_numerators((k1, k2))
        return next(k for k in self.momenta() if self._phase_numerators(k) == target)

    def momenta(self) -> tuple[tuple[int, int], ...]:
        """Every different momentum (k1, k2) of the cluster, as many as there are translations."""
        (a, b), (c, d) = self.cluster
        area = a * d - b * c
        limit = [1, 1]
        for axis, periodic in enumerate(self.periodic):
            if periodic:
                limit[axis] = self.shape[axis] if self.shape is not None else area
        seen: dict[tuple[tuple[int, int], int], tuple[int, int]] = {}
        pairs = [(k1, k2) for k1 in range(limit[0]) for k2 in range(limit[1])]
        for k in pairs if self.shape is not None else sorted(pairs, key=lambda k: (k[0] + k[1], k)):
            seen.setdefault(self._phase_numerators(k), k)
        return tuple(seen.values())

    def translations(self, step: int = 1, momentum: tuple[int, int] = (0, 0)) -> Group:
        """The group of translations by multiples of `step` in each periodic direction.

        (T_r s)(x) = s(x - r) with the character exp(i q.r): psi(T_r s) = exp(i q.r) psi(s). Element g carries site 0
        to the g-th allowed site. Use step=2 for a wave function made of 2x2 patches.

        Raises: ValueError if no direction is periodic or the cluster is not a multiple of `step`.
        """
        steps = [a for a, p in zip(self.cluster, self.periodic, strict=True) if p]
        if not steps:
            raise ValueError(f"{self.name} has open edges and no translations; build it with periodic=True.")
        if step < 1 or any(component % step for a in steps for component in a):
            raise ValueError(f"step={step} does not divide the periods {steps} of {self.name}.")
        points = np.array(self.coordinates, dtype=np.int64)
        fixed = np.array([not p and self.shape is not None for p in self.periodic])
        allowed = np.all(points % step == 0, axis=1) & np.all(points[:, fixed] == 0, axis=1)
        permutations = np.stack([self.sites(points - shift) for shift in points[allowed]])
        q = np.array(self.wavevector(momentum))
        return Group(permutations, characters=np.exp(1j * (points[allowed] @ q)))

    def point_group(self, irrep: str = "A1") -> Group:
        """Rotations and reflections that map the cluster onto itself, with a one-dimensional representation.

        C4v (squares, 18, 32): A1 A2 B1 B2; C4 (20, 26): A B; C2v (rectangles, ladders): A1 A2, B1 odd under x -> -x,
        B2 odd under y -> -y; chains: A B (B odd under the mirror). "A1" and "A" name the trivial one everywhere.
        Periodic directions turn about site 0, open ones about the middle.

        Raises: ValueError for a representation the cluster does not have.
        """
        return point_group(self, irrep)

    def order(self, kind: str = "neel") -> Int8[np.ndarray, " N"]:
        """The signs of a classical order: "neel" (-1)^(x+y) or "stripe" (-1)^x, as +1/-1 per site.

        Raises: ValueError if the period of the cluster is odd for that order.
        """
        if kind not in ("neel", "stripe"):
            raise ValueError(f'order must be "neel" or "stripe"; got {kind!r}.')
        weight = np.array([1, 1] if kind == "neel" else [1, 0])
        for a, periodic in zip(self.cluster, self.periodic, strict=True):
            if periodic and (weight @ np.array(a)) % 2:
                raise ValueError(
                    f"{self.name} cannot carry {kind} order: its period {a} joins a + site to a + site. "
                    "Take a cluster of even period, or open edges."
                )
        return (1 - 2 * ((np.array(self.coordinates) @ weight) % 2)).astype(np.int8)


def _cut(name: str, a1: tuple[int, int], a2: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The integer points inside the parallelogram of a1 and a2, sorted row by row."""
    (a, b), (c, d) = a1, a2
    area = a * d - b * c
    reach = range(-abs(a) - abs(b) - abs(c) - abs(d), abs(a) + abs(b) + abs(c) + abs(d) + 1)
    inside = [(x, y) for y in reach for x in reach if 0 <= d * x - c * y < area and 0 <= a * y - b * x < area]
    assert len(inside) == area, name
    return tuple(inside)


def rectangle(Lx: int, Ly: int, periodic: bool = True) -> Lattice:
    """Lx times Ly sites of the square lattice, site = x + Lx*y; a torus if periodic."""
    if Lx < 1 or Ly < 1:
        raise ValueError(f"A rectangle needs positive side lengths; got {Lx} and {Ly}.")
    name = f"{Lx}x{Ly} {'torus' if periodic else 'open'}"
    points = tuple((x, y) for y in range(Ly) for x in range(Lx))
    return Lattice(name, points, ((Lx, 0), (0, Ly)), (periodic and Lx > 1, periodic and Ly > 1), (Lx, Ly))


def square(L: int, periodic: bool = True) -> Lattice:
    """L times L sites of the square lattice."""
    return rectangle(L, L, periodic)


def chain(L: int, periodic: bool = True) -> Lattice:
    """L sites in a row; a ring if periodic."""
    if L < 1:
        raise ValueError(f"A chain needs a positive number of sites; got {L}.")
    name = f"{'ring' if periodic else 'open chain'} of {L}"
    return Lattice(name, tuple((x, 0) for x in range(L)), ((L, 0), (0, 1)), (periodic and L > 1, False), (L, 1))


def ladder(rungs: int, periodic: bool = True) -> Lattice:
    """Two legs joined by `rungs` rungs, site = x + rungs*y; periodic along the legs only."""
    if rungs < 1:
        raise ValueError(f"A ladder needs a positive number of rungs; got {rungs}.")
    name = f"{'periodic' if periodic else 'open'} ladder of {rungs} rungs"
    points = tuple((x, y) for y in range(2) for x in range(rungs))
    return Lattice(name, points, ((rungs, 0), (0, 2)), (periodic and rungs > 1, False), (rungs, 2))


def tilted(n_sites: int, periodic: bool = True) -> Lattice:
    """A tilted square of 18, 20, 26 or 32 sites with spanning vectors (m, n) and (-n, m); always a torus.

    Raises: ValueError for another size, or periodic=False (its edges are ragged; use `square` or `rectangle`).
    """
    if n_sites not in _TILTED:
        raise ValueError(f"Tilted clusters have {', '.join(map(str, _TILTED))} sites; got {n_sites}.")
    if not periodic:
        raise ValueError("A tilted cluster is always periodic; for open edges use square or rectangle.")
    m, n = _TILTED[n_sites]
    name = f"tilted {n_sites}-site torus"
    return Lattice(name, _cut(name, (m, n), (-n, m)), ((m, n), (-n, m)), (True, True), None)
