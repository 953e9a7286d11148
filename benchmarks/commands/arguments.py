"""How arguments are written: what several verbs share."""

import math
from collections.abc import Sequence
from typing import Annotated, TypeVar

import tyro

from benchmarks.errors import StudyError

__all__ = ["Argument", "Json", "Repeated", "Workers", "at_least", "named_values"]

Argument = tyro.conf.Positional
Json = Annotated[bool, tyro.conf.arg(name="json", help="Print one JSON object on stdout.")]
Workers = Annotated[int | None, tyro.conf.arg(metavar="N")]
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")]


def named_values(pairs: Sequence[str]) -> dict[str, str]:
    """The values of arguments written NAME=VALUE, by name.

    Raises:
        StudyError: one is not written so.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise StudyError(f"--option {pair}: write NAME=VALUE, such as --option form=segmented")
        values[name] = value
    return values


Number = TypeVar("Number", int, float)


def at_least(least: int, flag: str, value: Number) -> Number:
    """`value`, if it is a finite number of at least `least`.

    Raises:
        StudyError: it is not.
    """
    if not (math.isfinite(value) and value >= least):
        raise StudyError(f"{flag} {value}: must be {least} or more")
    return value
