"""A finished study as typed records: what the report's sections are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dashboards.report.comparison_file import Comparison

__all__ = ["ROLES", "Sample", "Study", "Trial"]

ROLES = {
    "real": "Real",
    "reconstruction": "Reconstruction",
    "continuation": "Continuation",
    "generated": "Generated",
}
"""What a sample is, and what the page calls it."""


@dataclass(frozen=True)
class Sample:
    """One utterance or drawing.

    Attributes:
        content: the file, FLAC for speech and JSON strokes for pen.
        prime: so many of its first samples, or points, were recorded; what follows them continues them.
    """

    file: str
    kind: str
    role: str
    caption: str
    content: bytes
    prime: int = 0


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        curves: one row per epoch, or None where training stopped before the first epoch ended.
        diverged_at_step: the step at which the loss stopped being finite, if it did.
        tags: of its run, as MLflow has them.
        params: the same.
        metrics: the last value of each.
        audit: `audit.json`; None where there is none.
        latent: `samples/latent.json`, the latent state over a real sequence; None where there is none.
    """

    run_id: str
    status: str
    corpus: str
    protocol: str
    model: str
    seed: int
    trial_key: str
    fingerprint: str
    git_commit: str
    diverged_at_step: int | None
    curves: pd.DataFrame | None
    samples: tuple[Sample, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    latent: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Study:
    """A study as MLflow holds it.

    Attributes:
        status: the parent run's.
        about: `study.json`: suite, protocols, code, keys, leaks and warnings; empty where there is none.
        corpora: `corpora.json`: the summary of each corpus's shards, by its name in the suite; empty where none.
    """

    name: str
    run_id: str
    status: str
    comparison: Comparison
    trials: tuple[Trial, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    corpora: Mapping[str, Any] = field(default_factory=dict)
