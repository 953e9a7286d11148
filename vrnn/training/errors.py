"""The errors that training raises for a caller to act on."""

__all__ = ["CheckpointError", "RunFailedError"]


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message is one line: what, where, and how to mend it."""


class RunFailedError(Exception):
    """A run was given up: its workers kept failing, or it does not fit into memory. One line: what, and where."""
