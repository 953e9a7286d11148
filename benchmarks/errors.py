"""The errors that `benchmarks` raises for a caller to act on."""

__all__ = ["FailedError", "NotFiniteError", "StoppedError", "StoreError", "StudyError", "UnreachableError"]


class StudyError(ValueError):
    """A suite, a study or a request is wrong. One line: what, where, and how to fix it."""


class StoreError(StudyError):
    """MLflow's store cannot be read."""


class FailedError(Exception):
    """The input was right, but the work failed: for example, training diverged or too many sources were rejected."""


class UnreachableError(FailedError):
    """MLflow's store does not answer; results that it lacks are on disk."""


class NotFiniteError(FailedError):
    """A sample of a model has values that are not finite, so it cannot be played or drawn."""


class StoppedError(Exception):
    """The work was asked to stop, and has saved its state and stopped."""

    def __init__(self, signal: int, where: str) -> None:
        """Record which signal requested it, and where the work stopped."""
        super().__init__(where)
        self.signal = signal
