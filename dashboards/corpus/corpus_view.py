"""What a page shows of a corpus: sentences, charts and numbers. The corpus report and the study report both use it."""

from dataclasses import dataclass
from typing import Any

from benchmarks.schema.corpus import CorpusDescription
from dashboards.corpus.length_charts import length_charts
from dashboards.corpus.sentences import (
    TIME_UNITS,
    length_sentence,
    moment_rows,
    reject_sentence,
    size_sentence,
    speaker_sentence,
)

__all__ = ["CorpusView", "view_corpus"]


@dataclass(frozen=True)
class CorpusView:
    """A corpus with its sentences and charts.

    Attributes:
        charts: name and histogram of lengths of each split.
        moments: channel, mean and standard deviation of the training split.
        time: unit of durations in the table of splits, and its length in seconds; None for pen.
        link: the corpus's web address; None if a browser cannot open it.
    """

    corpus: CorpusDescription
    size: str
    lengths: str
    speakers: str
    rejects: str
    charts: tuple[tuple[str, dict[str, Any]], ...]
    moments: tuple[tuple[str, float, float], ...]
    time: tuple[str, float] | None
    link: str | None


def view_corpus(corpus: CorpusDescription) -> CorpusView:
    """Compute what a page shows of a corpus."""
    longest = max((seconds or 0.0 for seconds in corpus.seconds.values()), default=0.0)
    size, unit = next((pair for pair in TIME_UNITS if longest >= pair[0]), TIME_UNITS[-1])
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
