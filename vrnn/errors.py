"""The errors that `vrnn` raises for a caller to act on; each message is one line."""

__all__ = ["CheckpointError", "ModelError", "RunFailedError"]


class ModelError(ValueError):
    """A configuration, a model name or an input does not fit; the message says what and how to fix it."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which, why, and how to fix it."""


class RunFailedError(Exception):
    """A training run was given up: its workers kept failing, or it does not fit into memory."""
