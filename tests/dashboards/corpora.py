"""Descriptions of corpora as `pipelines.shards.summary.describe` computes them, and a study with one trial."""

from typing import Any

from benchmarks.schema.corpus import CorpusDescription
from benchmarks.schema.study import AppliedProtocol
from benchmarks.schema.trial import Outcome
from dashboards.report.study_data import StudyData, Trial
from tests.dashboards.studies import PROTOCOL, compared, curves, description, record

FINGERPRINT = "sha256:91b0c4e8a77d"


def document(**changes: Any) -> dict[str, Any]:
    """A corpus of three sequences of speech in two splits, valid unless `changes` make it otherwise."""
    speaker = {"speaker": "faks0", "split": "train", "sequences": 2, "length": 48000}
    speaker |= {"shortest": 16000, "median": 24000.0, "longest": 32000, "seconds": 3.0}
    return {
        "corpus": "timit",
        "kind": "speech",
        "fingerprint": FINGERPRINT,
        "schema_version": 2,
        "sample_rate": 16000,
        "split_rule": "the corpus's own lists",
        "sequences": {"train": 2, "test": 1},
        "samples": {"train": 48000, "test": 20000},
        "seconds": {"train": 3.0, "test": 1.25},
        "lengths": {
            "train": {"min": 16000, "p05": 16000, "median": 24000, "p95": 32000, "max": 32000},
            "test": dict.fromkeys(("min", "p05", "median", "p95", "max"), 20000),
        },
        "speakers": {"train": 1, "test": 0},
        "without_speaker": {"train": 0, "test": 1},
        "shards": {"train": 1, "test": 1},
        "bytes": {"train": 3145728, "test": 1048576},
        "histogram": {"edges": [16000, 24001, 32002], "counts": {"train": [1, 1], "test": [1, 0]}},
        "by_sequence": {"train": {"sequences": 2, "samples": 48000}, "test": {"sequences": 1, "samples": 20000}},
        "by_speaker": [speaker, speaker | {"speaker": None, "split": "test", "sequences": 1, "length": 20000}],
        "speaker_rows": 2,
        "rejects": {"undecodable": 1, "absent": 12},
        "reject_examples": {"undecodable": "no header", "absent": "named in the list, not there"},
        "reject_paths": {"undecodable": "TRAIN/X.WAV", "absent": "TEST/Y.WAV"},
        "mean": -0.25,
        "std": 540.5,
        "licence": "LDC User Agreement",
        "url": "https://catalog.ldc.upenn.edu/LDC93S1",
        "options": {"include_sa": False, "form": "whole"},
        "software": {"numpy": "2.4.6"},
    } | changes


def corpus(**changes: Any) -> CorpusDescription:
    """The description of `document`, as an object."""
    return CorpusDescription.model_validate(document(**changes))


def pen_corpus(**changes: Any) -> CorpusDescription:
    """The same for handwriting."""
    writers = document()["by_speaker"]
    values: dict[str, Any] = {
        "corpus": "iamondb",
        "kind": "pen",
        "fingerprint": "sha256:0c57aa19de02",
        "sample_rate": None,
        "seconds": {"train": None, "test": None},
        "by_speaker": [writer | {"seconds": None} for writer in writers],
        "rejects": {},
        "reject_examples": {},
        "reject_paths": {},
        "mean": [8.0, 0.25],
        "std": [41.5, 37.25],
        "licence": "for research alone",
    }
    return corpus(**(values | changes))


def protocol(**changes: Any) -> AppliedProtocol:
    return AppliedProtocol.model_validate(PROTOCOL | changes)


def trial(**changes: Any) -> Trial:
    """A finished trial of a clean and known checkout; `outcome` changes how it ended."""
    metrics = {"train/seconds": 12.25}
    outcome = {"identity": "i", "metrics": metrics, "cut_off": False} | changes.pop("outcome", {})
    parts = {"curves": curves("RNN-GMM", 0, 3, 1.0), "run_id": "r0"}
    parts |= {name: changes.pop(name) for name in ("curves", "audit", "samples", "latent", "run_id") if name in changes}
    return Trial(record(**({"key": "k0"} | changes)), Outcome.model_validate(outcome), "the trial", **parts)


def study(name: str = "demo", trials: tuple[Trial, ...] | None = None, **changes: Any) -> StudyData:
    """A study with one trial; `changes` are of its description, its comparison or its corpora."""
    comparison = changes.pop("comparison", None) or compared(name)
    corpora = changes.pop("corpora", {})
    return StudyData(comparison, description(**changes), corpora, (trial(),) if trials is None else trials)
