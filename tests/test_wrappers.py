"""MarshallSign and Symmetrized: signs by counting, psi(g s) = chi(g) psi(s), cosets, zeros, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_lab.ansatz import RBM, Jastrow, LogTable, MarshallSign, MeanField, Symmetrized, ViT, count_parameters
from nqs_lab.spins import Group, SpinBasis, chain, rectangle, spin_flip, square, tilted

SMALL = dict(width=8, heads=2, depth=1, mlp_ratio=2, dtype=jnp.float64)


def randomised(model, seed=0, scale=0.5):
    """The model with every parameter drawn from a normal of deviation `scale`."""
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(lambda leaf: draw(leaf) if eqx.is_inexact_array(leaf) else leaf, model)


def balanced(n_sites, count, seed=0):
    """Random configurations of total Sz = 0 or 1/2."""
    row = np.where(np.arange(n_sites) < n_sites // 2, 1, -1).astype(np.int8)
    return jnp.asarray(np.random.default_rng(seed).permuted(np.tile(row, (count, 1)), axis=1))


@eqx.filter_jit
def evaluate(model, sigma):
    """log psi of many configurations."""
    return jax.vmap(model)(sigma)


def amplitudes(model, sigma):
    """psi of many configurations."""
    return np.exp(np.asarray(evaluate(model, sigma)))


def rbm(lattice, seed=0):
    """A generic RBM without any symmetry."""
    return randomised(RBM(lattice, dtype=jnp.float64, key=jax.random.key(0)), seed, 0.3)


@pytest.mark.parametrize(
    "lattice, order", [(chain(8), "neel"), (square(4), "stripe"), (rectangle(4, 6), "stripe"), (tilted(18), "neel")]
)
def test_marshall_counts_up_spins_on_sublattice_a(lattice, order):
    bare = rbm(lattice)
    signed = MarshallSign(bare, lattice, order)
    sigma = balanced(lattice.n_sites, 20)
    weight = (1, 1) if order == "neel" else (1, 0)
    on_a = np.array([(weight[0] * x + weight[1] * y) % 2 == 0 for x, y in lattice.coordinates])
    sign = [(-1.0) ** np.sum((row > 0) & on_a) for row in np.asarray(sigma)]
    assert len(set(sign)) == 2
    np.testing.assert_allclose(amplitudes(signed, sigma), sign * amplitudes(bare, sigma), rtol=1e-12)
    assert count_parameters(signed) == count_parameters(bare)


def test_marshall_refuses():
    with pytest.raises(ValueError, match="neel"):
        MarshallSign(rbm(chain(7)), chain(7))
    with pytest.raises(ValueError, match="stripe"):
        MarshallSign(rbm(rectangle(3, 4)), rectangle(3, 4), "stripe")
    with pytest.raises(ValueError, match="neel"):
        MarshallSign(rbm(square(3)), square(3))
    with pytest.raises(ValueError, match="16"):
        MarshallSign(rbm(chain(8)), square(4))
    with pytest.raises(ValueError, match="order"):
        MarshallSign(rbm(square(4)), square(4), "columnar")


def sectors():
    """Lattice and group pairs: momenta, point groups, flips, and products of noncommuting elements."""
    four, ring, six = square(4), chain(6), tilted(18)
    return {
        "ring, momentum 1": (ring, ring.translations(momentum=(1, 0))),
        "ring, pi, flip -1": (ring, ring.translations(momentum=(3, 0)) * spin_flip(6, -1)),
        "4x4 A2": (four, four.point_group("A2")),
        "4x4 B1": (four, four.point_group("B1")),
        "4x4 (pi,pi) B1 flip": (
            four,
            four.translations(step=1, momentum=(2, 2)) * four.point_group("B1") * spin_flip(16),
        ),
        "3x4 momentum (1,3)": (rectangle(3, 4), rectangle(3, 4).translations(momentum=(1, 3))),
        "18 sites, M, A2": (six, six.translations(momentum=six.momentum("M")) * six.point_group("A2")),
    }


@pytest.mark.parametrize("name", sectors())
def test_projection_lies_in_its_sector(name):
    lattice, group = sectors()[name]
    bare = rbm(lattice)
    model = Symmetrized(bare, group)
    sigma = balanced(lattice.n_sites, 3, seed=1)
    images = jax.vmap(group.apply)(sigma).reshape(-1, lattice.n_sites)  # element 0 of the group is the identity
    psi = amplitudes(model, images).reshape(3, group.n_elements)
    plain = amplitudes(bare, images).reshape(3, group.n_elements)
    size = np.max(np.abs(plain))
    np.testing.assert_allclose(psi, psi[:, :1] * group.characters, atol=1e-12 * size)
    np.testing.assert_allclose(psi[:, 0], plain @ np.conj(group.characters) / group.n_elements, atol=1e-12 * size)
    assert np.max(np.abs(psi)) > 1e-6 * size and count_parameters(model) == count_parameters(bare)
    found = model.invariances()
    np.testing.assert_array_equal(found.permutations, group.permutations)
    np.testing.assert_allclose(found.characters, group.characters, atol=1e-12)


@pytest.mark.parametrize(
    "irrep, momentum, marshall", [("B1", (0, 0), False), ("A2", (0, 0), True), ("A1", (2, 2), True)]
)
def test_one_representative_per_coset_gives_the_full_sum(irrep, momentum, marshall, key):
    lattice = square(4)
    vit = randomised(ViT(lattice, patch=2, key=key, **SMALL))
    bare = MarshallSign(vit, lattice) if marshall else vit
    group = lattice.translations(momentum=momentum) * lattice.point_group(irrep)
    model = Symmetrized(bare, group)
    assert model.representatives.shape == (128 // 4,)
    images = jax.vmap(group.apply)(balanced(16, 3)).reshape(-1, 16)
    everything, psi = amplitudes(bare, images).reshape(3, -1), amplitudes(model, images).reshape(3, -1)
    np.testing.assert_allclose(psi[:, 0], everything @ np.conj(group.characters) / 128, atol=1e-12)
    np.testing.assert_allclose(psi, psi[:, :1] * group.characters, atol=1e-12)


def test_six_by_six_takes_32_forwards(key):
    lattice = square(6)
    group = lattice.translations() * lattice.point_group()
    vit = ViT(lattice, patch=2, key=key, **SMALL)
    assert group.n_elements == 288
    assert Symmetrized(vit, group).representatives.shape == (32,)
    flipped = Symmetrized(Symmetrized(vit, spin_flip(36)), group * spin_flip(36))
    assert flipped.representatives.shape == (288,)  # only what is declared is used: the flip, not the translations


@pytest.mark.parametrize("order", ["neel", "stripe"])
def test_marshall_passes_on_the_invariances_it_keeps(order):
    lattice = rectangle(2, 4)
    assert MarshallSign(rbm(lattice), lattice).invariances() is None
    group = lattice.translations() * spin_flip(8, -1)
    signed = MarshallSign(Symmetrized(rbm(lattice), group), lattice, order)
    known = signed.invariances()
    assert known.n_elements == group.n_elements // 2
    sigma = jnp.asarray(np.random.default_rng(0).choice([-1, 1], (4, 8)), jnp.int8)  # any Sz
    images = amplitudes(signed, jax.vmap(known.apply)(sigma).reshape(-1, 8)).reshape(4, -1)
    np.testing.assert_allclose(images, images[:, :1] * known.characters, atol=1e-12)


def test_a_flip_picks_up_the_sign_of_an_odd_sublattice():
    odd = rectangle(2, 3)  # 3 sites in each column
    known = MarshallSign(Symmetrized(rbm(odd), spin_flip(6)), odd, "stripe").invariances()
    np.testing.assert_allclose(known.characters, [1, -1])


def test_zeros_and_huge_amplitudes():
    lattice = chain(6)
    basis = SpinBasis(6)
    state = np.random.default_rng(0).normal(size=basis.dim)
    state[::2] = 0
    group = lattice.translations(momentum=(3, 0))
    model = Symmetrized(LogTable(basis, state), group)
    sigma = jnp.asarray(basis.configurations())
    table = dict(zip(basis.states.tolist(), state, strict=True))
    patterns = (basis.configurations()[:, group.permutations] > 0) @ (1 << np.arange(6))
    images = np.vectorize(table.get)(patterns)
    expected = images @ np.conj(group.characters) / group.n_elements
    np.testing.assert_allclose(amplitudes(model, sigma), expected, atol=1e-13)

    params, static = eqx.partition(model, eqx.is_inexact_array)
    slopes = jax.jit(jax.vmap(jax.grad(lambda p, s: eqx.combine(p, static)(s).real), (None, 0)))(params, sigma)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))
    outside = evaluate(model, jnp.ones((1, 6), jnp.int8))
    assert outside[0].real == -np.inf and outside[0].imag == 0

    huge = randomised(RBM(lattice, dtype=jnp.float64, key=jax.random.key(0)), scale=1e3)
    log_psi = evaluate(Symmetrized(huge, lattice.translations()), sigma)
    assert np.all(np.isfinite(log_psi)) and np.max(np.abs(log_psi.real)) > 1e3


def test_a_sum_that_cancels_exactly_is_minus_infinity_with_zero_slope():
    two = Group(np.array([[0, 1], [1, 0]]), characters=np.array([1.0, -1.0]))
    bare = randomised(MeanField(chain(2), dtype=jnp.float64, key=jax.random.key(0)))
    model = Symmetrized(bare, two)
    both_up = jnp.ones(2, jnp.int8)
    assert eqx.filter_jit(model)(both_up).real == -np.inf
    params, static = eqx.partition(model, eqx.is_inexact_array)
    _, slope = jax.jit(lambda p: jax.jvp(lambda q: eqx.combine(q, static)(both_up), (p,), (p,)))(params)
    assert slope == 0
    pulled = jax.jit(jax.grad(lambda p: eqx.combine(p, static)(both_up).real))(params)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(pulled))


def test_gradients_of_a_projection_equal_finite_differences():
    lattice = chain(6)
    model = Symmetrized(rbm(lattice), lattice.translations(momentum=(1, 0)))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    direction = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(1).normal(size=leaf.shape)), params)
    sigma = jnp.asarray([1, 1, -1, 1, -1, -1], jnp.int8)
    value = jax.jit(lambda t: eqx.combine(jax.tree.map(lambda p, d: p + t * d, params, direction), static)(sigma))
    _, slope = jax.jvp(value, (0.0,), (1.0,))
    np.testing.assert_allclose(slope, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-6)


def test_float32_stays_float32(key):
    lattice = square(4)
    vit = ViT(lattice, key=key, **(SMALL | dict(dtype=jnp.float32)))
    model = Symmetrized(MarshallSign(vit, lattice), lattice.point_group())
    assert evaluate(model, balanced(16, 2)).dtype == jnp.complex64
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


def test_characters_that_kill_the_state_are_refused(key):
    lattice = square(4)
    vit = randomised(ViT(lattice, patch=2, key=key, **SMALL))
    with pytest.raises(ValueError, match="already has"):  # momentum (1, 0) has character -1 under a shift by 2
        Symmetrized(vit, lattice.translations(momentum=(1, 0)))
    Symmetrized(vit, lattice.translations(momentum=(2, 0)))
    jastrow = Jastrow(lattice, dtype=jnp.float64, key=key)  # invariant, but does not say so
    for group in (lattice.point_group("B1"), spin_flip(16, -1)):
        with pytest.raises(ValueError, match="kills"):
            Symmetrized(jastrow, group)
    start = ViT(lattice, patch=2, key=key, **(SMALL | dict(dtype=jnp.float32)))  # nearly constant is not dead
    Symmetrized(start, lattice.point_group("A2"))


def test_other_refusals():
    with pytest.raises(ValueError, match="36"):
        Symmetrized(rbm(square(4)), spin_flip(36))
    basis = SpinBasis(8, total_sz=-3)
    table = LogTable(basis, np.arange(1.0, 9.0))
    with pytest.raises(ValueError, match="probes"):
        Symmetrized(table, chain(8).translations(), probes=np.ones((2, 8), np.int8))
    Symmetrized(table, chain(8).translations(), probes=basis.configurations())
