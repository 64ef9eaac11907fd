"""The other sequence model: texts, tokens and batches for a small causal language model."""

from nqs_lab.language.batches import (
    Batch as Batch,
    batch_at as batch_at,
    batches as batches,
    fixed_blocks as fixed_blocks,
)
from nqs_lab.language.corpus import Corpus as Corpus
from nqs_lab.language.grammar import StoryGrammar as StoryGrammar, stories as stories
from nqs_lab.language.harvest import docstrings as docstrings
from nqs_lab.language.information import (
    information_at as information_at,
    measured_information as measured_information,
)
from nqs_lab.language.tiny import tinystories as tinystories
from nqs_lab.language.tokens import (
    AbstractTokens as AbstractTokens,
    Bytes as Bytes,
    WordPieces as WordPieces,
    learn_pieces as learn_pieces,
)
