"""The error of the dashboards that the user can act on."""

from benchmarks.errors import StudyError

__all__ = ["ReportError"]


class ReportError(StudyError):
    """A page cannot be built or written. The message is one line: what is wrong, where, and how to fix it."""
