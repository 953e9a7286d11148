"""A study while it runs, as the live page shows it."""

from typing import Literal

from benchmarks.schema.base import Schema

__all__ = ["LiveEpoch", "LiveStudy", "LiveTrial", "StudyEntry", "TrialStatus"]

TrialStatus = Literal["running", "done", "diverged", "failed", "stopped"]
"""`stopped`: interrupted, and resumed by the next run of the study."""


class LiveEpoch(Schema):
    """An epoch that was logged.

    Attributes:
        number: from 1.
        at: when it ended, in milliseconds since 1970.
        frames_per_second: of its training; None where it was not logged.
        valid: validation log-likelihood in nats per frame; None where it was not logged.
    """

    number: int
    at: int
    frames_per_second: float | None
    valid: float | None


class LiveTrial(Schema):
    """A trial as it stands.

    Attributes:
        trained: whether it is a training run, and not a codec baseline.
        started: in milliseconds since 1970.
        ended: the same; 0 while it runs.
        max_epochs: that it may train; 0 where that is not known.
    """

    run_id: str
    key: str
    corpus: str
    protocol: str
    model: str
    seed: str
    status: TrialStatus
    trained: bool
    started: int
    ended: int
    max_epochs: int

    @property
    def name(self) -> str:
        """Its name on the page."""
        return f"{self.corpus}, {self.protocol}, {self.model}, seed {self.seed}"


class LiveStudy(Schema):
    """A study as it stands.

    Attributes:
        status: of the study's own run, as MLflow has it.
        planned: number of its trials; None where the store does not say.
        models: in the order of its plan.
        trials: the latest run of each trial that was started, the newest first.
        version: changes whenever one of its runs starts or ends.
    """

    status: str
    planned: int | None
    models: tuple[str, ...]
    trials: tuple[LiveTrial, ...]
    version: tuple[str | int | None, ...]


class StudyEntry(Schema):
    """A study in the list of studies; `started` in milliseconds since 1970."""

    name: str
    status: str
    started: int
