"""The error that `dashboards` raises for a person to act on."""

__all__ = ["ReportError"]


class ReportError(ValueError):
    """The report cannot be built as asked. The message is one line: what, where, and how to mend it."""
