"""Text as whole numbers and back: bytes, and pieces of words that are learnt on the spot."""

import abc
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from nqs_lab.language.corpus import need, utf8

SMALLEST, LARGEST = 257, 1024
"""Sizes of a vocabulary of pieces: one more than the bytes, and few enough that the output layer costs little."""
_WORD = re.compile(
    rb" ?[A-Za-z_\x80-\xff]+| ?[0-9]{1,3}| ?[^\sA-Za-z0-9_\x80-\xff]+|\s+(?!\S)|\s+",
)


class AbstractTokens(abc.ABC):
    """A vocabulary: `encode` any text, `decode` it again, without loss."""

    @property
    @abc.abstractmethod
    def pieces(self) -> tuple[bytes, ...]:
        """What each token stands for; token b below 256 is the byte b."""

    @abc.abstractmethod
    def encode(self, text: str) -> Int[np.ndarray, " n"]:
        """The tokens of a text, int32; decode(encode(text)) == text for every text."""

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.pieces)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pieces in their order: equal digests, equal tokens."""
        data = [len(piece).to_bytes(4, "little") + piece for piece in self.pieces]
        return hashlib.sha256(b"".join(data)).hexdigest()

    def decode(self, tokens: Int[np.ndarray, " n"]) -> str:
        """The text of any tokens; bytes that are no UTF-8, as a model may write them, become the sign U+FFFD.

        **Raises** ValueError for a number that is no token.
        """
        if len(tokens) and not (tokens.min() >= 0 and tokens.max() < self.size):
            raise ValueError(f"expected tokens from 0 to {self.size - 1}, got {tokens.min()} to {tokens.max()}.")
        data = b"".join(map(self.pieces.__getitem__, tokens.tolist()))
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace")


@dataclass(frozen=True)
class Bytes(AbstractTokens):
    """The 256 bytes of UTF-8: nothing to learn, nothing unknown, one token for an ASCII character."""

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """One byte each."""
        return tuple(bytes([b]) for b in range(256))

    def encode(self, text: str) -> Int[np.ndarray, " n"]:
        """The UTF-8 bytes, int32."""
        return np.frombuffer(utf8(text), np.uint8).astype(np.int32)


@dataclass(frozen=True, repr=False)
class WordPieces(AbstractTokens):
    """Byte-pair encoding (sennrich2016neural) on bytes: in each word, pairs are merged in the order they were learnt.

    Arguments: `merges`, pairs of pieces; a piece made by two different merges is one token. `learn_pieces` makes one,
    `as_json` and `from_json` keep it. To encode, it needs the package tokenizers (extra `language`).

    **Raises** ValueError if a merge uses pieces that no merge before it has made.
    """

    merges: tuple[tuple[bytes, bytes], ...]

    def __post_init__(self):
        known = {bytes([b]) for b in range(256)}
        for pair in self.merges:
            if not known.issuperset(pair):
                raise ValueError(f"expected merges of bytes and of pieces merged before, got {pair}.")
            known.add(pair[0] + pair[1])

    def __repr__(self) -> str:
        return f"WordPieces({self.size} tokens, sha256 {self.digest[:12]})"

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes, then what the merges make, in their order."""
        made = (first + second for first, second in self.merges)
        return tuple(dict.fromkeys([*(bytes([b]) for b in range(256)), *made]))

    def encode(self, text: str) -> Int[np.ndarray, " n"]:
        """The tokens of a text, int32; each different word is cut up once."""
        cut, out = {}, []
        for word in split_words(utf8(text)):
            if word not in cut:
                cut[word] = [token.id for token in self._engine.tokenize(_letters(word))]
            out += cut[word]
        return np.array(out, dtype=np.int32)

    @cached_property
    def _engine(self) -> Any:
        """The merges as a model of the package tokenizers."""
        vocabulary = {_letters(piece): token for token, piece in enumerate(self.pieces)}
        pairs = [(_letters(first), _letters(second)) for first, second in self.merges]
        return need("tokenizers", "byte-pair encoding").models.BPE(vocab=vocabulary, merges=pairs)

    def as_json(self) -> str:
        """The merges as text."""
        return json.dumps([[_letters(first), _letters(second)] for first, second in self.merges])

    @classmethod
    def from_json(cls, text: str) -> "WordPieces":
        """The vocabulary that `as_json` wrote. **Raises** ValueError for anything else."""
        try:
            pairs = [(first.encode("latin-1"), second.encode("latin-1")) for first, second in json.loads(text)]
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"expected what WordPieces.as_json wrote, got {text[:60]!r} ({error}).") from None
        return cls(tuple(pairs))


def learn_pieces(text: str | Iterable[str], size: int = LARGEST) -> WordPieces:
    """Learn pieces of words from a text: start from the 256 bytes, and merge the most frequent pair again and again.

    Merges stay inside words (a blank belongs to the word after it). It stops at `size` tokens, or earlier when no pair
    is left that stands there twice. The same text gives the same pieces.

    Arguments: `text`, one or several of the split to learn from, never the one held out; `size` from 257 to 1024.

    **Raises** ValueError for another size, or without the package tokenizers (extra `language`).
    """
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"expected a vocabulary of {SMALLEST} to {LARGEST} tokens, got {size}.")
    tokenizers = need("tokenizers", "byte-pair encoding")
    letters = [chr(b) for b in range(256)]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=letters, special_tokens=[], show_progress=False
    )
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    texts = [text] if isinstance(text, str) else text
    words = (_letters(word) for part in texts for word in split_words(utf8(part)))
    learner.train_from_iterator(words, trainer)
    model = json.loads(learner.to_str())["model"]
    # Older versions of the package write a merge as "a b", which a piece with a blank in it makes ambiguous.
    if any(isinstance(merge, str) for merge in model["merges"]):
        raise ValueError("expected tokenizers 0.20 or newer: pip install -U tokenizers")
    made = WordPieces(tuple((a.encode("latin-1"), b.encode("latin-1")) for a, b in model["merges"]))
    assert {_letters(piece): token for token, piece in enumerate(made.pieces)} == model["vocab"]
    return made


def split_words(data: bytes) -> list[bytes]:
    """Cut bytes into words, numbers of up to three digits, marks and blanks; joined they are the bytes again."""
    return _WORD.findall(data)


def _letters(data: bytes) -> str:
    """Bytes as the 256 first characters, which is how the package tokenizers, made for text, sees them."""
    return data.decode("latin-1")
