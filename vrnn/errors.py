"""The error that `vrnn` raises for a caller to act on."""

__all__ = ["ModelError"]


class ModelError(ValueError):
    """A configuration, a model name or an input does not fit; one line says what and how to mend it."""
