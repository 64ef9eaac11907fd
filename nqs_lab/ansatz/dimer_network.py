"""The Shastry-Sutherland dimer state: as a formula, as samples, and as a Transformer whose weights are set by hand."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int8

from nqs_lab.ansatz.transformer import ViT
from nqs_lab.attention.blocks import MLP, Residual
from nqs_lab.attention.mixers import T5, Content, Dense, Factored
from nqs_lab.spins.lattice import Lattice

PARTNER = (-1, 1)
"""Where the patch is that holds the other end of a dimer, in patches, seen from the patch that holds its first end."""

# The channels of a token: the four spins of its patch, once with each sign (that keeps LayerNorm linear), a constant,
# what attention brings, also with both signs, and what the MLP makes of it.
SPINS, MINUS_SPINS, CONSTANT, FETCHED, PENALTY, WIDTH = (0, 1, 2, 3), (4, 5, 6, 7), (8, 9), (10, 11), 12, 13
LEFT_BOTTOM, RIGHT_BOTTOM, LEFT_TOP, RIGHT_TOP = SPINS


def dimer_pairs(lattice: Lattice) -> Int[np.ndarray, "K 2"]:
    """Sites (first, second) of every dimer, K = N/2: all those inside a patch, then all those between two patches.

    With patches (X, Y) of 2 x 2 sites: (2X, 2Y)-(2X+1, 2Y+1), and (2X, 2Y+1)-(2X-1, 2Y+2). Every first site has an even
    x. Raises ValueError for a lattice that is not a periodic rectangle with even sides. shastry1981
    """
    if lattice.shape is None or not all(lattice.periodic) or any(length % 2 for length in lattice.shape):
        raise ValueError(f"the dimer state needs a periodic rectangle with even sides; got {lattice.name}.")
    corners = [(x, y) for y in range(0, lattice.shape[1], 2) for x in range(0, lattice.shape[0], 2)]
    inside = [(lattice.site(x, y), lattice.site(x + 1, y + 1)) for x, y in corners]
    between = [(lattice.site(x, y + 1), lattice.site(x - 1, y + 2)) for x, y in corners]
    return np.array(inside + between)


def dimer_amplitudes(sigma: Int8[np.ndarray, "S N"], lattice: Lattice) -> Float[np.ndarray, " S"]:
    """The normalised product of singlets, psi(sigma) = prod over dimers (a, b) of (sigma_a - sigma_b) / (2 sqrt 2).

    An exact eigenstate of `shastry_sutherland(lattice, j=, j_dimer=)` for every j, with E = -3/8 j_dimer N. shastry1981
    """
    first, second = dimer_pairs(lattice).T
    return np.prod((sigma[:, first].astype(float) - sigma[:, second]) / math.sqrt(8), axis=1)


def draw_dimer_state(lattice: Lattice, count: int, rng: np.random.Generator) -> Int8[np.ndarray, "S N"]:
    """`count` independent configurations with probability |psi|^2: every dimer is up-down or down-up, a fair coin."""
    first, second = dimer_pairs(lattice).T
    coins = rng.choice(np.array([-1, 1], np.int8), size=(count, len(first)))
    sigma = np.empty((count, lattice.n_sites), np.int8)
    sigma[:, first], sigma[:, second] = coins, -coins
    return sigma


class LinearHead(eqx.Module):
    """log psi = real . pooled + i imag . pooled: the limit of a log-cosh head in which cosh has become exp."""

    real: Float[Array, " d"]
    imag: Float[Array, " d"]

    def __call__(self, pooled: Float[Array, " d"]) -> Complex[Array, ""]:
        return jax.lax.complex(self.real @ pooled, self.imag @ pooled)


def dimer_network(
    lattice: Lattice,
    *,
    attention: str = "factored",
    bias: float | int = 0.0,
    spread: float | int = 0.0,
    penalty: float | int = 1000.0,
    threshold: float | int = 1.0,
) -> ViT:
    """The dimer state as a ViT with one block and one head, every weight set by hand (float64).

    Attention fetches s10 of the partner patch; the MLP charges each pair of parallel spins `penalty`, with GELUs of so
    steep a slope that they are ReLUs; pooling and head add up logarithms and signs.

        log psi = sum_i -penalty [r(s00 + s11) + r(s01 + A_i)] + i pi/2 (2 - s00 - s01) - log 2
        r(t) = (relu(t - threshold) + relu(-t - threshold)) / (2 - threshold)

    - `attention`: "factored", exact for any penalty >> 1 up to e^-penalty; or "t5" with the position `bias` P on the
      partner (0 elsewhere) and content logits q.k / sqrt(d) = (B/2) (u_i . u_j) / 4 of patches u, of `spread` B.
    - `threshold` 1 is exact for t5 where P > log(n - 1) + B; 0 makes the readout linear in A_i, up to |.|.
    Raises ValueError for another attention, for a bias or spread without "t5", threshold not in [0, 2).
    """
    if attention not in ("factored", "t5"):
        raise ValueError(f'attention must be "factored" or "t5", the kinds with a construction; got {attention!r}.')
    if attention == "factored" and (bias or spread):
        raise ValueError('bias and spread belong to attention="t5"; factored attention has neither.')
    if not 0 <= threshold < 2 or not penalty > 0 or spread < 0:
        raise ValueError(
            f"expected 0 <= threshold < 2, penalty > 0, spread >= 0; got {threshold}, {penalty} and {spread}."
        )
    dimer_pairs(lattice)
    key = jax.random.key(0)  # every drawn number is replaced
    model = ViT(
        lattice, patch=2, width=WIDTH, heads=1, depth=1, mlp_ratio=1, attention=attention, dtype=jnp.float64, key=key
    )
    block = model.blocks[0]
    assert isinstance(block, Residual) and block.mlp is not None
    weight = 1.0 if attention == "factored" else float(bias)
    block = _set_block(
        block, partner_displacement(lattice), weight, float(spread), _charge(block.mlp, penalty, threshold)
    )
    return eqx.tree_at(lambda m: (m.embed, m.blocks, m.head), model, (_embedding(model.embed), (block,), _head()))


def partner_displacement(lattice: Lattice) -> int:
    """The number, in a ViT's position table, of the displacement from the partner patch to the patch that asks."""
    assert lattice.shape is not None
    nx, ny = lattice.shape[0] // 2, lattice.shape[1] // 2
    return (-PARTNER[0]) % nx + nx * ((-PARTNER[1]) % ny)


def _set_block(block: Residual, partner: int, weight: float, spread: float, mlp: MLP) -> Residual:
    """The block with its mixer, MLP and LayerNorms set."""
    mixer = block.mixer
    assert isinstance(mixer, Factored | T5)
    if isinstance(mixer, T5):
        mixer = eqx.tree_at(lambda m: m.content, mixer, _similarity(mixer.content, spread))
    block = eqx.tree_at(lambda b: (b.mixer, b.mlp), block, (_fetch(mixer, partner, weight), mlp))
    # The squares of a token's channels add up to 10 before attention and to 12 after it, whatever the configuration:
    # LayerNorm is a constant factor, and these scales undo it. (Where t5 fetches less than a whole spin the second
    # factor is larger than 1 for that token. No threshold is crossed by that, since the constant channel grows too.)
    scales = [jnp.full(WIDTH, math.sqrt(squares / WIDTH + 1e-6)) for squares in (10, 12)]
    return eqx.tree_at(lambda b: (b.norm_mix.scale, b.norm_mlp.scale), block, scales)


def _set(dense: Dense, entries: dict[tuple[int, int], float], bias: dict[int, float] | None = None) -> Dense:
    """A dense layer with these entries of its matrix and bias, and zeros elsewhere."""
    weight, offset = np.zeros(dense.weight.shape), np.zeros(dense.bias.shape)
    for place, value in entries.items():
        weight[place] = value
    for place, value in (bias or {}).items():
        offset[place] = value
    return eqx.tree_at(lambda d: (d.weight, d.bias), dense, (jnp.asarray(weight), jnp.asarray(offset)))


def _embedding(dense: Dense) -> Dense:
    """Spins, minus spins, and the constants +1 and -1."""
    entries = {(spin, SPINS[spin]): 1.0 for spin in range(4)} | {(spin, MINUS_SPINS[spin]): -1.0 for spin in range(4)}
    return _set(dense, entries, {CONSTANT[0]: 1.0, CONSTANT[1]: -1.0})


def _fetch(mixer: Factored | T5, partner: int, weight: float) -> Factored | T5:
    """V picks the lower right spin, W writes it with both signs, the table points at the partner."""
    value = _set(mixer.value, {(RIGHT_BOTTOM, 0): 1.0})
    output = _set(mixer.output, {(0, FETCHED[0]): 1.0, (0, FETCHED[1]): -1.0})
    table = np.zeros(mixer.positions.table.shape)
    table[0, partner] = weight
    places = lambda m: (m.value, m.output, m.positions.table)
    return eqx.tree_at(places, mixer, (value, output, jnp.asarray(table)))


def _similarity(content: Content, spread: float) -> Content:
    """q . k / sqrt(d) = (spread / 2) u_i . u_j / 4: like patches attract each other."""
    size = math.sqrt(spread / 8 * math.sqrt(WIDTH))
    own = {(channel, channel): size for channel in SPINS}
    return eqx.tree_at(lambda c: (c.queries, c.keys), content, (_set(content.queries, own), _set(content.keys, own)))


def _charge(mlp: MLP, penalty: float, threshold: float) -> MLP:
    """Four GELUs: two for each pair of spins, one for both up and one for both down."""
    slope = penalty / (2 - threshold)
    expand, contract = {}, {}
    for pair, (one, other) in enumerate(((LEFT_BOTTOM, RIGHT_TOP), (LEFT_TOP, FETCHED[0]))):
        for side, sign in enumerate((1.0, -1.0)):
            hidden = 2 * pair + side
            expand[one, hidden] = expand[other, hidden] = sign * slope
            expand[CONSTANT[0], hidden] = -threshold * slope
            contract[hidden, PENALTY] = -1.0
    return eqx.tree_at(lambda m: (m.expand, m.contract), mlp, (_set(mlp.expand, expand), _set(mlp.contract, contract)))


def _head() -> LinearHead:
    """Penalties and 1/sqrt(2) for each dimer in the modulus, the sign of each dimer's first spin in the phase."""
    real, imag = np.zeros(WIDTH), np.zeros(WIDTH)
    real[PENALTY], real[CONSTANT[0]] = 1.0, -math.log(2)
    imag[CONSTANT[0]], imag[LEFT_BOTTOM], imag[LEFT_TOP] = math.pi, -math.pi / 2, -math.pi / 2
    return LinearHead(jnp.asarray(real), jnp.asarray(imag))
