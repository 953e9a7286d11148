"""What is kept of a trial: the record of what it is, how it ended, and the machine it ran on.

`record.json` and `outcome.json` in a trial's directory hold all that MLflow is sent. A result can therefore be sent
later, by another process that has neither the suite nor the shards, and the MLflow run is the same.
"""

import json
from typing import ClassVar

from pydantic import Field

from benchmarks.schema.base import Count, File, Finite, Kind, Measure
from benchmarks.schema.study import Code
from benchmarks.schema.suite import Scoring
from vrnn.training.resources import Resources
from vrnn.training.spec import TrialSpec

__all__ = ["Environment", "Outcome", "TrialRecord"]


class TrialRecord(File):
    """A trial, or a codec baseline, as it is recorded.

    Attributes:
        name: the name shown to people: corpus/protocol/model/seed.
        key: 16 hex digits of everything that defines the trial.
        identity: 16 hex digits of the key and of how it is scored.
        corpus: the study's name for it.
        dataset: the corpus's own name, such as `iam_ondb`.
        frame_size: values per frame.
        sample_std: what samples were divided by, in units of int16; None for pen.
        earlier_commits: other commits that trained a part of it before.
        roles: the roles of the splits, in a sentence.
        parameters: number of the model's parameters; this and the rest are None for a codec baseline.
        sigma_floor: floor under every standard deviation, in units of the normalised frame.
        training_sequences: recordings or lines it is trained on.
        spec: everything that defines the trial.
    """

    file_name: ClassVar[str] = "record.json"
    remedy: ClassVar[str] = "run the study again with this version"

    version: int = 2
    name: str
    study: str
    key: str
    identity: str
    corpus: str
    dataset: str
    kind: Kind
    protocol: str
    model: str
    seed: int
    fingerprint: str
    shards: str
    measure: Measure
    frame_size: int
    sample_std: Finite | None
    code: Code
    earlier_commits: tuple[str, ...] = ()
    roles: str
    parameters: Count | None = None
    sigma_floor: Finite | None = None
    training_sequences: Count | None = None
    checkpoint: str | None = None
    logs: str | None = None
    spec: TrialSpec | None = None
    scoring: Scoring | None = None
    samples: Count | None = None
    resources: Resources | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """Corpus, protocol and model: what its seeds have in common."""
        return self.corpus, self.protocol, self.model

    @property
    def max_epochs(self) -> int | None:
        """Epochs it may train; None for a codec baseline."""
        return None if self.spec is None else self.spec.optimisation.max_epochs

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its MLflow run, by which runs are found."""
        tags = {
            "study": self.study,
            "corpus": self.corpus,
            "dataset": self.dataset,
            "kind": self.kind,
            "protocol": self.protocol,
            "fingerprint": self.fingerprint,
            "git_commit": self.code.commit,
            "git_clean": self.code.clean,
            "lock_sha256": self.code.lock_sha256,
            "sample_std": "" if self.sample_std is None else repr(self.sample_std),
            "frame_size": str(self.frame_size),
            "model": self.model,
            "seed": str(self.seed),
            "trial_key": self.key,
            "identity": self.identity,
            "measure": self.measure,
        }
        optional = ("checkpoint", "logs", "parameters", "sigma_floor", "training_sequences")
        tags |= {name: str(value) for name in optional if (value := getattr(self, name)) is not None}
        if self.earlier_commits:
            tags["earlier_commits"] = json.dumps(self.earlier_commits[-20:])
        return tags

    @property
    def params(self) -> dict[str, str]:
        """The parameters of its MLflow run: every setting that could change its scores, and where the data are."""
        params: dict[str, object] = {"seed": self.seed, "shards": self.shards, "protocol.roles": self.roles}
        if self.spec is not None and self.scoring is not None:
            spec = self.spec.model_dump()
            parts = {name: spec[name] for name in ("model", "optimisation", "protocol")}
            parts["scoring"] = self.scoring.model_dump()
            params |= {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        return {key: str(value) for key, value in params.items()}


class Outcome(File):
    """How a trial ended.

    Attributes:
        identity: identity of the record it belongs to.
        diverged_at_step: the first step without a finite bound or gradient; None where it did not diverge.
        cut_off: whether the last epoch that was allowed was the best: more epochs might have helped; None for a codec.
    """

    file_name: ClassVar[str] = "outcome.json"
    remedy: ClassVar[str] = "run the study again with this version"

    version: int = 1
    identity: str
    metrics: dict[str, Finite] = Field(default_factory=dict)
    diverged_at_step: int | None = None
    cut_off: bool | None = None
    audit_warnings: tuple[str, ...] = ()


class Environment(File):
    """The packages and the machine that a trial ran on.

    Attributes:
        vector_width: the instructions that torch computes with, such as `AVX2`.
        accelerator: its name, or `none`.
        packages: versions of all that is installed, by name.
    """

    file_name: ClassVar[str] = "environment.json"
    remedy: ClassVar[str] = "run the study again with this version"

    version: int = 1
    python: str
    system: str
    processor: str
    vector_width: str
    threads: int
    accelerator: str
    packages: dict[str, str]

    @property
    def machine(self) -> dict[str, str]:
        """The facts about the machine."""
        named = ("system", "processor", "vector_width", "threads", "accelerator")
        return {name: str(getattr(self, name)) for name in named}
