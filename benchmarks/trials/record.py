"""The record of a trial: written to its directory before it starts, and later sent to MLflow."""

import torch

from benchmarks.schema.suite import Suite
from benchmarks.schema.trial import TrialRecord
from benchmarks.scoring.score import measure_of
from benchmarks.store.provenance import code
from benchmarks.store.results import read_record, write_file
from benchmarks.suites.suite import CodecBaseline, Trial
from benchmarks.trials.task import TrialTask
from pipelines.batches.protocol import Framing, Protocol
from pipelines.batches.roles import assign_roles
from pipelines.shards.read import ShardSet
from vrnn.models import build_model
from vrnn.training.checkpoints import BEST
from vrnn.training.journal import LOGS

__all__ = ["record_of_codec", "record_of_trial", "write_record"]


def record_of_trial(suite: Suite, trial: Trial, task: TrialTask, shards: ShardSet) -> TrialRecord:
    """The record of a trial that the running code trains and scores."""
    spec, config = task.spec, task.spec.model
    roles = assign_roles(shards, spec.protocol)
    # The meta device counts without allocating: the paper's models have 90 million parameters.
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return TrialRecord(
        name=trial.name,
        study=suite.study,
        key=spec.key,
        identity=task.identity,
        corpus=trial.corpus.name,
        dataset=shards.manifest.corpus,
        kind=shards.manifest.kind,
        protocol=trial.corpus.protocol,
        model=config.name,
        seed=spec.seed,
        fingerprint=shards.manifest.fingerprint,
        shards=spec.shards,
        measure=measure_of(config),
        frame_size=spec.protocol.frame_size,
        sample_std=_sample_std(spec.protocol, shards),
        code=code(),
        roles=roles.rule,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        sigma_floor=config.sigma_floor,
        training_sequences=len(roles.fit),
        checkpoint=str(task.directory / BEST),
        logs=str(task.directory / LOGS),
        spec=spec,
        scoring=suite.scoring,
        samples=suite.samples,
        resources=task.resources,
    )


def record_of_codec(suite: Suite, baseline: CodecBaseline, shards: ShardSet) -> TrialRecord:
    """The record of a codec baseline."""
    return TrialRecord(
        name=baseline.name,
        study=suite.study,
        key=baseline.key,
        identity=baseline.key,
        corpus=baseline.corpus.name,
        dataset=shards.manifest.corpus,
        kind=shards.manifest.kind,
        protocol=baseline.corpus.protocol,
        model=baseline.model,
        seed=0,
        fingerprint=shards.manifest.fingerprint,
        shards=baseline.corpus.shards,
        measure="mass",
        frame_size=baseline.protocol.frame_size,
        sample_std=_sample_std(baseline.protocol, shards),
        code=code(),
        roles=assign_roles(shards, baseline.protocol).rule,
    )


def _sample_std(protocol: Protocol, shards: ShardSet) -> float | None:
    """What samples are divided by, in units of int16; None for pen."""
    return Framing.fit(protocol, shards.manifest).std[0] if shards.manifest.kind == "speech" else None


def write_record(task: TrialTask, record: TrialRecord) -> None:
    """Write the record of a task that is about to run.

    A commit that trained a part of the trial before stays on record.
    """
    before = read_record(task.directory)
    if before is not None:
        earlier = before.earlier_commits
        if before.code.commit != record.code.commit:
            earlier = (*earlier, before.code.commit)
        record = record.model_copy(update={"earlier_commits": earlier[-20:]})
    write_file(task.directory, record)
