"""What MLflow is told of a study's trials: tags, parameters, metrics, data and files."""

import math
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import torch

from benchmarks.events import Begun, Done, Epoch, Event, Failed, Stopped
from benchmarks.references import REFERENCES
from benchmarks.scoring import measure_of
from benchmarks.suite import CorpusEntry, Reference, Suite, Trial
from benchmarks.tracking import StudyRecord
from benchmarks.work import CURVES, Outcome, Work, artifacts_of
from pipelines.protocol import Framing, Protocol
from pipelines.roles import assign_roles
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from vrnn.models import ModelConfig, build_model
from vrnn.training.checkpoints import BEST, EpochRecord
from vrnn.training.journal import LOGS
from vrnn.training.keeping import Saving

__all__ = ["TrialRuns", "git_commit", "record_reference"]


# MLflow shows metrics of this prefix among a run's system metrics.
_WATCHED = ("frames_per_second", "data_wait_share", "fraction_of_peak", "peak_memory_gib")


@dataclass(frozen=True)
class _OpenRun:
    """A run in MLflow that is not closed, and the steps it has the metrics of: epochs, and one more for the summary."""

    run_id: str
    steps: set[int]


class TrialRuns:
    """The runs in MLflow of the trials that are being run, kept by the one process that hears of them all."""

    def __init__(self, suite: Suite, trials: Sequence[Trial], record: StudyRecord) -> None:
        """Record `trials` of `suite`; none is begun.

        Raises:
            InputError: shards are missing or damaged: better told before hours of training than after.
        """
        self._suite = suite
        self._shards = {place: ShardSet(Location(place)) for place in {trial.spec.shards for trial in trials}}
        self._record = record
        self._trials = {trial.name: trial for trial in trials}
        self._open: dict[str, _OpenRun] = {}
        self.failed: dict[str, str] = {}

    def work_of(self, trial: Trial) -> Work:
        """What is to be done for a trial, wherever that is."""
        suite, spec = self._suite, trial.spec
        runs = Location(suite.runs).absolute
        return Work(
            name=trial.name,
            spec=spec.model_copy(update={"shards": Location(spec.shards).absolute.uri}),
            directory=runs / suite.study / f"{trial.name.replace('/', '-')}-{spec.key}",
            scoring=suite.scoring,
            samples=suite.samples,
            resources=suite.resources,
            saving=Saving(suite.save_seconds, suite.keep),
        )

    def hear(self, event: Event) -> None:
        """Record what happened."""
        name, record = event.work.name, self._record
        match event:
            case Begun(work) if name not in self._open:
                self._open[name] = self._begin(work)
            case Epoch(_, epoch):
                self._log_epoch(self._open[name], epoch)
            case Done(work, outcome):
                self._end(work, outcome, self._open.pop(name))
            case Failed(_, reason):
                record.fail_trial(self._open.pop(name).run_id, reason)
                self.failed[name] = reason
            case Stopped():
                record.abandon_trial(self._open.pop(name).run_id)

    def _begin(self, work: Work) -> _OpenRun:
        trial = self._trials[work.name]
        shards = self._shards[trial.spec.shards]
        run_id = self._record.start_trial(
            trial.name, _tags(self._suite, trial, work, shards), _params(trial, self._suite)
        )
        self._record.log_dataset(run_id, trial.corpus.name, trial.spec.fingerprint, trial.spec.shards)
        return _OpenRun(run_id, self._record.logged_steps(run_id, f"system/{_WATCHED[0]}"))

    def _log_epoch(self, run: _OpenRun, epoch: EpochRecord) -> None:
        self._log(run, epoch.epoch, {f"system/{figure}": getattr(epoch, figure) for figure in _WATCHED})

    def _log(self, run: _OpenRun, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of a step, once, however often it is told of."""
        if step not in run.steps:
            self._record.log_metrics(run.run_id, metrics, step)
            run.steps.add(step)

    def _end(self, work: Work, outcome: Outcome, run: _OpenRun) -> None:
        """Log what the trial left: of epochs that ended after their driver was killed, nobody was told until now."""
        with artifacts_of(work) as directory:
            self._record.log_files(run.run_id, directory)
            for epoch in pq.read_table(directory / CURVES).to_pylist():
                self._log_epoch(run, EpochRecord(**epoch))
        self._log(run, int(outcome.metrics["train/epochs"]) + 1, outcome.metrics)
        self._record.end_trial(run.run_id, diverged_at_step=outcome.diverged_at_step)

    def __enter__(self) -> "TrialRuns":
        return self

    def __exit__(self, *trouble: object) -> None:
        """Close what is still open: the next run of the study takes it up again."""
        for run in self._open.values():
            self._record.abandon_trial(run.run_id)


def record_reference(suite: Suite, reference: Reference, record: StudyRecord) -> None:
    """Score and record what needs no training, such as a lossless coder on the same sequences."""
    shards, protocol = ShardSet(Location(reference.corpus.shards)), reference.protocol
    split = assign_roles(shards, protocol).report_split
    tags = _common_tags(suite, reference.corpus, shards, protocol)
    tags |= {"model": reference.model, "seed": "0", "trial_key": reference.key, "measure": "mass"}
    run_id = record.start_trial(reference.name, tags, {"protocol": protocol.model_dump(), "split": split})
    with _abandoned_on_error(record, run_id), tempfile.TemporaryDirectory() as directory:
        table = REFERENCES[reference.model](shards, protocol, split)
        table.to_parquet(Path(directory) / "scores.parquet", index=False)
        record.log_dataset(run_id, reference.corpus.name, shards.manifest.fingerprint, reference.corpus.shards)
        record.log_files(run_id, Path(directory))
        bits = -math.fsum(table["nats"]) / (float(table["samples"].sum()) * math.log(2))
        record.log_metrics(run_id, {f"{split}/code_bits_per_sample": bits})
        record.end_trial(run_id)


@contextmanager
def _abandoned_on_error(record: StudyRecord, run_id: str) -> Iterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            record.abandon_trial(run_id)


def _tags(suite: Suite, trial: Trial, work: Work, shards: ShardSet) -> dict[str, str]:
    config = trial.spec.architecture
    return _common_tags(suite, trial.corpus, shards, trial.spec.protocol) | {
        "model": config.name,
        "seed": str(trial.spec.seed),
        "trial_key": trial.spec.key,
        "checkpoint": str(work.directory / BEST),
        "logs": str(work.directory / LOGS),
        "measure": measure_of(config),
        "parameters": str(_parameter_count(config)),
        "sigma_floor": repr(config.sigma_floor),
    }


def _common_tags(suite: Suite, corpus: CorpusEntry, shards: ShardSet, protocol: Protocol) -> dict[str, str]:
    speech = shards.manifest.kind == "speech"
    return {
        "study": suite.study,
        "corpus": corpus.name,
        "dataset": shards.manifest.corpus,
        "kind": shards.manifest.kind,
        "protocol": corpus.protocol,
        "fingerprint": shards.manifest.fingerprint,
        "git_commit": git_commit(),
        "sample_std": repr(Framing.fit(protocol, shards.manifest).std[0]) if speech else "",
        "frame_size": str(protocol.frame_size),
    }


def _parameter_count(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return sum(parameter.numel() for parameter in model.parameters())


@cache
def git_commit() -> str:
    """The commit of the code that runs: of its checkout, else `VRNN_BENCH_COMMIT`, else `unknown`.

    Asked once, as the code is loaded once.
    """
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except FileNotFoundError:
        commit = ""
    return commit or os.environ.get("VRNN_BENCH_COMMIT", "unknown")


def _params(trial: Trial, suite: Suite) -> dict[str, object]:
    spec = trial.spec
    parts = {
        "model": spec.model,
        "optimisation": spec.optimisation.model_dump(),
        "protocol": spec.protocol.model_dump(),
        "scoring": suite.scoring.model_dump(),
        "software": {package: version(package) for package in ("vrnn-bench", "torch", "ray", "mlflow", "pyarrow")},
    }
    flat = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
    return flat | {"seed": spec.seed, "shards": spec.shards}
