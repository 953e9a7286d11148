"""The errors that `benchmarks` raises for a caller to act on."""

__all__ = ["FailedError", "NotFiniteError", "StoppedError", "StoreError", "StudyError", "UnreachableError"]


class StudyError(ValueError):
    """A suite, a study or a request to score is wrong. One line: what, where, and how to mend it."""


class StoreError(StudyError):
    """MLflow's store cannot be read."""


class FailedError(Exception):
    """The input was right and the work failed all the same: training diverged, or too much was rejected."""


class UnreachableError(FailedError):
    """MLflow's store ceased to answer; what it has not been told is kept on disk."""


class NotFiniteError(FailedError):
    """A model's own samples ran away: values that are no numbers cannot be heard or drawn."""


class StoppedError(Exception):
    """The work was asked to stop, saved itself and did so."""

    def __init__(self, signal: int, where: str) -> None:
        """Say which signal asked, and where the work stopped."""
        super().__init__(where)
        self.signal = signal
