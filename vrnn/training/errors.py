"""The error that training raises for a caller to act on."""

__all__ = ["CheckpointError"]


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message is one line: what, where, and how to mend it."""
