"""Bytes and pieces of words without loss, merges against plain byte-pair encoding, batches that can be resumed."""

import itertools
import sys
from collections import Counter

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nqs_lab.language import (
    Bytes,
    StoryGrammar,
    WordPieces,
    batch_at,
    batches,
    fixed_blocks,
    learn_pieces,
    stories,
)
from nqs_lab.language.tokens import split_words

SAMPLE = stories(StoryGrammar(0.5), train=200, held_out=5).train_text + (
    "Naïve café — “quoted” 東京, 12345 and 3.14:\n\n    def f(x):\n        return x ** 2  # ======\n" * 20
)
PIECES = learn_pieces(SAMPLE, 400)
EVERY = st.text(st.characters() | st.characters(categories=["Cs"]))  # also halves of surrogate pairs
QUICK = settings(max_examples=150, deadline=None)


def plain_merges(text, size):
    """Byte-pair encoding as it is told: count all pairs of neighbours, merge the most frequent, and again."""
    words = Counter(split_words(text.encode()))
    cut = {word: [bytes([b]) for b in word] for word in words}
    number = {bytes([b]): b for b in range(256)}
    merges = []
    while len(number) < size:
        count = Counter()
        for word, parts in cut.items():
            for pair in itertools.pairwise(parts):
                count[pair] += words[word]
        # of equally frequent pairs the one whose parts are the older tokens
        best = min(count, key=lambda pair: (-count[pair], number[pair[0]], number[pair[1]]), default=None)
        if best is None or count[best] < 2:
            break
        merges.append(best)
        number.setdefault(best[0] + best[1], len(number))
        cut = {word: merged(parts, best) for word, parts in cut.items()}
    return tuple(merges)


def merged(parts, pair):
    """The parts with each occurrence of a pair joined, from the left."""
    out = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] = pair[0] + pair[1]
        else:
            out.append(part)
    return out


# --- no loss


@QUICK
@given(EVERY)
def test_bytes_are_decoded_to_the_same_text(text):
    tokens = Bytes().encode(text)
    assert tokens.dtype == np.int32 and Bytes().decode(tokens) == text
    assert tokens.tolist() == list(text.encode("utf-8", "surrogatepass"))


@QUICK
@given(EVERY | st.lists(st.sampled_from(SAMPLE.split(" ") + [" ", "\n", "\x00", "Ġ", "</w>"])).map(" ".join))
def test_pieces_are_decoded_to_the_same_text(text):
    tokens = PIECES.encode(text)
    assert tokens.dtype == np.int32 and PIECES.decode(tokens) == text
    assert len(tokens) <= len(Bytes().encode(text))


@QUICK
@given(st.lists(st.integers(0, PIECES.size - 1)))
def test_any_tokens_can_be_printed(tokens):
    """A model writes what it likes, also half a character."""
    text = PIECES.decode(np.array(tokens, dtype=np.int32))
    assert isinstance(text, str)
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert text.encode("utf-8", "surrogatepass") == b"".join(PIECES.pieces[t] for t in tokens)


@QUICK
@given(st.binary())
def test_words_are_all_there_is(data):
    assert b"".join(split_words(data)) == data


def test_numbers_that_are_no_tokens_are_refused():
    for tokens in (Bytes(), PIECES):
        for bad in (-1, tokens.size):
            with pytest.raises(ValueError, match=f"tokens from 0 to {tokens.size - 1}"):
                tokens.decode(np.array([0, bad]))
        assert tokens.decode(np.array([], dtype=np.int32)) == "" and len(tokens.encode("")) == 0
        assert [piece[0] for piece in tokens.pieces[:256]] == list(range(256))
    assert Bytes().size == 256


# --- byte-pair encoding


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (SAMPLE, 330),
        ("abab abcabc bcbc " * 9 + "aaaa aaaaaa aaa", 300),
        ("".join(np.random.default_rng(2).choice(list("abc \n"), 3000)), 340),
    ],
)
def test_merges_are_those_of_the_plain_algorithm(text, size):
    assert learn_pieces(text, size).merges == plain_merges(text, size)


@pytest.mark.parametrize("text", [SAMPLE[:2000], "Hana hid the naïve crown; barn barns 123456\n\n  x", "aaaaaaa"])
def test_a_word_is_cut_up_by_the_merges_in_their_order(text):
    expected = []
    for word in split_words(text.encode()):
        parts = [bytes([b]) for b in word]
        for pair in PIECES.merges:
            parts = merged(parts, pair)
        expected += parts
    assert [PIECES.pieces[t] for t in PIECES.encode(text)] == expected


def test_a_vocabulary_has_at_most_1024_pieces_each_within_a_word():
    words = [f"{a}{b}{c}" for a, b, c in itertools.product("bdfgklmn", "aeiou", ["pra", "ste", "vwi", "xzo"])]
    words += [b + a for a, b in itertools.permutations(words[:40], 2)]
    many = learn_pieces([" ".join(words) + " "] * 3)
    assert many.size == 1024 and len(set(many.pieces)) == 1024
    assert max(many.encode(" ".join(words))) < 1024
    assert all(len(split_words(piece)) == 1 for piece in many.pieces)
    few = learn_pieces("so so", 1000)
    assert few.size == 257 and few.pieces[256:] == (b"so",)
    for size in (256, 1025):
        with pytest.raises(ValueError, match="257 to 1024"):
            learn_pieces("abc", size)


def test_every_word_of_a_story_becomes_one_token():
    corpus = stories(StoryGrammar(0.9), train=500, held_out=20)
    pieces = learn_pieces(corpus.train_text)
    for story in corpus.held_out:
        assert len(pieces.encode(story + corpus.gap)) == 12 * 9 + 1  # eight words and a full stop; the end of the line


def test_pieces_are_kept_as_text_and_learnt_alike():
    assert learn_pieces(SAMPLE, 400) == PIECES and learn_pieces(iter([SAMPLE]), 400).digest == PIECES.digest
    again = WordPieces.from_json(PIECES.as_json())
    assert again == PIECES and again.digest == PIECES.digest
    np.testing.assert_array_equal(again.encode(SAMPLE), PIECES.encode(SAMPLE))
    assert learn_pieces(SAMPLE, 399).digest != PIECES.digest and Bytes().digest != PIECES.digest
    assert "400 tokens" in repr(PIECES)
    for bad in ("no json", "[1]", '[["a"]]', '[["東", "a"]]', "{}x"):
        with pytest.raises(ValueError, match="as_json wrote"):
            WordPieces.from_json(bad)
    with pytest.raises(ValueError, match="merged before"):
        WordPieces(((b"ab", b"c"),))


def test_a_piece_made_in_two_ways_is_one_token():
    both = WordPieces(((b"b", b"c"), (b"a", b"bc"), (b"a", b"b"), (b"ab", b"c")))
    assert both.size == 256 + 3 and both.decode(both.encode("abcab")) == "abcab"


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    fresh = WordPieces(PIECES.merges)
    for call in (lambda: learn_pieces("abc abc", 300), lambda: fresh.encode("abc")):
        with pytest.raises(ValueError, match=r"tokenizers.*pip install 'nqs-lab\[language\]'"):
            call()
    assert fresh.decode(np.array([97, 98])) == "ab"  # to decode, nothing is needed


# --- batches


@pytest.mark.parametrize(("length", "block", "batch"), [(50, 7, 5), (8, 7, 3), (1000, 1, 64)])
def test_targets_are_what_comes_after(key, length, block, batch):
    tokens = np.random.default_rng(0).permutation(length).astype(np.int32)  # each token tells its place
    place = np.argsort(tokens)
    for step in (0, 3):
        inputs, targets = batch_at(tokens, block, batch, key, step)
        assert inputs.shape == targets.shape == (batch, block) and inputs.dtype == targets.dtype == np.int32
        np.testing.assert_array_equal(place[targets], place[inputs] + 1)
        np.testing.assert_array_equal(np.diff(place[inputs], axis=1), 1)


def test_a_resumed_run_sees_the_same_batches(key):
    tokens = Bytes().encode(SAMPLE)
    whole = list(itertools.islice(batches(tokens, 16, 4, key), 7))
    rest = list(itertools.islice(batches(tokens, 16, 4, key, start=4), 3))
    jax.tree.map(np.testing.assert_array_equal, whole[4:], rest)
    jax.tree.map(np.testing.assert_array_equal, whole[5], batch_at(tokens, 16, 4, key, 5))
    starts = {tuple(b.inputs.ravel()) for b in [*whole, batch_at(tokens, 16, 4, jax.random.key(1), 0)]}
    assert len(starts) == 8  # another step or key, another batch
    with jax.enable_x64(False):
        jax.tree.map(np.testing.assert_array_equal, whole[5], batch_at(tokens, 16, 4, key, 5))


def test_every_place_is_as_likely(key):
    inputs = np.concatenate([b.inputs for b in itertools.islice(batches(np.arange(30), 10, 500, key), 8)])
    counts = np.bincount(inputs[:, 0], minlength=20)
    assert len(counts) == 20 and np.all(counts > 0)
    assert np.sum((counts - 200) ** 2) / 200 < 60  # chi squared with 19 degrees of freedom


@pytest.mark.parametrize(("length", "block", "count"), [(100, 9, 11), (100, 9, 3), (1001, 10, 100), (50, 49, 1)])
def test_held_out_blocks_are_spread_and_do_not_overlap(length, block, count):
    inputs, targets = fixed_blocks(np.arange(length), block, count)
    assert inputs.shape == (count, block)
    np.testing.assert_array_equal(targets, inputs + 1)
    assert len(np.unique(inputs)) == count * block
    if count > 1:
        assert inputs[0, 0] == 0 and targets[-1, -1] == length - 1
        assert np.ptp(np.diff(inputs[:, 0])) <= 1


def test_wrong_sizes_are_told_at_once(key):
    tokens = np.arange(20)
    for block in (0, 20):
        with pytest.raises(ValueError, match="a text longer than it"):
            batches(tokens, block, 2, key)
        with pytest.raises(ValueError, match="a text longer than it"):
            fixed_blocks(tokens, block, 1)
    for batch, step in ((0, 0), (2, -1)):
        with pytest.raises(ValueError, match="a step from 0"):
            batch_at(tokens, 4, batch, key, step)
    for count in (0, 5):
        with pytest.raises(ValueError, match="1 to 4 blocks of 4 tokens"):
            fixed_blocks(tokens, 4, count)
