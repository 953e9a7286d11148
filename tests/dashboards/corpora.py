"""Summaries of corpora as `pipelines.shards.summary.describe` writes them."""

import json
from typing import Any

from dashboards.report.comparison_file import parse_comparison
from dashboards.report.study_record import Study, Trial
from tests.dashboards.studies import COMMIT, STUDY, comparison, curves

FINGERPRINT = "sha256:91b0c4e8a77d"
LOCK = "ab" * 32
PROTOCOL = {"kind": "speech", "frame_size": 200, "normalisation": "per_channel", "dequantise": False, "flip_y": False}
PROTOCOL |= {"split_column": "split_by_sequence", "window_frames": 40, "rest_kept": False, "rule": "fit on train"}


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


def pen_document(**changes: Any) -> dict[str, Any]:
    """The same of handwriting."""
    lengths, writers = document()["lengths"], document()["by_speaker"]
    values: dict[str, Any] = {
        "corpus": "iamondb",
        "kind": "pen",
        "fingerprint": "sha256:0c57aa19de02",
        "sample_rate": None,
        "seconds": {"train": None, "test": None},
        "lengths": lengths,
        "by_speaker": [writer | {"seconds": None} for writer in writers],
        "rejects": {},
        "reject_examples": {},
        "reject_paths": {},
        "mean": [8.0, 0.25],
        "std": [41.5, 37.25],
        "licence": "for research alone",
    }
    return document(**(values | changes))


def trial(**changes: Any) -> Trial:
    """A finished trial of a clean and known tree."""
    tags = {"git_clean": "yes", "lock_sha256": LOCK, "dataset": "timit"} | changes.pop("tags", {})
    values: dict[str, Any] = {
        "run_id": "r0",
        "status": "FINISHED",
        "corpus": "speech",
        "protocol": "paper",
        "model": "RNN-GMM",
        "seed": 0,
        "trial_key": "k0",
        "fingerprint": FINGERPRINT,
        "git_commit": COMMIT,
        "diverged_at_step": None,
        "curves": curves("RNN-GMM", 0, 3, 1.0),
        "metrics": {"train/seconds": 12.25},
    }
    return Trial(**(values | changes), tags=tags)


def study(**changes: Any) -> Study:
    """A study with one trial that recorded what it knew of code and data."""
    values: dict[str, Any] = {
        "name": STUDY,
        "run_id": "p0",
        "status": "FINISHED",
        "comparison": parse_comparison(json.dumps(comparison())),
        "trials": (trial(),),
    }
    return Study(**(values | changes))
