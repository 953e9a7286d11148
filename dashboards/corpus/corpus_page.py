"""The corpus report: one HTML page about a set of shards. The same shards give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.schema.corpus import CorpusDescription
from dashboards.corpus.corpus_view import split_difference, view_corpus
from dashboards.media.players import WAVE_BOX, Sample, clips, drawings
from dashboards.page import render, write_page
from dashboards.text import counted

__all__ = ["build_corpus_report", "write_corpus_report"]


def build_corpus_report(corpus: CorpusDescription, samples: Sequence[Sample] = ()) -> str:
    """Build the page as one HTML document; `samples` are a few sequences of the corpus.

    Raises:
        ReportError: a sample cannot be read.
    """
    content = {
        "view": view_corpus(corpus),
        "has_speakers": any(row.speaker is not None for row in corpus.by_speaker),
        "total": max(sum(corpus.samples.values()), 1),
        "split_difference": split_difference(corpus),
        "clips": clips(samples),
        "drawings": drawings(samples),
        "split": "train",
        "examples": f"{counted(len(samples), 'sequence')} of the corpus, evenly spread over its ids. The "
        f"licence of the corpus applies to this page too: {corpus.licence or 'not stated'}.",
        "wave_box": WAVE_BOX,
    }
    styles, scripts = ("base", "samples", "data", "print"), ("charts", "tables", "theme")
    return render("corpus.html.j2", content, styles=styles, scripts=scripts)


def write_corpus_report(corpus: CorpusDescription, out: Path, samples: Sequence[Sample] = ()) -> None:
    """Build the page and write it to `out`.

    Raises:
        ReportError: as `build_corpus_report`, or `out` cannot be written.
    """
    write_page(build_corpus_report(corpus, samples), out)
