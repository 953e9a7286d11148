"""Types and checks of arguments that several verbs share."""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import BaseModel, ValidationError

from benchmarks.errors import StudyError

__all__ = [
    "Argument",
    "Checkpoint",
    "Count",
    "Json",
    "Name",
    "NumberOrNone",
    "PathOrNone",
    "Place",
    "Repeated",
    "Shards",
    "Uri",
    "at_least",
    "checked",
    "flags_of",
    "parse_options",
]

Argument = tyro.conf.Positional
Shards = Annotated[Argument[str], tyro.conf.arg(metavar="SHARDS")]
Checkpoint = Annotated[Argument[str], tyro.conf.arg(metavar="CHECKPOINT")]
Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(optional)")]
NumberOrNone = Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(optional)")]
Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(optional)")]
PathOrNone = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="(optional)")]
Place = Annotated[str, tyro.conf.arg(metavar="URI")]
Uri = Annotated[str | None, tyro.conf.arg(metavar="URI", help_behavior_hint="(optional)")]
Json = Annotated[bool, tyro.conf.arg(name="json", help="Print one JSON object on stdout.")]
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")]

_ATTRIBUTE = re.compile(r"(?m)^(\s+\w+: )(\w)")
Number = TypeVar("Number", int, float)
Model = TypeVar("Model", bound=BaseModel)


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """The values of `--option NAME=VALUE` by name.

    Raises:
        StudyError: one has no `=`.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise StudyError(f"--option {pair}: write NAME=VALUE, such as --option form=segmented")
        values[name] = value
    return values


def at_least(least: int, flag: str, value: Number) -> Number:
    """Return `value` if it is finite and at least `least`.

    Raises:
        StudyError: it is not.
    """
    if not (math.isfinite(value) and value >= least):
        raise StudyError(f"{flag} {value}: must be {least} or more")
    return value


def flags_of(load: Callable[[], type[BaseModel]]) -> Any:  # noqa: ANN401
    """Turn the fields of a pydantic model into flags: same defaults, its docstring as help, one-line range errors.

    Args:
        load: imports the model; called only when arguments are parsed, since the import may be slow.
    """

    def factory() -> Callable[..., BaseModel]:
        model = load()

        def build(**given: object) -> BaseModel:
            return checked(model, given)

        # tyro reads flags, types and help from these three attributes. The help of other flags begins with a capital.
        build.__doc__ = _ATTRIBUTE.sub(lambda found: found[1] + found[2].upper(), model.__doc__ or "")
        build.__dict__["__signature__"] = inspect.signature(model)
        build.__annotations__ = {name: field.annotation for name, field in model.model_fields.items()}
        return build

    return tyro.conf.arg(name="", constructor_factory=factory)


def checked(model: type[Model], given: dict[str, object]) -> Model:
    """Build a pydantic model from the values of flags that have its fields' names.

    Raises:
        StudyError: a value is out of range, or two values exclude each other.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:
            raise StudyError(f"--{problem['msg'].removeprefix('Value error, ')}") from error
        flag = str(problem["loc"][0]).replace("_", "-")
        raise StudyError(f"--{flag} {problem['input']}: {problem['msg']}") from error
