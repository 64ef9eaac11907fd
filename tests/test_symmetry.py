"""Symmetry groups: conventions, characters, closure, orbits, sector dimensions, refusals."""

from math import comb

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from oracles import SECTOR_SIZES

from nqs_lab.spins import (
    Group,
    Sector,
    SpinBasis,
    chain,
    ladder,
    rectangle,
    sector_dimension,
    spin_flip,
    square,
    tilted,
)
from nqs_lab.spins.bits import LinTable, from_configurations, to_configurations
from nqs_lab.spins.orbits import OrbitTables
from nqs_lab.spins.pointgroup import irreps, keeps_momentum
from nqs_lab.spins.sectors import sector_group

LATTICES = {
    "ring": chain(8),
    "square4": square(4),
    "square3": square(3),
    "4x5": rectangle(4, 5),
    "4x6": rectangle(4, 6),
    "6x6": square(6),
    "ladder": ladder(4),
    "open": rectangle(3, 3, periodic=False),
    "tilted18": tilted(18),
    "tilted20": tilted(20),
    "tilted26": tilted(26),
    "tilted32": tilted(32),
}


@pytest.mark.parametrize("name", LATTICES)
def test_point_groups_have_the_right_order_and_keep_the_bonds(name):
    lattice = LATTICES[name]
    order = {"ring": 2, "4x5": 4, "4x6": 4, "ladder": 4, "tilted20": 4, "tilted26": 4}.get(name, 8)
    group = lattice.point_group()
    assert group.n_elements == order
    for shell in (1, 2):
        bonds = {tuple(b) for b in lattice.bonds(shell).tolist()}
        for p in group.permutations:
            assert {tuple(sorted((int(p[i]), int(p[j])))) for i, j in bonds} == bonds


@pytest.mark.parametrize("name", LATTICES)
def test_characters_of_different_representations_are_orthogonal(name):
    lattice = LATTICES[name]
    rows = np.array([lattice.point_group(irrep).characters for irrep in irreps(lattice)])
    assert np.allclose(rows @ rows.conj().T, rows.shape[1] * np.eye(len(rows)))
    if any(lattice.periodic):
        waves = np.array([lattice.translations(momentum=k).characters for k in lattice.momenta()])
        assert np.allclose(waves @ waves.conj().T, waves.shape[1] * np.eye(len(waves)), atol=1e-9)


def test_the_convention_of_a_translation():
    lattice = rectangle(4, 3)
    group = lattice.translations()
    sigma = np.where(np.random.default_rng(0).random(12) < 0.5, 1, -1).astype(np.int8)
    for element, (rx, ry) in enumerate(lattice.coordinates):
        moved = np.asarray(group.apply(sigma))[element]
        for site, (x, y) in enumerate(lattice.coordinates):
            assert moved[site] == sigma[lattice.site(x - rx, y - ry)]
    k = (1, 2)
    q = np.array(lattice.wavevector(k))
    phases = lattice.translations(momentum=k).characters
    assert np.allclose(phases, np.exp(1j * (np.array(lattice.coordinates) @ q)))


def test_translations_by_two_are_the_even_ones():
    group = square(4).translations(step=2)
    assert group.n_elements == 4 and square(6).translations(step=3).n_elements == 4
    assert ladder(4).translations(step=2).n_elements == 2 and chain(8).translations(step=2).n_elements == 4
    assert sorted(group.permutations[:, 0].tolist()) == [0, 2, 8, 10]


def test_apply_works_under_jit_and_vmap_and_follows_the_convention():
    group = square(4).translations() * square(4).point_group() * spin_flip(16, -1)
    sigma = np.where(np.random.default_rng(1).random((5, 16)) < 0.5, 1, -1).astype(np.int8)
    images = jax.jit(jax.vmap(group.apply))(jnp.asarray(sigma))
    assert images.dtype == jnp.int8 and images.shape == (5, 256, 16)
    assert np.array_equal(images, group.flips[None, :, None] * sigma[:, group.permutations])
    passed_in = eqx.filter_jit(lambda g, s: g.apply(s))(group, jnp.asarray(sigma[0]))
    assert np.array_equal(passed_in, images[0])


def test_products_are_closed_and_deduplicated():
    lattice = square(4)
    space = lattice.translations() * lattice.point_group("B1")
    assert space.n_elements == 128
    assert (space * space).n_elements == 128
    assert np.array_equal(space.permutations[0], np.arange(16)) and space.flips[0] == 1
    assert (lattice.translations(step=2) * lattice.translations()).n_elements == 16


def test_generate_finds_the_group_of_its_generators():
    ring = np.roll(np.arange(6), 1)
    assert Group.generate(ring[None]).n_elements == 6
    phase = np.exp(2j * np.pi * 2 / 6)
    group = Group.generate(ring[None], np.array([phase]))
    assert np.allclose(sorted(np.angle(group.characters)), sorted(np.angle(phase ** np.arange(6))))
    both = Group.generate(np.stack([ring, ring[::-1]]))
    assert both.n_elements == 12
    flipped = Group.generate(np.arange(4)[None], np.array([-1.0]), np.array([-1]))
    assert flipped.n_elements == 2 and flipped.characters.real.tolist() == [1, -1]
    with pytest.raises(ValueError, match="contradict"):
        Group.generate(ring[None], np.array([np.exp(0.3j)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Group(np.array([[0, 1, 2], [1, 2, 0]])), "form a group"),
        (lambda: Group(np.array([[0, 1], [0, 1]])), "twice"),
        (lambda: Group(np.array([[0, 1], [1, 1]])), "permutation"),
        (lambda: Group(np.array([[0, 1], [1, 0]]), characters=np.array([1.0, 0.5])), "representation"),
        (lambda: Group(np.array([[0, 1], [1, 0]]), np.array([1, 2])), "flips"),
        (lambda: spin_flip(4, 2), "parity"),
        (lambda: spin_flip(4) * spin_flip(6), "same sites"),
        (lambda: spin_flip(4, 1) * spin_flip(4, -1), "disagree"),
        (lambda: square(4).translations(momentum=(2, 0)) * square(4).point_group(), "representation"),
        (lambda: sector_group(square(4), Sector((1, 0), "A1")), "does not keep"),
        (lambda: sector_group(square(4, periodic=False), Sector((0, 0))), "open edges"),
        (lambda: sector_group(square(4), Sector()), "no symmetry"),
        (lambda: Sector(flip=0), "flip"),
        (lambda: ladder(4).translations(momentum=(1, 1)), "open"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(n=st.integers(1, 18), ups=st.integers(0, 18), seed=st.integers(0, 10**6))
def test_lin_tables_index_every_state(n, ups, seed):
    ups = min(ups, n)
    table = LinTable(n, ups)
    states = np.concatenate(list(table.blocks(1 + seed % 97)))
    everything = np.arange(2**n, dtype=np.uint64)
    assert np.array_equal(states, everything[np.bitwise_count(everything) == ups])
    assert np.array_equal(table.position(states), np.arange(comb(n, ups)))
    assert np.array_equal(from_configurations(to_configurations(states, n)), states)


@pytest.mark.parametrize("name", ["ring", "square4", "ladder", "tilted18", "tilted26", "tilted32"])
@pytest.mark.parametrize("fast", ["0", "always"])
def test_orbit_images_and_minima_against_the_definition(name, fast, monkeypatch):
    if fast == "always":
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setenv("NQS_LAB_FAST", fast)
    lattice = LATTICES[name]
    group = lattice.translations() * lattice.point_group() * spin_flip(lattice.n_sites, -1)
    rng = np.random.default_rng(5)
    sigma = np.where(rng.random((40, lattice.n_sites)) < 0.5, 1, -1).astype(np.int8)
    images = np.stack([from_configurations(np.asarray(group.apply(row))) for row in sigma])
    states, tables = from_configurations(sigma), OrbitTables(group)
    for element in rng.integers(0, group.n_elements, 12):
        assert np.array_equal(tables.image(int(element), states), images[:, element])
    smallest, element = tables.minimum(states)
    assert np.array_equal(smallest, images.min(axis=1))
    assert np.array_equal(images[np.arange(40), element], smallest)


def all_sectors(lattice):
    """Every combination of a momentum, a representation that goes with it and a flip."""
    for momentum in (None, *lattice.momenta()) if any(lattice.periodic) else (None,):
        turns = irreps(lattice) if momentum is None or keeps_momentum(lattice, momentum) else ()
        for irrep in (None, *turns):
            for flip in (None, 1, -1):
                if (momentum, irrep, flip) != (None, None, None):
                    yield Sector(momentum, irrep, flip)


@pytest.mark.parametrize("name", ["ring", "ladder", "square4", "open"])
@pytest.mark.parametrize("fast", ["0", "always"])
def test_the_basis_has_as_many_states_as_the_characters_count(name, fast, monkeypatch):
    if fast == "always":
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setenv("NQS_LAB_FAST", fast)
    lattice = LATTICES[name]
    for total_sz in (0, 1) if lattice.n_sites % 2 == 0 else (0.5, -1.5):
        for sector in all_sectors(lattice):
            if sector.flip is not None and total_sz != 0:
                with pytest.raises(ValueError, match="total_sz=0"):
                    SpinBasis(lattice, total_sz, sector)
                continue
            expected = sector_dimension(sector_group(lattice, sector), int(lattice.n_sites / 2 + total_sz))
            if expected == 0:
                with pytest.raises(ValueError, match="no state"):
                    SpinBasis(lattice, total_sz, sector)
                continue
            basis = SpinBasis(lattice, total_sz, sector)
            assert basis.dim == expected
            assert np.all(np.diff(basis.states.astype(np.int64)) > 0)
            assert np.array_equal(basis.index(basis.states), np.arange(basis.dim))


@pytest.mark.parametrize("name", [name for name, lat in LATTICES.items() if any(lat.periodic) and lat.n_sites % 2 == 0])
def test_sector_dimensions_add_up_to_the_whole_space(name):
    lattice = LATTICES[name]
    n = lattice.n_sites
    flips = [sum(sector_dimension(sector_group(lattice, Sector((0, 0), None, z)), n // 2) for z in (1, -1))]
    assert flips == [sector_dimension(lattice.translations(), n // 2)]
    total = sum(sector_dimension(lattice.translations(momentum=k), n // 2) for k in lattice.momenta())
    assert total == comb(n, n // 2)


@pytest.mark.parametrize("name", SECTOR_SIZES)
def test_known_sector_sizes(name):
    lattice = LATTICES[name]
    half, (translations, space, flip) = lattice.n_sites // 2, SECTOR_SIZES[name]
    assert sector_dimension(lattice.translations(), half) == translations
    assert sector_dimension(sector_group(lattice, Sector((0, 0), "A1")), half) == space
    if flip is not None:
        assert sector_dimension(sector_group(lattice, Sector((0, 0), "A1", 1)), half) == flip


def test_a_sector_vector_expands_to_a_function_with_the_named_symmetry():
    for lattice, sector in (
        (square(4), Sector((1, 0), None, -1)),
        (chain(8), Sector((3, 0), None, 1)),
        (chain(8), Sector((4, 0), "A", 1)),
        (tilted(18), Sector((0, 3), "B2", None)),
    ):
        basis = SpinBasis(lattice, 0, sector)
        rng = np.random.default_rng(8)
        vector = rng.standard_normal(basis.dim) + (0 if basis.is_real else 1j * rng.standard_normal(basis.dim))
        psi = basis.expand(vector / np.linalg.norm(vector))
        assert abs(np.linalg.norm(psi) - 1) < 1e-12
        plain, tables = SpinBasis(lattice), OrbitTables(basis.group)
        for element in rng.integers(0, basis.group.n_elements, 10):
            moved = psi[plain.index(tables.image(int(element), plain.states))]
            assert np.allclose(moved, basis.group.characters[element] * psi, atol=1e-12)
