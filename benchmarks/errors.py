"""The error that `benchmarks` raises for a caller to act on."""

__all__ = ["StudyError"]


class StudyError(ValueError):
    """A suite, a study or a request to score is wrong. One line: what, where, and how to mend it."""
