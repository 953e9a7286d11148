"""What is told of a trial wherever it is recorded, kept beside its outcome.

`record.json` and `outcome.json` in a trial's directory are all that MLflow is told, so that a result can be sent later,
by another process, by who has neither the suite nor the shards, and says the same: above all the commit that made it.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.scoring.score import measure_of
from benchmarks.store.provenance import code
from benchmarks.suites.suite import CorpusEntry, Reference, Suite, Trial
from benchmarks.trials.trial import Work, kept_outcome
from pipelines.batches.protocol import Framing, Protocol
from pipelines.batches.roles import assign_roles
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.models import ModelConfig, build_model
from vrnn.training import TrialSpec
from vrnn.training.checkpoints import BEST
from vrnn.training.journal import LOGS

__all__ = [
    "RECORD",
    "Data",
    "TrialRecord",
    "keep_record",
    "load_record",
    "record_of_reference",
    "record_of_trial",
    "write_record",
]

RECORD = "record.json"
_EARLIER = "earlier_commits"
_log = logging.getLogger(__name__)


class Data(BaseModel):
    """The data of a trial: what the study calls them, their fingerprint, where they lie."""

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    uri: str


class TrialRecord(BaseModel):
    """A trial, or a reference, as it is recorded.

    Attributes:
        version: of this form.
        name: what a person calls it.
        identity: of the work, how it is scored included: a record with another one is of another result.
        tags: what runs are found by.
        params: all that could change the figures.
        data: that it is fitted to and scored on.
        spec: of the trial; None of a reference.
        scoring: how it is scored, with the number of samples kept; None of a reference.
        resources: that it took.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    name: str
    identity: str
    tags: dict[str, str]
    params: dict[str, str]
    data: Data
    spec: TrialSpec | None = None
    scoring: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.tags["trial_key"]


def record_of_trial(suite: Suite, trial: Trial, work: Work, shards: ShardSet) -> TrialRecord:
    """The record of a trial that is done by the code that runs."""
    spec, config = work.spec, work.spec.architecture
    tags = _tags(suite, trial.corpus, shards, spec.protocol) | {
        "model": config.name,
        "seed": str(spec.seed),
        "trial_key": spec.key,
        "identity": work.identity,
        "checkpoint": str(work.directory / BEST),
        "logs": str(work.directory / LOGS),
        "measure": measure_of(config),
        "parameters": str(_parameter_count(config)),
        "sigma_floor": repr(config.sigma_floor),
        "training_sequences": str(len(assign_roles(shards, spec.protocol).fit)),
    }
    parts: dict[str, Mapping[str, Any]] = {
        "model": spec.model,
        "optimisation": spec.optimisation.model_dump(),
        "protocol": spec.protocol.model_dump(),
        "scoring": suite.scoring.model_dump(),
    }
    params = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
    params["protocol.roles"] = assign_roles(shards, spec.protocol).rule
    return TrialRecord(
        name=trial.name,
        identity=work.identity,
        tags=tags,
        params=_texts(params | {"seed": spec.seed, "shards": spec.shards}),
        data=Data(name=trial.corpus.name, fingerprint=spec.fingerprint, uri=spec.shards),
        spec=spec,
        scoring=suite.scoring.model_dump(mode="json") | {"samples": suite.samples},
        resources=work.resources.model_dump(mode="json"),
    )


def record_of_reference(suite: Suite, reference: Reference, shards: ShardSet) -> TrialRecord:
    """The record of what needs no training."""
    tags = _tags(suite, reference.corpus, shards, reference.protocol) | {
        "model": reference.model,
        "seed": "0",
        "trial_key": reference.key,
        "identity": reference.key,
        "measure": "mass",
    }
    return TrialRecord(
        name=reference.name,
        identity=reference.key,
        tags=tags,
        params=_texts({"protocol": reference.protocol.model_dump()}),
        data=Data(name=reference.corpus.name, fingerprint=reference.fingerprint, uri=reference.corpus.shards),
    )


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in params.items()}


def _tags(suite: Suite, corpus: CorpusEntry, shards: ShardSet, protocol: Protocol) -> dict[str, str]:
    speech, running = shards.manifest.kind == "speech", code()
    return {
        "study": suite.study,
        "corpus": corpus.name,
        "dataset": shards.manifest.corpus,
        "kind": shards.manifest.kind,
        "protocol": corpus.protocol,
        "fingerprint": shards.manifest.fingerprint,
        "git_commit": running.commit,
        "git_clean": running.clean,
        "lock_sha256": running.lock_sha256,
        "sample_std": repr(Framing.fit(protocol, shards.manifest).std[0]) if speech else "",
        "frame_size": str(protocol.frame_size),
    }


def _parameter_count(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return sum(parameter.numel() for parameter in model.parameters())


def load_record(directory: Location) -> TrialRecord | None:
    """The record kept in a trial's directory; None where there is none that can be read."""
    place = directory / RECORD
    if not place.is_file():
        return None
    try:
        return TrialRecord.model_validate_json(place.read_bytes())
    except ValidationError as error:
        _log.warning("%s: cannot be read (%s); it is written anew", place, error.errors()[0]["msg"])
        return None


def keep_record(work: Work, record: TrialRecord) -> TrialRecord:
    """Keep the record of a work that is about to be done; of one that is done, the record that was kept then stands.

    A trial that another commit began says so.
    """
    kept = load_record(work.directory)
    if kept is not None and kept.identity == work.identity and kept_outcome(work) is not None:
        return kept
    if kept is not None and kept.tags["git_commit"] != record.tags["git_commit"]:
        earlier = [*json.loads(kept.tags.get(_EARLIER, "[]")), kept.tags["git_commit"]]
        record = record.model_copy(update={"tags": record.tags | {_EARLIER: json.dumps(earlier[-20:])}})
    elif kept is not None and _EARLIER in kept.tags:
        record = record.model_copy(update={"tags": record.tags | {_EARLIER: kept.tags[_EARLIER]}})
    write_record(work.directory, record)
    return record


def write_record(directory: Location, record: TrialRecord) -> None:
    """Keep the record in the trial's directory."""
    (directory / RECORD).write_bytes(record.model_dump_json(indent=1).encode())
