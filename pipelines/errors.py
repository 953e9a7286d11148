"""The errors that `pipelines` raises for a caller to act on, told apart by who can mend them."""

__all__ = ["InputError", "PreparationError", "RejectedSourceError"]


class InputError(ValueError):
    """The user's input is wrong. The message is one line: what, where, and how to mend it."""


class PreparationError(Exception):
    """The input was right and `prepare` failed all the same. The message is one line: what, where, and what to do."""


class RejectedSourceError(Exception):
    """A source item cannot be used; it is kept in the rejects with this code and message.

    Attributes:
        code: a short stable name, such as `sample_count`, that rejects are counted by.
        message: what was found and what was expected.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep both arguments as `args`, so that the error pickles between processes."""
        super().__init__(code, message)
        self.code = code
        self.message = message
