"""The properties of exercise 09b.4, copying an ending by content; the docstrings are what the reader sees."""

from typing import Any

import numpy as np

from nqs_lab.lab.checks import asked, differs
from nqs_lab.lab.sentences.languages import Copy


def _sentence(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Copy]:
    """One random sentence: words (n, 2), hidden (n,), and its language."""
    language = Copy(names=20, fillers=4, endings=int(rng.integers(3, 6)))
    batch = language.sample(rng, int(rng.choice([24, 32, 40])), 1)
    return batch.words[0], batch.hidden[0], language


def _predicted(answer: Any, words: np.ndarray, n_endings: int, strength: float) -> np.ndarray:
    """The reader's probabilities (n, endings), of the right shape."""
    p = np.asarray(asked(answer, words[:, 0].copy(), words[:, 1].copy(), n_endings, strength), dtype=float)
    if p.shape != (len(words), n_endings):
        raise ValueError(
            f"{len(words)} words and {n_endings} endings need shape {(len(words), n_endings)}, got {p.shape}"
        )
    return p


def sums_to_one(answer: Any, rng: np.random.Generator) -> str | None:
    """at every word the probabilities of the endings are not negative and sum to one"""
    words, _, language = _sentence(rng)
    for strength in (0.0, 1.5, 40.0):
        p = _predicted(answer, words, language.n_answers, strength)
        if not p.min() >= 0 or differs(p.sum(axis=1), np.ones(len(p))):
            return f"strength {strength:g}: the first rows sum to {np.round(p.sum(axis=1)[:4], 3).tolist()}"
    return None


def bag_without_content(answer: Any, rng: np.random.Generator) -> str | None:
    """strength 0: the frequencies of all visible endings, the same for every word"""
    words, hidden, language = _sentence(rng)
    p = _predicted(answer, words, language.n_answers, 0.0)
    want = np.bincount(words[~hidden, 1], minlength=language.n_answers) / np.sum(~hidden)
    if differs(p, np.broadcast_to(want, p.shape)):
        place = int(np.argmax(np.abs(p - want).max(axis=1)))
        return f"word {place}: {np.round(p[place], 3).tolist()}, expected {np.round(want, 3).tolist()}"
    return None


def keeps_off_itself(answer: Any, rng: np.random.Generator) -> str | None:
    """a large strength leaves a hidden word nothing but what was told: the right ending has probability one"""
    words, hidden, language = _sentence(rng)
    p = _predicted(answer, words, language.n_answers, 60.0)
    for place in np.flatnonzero(hidden):
        told = words[language.told(words, int(place)), 1]
        if differs(p[place, told], 1.0, 1e-6):
            return f"word {place} was told with ending {told}, to which you give {p[place, told]:.4f}"
    return None


def copies(answer: Any, rng: np.random.Generator) -> str | None:
    """in between, the told word has the weight e^s / (e^s + all other visible words)"""
    words, hidden, language = _sentence(rng)
    strength = float(rng.uniform(1.0, 4.0))
    p = _predicted(answer, words, language.n_answers, strength)
    for place in np.flatnonzero(hidden):
        votes = np.where(words[:, 0] == words[place, 0], np.exp(strength), 1.0) * ~hidden
        want = np.bincount(words[~hidden, 1], weights=votes[~hidden], minlength=language.n_answers) / votes.sum()
        if differs(p[place], want):
            seen, right = np.round(p[place], 4).tolist(), np.round(want, 4).tolist()
            return f"strength {strength:.2f}, word {place}: {seen}, expected {right}"
    return None


def where_does_not_count(answer: Any, rng: np.random.Generator) -> str | None:
    """shuffle the sentence, and the predictions are shuffled with it"""
    words, _, language = _sentence(rng)
    order = rng.permutation(len(words))
    first = _predicted(answer, words, language.n_answers, 2.0)
    second = _predicted(answer, words[order], language.n_answers, 2.0)
    if differs(second, first[order]):
        return f"a prediction changed by {np.abs(second - first[order]).max():.3f}"
    return None
