"""How arguments are written: what several verbs share."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import BaseModel, ValidationError

from benchmarks.errors import StudyError

__all__ = ["Argument", "Json", "Repeated", "Workers", "at_least", "checked", "flags_of", "named_values"]

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


Model = TypeVar("Model", bound=BaseModel)


def flags_of(load: Callable[[], type[BaseModel]]) -> Any:  # noqa: ANN401
    """The fields of a model as flags: its defaults, its docstring as their help, its ranges told in one line.

    Args:
        load: imports the model, which may come with heavy packages, where the arguments are read.
    """

    def factory() -> Callable[..., BaseModel]:
        model = load()

        def build(**given: object) -> BaseModel:
            return checked(model, given)

        build.__doc__ = model.__doc__
        build.__dict__["__signature__"] = inspect.signature(model)
        build.__annotations__ = {name: field.annotation for name, field in model.model_fields.items()}
        return build

    return tyro.conf.arg(name="", constructor_factory=factory)


def checked(model: type[Model], given: dict[str, object]) -> Model:
    """The model with the fields `given` by flags of their names.

    Raises:
        StudyError: a value is out of range, or some do not go together.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:
            raise StudyError(f"--{problem['msg'].removeprefix('Value error, ')}") from error
        flag = str(problem["loc"][0]).replace("_", "-")
        raise StudyError(f"--{flag} {problem['input']}: {problem['msg']}") from error
