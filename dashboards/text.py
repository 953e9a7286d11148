"""Counts, numbers and lists in the form that all sentences and tables of the pages use."""

import re
from collections.abc import Sequence

__all__ = ["counted", "joined", "kind_of", "typeset"]

_NUMBER = re.compile(r"-?\d[\d.,]*")
_BRACKETS_AT_END = re.compile(r" \([^()]*\)$")


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 run", "1,200 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def joined(texts: Sequence[str]) -> str:
    """A list in words: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def typeset(value: float, form: str) -> str:
    """A number in a format such as ".2f" or "+.1f", with a true minus sign."""
    return f"{value:{form}}".replace("-", "−")


def kind_of(text: str) -> str:
    """The text without its numbers and without brackets at its end; equal for warnings of the same kind."""
    return _NUMBER.sub("", _BRACKETS_AT_END.sub("", text))
