"""A corpus as a page shows it: its summary, what follows from it in sentences, and its charts.

One view serves the study report's section on data and the page of a corpus by itself.
"""

from dataclasses import dataclass
from typing import Any

from dashboards.corpus.length_charts import length_charts
from dashboards.corpus.sentences import (
    UNITS,
    length_sentence,
    moment_rows,
    reject_sentence,
    size_sentence,
    speaker_sentence,
)
from dashboards.corpus.summary_file import Corpus

__all__ = ["CorpusView", "view_corpus"]

Charts = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class CorpusView:
    """A corpus with its sentences.

    Attributes:
        charts: the histogram of lengths of each split, by its name.
        moments: channel, mean and standard deviation of the training split.
        time: the unit that the table of splits gives durations in, and its seconds; None for pen.
        link: the corpus's address, where it is one that a browser may follow.
    """

    corpus: Corpus
    size: str
    lengths: str
    speakers: str
    rejects: str
    charts: Charts
    moments: tuple[tuple[str, float, float], ...]
    time: tuple[str, float] | None
    link: str | None


def view_corpus(corpus: Corpus) -> CorpusView:
    """What a page says of a corpus."""
    longest = max((seconds or 0.0 for seconds in corpus.seconds.values()), default=0.0)
    size, unit = next((pair for pair in UNITS if longest >= pair[0]), UNITS[-1])
    return CorpusView(
        corpus=corpus,
        size=size_sentence(corpus),
        lengths=length_sentence(corpus),
        speakers=speaker_sentence(corpus),
        rejects=reject_sentence(corpus),
        charts=tuple(length_charts(corpus)),
        moments=tuple(moment_rows(corpus)),
        time=(unit, size) if corpus.sample_rate else None,
        link=corpus.url if corpus.url.startswith(("https://", "http://")) else None,
    )
