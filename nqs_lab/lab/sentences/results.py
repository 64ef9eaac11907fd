"""The shipped runs of lesson 09b, as the notebook and the dashboard ask for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_lab.lab.comparison.verdict import Verdict, judge
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.sentences.__main__ import DATA, shelf
from nqs_lab.lab.sentences.languages import LANGUAGES
from nqs_lab.lab.sentences.setting import LENGTHS, MARGIN, TYPES, WIDTH, Setting
from nqs_lab.lab.sentences.training import example_batch, example_place
from nqs_lab.lab.shelf import Row, Shelf


class Example(NamedTuple):
    """One shipped sentence as a trained reader sees it.

    `words` (n, f); `place`: the hidden word shown; `answer`: the right one. `rows`: where it looks in every block
    and head; `p`: predicted probabilities of the answers.
    """

    words: np.ndarray
    place: int
    answer: int
    rows: Float[np.ndarray, "depth h n"]
    p: Float[np.ndarray, " q"]


@dataclass(frozen=True)
class Results:
    """The shelves of the grid and of the tuning runs; whatever is missing on them is said, not guessed."""

    grid: Shelf[Setting]
    tune: Shelf[Setting]

    def runs(self, language: str, attention: str) -> list[Row[Setting]]:
        """The reported runs of one kind, by seed. Raises ValueError if there is none."""
        rows = self.grid.select(language=language, attention=attention, start=LENGTHS[0], patience=1, width=WIDTH)
        if not rows:
            raise ValueError(f"no run of {attention} in the {language} language is there; run {self.grid.command}.")
        return rows

    def seeds(self, language: str, attention: str) -> list[int]:
        """The seeds of the reported runs of one kind."""
        return [row.setting.seed for row in self.runs(language, attention)]

    def column(
        self, language: str, attention: str, name: str, *, only: Sequence[int] | None = None
    ) -> Float[np.ndarray, "seeds lengths"]:
        """One number at every length of every run: "loss", "excess", "accuracy", "frozen_mean", ...; `only`: seeds."""
        rows = [row for row in self.runs(language, attention) if only is None or row.setting.seed in only]
        return np.array([[stage[name] for stage in row["stages"]] for row in rows], dtype=float)

    def loss(self, language: str, attention: str) -> Float[np.ndarray, "seeds lengths"]:
        """Cross-entropy in nats per hidden word, floor + excess.

        The excess is measured against the best reader on the same sentences: the luck of the test sentences cancels.
        """
        floor = np.array([LANGUAGES[language].floor(n) for n in LENGTHS])
        excess = self.column(language, attention, "excess")
        return np.broadcast_to(floor, excess.shape) + excess

    def verdict(self, language: str, first: str, second: str, n: int) -> Verdict:
        """Loss of the first type minus that of the second at n words, seeds paired, in nats per hidden word.

        Raises ValueError for fewer than two common seeds.
        """
        common = self.common(language, first, second)
        at = LENGTHS.index(n)
        pair = [self.column(language, kind, "excess", only=common)[:, at] for kind in (first, second)]
        return judge(*pair, margin=MARGIN)

    def common(self, language: str, first: str, second: str) -> list[int]:
        """The seeds that both types have on the shelf."""
        return sorted(set(self.seeds(language, first)) & set(self.seeds(language, second)))

    def missing(self) -> list[str]:
        """The reported runs that are not there yet."""
        found = {(r.setting.language, r.setting.attention, r.setting.seed) for r in self.grid.rows}
        wanted = [(language, kind, seed) for seed in seeds(3) for language in LANGUAGES for kind in TYPES]
        return ["-".join(map(str, case)) for case in wanted if case not in found]

    def example(self, language: str, attention: str, n: int, number: int = 0) -> Example:
        """One of the shipped sentences, read by the run of the first seed."""
        arrays, batch = self.grid.arrays(self.runs(language, attention)[0]), example_batch(LANGUAGES[language], n)
        place = example_place(batch.hidden[number])
        return Example(
            batch.words[number],
            place,
            int(batch.answers[number, place]),
            arrays[f"rows_{n}"][number].astype(np.float64),
            arrays[f"p_{n}"][number].astype(np.float64),
        )


def load_sentences(folder: Path = DATA) -> Results:
    """The shipped runs of the two languages."""
    return Results(shelf("grid", folder), shelf("tune", folder))
