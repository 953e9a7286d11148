"""The errors that `pipelines` raises for a caller to act on, by who can fix them."""

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "PreparationError", "RejectedSourceError", "suggest"]


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown `name`: the most similar known name, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


class InputError(ValueError):
    """The user's input is wrong. The message is one line: what, where, and how to fix it."""


class PreparationError(Exception):
    """The input was right, but the work failed. The message is one line: what, where, and what to do."""


class RejectedSourceError(Exception):
    """A source item cannot be used; it is listed in the rejects with this code and message.

    Attributes:
        code: a short stable name, such as `sample_count`, by which rejects are counted.
        message: what was found and what was expected.
    """

    def __init__(self, code: str, message: str) -> None:
        """Pass both arguments on as `args`, so that the error can be pickled between processes."""
        super().__init__(code, message)
        self.code = code
        self.message = message
