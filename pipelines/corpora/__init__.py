"""The corpora that `prepare` reads: one adapter module each, and the registry.

May import `pipelines.runtime` and the modules at the top of `pipelines`.
"""

from pipelines.corpora.base import Corpus, Listing, MissingItem, Options, SourceItem, Split
from pipelines.corpora.registry import CORPORA, find_corpus

__all__ = ["CORPORA", "Corpus", "Listing", "MissingItem", "Options", "SourceItem", "Split", "find_corpus"]
