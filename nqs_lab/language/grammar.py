"""Generated stories with a dial for long-range dependence, whose entropy is known exactly."""

import math
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nqs_lab.language.corpus import Corpus
from nqs_lab.language.information import channel_information, noisy_entropy

NAMES = tuple("Ada Ben Cleo Dan Eva Finn Gus Hana Ida Jon Kim Leo Mia Ned Ola Pia".split())
THINGS = tuple(
    "apple ball crown drum egg flute globe hat jar kite lamp map nut oar pen quilt rope shoe top urn violin wheel yarn"
    " zither".split()
)
FIRST = "Once"
OPENERS = ("Then", "Later", "Today", "Soon")
PLACES = {
    "found": ("by the river", "under the bed", "in the garden"),
    "hid": ("behind the door", "under the bed", "in the barn"),
    "saw": ("on the hill", "by the river", "at the market"),
    "dropped": ("on the stairs", "in the garden", "at the market"),
    "washed": ("by the river", "in the kitchen", "in the rain"),
    "carried": ("up the hill", "through the rain", "to the market"),
}
VERBS = tuple(PLACES)
CHOICES = 3
"""Places that go with a verb; all equally likely."""
_SENTENCE = re.compile(rf"({'|'.join((FIRST, *OPENERS))}) (\w+) (\w+) the (\w+) (.+)")


@dataclass(frozen=True)
class StoryGrammar:
    """Stories of a few characters, each with a thing of their own, kept from one mention to the next, or exchanged.

    A sentence is "<opener> <name> <verb> the <thing> <place>.", eight words, for a place has three. Opener, name and
    verb are drawn anew and uniformly (the opener of the first sentence is fixed), the place among the three of the
    verb. The thing is the one that stood with the same name before, with probability `memory`, else any of all; with a
    name that is new in the story, any.

    Between sentences k apart of one story the thing of a name survives with p_k = m (1 - (1 - m) / cast)^(k - 1), so
    that one (name, thing) tells of the other I(k) = C(p_k) / cast nats, C the information of a symmetric channel
    (`information`). `memory` is the dial: 0, sentences are independent; between, exponential decay over `reach`
    sentences; 1, I does not decay at all.

    Arguments: `memory` m from 0 to 1; `cast` and `things`, how many names and things; `length`, sentences in a story.
    **Raises** ValueError for numbers outside their range.
    """

    memory: float
    cast: int = 8
    things: int = 16
    length: int = 12

    def __post_init__(self):
        if not 0 <= self.memory <= 1:
            raise ValueError(f"memory is a probability, from 0 to 1; got {self.memory}.")
        for name, most in (("cast", len(NAMES)), ("things", len(THINGS)), ("length", 10_000)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} from 1 to {most}, got {getattr(self, name)}.")

    @property
    def reach(self) -> float:
        """Sentences over which a thing survives, to 1/e: -1 / ln(1 - (1 - m) / cast); infinite for m = 1."""
        loss = (1 - self.memory) / self.cast
        return math.inf if loss == 0 else -1 / math.log1p(-loss) if loss < 1 else 0.0

    def survival(self, distance: int) -> float:
        """p_k: no exchange of the thing of a name that stands in two sentences k = `distance` apart."""
        if distance < 1:
            raise ValueError(f"expected a distance of at least one sentence, got {distance}.")
        return self.memory * (1 - (1 - self.memory) / self.cast) ** (distance - 1)

    def information(self, distance: int) -> float:
        """What (name, thing) of a sentence tells of those `distance` sentences further, exact, in nats."""
        return channel_information(self.survival(distance), self.things) / self.cast

    def thing_information(self, distance: int) -> float:
        """The same of the two things alone, when nobody looks at the names: C(p_k / cast), exact, in nats."""
        return channel_information(self.survival(distance) / self.cast, self.things)

    def sentence_entropy(self, place: int, seen: int | None = None) -> float:
        """Entropy of sentence number `place` (from 0), given those before it, exact, in nats.

        A name is a known one with probability 1 - (1 - 1/cast)^place; `seen`: only that many sentences before are in
        view. **Raises** ValueError for a place outside the story or a negative `seen`.
        """
        if not 0 <= place < self.length or (seen is not None and seen < 0):
            raise ValueError(f"expected a place from 0 to {self.length - 1} and seen from 0, got {place} and {seen}.")
        before = place if seen is None else min(place, seen)
        new = (1 - 1 / self.cast) ** before
        thing = new * math.log(self.things) + (1 - new) * noisy_entropy(self.memory, self.things)
        opener = math.log(len(OPENERS)) if place else 0.0
        return opener + math.log(self.cast) + math.log(len(VERBS)) + math.log(CHOICES) + thing

    def story_entropy(self, seen: int | None = None) -> float:
        """Entropy of a story, in nats: the sum over its sentences."""
        return sum(self.sentence_entropy(place, seen) for place in range(self.length))

    def story_characters(self) -> float:
        """Mean length of a story with the gap after it, in characters (all ASCII: in bytes), exact."""
        mean = lambda words: sum(map(len, words)) / len(words)
        places = mean([place for verb in VERBS for place in PLACES[verb]])
        words = mean(NAMES[: self.cast]) + mean(VERBS) + len("the") + mean(THINGS[: self.things]) + places
        openers = len(FIRST) + (self.length - 1) * mean(OPENERS)
        return openers + self.length * (words + len("     . ")) - len(" ") + len(_GAP)

    def floor(self, seen: int | None = None) -> float:
        """Entropy rate in nats per character: no model, of any size, has a smaller expected loss on new stories.

        `seen`: no model that looks back over at most so many whole sentences. A bound, and not reached, where the view
        begins inside a story: then it is not known how many sentences are to come. Times the characters per token, it
        is the floor in nats per token.
        """
        return self.story_entropy(seen) / self.story_characters()

    def draw(self, rng: np.random.Generator, count: int) -> Int[np.ndarray, "count length 5"]:
        """Opener, name, verb, thing and place of every sentence of `count` stories, as whole numbers."""
        shape = (count, self.length)
        sizes = (len(OPENERS), self.cast, len(VERBS), self.things, CHOICES)
        parts = np.stack([rng.integers(size, size=shape) for size in sizes], axis=-1)
        kept, row = rng.random(shape) < self.memory, np.arange(count)
        owned = np.full((count, self.cast), -1)
        for t in range(self.length):
            name = parts[:, t, 1]
            old = owned[row, name]
            parts[:, t, 3] = np.where(kept[:, t] & (old >= 0), old, parts[:, t, 3])
            owned[row, name] = parts[:, t, 3]
        parts[:, 0, 0] = 0
        return parts

    def tell(self, parts: Int[np.ndarray, "length 5"]) -> str:
        """The story as text. Different numbers make different texts: `read` finds them again."""
        sentences = []
        for t, (opener, name, verb, thing, place) in enumerate(parts.tolist()):
            start, verb = OPENERS[opener] if t else FIRST, VERBS[verb]
            sentences.append(f"{start} {NAMES[name]} {verb} the {THINGS[thing]} {PLACES[verb][place]}.")
        return " ".join(sentences)

    def read(self, story: str) -> Int[np.ndarray, "length 5"]:
        """The numbers of a story. **Raises** ValueError for a text that this grammar cannot have made."""
        try:
            if not story.endswith("."):
                raise ValueError("no full stop at the end")
            parts = [self._read(t, sentence) for t, sentence in enumerate(story[:-1].split(". "))]
            if len(parts) != self.length:
                raise ValueError(f"{len(parts)} sentences")
        except ValueError as error:
            raise ValueError(f"expected a story of {self}, got {story[:80]!r}: {error}") from None
        return np.array(parts)

    def _read(self, t: int, sentence: str) -> tuple[int, int, int, int, int]:
        """The numbers of one sentence; a word that cannot stand there is a ValueError of `index`."""
        found = _SENTENCE.fullmatch(sentence)
        if not found:
            raise ValueError(f"no sentence: {sentence!r}")
        start, name, verb, thing, place = found.groups()
        opener = OPENERS.index(start) if t else (FIRST,).index(start)
        numbers = NAMES[: self.cast].index(name), VERBS.index(verb), THINGS[: self.things].index(thing)
        return opener, *numbers, PLACES[verb].index(place)

    def best(self, story: str) -> Float[np.ndarray, " length"]:
        """-ln p of every sentence of a story under the best possible reader, in nats; their sum is that of the story.

        The mean over stories is `story_entropy`, but on the same stories as a model the luck of the draw cancels.
        **Raises** ValueError for a text that this grammar cannot have made, also by a thing that memory 1 keeps.
        """
        always = math.log(self.cast) + math.log(len(VERBS)) + math.log(CHOICES)
        owned, out = {}, np.empty(self.length)
        for t, (_, name, _, thing, _) in enumerate(self.read(story).tolist()):
            fresh = 1 / self.things
            p = fresh if name not in owned else self.memory * (owned[name] == thing) + (1 - self.memory) * fresh
            if p == 0:
                raise ValueError(f"with memory 1 nobody exchanges a thing, but {NAMES[name]} does in {story[:80]!r}.")
            out[t] = always + (math.log(len(OPENERS)) if t else 0.0) - math.log(p)
            owned[name] = thing
        return out


_GAP = "\n"


def stories(grammar: StoryGrammar, *, train: int = 20_000, held_out: int = 1_000, seed: int = 0) -> Corpus:
    """A corpus of generated stories, one on a line; the same arguments give the same text.

    Arguments: `train` and `held_out`, stories of each split, from two independent streams of the seed (from 0).
    **Raises** ValueError if a story comes up in both splits: the grammar is then too small to hold anything out.
    """
    if min(train, held_out) < 1 or seed < 0:
        raise ValueError(
            f"expected at least one story of each split and a seed from 0, got {train}, {held_out}, {seed}."
        )
    streams = [grammar.draw(np.random.default_rng([seed, n]), count) for n, count in enumerate((train, held_out))]
    learnt, judged = (tuple(map(grammar.tell, parts)) for parts in streams)
    return Corpus("stories", learnt, judged, f"{grammar}, seed {seed}", gap=_GAP)
