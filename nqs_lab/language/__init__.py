"""The other sequence model: texts, tokens and batches for a small causal language model."""

from nqs_lab.language.batches import (
    Batch as Batch,
    batch_at as batch_at,
    batches as batches,
    fixed_blocks as fixed_blocks,
)
from nqs_lab.language.causality import LeakError as LeakError, check_causal as check_causal, leak as leak
from nqs_lab.language.corpus import Corpus as Corpus
from nqs_lab.language.grammar import StoryGrammar as StoryGrammar, stories as stories
from nqs_lab.language.harvest import docstrings as docstrings
from nqs_lab.language.information import (
    information_at as information_at,
    measured_information as measured_information,
)
from nqs_lab.language.model import LanguageModel as LanguageModel, text_maps as text_maps
from nqs_lab.language.running import Fitted as Fitted, Material as Material, fit as fit
from nqs_lab.language.tiny import tinystories as tinystories
from nqs_lab.language.tokens import (
    AbstractTokens as AbstractTokens,
    Bytes as Bytes,
    WordPieces as WordPieces,
    learn_pieces as learn_pieces,
)
from nqs_lab.language.training import (
    Recipe as Recipe,
    TrainState as TrainState,
    judge as judge,
    start as start,
    train_step as train_step,
    training_key as training_key,
)
from nqs_lab.language.writing import write as write, write_text as write_text
