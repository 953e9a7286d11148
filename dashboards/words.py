"""Counts and lists in words, for the sentences of every section."""

from collections.abc import Sequence

__all__ = ["counted", "joined"]


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 run", "1,200 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def joined(texts: Sequence[str]) -> str:
    """One text or more as a list: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
