"""The data of a finished study that the report's sections use, read from its results once.

Samples make a page large, so they are read for one trial per model only: the lowest seed that has any.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from benchmarks.schema.audit import Audit
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.corpus import CorpusDescription
from benchmarks.schema.samples import LatentPath
from benchmarks.schema.study import StudyDescription
from benchmarks.schema.trial import Outcome, TrialRecord
from benchmarks.store.results import CURVES, SAMPLES, StoredStudy, StoredTrial
from dashboards.errors import ReportError
from dashboards.media.players import Sample

__all__ = ["StudyData", "Trial", "by_corpus", "grouped", "read_study_data"]

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Trial:
    """A trial that ended, or a codec baseline.

    Attributes:
        where: the place of its artifacts, for error messages.
        curves: one row per epoch; None for a codec baseline.
        samples: empty for all but one trial of each model.
        latent: the latent path along one of the samples.
        run_id: id of its MLflow run; None if the study was read from disk.
    """

    record: TrialRecord
    outcome: Outcome
    where: str
    curves: pd.DataFrame | None
    audit: Audit | None = None
    samples: tuple[Sample, ...] = ()
    latent: LatentPath | None = None
    run_id: str | None = None

    @property
    def corpus(self) -> str:
        """The study's name for the corpus."""
        return self.record.corpus

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.record.protocol

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.record.model

    @property
    def seed(self) -> int:
        """Training seed."""
        return self.record.seed

    @property
    def diverged(self) -> bool:
        """Whether the loss stopped being finite."""
        return self.outcome.diverged_at_step is not None


@dataclass(frozen=True)
class StudyData:
    """A study.

    Attributes:
        corpora: description of each corpus, by its name in the suite.
    """

    comparison: Comparison
    description: StudyDescription
    corpora: Mapping[str, CorpusDescription]
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.comparison.study


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by their key, in order of first appearance."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def by_corpus(trials: Iterable[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """Trials by (corpus, protocol), in order of first appearance."""
    return grouped(trials, lambda trial: (trial.corpus, trial.protocol))


def read_study_data(study: StoredStudy, comparison: Comparison) -> StudyData:
    """Read the results of a study.

    Raises:
        ReportError: an artifact is malformed.
        ResultFileError: a file of a trial is damaged or of another version.
    """
    trials: list[Trial] = []
    has_samples: set[tuple[str, str, str]] = set()
    for stored in sorted(study.trials, key=lambda trial: (*trial.record.place, trial.record.seed)):
        trial = _trial(stored)
        # Sorted by seed, so the first trial of a model with samples is its lowest seed.
        if stored.record.place not in has_samples and (samples := _samples(stored)):
            has_samples.add(stored.record.place)
            trial = replace(trial, samples=samples, latent=_latent_path(stored, samples))
        trials.append(trial)
    return StudyData(comparison, study.description, study.corpora, tuple(trials))


def _trial(stored: StoredTrial) -> Trial:
    where = stored.artifacts.where
    try:
        curves = stored.curves()
    except (ValueError, OSError) as error:
        raise ReportError(f"{where}: {CURVES} cannot be read ({str(error).splitlines()[0]}); train it again") from error
    return Trial(stored.record, stored.outcome, where, curves, stored.audit(), run_id=stored.run_id)


def _samples(stored: StoredTrial) -> tuple[Sample, ...]:
    listed, names, where = stored.samples(), stored.artifacts.names(), stored.artifacts.where
    samples: list[Sample] = []
    for entry in listed.samples if listed else ():
        path = f"{SAMPLES}/{entry.file}"
        # Only a name from the listing is read, so an entry cannot point outside the folder.
        if path not in names:
            raise ReportError(f"{where}: the sample {entry.file!r} is missing; generate the samples again")
        content = stored.artifacts.read(path)
        samples.append(Sample(entry.file, entry.kind, entry.role, entry.caption, content, entry.prime_steps))
    return tuple(samples)


def _latent_path(stored: StoredTrial, samples: tuple[Sample, ...]) -> LatentPath | None:
    latent = stored.latent_path()
    if latent and not any((s.file, s.role, s.kind) == (latent.file, "real", latent.kind) for s in samples):
        where = f"{stored.artifacts.where}/{SAMPLES}: {LatentPath.file_name}"
        raise ReportError(f"{where}: {latent.file!r} is no real {latent.kind} sample; generate the samples again")
    return latent
