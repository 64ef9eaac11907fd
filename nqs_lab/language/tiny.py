"""Stories for small models from the network: the first of TinyStories (eldan2023tinystories)."""

import itertools
import os
import socket
import urllib.request
from collections.abc import Iterator

import numpy as np

from nqs_lab import store
from nqs_lab.language.corpus import Corpus, distinct, need, utf8

ADDRESS = "roneneldan/TinyStories"
HOST = ("huggingface.co", 443)
SPLITS = ("train", "validation")


def tinystories(train: int = 20_000, held_out: int = 1_000, *, cache: str | os.PathLike | None = None) -> Corpus:
    """The first stories of both splits of TinyStories (eldan2023tinystories); they are streamed, so only they travel.

    Empty stories and repetitions are left out, and held-out ones that stand among those to learn from.

    Arguments: `train` and `held_out`, stories of each split; `cache`, a file that keeps them: with it, and with the
    same numbers, neither the network nor the package datasets is needed a second time.

    **Raises** ValueError without the package datasets (extra `language`) or without the network; it says what to do.
    """
    if min(train, held_out) < 1:
        raise ValueError(f"expected at least one story of each split, got {train} and {held_out}.")
    fetch = lambda: _pack(_fetch(train, held_out))
    config = {"data": ADDRESS, "train": train, "held_out": held_out}
    packed = fetch() if cache is None else store.cached(cache, fetch, config=config)
    learnt, judged = (_unpack(packed[split]) for split in SPLITS)
    return Corpus("TinyStories", learnt, judged, f"{ADDRESS}, the first {train:,} and {held_out:,}")


def _fetch(train: int, held_out: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stories of both splits; whatever the network does becomes one ValueError."""
    datasets = need("datasets", "TinyStories")
    _knock()
    try:
        learnt = _first(datasets.load_dataset(ADDRESS, split=SPLITS[0], streaming=True), train)
        known = set(learnt)
        return learnt, _first(datasets.load_dataset(ADDRESS, split=SPLITS[1], streaming=True), held_out, known)
    except Exception as error:  # the library, the network and the file format can raise almost anything
        raise ValueError(_advice(f"{type(error).__name__}: {str(error)[:200]}")) from None


def _first(rows, count: int, known: frozenset[str] | set[str] = frozenset()) -> tuple[str, ...]:
    """The first `count` different stories that are not empty and not known."""

    def fresh() -> Iterator[str]:
        seen = set(known)
        for row in rows:
            text = row["text"].strip()
            if text and text not in seen:
                seen.add(text)
                yield text

    return distinct(itertools.islice(fresh(), count))


def _knock() -> None:
    """Ask once whether the host answers: the library would try for half a minute. A proxy or mirror is not asked."""
    if urllib.request.getproxies() or "HF_ENDPOINT" in os.environ:
        return
    try:
        socket.create_connection(HOST, timeout=5).close()
    except OSError as error:
        raise ValueError(_advice(str(error))) from None


def _advice(reason: str) -> str:
    """What went wrong, and what can be done."""
    return (
        f"TinyStories could not be read from {HOST[0]} ({reason}). Connect to the network and try again (with cache=, "
        "the name of a file, once is enough), or use a corpus that needs no network: docstrings(), or "
        "stories(StoryGrammar(0.9))."
    )


def _pack(splits: tuple[tuple[str, ...], ...]) -> dict[str, dict[str, np.ndarray]]:
    """Texts as arrays: all bytes one after the other, and where each text ends."""
    packed = {}
    for name, texts in zip(SPLITS, splits, strict=True):
        data = [utf8(text) for text in texts]
        ends = np.cumsum([len(part) for part in data], dtype=np.int64)
        packed[name] = {"bytes": np.frombuffer(b"".join(data), np.uint8), "ends": ends}
    return packed


def _unpack(packed: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The texts again."""
    data, ends = packed["bytes"].tobytes(), [0, *packed["ends"].tolist()]
    return tuple(data[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(ends))
