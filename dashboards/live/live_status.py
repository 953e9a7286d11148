"""A study that is being run, as typed records: what the live page is made of."""

from dataclasses import dataclass

__all__ = ["Epoch", "Followed", "Look", "StudyLine"]


@dataclass(frozen=True)
class Epoch:
    """An epoch that was logged.

    Attributes:
        at: when, in milliseconds since 1970.
        frames_per_second: of its training; None where it was not logged.
        valid: validation log-likelihood in nats per frame; None where it was not logged.
    """

    number: int
    at: int
    frames_per_second: float | None
    valid: float | None


@dataclass(frozen=True)
class Followed:
    """A trial as it stands.

    Attributes:
        outcome: `running`, `done`, `diverged`, `failed`, or `stopped` where it is to be taken up again.
        trained: whether it is a training run, and no untrained reference.
        started: in milliseconds since 1970.
        ended: the same; 0 while it runs.
        most: epochs that it is allowed; 0 where that is unknown.
    """

    run_id: str
    key: str
    corpus: str
    protocol: str
    model: str
    seed: str
    outcome: str
    trained: bool
    started: int
    ended: int
    most: int

    @property
    def name(self) -> str:
        """What the page calls it."""
        return f"{self.corpus}, {self.protocol}, {self.model}, seed {self.seed}"


@dataclass(frozen=True)
class Look:
    """One look at a study.

    Attributes:
        status: the parent run's, as MLflow has it.
        planned: how many trials it is to have; None where the store does not say.
        models: in the order of its plan.
        trials: the latest run of each that was begun, the newest first.
        version: changes whenever a run of it began or ended.
    """

    status: str
    planned: int | None
    models: tuple[str, ...]
    trials: tuple[Followed, ...]
    version: tuple[object, ...]


@dataclass(frozen=True)
class StudyLine:
    """A study in the list of studies; `started` in milliseconds since 1970."""

    name: str
    status: str
    started: int
