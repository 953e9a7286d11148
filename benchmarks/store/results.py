"""Results on disk, which are the truth.

A study has a directory, and in it one directory for each trial, named by its corpus, protocol, model, seed and key:

    RUNS/STUDY/study.json                    the suite, the trials' keys, the leak check
    RUNS/STUDY/corpora.json                  what each corpus holds
    RUNS/STUDY/NAME-KEY/record.json         what the trial is; written before it starts
    RUNS/STUDY/NAME-KEY/outcome.json        how it ended; written last, so that a trial that has one is finished
    RUNS/STUDY/NAME-KEY/artifacts/          scores, curves, audit, samples
    RUNS/STUDY/NAME-KEY/best.pt, last.pt    checkpoints

`StoredStudy` and `StoredTrial` are also what `benchmarks.store.mlflow_reader` returns, for those who have only the
store.
"""

import io
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

import pandas as pd

from benchmarks.errors import StudyError
from benchmarks.schema.audit import Audit
from benchmarks.schema.base import File, ResultFileError, read_file
from benchmarks.schema.corpus import CorpusDescription, CorpusDescriptions
from benchmarks.schema.samples import LatentPath, SampleList
from benchmarks.schema.study import StudyDescription
from benchmarks.schema.trial import Environment, Outcome, TrialRecord
from benchmarks.store.provenance import environment
from pipelines.runtime.storage import Location

__all__ = [
    "CURVES",
    "SAMPLES",
    "SCORES",
    "Artifacts",
    "DiskArtifacts",
    "StoredStudy",
    "StoredTrial",
    "local_artifacts",
    "read_outcome",
    "read_record",
    "read_study_directory",
    "read_trial",
    "write_file",
    "write_outcome",
]

SCORES = "scores.parquet"
CURVES = "curves.parquet"
SAMPLES = "samples"
_ARTIFACTS = "artifacts"

_log = logging.getLogger(__name__)

F = TypeVar("F", bound=File)


class Artifacts(Protocol):
    """The artifacts of a trial, in a directory or in MLflow."""

    @property
    def where(self) -> str:
        """The place, as messages name it."""
        ...

    def names(self) -> Collection[str]:
        """The paths of all files, relative to the place."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file."""
        ...


@dataclass(frozen=True)
class DiskArtifacts:
    """The artifacts in a trial's directory."""

    directory: Location

    @property
    def where(self) -> str:
        """The directory of the artifacts."""
        return str(self.directory / _ARTIFACTS)

    def names(self) -> Collection[str]:
        """See `Artifacts.names`."""
        return {file.path for file in (self.directory / _ARTIFACTS).files()}

    def read(self, name: str) -> bytes:
        """See `Artifacts.read`."""
        return (self.directory / _ARTIFACTS / name).read_bytes()


@dataclass(frozen=True)
class StoredTrial:
    """A trial, or a codec baseline, that ended.

    Attributes:
        record: what it is.
        outcome: how it ended.
        artifacts: what it left.
        run_id: of its MLflow run, where it was read from MLflow.
    """

    record: TrialRecord
    outcome: Outcome
    artifacts: Artifacts
    run_id: str | None = None

    @property
    def diverged(self) -> bool:
        """Whether it diverged, and so has no scores."""
        return self.outcome.diverged_at_step is not None

    def scores(self) -> pd.DataFrame:
        """The score of every sequence, as `benchmarks.scoring.score` makes them."""
        return pd.read_parquet(io.BytesIO(self.artifacts.read(SCORES)))

    def curves(self) -> pd.DataFrame | None:
        """One row for each epoch (`vrnn.training.EpochRecord`); None for a codec baseline."""
        return pd.read_parquet(io.BytesIO(self.artifacts.read(CURVES))) if CURVES in self.artifacts.names() else None

    def audit(self) -> Audit | None:
        """The audit of its score; None where it has none."""
        return self._optional(Audit)

    def samples(self) -> SampleList | None:
        """The list of its samples, which are below `SAMPLES`; None where it has none."""
        return self._optional(SampleList, f"{SAMPLES}/")

    def latent_path(self) -> LatentPath | None:
        """The path of its latent over one real sequence; None where it has none."""
        return self._optional(LatentPath, f"{SAMPLES}/")

    def environment(self) -> Environment:
        """The packages and the machine that it ran on."""
        return read_file(Environment, self.artifacts.read(Environment.file_name), self.artifacts.where)

    def _optional(self, kind: type[F], folder: str = "") -> F | None:
        name = f"{folder}{kind.file_name}"
        if name not in self.artifacts.names():
            return None
        return read_file(kind, self.artifacts.read(name), f"{self.artifacts.where}/{folder}".rstrip("/"))


@dataclass(frozen=True)
class StoredStudy:
    """A study, or what is finished of it.

    Attributes:
        description: the study's own file.
        corpora: what each corpus holds, by its name in the suite.
        trials: those that ended, in the order of the suite.
        where: the place, as messages name it.
    """

    description: StudyDescription
    corpora: Mapping[str, CorpusDescription]
    trials: tuple[StoredTrial, ...]
    where: str

    @property
    def name(self) -> str:
        """The study's name."""
        return self.description.suite.study


def write_file(directory: Location, file: File) -> None:
    """Write a file of results as a whole."""
    (directory / file.file_name).write_bytes(file.to_bytes())


def read_study_directory(directory: Location) -> StoredStudy:
    """Read a study from RUNS/STUDY: the trials of its suite as it was last run.

    Raises:
        StudyError: no study was run there.
        ResultFileError: a file of the study is damaged or of another version.
    """
    place = directory / StudyDescription.file_name
    if not place.is_file():
        raise StudyError(
            f"{directory}: no study was run there ({StudyDescription.file_name} is missing); give RUNS/STUDY of its "
            "suite"
        )
    description = read_file(StudyDescription, place.read_bytes(), str(directory))
    corpora_place = directory / CorpusDescriptions.file_name
    corpora = read_file(CorpusDescriptions, corpora_place.read_bytes(), str(directory)).corpora
    order = {key: place for place, key in enumerate(description.keys)}
    ends = f"/{Outcome.file_name}"
    folders = sorted(file.path.removesuffix(ends) for file in directory.files() if file.path.endswith(ends))
    found = (trial for folder in folders if (trial := read_trial(directory / folder)) is not None)
    trials = sorted((trial for trial in found if trial.record.key in order), key=lambda trial: order[trial.record.key])
    return StoredStudy(description, corpora, tuple(trials), str(directory))


def read_trial(directory: Location) -> StoredTrial | None:
    """The finished trial in a directory; None where there is none, or its files cannot be used.

    A record or an outcome of another version, or of another way to score, is not used: the trial is scored again.
    """
    outcome, record = read_outcome(directory), _read_usable(TrialRecord, directory)
    if outcome is None or record is None or record.identity != outcome.identity:
        return None
    return StoredTrial(record, outcome, DiskArtifacts(directory))


def read_outcome(directory: Location) -> Outcome | None:
    """The outcome in a trial's directory; None where there is none that can be used."""
    return _read_usable(Outcome, directory)


def read_record(directory: Location) -> TrialRecord | None:
    """The record in a trial's directory; None where there is none that can be used."""
    return _read_usable(TrialRecord, directory)


def _read_usable(kind: type[F], directory: Location) -> F | None:
    place = directory / kind.file_name
    if not place.is_file():
        return None
    try:
        return read_file(kind, place.read_bytes(), str(directory))
    except ResultFileError as error:
        _log.warning("%s", error)
        return None


def write_outcome(directory: Location, outcome: Outcome, artifacts: Path) -> None:
    """Copy everything below `artifacts`, with a description of this machine, and then write the outcome."""
    (artifacts / Environment.file_name).write_bytes(environment().to_bytes())
    for path in artifacts.rglob("*"):
        if path.is_file():
            name = path.relative_to(artifacts).as_posix()
            (directory / _ARTIFACTS / name).write_bytes(path.read_bytes())
    # The outcome marks the trial as finished, so it must come after all that it promises.
    write_file(directory, outcome)


@contextmanager
def local_artifacts(trial: StoredTrial) -> Iterator[Path]:
    """Within the context, all artifacts of a trial as local files."""
    artifacts = trial.artifacts
    if isinstance(artifacts, DiskArtifacts) and (artifacts.directory / _ARTIFACTS).is_local:
        yield Path((artifacts.directory / _ARTIFACTS).path)
        return
    with TemporaryDirectory() as local:
        for name in artifacts.names():
            path = Path(local) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artifacts.read(name))
        yield Path(local)
