"""Keep arrays on disk: one file per pytree, never pickle, always complete, never read as something that it is not."""

from .files import cached as cached, load as load, read_header as read_header, save as save
from .provenance import provenance as provenance
