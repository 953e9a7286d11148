"""The page of one corpus: what its shards hold, in one file that opens offline; the same shards give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboards.corpus.sentences import split_conflict
from dashboards.corpus.summary_file import parse_corpus
from dashboards.corpus.view import view_corpus
from dashboards.media.players import WAVE_BOX, clips, drawings
from dashboards.page import render
from dashboards.report.study_record import Sample
from dashboards.writing import write_page

__all__ = ["build_corpus_report", "write_corpus_report"]

STYLES = ("base", "samples", "data", "print")
SCRIPTS = ("charts", "tables", "theme")


def build_corpus_report(document: Any, samples: Sequence[Sample] = ()) -> str:  # noqa: ANN401 (JSON)
    """The page, as one HTML document.

    Args:
        document: what `pipelines.shards.summary.describe` says of the shards.
        samples: a few of the corpus's own sequences.

    Raises:
        ReportError: the summary is malformed, or a sample cannot be read.
    """
    corpus = parse_corpus(document, "the summary of the shards")
    content = {
        "view": view_corpus(corpus),
        "named": any(row.speaker is not None for row in corpus.by_speaker),
        "total": max(sum(corpus.samples.values()), 1),
        "by_sequence": split_conflict(corpus, {"split_column": "split_by_sequence"}, "The split by sequence differs"),
        "clips": clips(samples),
        "drawings": drawings(samples),
        "split": "train",
        "examples": _examples(samples, corpus.licence),
        "wave_box": WAVE_BOX,
    }
    return render("corpus.html.j2", content, styles=STYLES, scripts=SCRIPTS)


def _examples(samples: Sequence[Sample], licence: str) -> str:
    count = (
        f"{len(samples)} sequence{'' if len(samples) == 1 else 's'} of the corpus itself, evenly spread over its ids"
    )
    return f"{count}. Its licence binds this page too: {licence or 'not stated'}."


def write_corpus_report(document: Any, out: Path, samples: Sequence[Sample] = ()) -> None:  # noqa: ANN401 (JSON)
    """Write the page to `out`, whole or not at all.

    Raises:
        ReportError: as `build_corpus_report`, or `out` cannot be written.
    """
    write_page(build_corpus_report(document, samples), out)
