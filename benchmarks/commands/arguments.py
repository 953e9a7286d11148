"""How arguments are written: what several verbs share."""

from typing import Annotated

import tyro

__all__ = ["Argument", "Json", "Workers"]

Argument = tyro.conf.Positional
Json = Annotated[bool, tyro.conf.arg(name="json", help="Print one JSON object on stdout.")]
Workers = Annotated[int | None, tyro.conf.arg(metavar="N")]
