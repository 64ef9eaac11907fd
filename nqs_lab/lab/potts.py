"""The generalised Potts model, and one layer of factored attention that learns it by predicting masked colours."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.optimize import minimize

from nqs_lab.attention.mixers import AbstractMixer, make_mixer


class Potts(NamedTuple):
    """Colours s_i = 0 .. q-1 on n sites with P(s) ~ exp(sum_{i<j} J_ij U[s_i, s_j]), in units of the temperature.

    `couplings` J is symmetric with a zero diagonal, `similarity` U symmetric. The usual Potts model has U = 1.
    rende2024potts
    """

    couplings: Float[np.ndarray, "n n"]
    similarity: Float[np.ndarray, "q q"]

    def tensor(self) -> Float[np.ndarray, "n n q q"]:
        """The energy of every pair of sites and colours, K[i, j, a, b] = J_ij U_ab."""
        return np.einsum("ij,ab->ijab", self.couplings, self.similarity)

    def conditionals(self, colours: Int[np.ndarray, "S n"]) -> Float[np.ndarray, "S n q"]:
        """P(s_i = a | all other colours) = softmax_a( sum_j J_ij U[a, s_j] ), for every site of every sample."""
        field = np.einsum("ij,sja->sia", self.couplings, self.similarity.T[colours])
        weights = np.exp(field - field.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)


def random_potts(n: int, q: int, rng: np.random.Generator, *, density: float = 0.3, strength: float = 1.0) -> Potts:
    """A random sparse model: each pair of sites is coupled with probability `density`, J normal with that strength.

    U is a random symmetric matrix with unit mean square, its rows summing to zero: no colour is preferred.
    """
    upper = np.triu(rng.random((n, n)) < density, 1) * rng.normal(size=(n, n)) * strength
    similarity = rng.normal(size=(q, q))
    similarity = _centred(similarity + similarity.T)
    return Potts(upper + upper.T, similarity / np.sqrt(np.mean(similarity**2)))


def draw_potts(model: Potts, count: int, rng: np.random.Generator, *, sweeps: int = 60) -> Int[np.ndarray, "S n"]:
    """`count` independent chains of heat-bath (Gibbs) updates after `sweeps` sweeps from random colours."""
    n, q = len(model.couplings), len(model.similarity)
    colours = rng.integers(q, size=(count, n))
    for _ in range(sweeps):
        for site in range(n):
            field = model.couplings[site] @ model.similarity[colours]  # (S, q), from all other sites
            total = np.cumsum(np.exp(field - field.max(axis=1, keepdims=True)), axis=1)
            colours[:, site] = np.sum(total < rng.random((count, 1)) * total[:, -1:], axis=1)
    return colours


def all_colours(model: Potts) -> tuple[Int[np.ndarray, "S n"], Float[np.ndarray, " S"]]:
    """Every one of the q^n colourings with its exact probability; for small models."""
    n, q = len(model.couplings), len(model.similarity)
    colours = np.indices((q,) * n).reshape(n, -1).T
    energy = np.zeros(len(colours))
    for i in range(n):
        for j in range(i):
            energy += model.couplings[i, j] * model.similarity[colours[:, i], colours[:, j]]
    weights = np.exp(energy - energy.max())
    return colours, weights / weights.sum()


def make_predictor(n: int, q: int, *, key: PRNGKeyArray) -> AbstractMixer:
    """One factored layer, one head of width q, one weight p_ij for each pair of sites; no site sees itself (float64).

    Its output at site i, from one-hot colours, are the logits of the colour of site i: with p = J and V W = U they are
    those of the Potts model.
    """
    pairs = np.arange(n * n).reshape(n, n)
    return make_mixer("factored", q, 1, pairs, mask=~np.eye(n, dtype=bool), dtype=jnp.float64, key=key)


def masked_loss(predictor: AbstractMixer, colours: Int[Array, "S n"], weights: Float[Array, " S"]) -> Float[Array, ""]:
    """Cross-entropy of predicting each colour from all others (nats per site): minus the pseudo-log-likelihood.

    `weights` of the samples sum to one. besag1975, rende2024potts
    """
    one_hot = jax.nn.one_hot(colours, predictor.value.weight.shape[0], dtype=jnp.float64)
    log_p = jax.nn.log_softmax(jax.vmap(predictor)(one_hot), axis=-1)
    return -jnp.sum(weights[:, None] * jnp.sum(one_hot * log_p, axis=-1)) / colours.shape[1]


class Trained(NamedTuple):
    """A trained predictor and the loss after each accepted step (nats per site)."""

    predictor: AbstractMixer
    losses: Float[np.ndarray, " steps"]


def train_predictor(
    predictor: AbstractMixer,
    colours: Int[np.ndarray, "S n"],
    weights: Float[np.ndarray, " S"] | None = None,
    *,
    steps: int = 200,
    watch: Callable[[AbstractMixer], None] | None = None,
) -> Trained:
    """Minimise `masked_loss` with L-BFGS; `weights` default to 1/S, `watch` sees the predictor after each step."""
    params, static = eqx.partition(predictor, eqx.is_inexact_array)
    start, unravel = ravel_pytree(params)
    share = np.full(len(colours), 1 / len(colours)) if weights is None else weights
    data = jnp.asarray(colours, jnp.int32), jnp.asarray(share)
    rebuild = lambda flat: eqx.combine(unravel(jnp.asarray(flat)), static)

    @jax.jit
    def value_and_gradient(flat, *data):
        return jax.value_and_grad(lambda theta: masked_loss(eqx.combine(unravel(theta), static), *data))(flat)

    losses: list[float] = []

    def evaluate(flat):
        value, gradient = value_and_gradient(jnp.asarray(flat), *data)
        return float(value), np.asarray(gradient)

    def record(intermediate_result):
        losses.append(float(intermediate_result.fun))
        if watch is not None:
            watch(rebuild(intermediate_result.x))

    options = {"maxiter": steps, "maxfun": 3 * steps, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(evaluate, np.asarray(start), jac=True, method="L-BFGS-B", callback=record, options=options)
    return Trained(rebuild(found.x), np.array(losses))


def learnt_tensor(predictor: AbstractMixer) -> Float[np.ndarray, "n n q q"]:
    """K[i, j, a, b] = p_ij (V W)[b, a]: what the colour b of site j adds to the logit of colour a at site i."""
    one_token = jnp.zeros((len(predictor.mask), predictor.value.weight.shape[0]), jnp.float64)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    table = np.asarray(predictor.weights(one_token))[0]
    colours = np.asarray(predictor.value.weight @ predictor.output.weight)
    return np.einsum("ij,ba->ijab", table, colours)


def fix_gauge(tensor: Float[np.ndarray, "n n q q"]) -> Float[np.ndarray, "n n q q"]:
    """The same couplings in the zero-sum gauge: every sum over one colour vanishes, K_ij(a, b) = K_ji(b, a), K_ii = 0.

    A function of s_j alone in K_ij(., s_j) cancels in the conditional of site i, so training cannot know it; and each
    pair is estimated twice, once from either end. ekeberg2013
    """
    centred = _centred(tensor)
    both = (centred + centred.transpose(1, 0, 3, 2)) / 2
    both[np.arange(len(both)), np.arange(len(both))] = 0.0
    return both


def pair_couplings(
    tensor: Float[np.ndarray, "n n q q"], similarity: Float[np.ndarray, "q q"]
) -> Float[np.ndarray, "n n"]:
    """J_ij of a tensor in the zero-sum gauge, its projection on a known U: sum_ab K_ij(a, b) U_ab / sum_ab U_ab^2."""
    return np.einsum("ijab,ab->ij", tensor, similarity) / np.sum(similarity**2)


def correlation(learnt: Float[np.ndarray, "*shape"], truth: Float[np.ndarray, "*shape"]) -> float:
    """Pearson correlation of two arrays of couplings; the entries i = j (first two axes) are left out."""
    n = len(truth)
    off = ~np.eye(n, dtype=bool)
    return float(np.corrcoef(learnt[off].ravel(), truth[off].ravel())[0, 1])


def _centred(matrix: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Row and column means of the last two axes taken away."""
    rows, columns = matrix.mean(axis=-1, keepdims=True), matrix.mean(axis=-2, keepdims=True)
    return matrix - rows - columns + matrix.mean(axis=(-2, -1), keepdims=True)
