"""Attention on the lattice: the maps of four untrained networks that share their weights, and pictures of them."""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jaxtyping import Array, Float, Int8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Rectangle

from nqs_lab.ansatz import ViT, attention_maps
from nqs_lab.lab.notebook import PALETTE, SIGNED_MAP, UNSIGNED_MAP, LabFigure, style
from nqs_lab.lab.plots import number
from nqs_lab.spins import Lattice

KINDS = ("t5", "decoupled", "factored", "dot-product")
SIGNED = ("decoupled", "factored")  # weights of either sign; those of the others are a softmax
SOFTMAX_LIMIT, SIGNED_LIMIT, CHANGE_LIMIT = 0.4, 0.8, 0.2
LUMINANCE = np.array([0.299, 0.587, 0.114])  # black reads better than white above one half, as in plots.ink
BLANK = 0.005  # smaller changes are shown by their colour only
MARK = PALETTE[1]


class Look(NamedTuple):
    """What one network does with one configuration: maps (depth, h, n, n), no units, and log psi modulo 2 pi i."""

    maps: Float[np.ndarray, "depth h n n"]
    log_psi: complex


def make_networks(lattice: Lattice, patch: int, *, seed: int = 6) -> dict[str, ViT]:
    """One untrained network of each kind, depth 2 and 4 heads, with the same V, W, Q, K and MLP from one key.

    Every number is then moved a little at random, biases too: with biases of zero a single-site token only knows
    whether two spins are equal. Raises ValueError as `ViT` does.
    """
    dtype = jnp.result_type(float)
    return {
        kind: _moved(
            ViT(
                lattice,
                patch=patch,
                width=16,
                heads=4,
                depth=2,
                attention=kind,
                head="layernorm",
                dtype=dtype,
                key=jax.random.key(seed),
            ),
            seed,
        )
        for kind in KINDS
    }


def _moved(model: ViT, seed: int) -> ViT:
    """The network with 0.2 times a unit normal added to every bias and scale; its matrices and tables stay."""

    def move(path, leaf):
        if not eqx.is_inexact_array(leaf) or leaf.ndim != 1:
            return leaf
        name = jax.tree_util.keystr(path)  # seeded by name: what two kinds share stays equal
        noise = np.random.default_rng([seed, zlib.crc32(name.encode())]).normal(size=leaf.shape)
        return jnp.asarray(np.asarray(leaf) + 0.2 * noise, leaf.dtype)

    return jax.tree_util.tree_map_with_path(move, model)


@eqx.filter_jit
def _evaluate(
    networks: Mapping[str, ViT], sigma: Int8[Array, " N"], strength: Float[Array, ""]
) -> dict[str, tuple[Array, Array]]:
    """Maps and log psi of every network, the logits of queries and keys multiplied by `strength`; compiled once."""
    queries = lambda model: [block.mixer.content.queries for block in model.blocks]
    out = {}
    for kind, model in networks.items():
        if kind != "factored":
            model = eqx.tree_at(queries, model, jax.tree.map(lambda leaf: leaf * strength, queries(model)))
        out[kind] = attention_maps(model, sigma), model(sigma)
    return out


def look(networks: Mapping[str, ViT], sigma: Int8[np.ndarray, " N"], strength: float = 1.0) -> dict[str, Look]:
    """Maps and log psi of every network for one configuration of +1 and -1."""
    raw = _evaluate(dict(networks), jnp.asarray(sigma, jnp.int8), jnp.asarray(strength, jnp.result_type(float)))
    return {kind: Look(np.asarray(maps), complex(log_psi)) for kind, (maps, log_psi) in raw.items()}


def exchanged(sigma: Int8[np.ndarray, " N"], first: int, second: int) -> Int8[np.ndarray, " N"]:
    """The configuration with two opposite spins exchanged; ValueError where that would change nothing."""
    if sigma[first] == sigma[second]:
        what = "the same spin twice" if first == second else f"both spins are {'up' if sigma[first] > 0 else 'down'}"
        raise ValueError(f"sites {first} and {second}: {what}; exchanging them changes nothing. Choose opposite spins.")
    out = sigma.copy()
    out[[first, second]] = out[[second, first]]
    return out


def amplitude_change(before: complex, after: complex) -> float:
    """|psi_after / psi_before - 1|; the branch of the logarithm does not matter."""
    return float(abs(np.exp(after - before) - 1))


def colours(kind: str) -> tuple[Normalize, Colormap]:
    """Norm and colour map of a kind's weights: diverging about zero for signed ones, sequential for a softmax."""
    if kind in SIGNED:
        return Normalize(-SIGNED_LIMIT, SIGNED_LIMIT), matplotlib.colormaps[SIGNED_MAP]
    return Normalize(0.0, SOFTMAX_LIMIT), matplotlib.colormaps[UNSIGNED_MAP]


def change_colours() -> tuple[Normalize, Colormap]:
    """Norm and colour map of a change of weights."""
    return Normalize(-CHANGE_LIMIT, CHANGE_LIMIT), matplotlib.colormaps["PuOr_r"]


class MapArtists:
    """The moving artists of one map on the lattice: cells, numbers, spins, the frame of the query, two marks."""

    def __init__(self, ax: Axes, lattice: Lattice, patch: int):
        columns, lines = lattice.shape or (lattice.n_sites, 1)
        self.grid, self.patch = (columns // patch, lines // patch), patch
        edges = [np.arange(0, length + 1, patch) - 0.5 for length in (columns, lines)]
        self.image = ax.pcolormesh(*edges, np.zeros(self.grid[::-1]))  # quicker than an image of as few cells
        ax.set_aspect("equal")
        cells = [(x, y) for y in range(self.grid[1]) for x in range(self.grid[0])]
        self.corners = [(x * patch - 0.5, y * patch - 0.5) for x, y in cells]
        below = 0.27 if patch == 1 else 0.0
        middle = [(x + patch / 2, y + patch / 2 - below) for x, y in self.corners]
        self.numbers = [ax.text(x, y, "", ha="center", va="center", fontsize=9) for x, y in middle]
        self.sites = [(x, y + (0.17 if patch == 1 else 0.0)) for x, y in lattice.coordinates]
        # One line of markers for each direction and colour: thirty-two text artists would take three times as long.
        arrow = {1: r"$\uparrow$", -1: r"$\downarrow$"}
        self.spins = {
            (spin, ink_of): ax.plot([], [], marker=arrow[spin], color=ink_of, ms=12, mew=0, linestyle="none")[0]
            for spin in (1, -1)
            for ink_of in ("black", "white")
        }
        self.frame = Rectangle((0, 0), patch, patch, fill=False, ec=MARK, lw=4)
        ax.add_patch(self.frame)
        self.marks = ax.plot([], [], "o", ms=19, mfc="none", mec=MARK, mew=2)[0]
        self.title = ax.text(0.5, 1.03, "", transform=ax.transAxes, ha="center", fontsize=10)
        ax.set_xticks(range(columns))
        ax.set_yticks(range(lines))
        ax.set_xlabel("x (lattice constants)")
        ax.set_ylabel("y (lattice constants)")
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)

    @property
    def all(self) -> list:
        """Every artist, in drawing order."""
        return [self.image, *self.numbers, *self.spins.values(), self.frame, self.marks, self.title]

    def show(
        self,
        row: Float[np.ndarray, " n"],
        scale: tuple[Normalize, Colormap],
        sigma: Int8[np.ndarray, " N"],
        *,
        query: int,
        moved: tuple[int, ...],
        title: str,
        blank: float = 0.0,
    ) -> None:
        """Put a row of weights, the spins, the query and the spins exchanged last into the artists.

        Numbers below `blank` are left out.
        """
        norm, cmap = scale
        self.image.set_array(row.reshape(self.grid[::-1]))
        self.image.set_norm(norm)
        self.image.set_cmap(cmap)
        tint = np.where(cmap(norm(row))[:, :3] @ LUMINANCE > 0.5, "black", "white").tolist()
        for text, value, colour in zip(self.numbers, row, tint, strict=True):
            text.set_text(number(float(value)) if abs(value) >= blank else "")
            text.set_color(colour)
        under = [tint[int(x) // self.patch + self.grid[0] * (int(y) // self.patch)] for x, y in self.sites]
        for key, line in self.spins.items():
            chosen = [at for at, spin, colour in zip(self.sites, sigma, under, strict=True) if (spin, colour) == key]
            line.set_data([x for x, _ in chosen], [y for _, y in chosen])
        self.frame.set_xy(self.corners[query])
        self.marks.set_data([self.sites[s][0] for s in moved], [self.sites[s][1] for s in moved])
        self.title.set_text(title)


def add_scales(ax: Axes, entries: Mapping[str, tuple[Normalize, Colormap]], extend: str = "both") -> None:
    """A colour bar beside the axes for each named scale."""
    for name, (norm, cmap) in entries.items():
        low = "max" if norm.vmin == 0 else extend
        ax.figure.colorbar(ScalarMappable(norm, cmap), ax=ax, label=name, extend=low, shrink=0.85, pad=0.02, aspect=25)


def tables(
    row: Float[np.ndarray, " n"], grid: tuple[int, int], query: int, effects: Mapping[str, tuple[float, float]]
) -> str:
    """HTML: the weights laid out like the lattice; for each kind the change of its row and the relative one of psi."""
    cell = lambda text, tag="td": f'<{tag} style="padding:1px 8px;text-align:right">{text}</{tag}>'
    table = lambda caption, lines: f"<table><caption>{caption}</caption>{''.join(lines)}</table>"
    columns, lines = grid
    values = row.reshape(lines, columns)
    weights = [
        f"<tr>{cell(f'y = {y}', 'th')}{''.join(cell(f'{value:+.4f}') for value in values[y])}</tr>"
        for y in reversed(range(lines))
    ]
    names = ("last exchange", "largest change in this row", "|psi\u2032/psi \u2212 1|")
    changes = [f"<tr>{''.join(cell(name, 'th') for name in names)}</tr>"] + [
        f"<tr>{cell(kind, 'th')}{cell(f'{weight:.1e}')}{cell(f'{psi:.1e}')}</tr>"
        for kind, (weight, psi) in effects.items()
    ]
    captions = (f"weights of patch {query}, one for each patch", "all four networks, this layer and head")
    both = table(captions[0], weights) + table(captions[1], changes)
    return f'<div style="display:flex;flex-wrap:wrap;gap:24px;line-height:1.3">{both}</div>'


def static_figure(
    lattice: Lattice,
    patch: int,
    states: tuple[Int8[np.ndarray, " N"], Int8[np.ndarray, " N"]],
    looks: tuple[Mapping[str, Look], Mapping[str, Look]],
    *,
    where: tuple[int, int, int],
) -> LabFigure:
    """For each kind the weights before and after an exchange, and the change; `where`: layer, head, query, from 0."""
    layer, head, query = where
    before, after = states
    moved = tuple(int(s) for s in np.flatnonzero(before != after))
    with matplotlib.rc_context(style()):
        fig = LabFigure(figsize=(9.6, 2.7 * len(KINDS)), layout="compressed")
        axes = fig.subplots(len(KINDS), 3, sharex=True, sharey=True, squeeze=False)
        for line, kind in zip(axes, KINDS, strict=True):
            rows = [states_of[kind].maps[layer, head, query] for states_of in looks]
            scale, name = colours(kind), "signed weight" if kind in SIGNED else "softmax weight"
            named = ((rows[0], scale, before), (rows[1], scale, after), (rows[1] - rows[0], change_colours(), after))
            titles = (f"{kind}, layer {layer + 1}: before", "after the exchange", "change")
            for ax, (row, colour, sigma), title in zip(line, named, titles, strict=True):
                drawn, blank = MapArtists(ax, lattice, patch), BLANK if title == "change" else 0.0
                drawn.show(row, colour, sigma, query=query, moved=moved, title=title, blank=blank)
                ax.label_outer()
            add_scales(line[1], {name: scale})
            add_scales(line[2], {"change of weight": change_colours()})
    return fig
