"""A corpus: documents to learn from, documents held out, and what says that two readers have the same ones."""

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType


@dataclass(frozen=True, repr=False)
class Corpus:
    """Documents to learn from and documents to be judged on; print it for the sizes and the digest.

    Arguments: `name`; `train` and `held_out`, the documents of each split; `source`, where they come from; `gap`, the
    text after each document when they are joined. The digest is SHA-256 over both splits, document by document (length
    and UTF-8 bytes): equal digests, equal texts.

    **Raises** ValueError if a split is empty, or if a document stands in both.
    """

    name: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    source: str
    gap: str = "\n\n\n"

    def __post_init__(self):
        if not self.train or not self.held_out:
            raise ValueError(
                f"expected documents in both splits of {self.name}, got {len(self.train)} to learn from and "
                f"{len(self.held_out)} held out: ask for more of them, or from other sources"
            )
        shared = set(self.train) & set(self.held_out)
        if shared:
            raise ValueError(
                f"expected splits of {self.name} without a common document, got {len(shared)} in both, the first "
                f"{min(shared)[:60]!r}: hold out other documents (of a generated language, longer ones)"
            )

    @cached_property
    def train_text(self) -> str:
        """All documents to learn from, each followed by the gap."""
        return "".join(document + self.gap for document in self.train)

    @cached_property
    def held_out_text(self) -> str:
        """All documents held out, each followed by the gap."""
        return "".join(document + self.gap for document in self.held_out)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of both splits, in hexadecimal."""
        total = hashlib.sha256()
        for documents in (self.train, self.held_out):
            total.update(len(documents).to_bytes(8, "little"))
            for document in documents:
                data = utf8(document)
                total.update(len(data).to_bytes(8, "little") + data)
        return total.hexdigest()

    def __repr__(self) -> str:
        lines = [f"{self.name}, from {self.source}"]
        for split, documents, text in (
            ("to learn from", self.train, self.train_text),
            ("held out", self.held_out, self.held_out_text),
        ):
            lines.append(f"  {split}: {len(utf8(text)) / 1e6:.2f} MB in {len(documents):,} documents")
        return "\n".join([*lines, f"  sha256 {self.digest}"])


def utf8(text: str) -> bytes:
    """The bytes of any text; half a surrogate pair, which strict UTF-8 refuses and a docstring may hold, is kept."""
    return text.encode("utf-8", "surrogatepass")


def distinct(documents: Iterable[str]) -> tuple[str, ...]:
    """Each document once, in the order of first appearance."""
    return tuple(dict.fromkeys(documents))


def need(module: str, purpose: str) -> ModuleType:
    """A package of the optional extra `language`. **Raises** ValueError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{purpose} needs the package {module}, which cannot be imported ({error}). Install it with "
            "`pip install 'nqs-lab[language]'` (in a checkout: `pip install -e '.[language]'`)."
        ) from None
