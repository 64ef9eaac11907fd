"""Lattices: sites, bonds by shell, folding on small tori, momenta, orders, refusals."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from oracles import images_at_distance

from nqs_lab.spins import chain, ladder, rectangle, shastry_sutherland, square, tilted

LATTICES = [
    chain(8),
    chain(7, periodic=False),
    square(3),
    square(4),
    rectangle(4, 6),
    rectangle(3, 5, periodic=False),
    ladder(5),
    ladder(4, periodic=False),
    tilted(18),
    tilted(20),
    tilted(26),
    tilted(32),
]
NAMES = [lattice.name for lattice in LATTICES]
SQUARED = {1: 1, 2: 2, 3: 4}


def brute_force_bonds(lattice, squared):
    """Every bond of a squared length with its multiplicity, as {(i, j): count}, and the self-images."""
    n, geometry = lattice.n_sites, (lattice.coordinates, lattice.cluster, lattice.periodic)
    pairs = {(i, j): images_at_distance(*geometry, i, j, squared) for i in range(n) for j in range(i, n)}
    selves = sum(count for (i, j), count in pairs.items() if i == j)
    return {pair: count for pair, count in pairs.items() if count and pair[0] != pair[1]}, selves


@pytest.mark.parametrize("lattice", LATTICES, ids=NAMES)
@pytest.mark.parametrize("shell", [1, 2, 3])
def test_bonds_are_the_pairs_at_that_distance(lattice, shell):
    squared = shell**2 if not lattice.active[1] else SQUARED[shell]
    expected, selves = brute_force_bonds(lattice, squared)
    if selves or any(count > 1 for count in expected.values()):
        with pytest.raises(ValueError, match="itself|same two sites"):
            lattice.bonds(shell)
        return
    assert [tuple(pair) for pair in lattice.bonds(shell).tolist()] == sorted(expected)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    lx=st.integers(1, 5),
    ly=st.integers(1, 5),
    periodic=st.booleans(),
    shell=st.integers(1, 2),
    folded=st.sampled_from(["error", "once", "twice"]),
)
def test_folding_means_what_it_says_on_every_rectangle(lx, ly, periodic, shell, folded):
    lattice = rectangle(lx, ly, periodic)
    squared = shell if lx > 1 and ly > 1 else shell**2
    if lx == ly == 1:
        assert lattice.bonds(shell, folded).shape == (0, 2)
        return
    expected, selves = brute_force_bonds(lattice, squared)
    if selves or (folded == "error" and any(count > 1 for count in expected.values())):
        with pytest.raises(ValueError):
            lattice.bonds(shell, folded)
        return
    found = lattice.bonds(shell, folded).tolist()
    assert found == sorted(found)
    times = {pair: 1 if folded == "once" else count for pair, count in expected.items()}
    assert len(found) == sum(times.values())
    assert {pair: found.count(list(pair)) for pair in times} == times


def test_small_tori_that_fold_and_those_that_do_not():
    assert len(square(4).bonds(2)) == 32  # the 4x4 torus does not fold second neighbours
    with pytest.raises(ValueError, match="folded='once'"):
        chain(4).bonds(2)
    assert chain(4).bonds(2, "once").tolist() == [[0, 2], [1, 3]]
    assert chain(4).bonds(2, "twice").tolist() == [[0, 2], [0, 2], [1, 3], [1, 3]]
    with pytest.raises(ValueError, match="same two sites"):
        square(2).bonds()
    with pytest.raises(ValueError, match="same two sites"):
        ladder(2).bonds()
    with pytest.raises(ValueError, match="itself"):
        chain(2).bonds(2, "twice")


@pytest.mark.parametrize("rungs", [3, 4, 7])
def test_a_ladder_has_each_rung_once(rungs):
    bonds = ladder(rungs).bonds().tolist()
    assert len(bonds) == 3 * rungs
    assert [[x, x + rungs] for x in range(rungs)] == [b for b in bonds if b[1] - b[0] == rungs and b[0] < rungs]


@pytest.mark.parametrize("lattice", LATTICES, ids=NAMES)
def test_sites_wrap_along_periodic_directions_only(lattice):
    rng = np.random.default_rng(3)
    for site, (x, y) in enumerate(lattice.coordinates):
        assert lattice.site(x, y) == site
        m, n = (int(v) if p else 0 for v, p in zip(rng.integers(-3, 4, 2), lattice.periodic, strict=True))
        (a, b), (c, d) = lattice.cluster
        assert lattice.site(x + m * a + n * c, y + m * b + n * d) == site
    assert len(set(lattice.coordinates)) == lattice.n_sites


def test_rectangles_number_sites_row_by_row():
    lattice = rectangle(4, 3)
    assert all(lattice.site(x, y) == x + 4 * y for x in range(4) for y in range(3))
    with pytest.raises(ValueError, match="open edge"):
        rectangle(4, 3, periodic=False).site(4, 0)
    with pytest.raises(ValueError, match="open edge"):
        ladder(4).site(0, 2)


def test_which_lattices_are_periodic():
    assert all(lat.is_periodic for lat in (chain(6), square(4), rectangle(4, 6), tilted(20)))
    assert not any(lat.is_periodic for lat in (ladder(4), square(4, periodic=False), chain(6, periodic=False)))


@pytest.mark.parametrize("lattice", [lat for lat in LATTICES if any(lat.periodic)], ids=lambda lat: lat.name)
def test_momenta_solve_the_periodic_boundary_condition(lattice):
    momenta = lattice.momenta()
    n_translations = lattice.translations().n_elements
    assert len(momenta) == n_translations
    waves = {tuple(np.round(lattice.wavevector(k), 9)) for k in momenta}
    assert len(waves) == n_translations
    for k in momenta:
        q = np.array(lattice.wavevector(k))
        for step, number, on in zip(lattice.cluster, k, lattice.periodic, strict=True):
            if on:
                turns = (q @ np.array(step)) / (2 * np.pi)
                assert abs(turns - round(turns)) < 1e-9
                assert (round(turns) - number) % max(1, lattice.n_sites) in range(lattice.n_sites)
        assert lattice.fold(*k) == k


def test_named_momenta():
    pi = np.pi
    assert square(4).momentum("M") == (2, 2) and square(4).momentum("X") == (2, 0) and square(6).momentum("Y") == (0, 3)
    assert rectangle(4, 6).momentum("M") == (2, 3) and chain(10).momentum("M") == (5, 0)
    for n in (18, 20, 26, 32):
        assert np.allclose(tilted(n).wavevector(tilted(n).momentum("M")), (pi, pi))
        assert tilted(n).wavevector(tilted(n).momentum("Gamma")) == (0, 0)
    assert np.allclose(tilted(20).wavevector(tilted(20).momentum("X")), (pi, 0))
    with pytest.raises(ValueError, match="does not have"):
        tilted(18).momentum("X")
    with pytest.raises(ValueError, match="does not have"):
        chain(9).momentum("M")
    with pytest.raises(ValueError, match="Gamma"):
        square(4).momentum("gamma")
    with pytest.raises(ValueError, match="open"):
        chain(6).wavevector((1, 1))


def test_orders_alternate_on_the_bonds_they_should():
    for lattice in LATTICES:
        try:
            neel = lattice.order("neel")
        except ValueError:
            assert any((a + b) % 2 for (a, b), p in zip(lattice.cluster, lattice.periodic, strict=True) if p)
            continue
        i, j = lattice.bonds(1).T
        assert np.all(neel[i] == -neel[j])
    stripe = square(4).order("stripe")
    assert stripe.dtype == np.int8 and stripe.reshape(4, 4).tolist() == [[1, -1, 1, -1]] * 4
    for lattice, kind in ((square(3), "neel"), (tilted(18), "stripe"), (tilted(26), "stripe"), (chain(5), "neel")):
        with pytest.raises(ValueError, match="cannot carry"):
            lattice.order(kind)
    with pytest.raises(ValueError, match="neel"):
        square(4).order("ferro")


def test_a_lattice_is_a_value():
    assert square(4) == square(4) and square(4) != square(6) and square(4) != square(4, periodic=False)
    table = {square(4): "a", tilted(18): "b"}
    assert table[square(4)] == "a" and table[tilted(18)] == "b"
    assert not jax.tree.leaves(square(4))
    traces = []

    def count(lattice, x):
        traces.append(1)
        return x * lattice.n_sites

    counted = jax.jit(count, static_argnums=0)
    counted(square(4), 1.0)
    counted(square(4), 2.0)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain(0),
        lambda: chain(-3),
        lambda: rectangle(0, 4),
        lambda: square(-1),
        lambda: ladder(0),
        lambda: tilted(16),
        lambda: tilted(20, periodic=False),
        lambda: square(4).bonds(0),
        lambda: square(4).bonds(1, "thrice"),
        lambda: square(4, periodic=False).translations(),
        lambda: square(6).translations(step=4),
        lambda: square(4).translations(step=0),
        lambda: square(4).point_group("E"),
        lambda: chain(8).point_group("B2"),
        lambda: tilted(18).translations(step=2),
        lambda: shastry_sutherland(square(3), j=0.5, j_dimer=1.0),
        lambda: shastry_sutherland(tilted(20), j=0.5, j_dimer=1.0),
    ],
)
def test_refusals(make):
    with pytest.raises(ValueError):
        make()
