"""The texts of the comparison as tokens, and what is asked of a model about stories beyond its loss."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_lab.lab.language_runs.setting import BLOCK, VOCABULARY
from nqs_lab.language import (
    AbstractTokens,
    Batch,
    Corpus,
    StoryGrammar,
    WordPieces,
    docstrings,
    fixed_blocks,
    learn_pieces,
    stories,
)
from nqs_lab.language.running import Material

GRAMMAR = StoryGrammar(0.9, cast=4, things=8)
"""Twelve sentences, so that a story fits into a block, and a thing has to be carried over about four of them."""
TRAIN, HELD_OUT = 20_000, 1_000
JUDGED, LAST_PLACES, WHOLE = 120, 384, 200
"""Held-out blocks for the loss (15,360 tokens, as in the paper), for its value at the last place, and whole stories."""


@dataclass(frozen=True)
class Text:
    """A corpus, its tokens, and what models learn from and are judged on. `grammar`: what generated it, or None.

    `last`: more held-out blocks, for the loss at their last place, where nothing is left to leak. `stories` and `best`:
    held-out stories from their first token on, and the exact -ln p of each under the best reader, in nats.
    """

    corpus: Corpus
    tokens: AbstractTokens
    material: Material
    last: Batch
    grammar: StoryGrammar | None = None
    stories: Batch | None = None
    best: Float[np.ndarray, " S"] | None = None
    story_tokens: int = 0

    @property
    def about(self) -> dict[str, Any]:
        """What says that two readers have the same text."""
        return {"corpus": self.corpus.digest[:16], "tokens": self.tokens.digest[:16], "vocabulary": self.tokens.size}


class Whole(NamedTuple):
    """Stories as a batch, and how many tokens each has."""

    batch: Batch
    tokens: int


@functools.cache
def text(name: str) -> Text:
    """The text called "grammar" or "docstrings". **Raises** ValueError where its vocabulary is not the expected one."""
    if name == "grammar":
        return make_text(
            stories(GRAMMAR, train=TRAIN, held_out=HELD_OUT), size=512, wanted=VOCABULARY[name], grammar=GRAMMAR
        )
    return make_text(docstrings(), size=VOCABULARY[name], wanted=VOCABULARY[name])


def make_text(
    corpus: Corpus,
    *,
    size: int,
    wanted: int | None = None,
    grammar: StoryGrammar | None = None,
    block: int = BLOCK,
    judged: int = JUDGED,
    last: int = LAST_PLACES,
    whole: int = WHOLE,
) -> Text:
    """A corpus with pieces of words learnt from its training split, and the fixed sets that models are judged on.

    **Raises** ValueError for another vocabulary than the `wanted` one: parameters would not be those compared.
    """
    tokens = learn_pieces(corpus.train_text, size)
    if wanted is not None and tokens.size != wanted:
        raise ValueError(
            f"expected {wanted} pieces of words in {corpus.name}, learnt {tokens.size}: another version of the package "
            "tokenizers? The numbers of parameters would differ; change VOCABULARY and train all runs anew."
        )
    held = tokens.encode(corpus.held_out_text)
    material = Material(tokens.encode(corpus.train_text), fixed_blocks(held, block, judged))
    at_last = fixed_blocks(held, block, min(last, (len(held) - 1) // block))
    if grammar is None:
        return Text(corpus, tokens, material, at_last)
    chosen = corpus.held_out[:whole]
    found = whole_stories(chosen, tokens, block, corpus.gap)
    best = np.array([grammar.best(story).sum() for story in chosen])
    return Text(corpus, tokens, material, at_last, grammar, found.batch, best, found.tokens)


def whole_stories(chosen: tuple[str, ...], tokens: AbstractTokens, block: int, gap: str) -> Whole:
    """Each story after a gap and before the next one's start, cut to a block.

    **Raises** ValueError if the stories do not all have the same number of tokens, or if they do not fit.
    """
    rows = [tokens.encode(gap + story + gap) for story in chosen]
    lengths = {len(row) for row in rows}
    count = len(tokens.encode(gap + chosen[0])) - len(tokens.encode(gap))
    if len(lengths) != 1 or count + 1 > block:
        raise ValueError(f"expected stories of one length below {block} tokens, got {sorted(lengths)}.")
    filled = np.zeros((len(rows), block + 1), np.int32)
    filled[:, : len(rows[0])] = rows
    return Whole(Batch(filled[:, :-1], filled[:, 1:]), count)


def kept_things(grammar: StoryGrammar, written: str) -> dict[str, int]:
    """What a written text remembers: whole lines, those that the grammar can read, mentions of a known name in them,
    and how many of these have the thing that stood with the name before."""
    lines = written.split("\n")[1:-1]
    counts = {"lines": len(lines), "readable": 0, "known": 0, "kept": 0}
    for line in lines:
        try:
            parts = grammar.read(line)
        except ValueError:
            continue
        counts["readable"] += 1
        owned: dict[int, int] = {}
        for _, name, _, thing, _ in parts.tolist():
            counts["known"] += name in owned
            counts["kept"] += owned.get(name) == thing
            owned[name] = thing
    return counts


def pieces_of(text: Text) -> str:
    """The learnt merges as text. Raises ValueError for tokens that were not learnt."""
    if not isinstance(text.tokens, WordPieces):
        raise ValueError("bytes have no merges.")
    return text.tokens.as_json()
