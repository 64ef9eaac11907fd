"""The shipped numbers of notebook 02, levels by sector and orders: agreement, completeness, rebuilding."""

import json
from math import comb

import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import order_results, sector_results
from nqs_lab.lab.order_results import compute_order, load_orders, ring_product, ring_weight
from nqs_lab.lab.sector_results import (
    CLUSTERS,
    J2_GRID,
    build,
    load_sector_levels,
    lowest_levels,
    memory,
    momentum_stars,
    read,
    sector_columns,
    size_text,
    write,
)

# Exact E0/N of an independent program (4x4, 18, 20) and of the varbench tables (4x6).
REFERENCE = {
    ("4x4", 0.0): -0.701780200527,
    ("4x4", 0.5): -0.528620209462,
    ("4x4", 1.0): -0.768468138506,
    ("18", 0.0): -0.693985983191,
    ("18", 0.5): -0.507142472477,
    ("20", 0.5): -0.500615600379,
    ("20", 1.0): -0.747575378343,
    ("4x6", 0.5): -0.522524935367,
    ("ring16", 0.0): -0.446393522539,
    ("ring16", 0.5): -0.375,
}


# --- shipped levels


@pytest.mark.parametrize("name", CLUSTERS)
def test_shipped_levels_are_complete_and_agree_with_the_reference(name):
    found = load_sector_levels(name)
    assert found.j2 == J2_GRID and found.levels.shape[:2] == (len(found.j2), len(found.columns))
    lattice = found.lattice
    whole = sum(c.dim * c.star for c in found.columns if c.irrep is None)
    assert whole == comb(lattice.n_sites, lattice.n_sites // 2)
    assert np.all(np.diff(found.levels, axis=2)[np.isfinite(np.diff(found.levels, axis=2))] > 0)
    for (cluster, j2), energy in REFERENCE.items():
        if cluster == name:
            assert found.ground(j2)[1] / lattice.n_sites == pytest.approx(energy, abs=2e-10)
    assert found.provenance["command"].endswith(name) and found.provenance["provenance"]["versions"]["numpy"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_levels_with_a_point_group_are_among_those_without(name):
    found = load_sector_levels(name)
    for c, column in enumerate(found.columns):
        if column.irrep is None:
            continue
        parent = next(
            k
            for k, other in enumerate(found.columns)
            if (other.momentum, other.irrep, other.flip) == (column.momentum, None, column.flip)
        )
        lowest, above = found.levels[:, c, 0], found.levels[:, parent, -1]
        inside = np.min(np.abs(found.levels[:, parent, :] - lowest[:, None]), axis=1) < 1e-7
        assert np.all(inside | (lowest > above - 1e-7) | ~np.isfinite(lowest))


@pytest.mark.parametrize("name", ["4x4", "18", "ring16"])
def test_some_columns_are_rebuilt(name):
    """Two sectors, computed from scratch, are the shipped ones."""
    found = load_sector_levels(name)
    assert sector_columns(found.lattice) == found.columns
    for c in (2, len(found.columns) - 1):
        rows = lowest_levels(found.lattice, found.columns[c], (0.0, 0.6))
        for row, j2 in zip(rows, (0.0, 0.6), strict=True):
            np.testing.assert_allclose(row, found.levels[found.index(j2), c, : len(row)], atol=1e-8)


def test_stars_gather_every_momentum_once():
    for make in CLUSTERS.values():
        lattice = make()
        stars = momentum_stars(lattice)
        assert sorted(k for star in stars for k in star) == sorted(lattice.momenta())
    assert [len(star) for star in momentum_stars(nl.square(4))] == [1, 4, 2, 4, 4, 1]


def test_build_write_and_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sector_results.CLUSTERS, "small", lambda: nl.chain(6))
    content = build("small", (0.0, 0.25))
    write(content, tmp_path / "a.json")
    found = read(json.loads((tmp_path / "a.json").read_text()))
    assert found.ground(0.0)[1] == pytest.approx(-2.802775637732, abs=1e-9)  # Bethe ansatz, six sites
    column = found.ground(0.0)[0]
    assert (column.place, column.flip) == ("M", -1)  # N/2 is odd
    with pytest.raises(ValueError, match="not computed"):
        found.index(0.1)
    with pytest.raises(ValueError, match="expected a file of format"):
        read({"format": "something"})
    with pytest.raises(ValueError, match="the clusters are"):
        build("nothing")
    with pytest.raises(ValueError, match="shipped for"):
        load_sector_levels("nothing")


def test_memory_is_an_upper_estimate_of_the_stored_matrix():
    for lattice in (nl.square(4), nl.tilted(18)):
        basis = nl.SpinBasis(lattice)
        h = nl.matrix(nl.j1j2(lattice, 0.5), basis)
        vector, sparse, dense = memory(basis.dim, lattice)
        assert vector == 8 * basis.dim and dense == 8 * basis.dim**2
        assert sparse == pytest.approx(h.data.nbytes + h.indices.nbytes, rel=1e-6)


def test_size_text():
    assert [size_text(b) for b in (8.0, 856.0, 1234.0, 1.26e8, 7.3e10, 6.6e20)] == [
        "8 B",
        "856 B",
        "1.2 kB",
        "126 MB",
        "73 GB",
        "660 EB",
    ]


# --- shipped orders


def test_shipped_orders_agree_with_an_independent_table():
    table = {  # S(pi,pi), S(pi,0), W(Neel), W(stripe), entropy of the 4x2 half
        0.0: (4.424434, 0.502095, 1.0, 0.604116, 1.820935),
        0.5: (2.562438, 0.667635, 0.98726903, 0.706255, 2.161965),
        0.6: (1.407355, 1.287746, 0.89778622, 0.784873, 2.427972),
        1.0: (0.042591, 2.909581, 0.53210735, 0.977909, 2.675818),
    }
    points = {point.j2: point for point in load_orders("4x4")}
    for j2, (neel, stripe, weight, other, entropy) in table.items():
        point = points[j2]
        assert point.structure_factor(np.pi, np.pi) == pytest.approx(neel, abs=2e-6)
        assert point.structure_factor(np.pi, 0.0) == pytest.approx(stripe, abs=2e-6)
        assert point.neel_weight == pytest.approx(weight, abs=1e-6)
        assert point.stripe_weight == pytest.approx(other, abs=1e-6)
        assert point.entropy == pytest.approx(entropy, abs=1e-6)


@pytest.mark.parametrize("name", order_results.SHAPES)
def test_orders_add_up_to_the_energy(name):
    levels = load_sector_levels(name)
    for point in load_orders(name):
        lattice, c = point.lattice, point.correlations
        near, far = (len(lattice.bonds(shell)) for shell in (1, 2))
        table = c[[lattice.site(*r) for r in ((1, 0), (0, 1), (1, 1), (1, -1))]]
        energy = near / 2 * (table[0] + table[1]) + point.j2 * far / 2 * (table[2] + table[3])
        assert point.energy == pytest.approx(energy, abs=1e-6)
        assert point.energy == pytest.approx(levels.ground(point.j2)[1], abs=1e-7)
        assert 0.5 <= point.neel_weight <= 1 and 0 <= point.ring_weight <= 1
        assert abs(c.sum()) < 1e-6  # a singlet


def test_one_order_point_is_rebuilt():
    levels = load_sector_levels("4x4")
    column, _ = levels.ground(0.5)
    point = compute_order(levels.lattice, 0.5, nl.Sector(column.momentum, column.irrep, column.flip))
    shipped = next(p for p in load_orders("4x4") if p.j2 == 0.5)
    for name in order_results.COLUMNS:
        assert getattr(point, name) == pytest.approx(getattr(shipped, name), abs=1e-7)


def test_ring_products_have_energy_minus_one_half_per_site():
    basis = nl.SpinBasis(nl.square(4))
    for axis in "xy":
        psi = ring_product(basis, axis)
        assert np.linalg.norm(psi) == pytest.approx(1.0)
        for j2 in (0.0, 0.5, 1.0):
            assert nl.expectation(nl.j1j2(nl.square(4), j2), psi, basis) == pytest.approx(-8.0, abs=1e-10)
        assert ring_weight(psi, basis) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="four sites"):
        ring_product(nl.SpinBasis(nl.rectangle(4, 3), total_sz=0), "y")
    with pytest.raises(ValueError, match="plain basis"):
        ring_product(nl.SpinBasis(nl.square(4), sector=nl.Sector((0, 0))), "x")
