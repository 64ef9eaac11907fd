"""Two generated languages whose best possible prediction of a hidden word is known exactly, in nats per hidden word."""

import abc
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Batch(NamedTuple):
    """S sentences of n words: what a reader sees, what is right, and where something is hidden.

    A word has f features, each a whole number; where `hidden`, one feature holds the number that means "hidden".
    `answers` are the right ones at hidden words and 0 elsewhere.
    """

    words: Int[np.ndarray, "S n f"]
    answers: Int[np.ndarray, "S n"]
    hidden: Bool[np.ndarray, "S n"]


class Language(abc.ABC):
    """A language with `name`, `sizes` (how many values each feature of a word has) and `n_answers` possible answers."""

    name: str
    sizes: tuple[int, ...]
    n_answers: int

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, n: int, count: int) -> Batch:
        """`count` new sentences of n words."""

    @abc.abstractmethod
    def floor(self, n: int) -> float:
        """Mean cross-entropy of the best possible reader, exact, in nats per hidden word."""

    @abc.abstractmethod
    def level(self, n: int) -> float:
        """Mean cross-entropy of a reader who lacks what this language asks for, exact, in nats per hidden word."""

    @abc.abstractmethod
    def best(self, batch: Batch) -> Float[np.ndarray, "S n"]:
        """-log p of the right answers under the best possible reader, in nats; 0 where nothing is hidden."""

    @abc.abstractmethod
    def spell(self, words: Int[np.ndarray, "n f"]) -> list[str]:
        """A sentence as text, one string for each word."""


STEPS = (0.025, 0.625, 0.225, 0.025, 0.025, 0.025, 0.025, 0.025)
"""Chain language: probability that the next letter stands 0, 1, 2, ... places further on a ring of eight letters."""


def ring(steps: tuple[float, ...]) -> Float[np.ndarray, "q q"]:
    """Transition matrix of a walk on a ring of letters: T(a, b) = steps[(b - a) mod q]."""
    q = len(steps)
    return np.array([[steps[(b - a) % q] for b in range(q)] for a in range(q)])


class Chain(Language):
    """Near: a Markov chain of letters, each hidden with probability `share`; correlations decay exponentially.

        P(s_1 ... s_n) = pi(s_1) prod_i T(s_i, s_i+1),   P(s_i | all visible) ~ T^a(x, s_i) T^c(s_i, y)

    with x and y the nearest visible letters, a to the left and c to the right. A generalised Potts chain: log T is its
    coupling between neighbours (rende2024potts).

    Arguments: `transition` T (q, q), rows sum to one (default: the ring of `STEPS`); `share` in 0 .. 1, exclusive.
    Raises ValueError for a T that is no transition matrix, or another share.
    """

    name = "chain"

    def __init__(self, transition: Float[np.ndarray, "q q"] | None = None, share: float = 0.15):
        t = ring(STEPS) if transition is None else transition
        if t.shape[0] != t.shape[1] or t.min() < 0 or not np.allclose(t.sum(axis=1), 1.0):
            raise ValueError(f"expected a square matrix of probabilities whose rows sum to 1, got {t}.")
        if not 0 < share < 1:
            raise ValueError(f"share is the probability to hide a letter, between 0 and 1; got {share}.")
        self.transition, self.share, self.n_answers = t, share, len(t)
        self.sizes = (len(t) + 1,)  # the last number is the hidden letter
        system = np.vstack([t.T - np.eye(len(t)), np.ones(len(t))])
        self.stationary = np.linalg.lstsq(system, np.append(np.zeros(len(t)), 1.0), rcond=None)[0]

    def sample(self, rng: np.random.Generator, n: int, count: int) -> Batch:
        """Letters one after the other, then each hidden or not, independently."""
        letters = np.empty((count, n), dtype=np.int64)
        below = np.cumsum(self.transition, axis=1)[:, :-1]
        letters[:, 0] = rng.choice(self.n_answers, size=count, p=self.stationary)
        for i in range(1, n):
            letters[:, i] = np.sum(rng.random((count, 1)) > below[letters[:, i - 1]], axis=1)
        hidden = rng.random((count, n)) < self.share
        words = np.where(hidden, self.n_answers, letters)
        return Batch(words[..., None], np.where(hidden, letters, 0), hidden)

    def floor(self, n: int) -> float:
        """Sum over positions and over the distances to the nearest visible letters, by transfer matrices.

        floor = (1/n) sum_i sum_ac P_i(a) P_i(c) H(s_i | s_i-a, s_i+c)
        """
        reach = max(1, math.ceil(-16 * math.log(10) / math.log(self.share)))  # share^reach < 1e-16
        powers = self._powers(min(reach, n))
        cached = {}
        total = 0.0
        for i in range(n):
            for a, p_left in self._distances(i, reach):
                for c, p_right in self._distances(n - 1 - i, reach):
                    if (a, c) not in cached:
                        cached[a, c] = self._entropy(a, c, powers)
                    total += p_left * p_right * cached[a, c]
        return total / n

    def _distances(self, room: int, reach: int) -> list[tuple[int, float]]:
        """Distance to the nearest visible letter in `room` letters on one side, and its probability; 0: none."""
        steps = [(k, (1 - self.share) * self.share ** (k - 1)) for k in range(1, min(room, reach) + 1)]
        return [*steps, (0, self.share**room)] if room <= reach else steps

    def _powers(self, reach: int) -> Float[np.ndarray, "_ q q"]:
        """T^0 .. T^reach."""
        powers = [np.eye(self.n_answers)]
        for _ in range(reach):
            powers.append(powers[-1] @ self.transition)
        return np.stack(powers)

    def _entropy(self, a: int, c: int, powers: np.ndarray) -> float:
        """H(s | letter a places to the left, letter c places to the right) in nats; 0: no letter on that side."""
        left = powers[a] * self.stationary[:, None] if a else self.stationary[None]  # P(x, s)
        right = powers[c] if c else np.ones((self.n_answers, 1))  # P(y | s)
        joint = left[:, :, None] * right[None]
        seen = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
        positive = joint > 0
        return -float(np.sum(joint[positive] * np.log(joint[positive] / seen[positive])))

    def level(self, n: int) -> float:
        """A reader who does not know what stands next to the hidden letter: the entropy of a single letter."""
        del n
        p = self.stationary[self.stationary > 0]
        return -float(np.sum(p * np.log(p)))

    def posterior(self, words: Int[np.ndarray, "n 1"], place: int) -> Float[np.ndarray, " q"]:
        """Exact probabilities of the letter at `place`, given all visible letters elsewhere."""
        letters, p = words[:, 0], self.stationary
        for j in range(place - 1, -1, -1):
            if letters[j] < self.n_answers:
                p = np.linalg.matrix_power(self.transition, place - j)[letters[j]]
                break
        for j in range(place + 1, len(letters)):
            if letters[j] < self.n_answers:
                p = p * np.linalg.matrix_power(self.transition, j - place)[:, letters[j]]
                break
        return p / p.sum()

    def best(self, batch: Batch) -> Float[np.ndarray, "S n"]:
        """The exact conditional of each hidden letter."""
        out = np.zeros(batch.hidden.shape)
        for s, i in np.argwhere(batch.hidden):
            out[s, i] = -np.log(self.posterior(batch.words[s], int(i))[batch.answers[s, i]])
        return out

    def spell(self, words: Int[np.ndarray, "n 1"]) -> list[str]:
        """Letters a, b, c, ...; a hidden one is "_"."""
        return ["_" if w == self.n_answers else chr(ord("a") + int(w)) for w in words[:, 0]]


class Copy(Language):
    """Far: a word is a stem and an ending; a name's hidden ending must be copied from where the name stood before.

    In the first half of a sentence n / 8 different names stand at random places with random endings; in the second half
    the same names stand at random places with their endings hidden. All other words are fillers with random endings.

    Arguments: `names` and `fillers`, how many stems of each kind; `endings`, how many endings.
    Raises ValueError for a sentence of fewer than 8 words, an odd one, or one that needs more names than there are.
    """

    name = "copy"

    def __init__(self, names: int = 64, fillers: int = 8, endings: int = 8):
        self.names, self.fillers, self.n_answers = names, fillers, endings
        self.sizes = (names + fillers, endings + 1)  # the last ending is the hidden one

    def pairs(self, n: int) -> int:
        """Names in a sentence of n words."""
        if n < 8 or n % 2 or n // 8 > self.names:
            raise ValueError(f"expected an even number of words from 8 to {8 * self.names}, got {n}.")
        return n // 8

    def sample(self, rng: np.random.Generator, n: int, count: int) -> Batch:
        """Fillers everywhere, then names over some of them."""
        m, half, row = self.pairs(n), n // 2, np.arange(count)[:, None]
        words = np.empty((count, n, 2), dtype=np.int64)
        words[..., 0] = self.names + rng.integers(self.fillers, size=(count, n))
        words[..., 1] = rng.integers(self.n_answers, size=(count, n))
        stems = _distinct(rng, count, self.names, m)
        endings = rng.integers(self.n_answers, size=(count, m))
        told, asked = _distinct(rng, count, half, m), half + _distinct(rng, count, half, m)
        words[row, told, 0], words[row, told, 1] = stems, endings
        words[row, asked, 0], words[row, asked, 1] = stems, self.n_answers
        answers, hidden = np.zeros((count, n), dtype=np.int64), np.zeros((count, n), dtype=bool)
        answers[row, asked], hidden[row, asked] = endings, True
        return Batch(words, answers, hidden)

    def told(self, words: Int[np.ndarray, "n 2"], place: int) -> int:
        """Where the name at `place` stood before. Raises ValueError for a word that is no name with a hidden ending."""
        if words[place, 1] != self.n_answers:
            raise ValueError(f"the ending of word {place} is not hidden.")
        return int(np.flatnonzero(words[:place, 0] == words[place, 0])[0])

    def floor(self, n: int) -> float:
        """Zero: the ending has been told."""
        del n
        return 0.0

    def level(self, n: int) -> float:
        """A reader who knows which endings the names have, but not which name has which.

        With counts c_v of m independent endings out of q it is the mean entropy of their histogram:
        E[-sum_v (c_v/m) ln(c_v/m)] = ln m - (q/m) sum_c Binomial(m, 1/q)(c) c ln c.
        """
        m, p = self.pairs(n), 1 / self.n_answers
        mean = sum(math.comb(m, c) * p**c * (1 - p) ** (m - c) * c * math.log(c) for c in range(1, m + 1))
        return math.log(m) - self.n_answers / m * mean

    def best(self, batch: Batch) -> Float[np.ndarray, "S n"]:
        """Zero everywhere: the best reader is always right."""
        return np.zeros(batch.hidden.shape)

    def spell(self, words: Int[np.ndarray, "n 2"]) -> list[str]:
        """Names with a capital ("Du"), fillers without, then the ending's number from 1, or "?" where it is hidden."""
        ending = lambda e: "?" if e == self.n_answers else str(int(e) + 1)
        return [self._stem(int(stem)) + ending(e) for stem, e in words]

    def _stem(self, stem: int) -> str:
        """A pronounceable name, or a filler."""
        if stem >= self.names:
            return "wx"[(stem - self.names) // 4 % 2] + "aeiu"[(stem - self.names) % 4]
        return "BDFGHJKLMNPRSTVZ"[stem % 16] + "aiou"[stem // 16 % 4] + "n" * (stem // 64)


def _distinct(rng: np.random.Generator, count: int, size: int, m: int) -> Int[np.ndarray, "count m"]:
    """For each sentence m different numbers out of 0 .. size - 1, in random order."""
    return np.argsort(rng.random((count, size)), axis=1)[:, :m]


LANGUAGES: Mapping[str, Language] = MappingProxyType({"chain": Chain(), "copy": Copy()})
"""The two languages of lesson 09b."""
