"""The base of every result that is written or read, and the one way to read a file of them.

All classes are frozen pydantic models: an unknown field, a missing one, a value of another type or a number that is not
finite is refused when a file is read, so that no page or table repeats a value that its writer did not mean.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import StudyError

__all__ = [
    "Count",
    "File",
    "Finite",
    "Kind",
    "Measure",
    "ResultFileError",
    "Schema",
    "Share",
    "json_text",
    "read_file",
    "to_json",
]

Kind = Literal["speech", "pen"]
Measure = Literal["density", "mass"]
"""`density` of normalised frames, or `mass`: the probability of the recorded integers."""
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ResultFileError(StudyError):
    """A file of results cannot be used: damaged, or of another version. One line: what, where, and how to fix it."""


class Schema(BaseModel):
    """A result, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class File(Schema):
    """A result that is a file of its own.

    Class attributes:
        file_name: under which it is kept.
        remedy: what a user does about a file that cannot be used.

    Attributes:
        version: of the file's form.
    """

    file_name: ClassVar[str]
    remedy: ClassVar[str]

    version: int

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON."""
        return self.model_dump_json(indent=1).encode()


F = TypeVar("F", bound=File)


def read_file(kind: type[F], content: bytes, where: str) -> F:
    """Read a file of results.

    Args:
        kind: what it holds.
        content: of the file.
        where: what an error calls the place: a directory, or an MLflow run.

    Raises:
        ResultFileError: it is damaged, or was written by another version of this software.
    """
    place = f"{where}: {kind.file_name}"
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ResultFileError(f"{place} is not JSON ({error}); {kind.remedy}") from error
    expected = kind.model_fields["version"].default
    version = cast(dict[str, object], document).get("version") if isinstance(document, dict) else None
    if version != expected:
        found = "no version" if version is None else f"version {version}"
        raise ResultFileError(f"{place} has {found}, this vrnn-bench reads version {expected}; {kind.remedy}")
    try:
        # Strict: a number in quotes, or a true in place of a 1, is not what a writer meant.
        return kind.model_validate_json(content, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"])) or "the whole"
        message = problem["msg"].removeprefix("Value error, ")
        raise ResultFileError(f"{place}, {field}: {message}; {kind.remedy}") from error


def to_json(value: BaseModel) -> dict[str, Any]:
    """A result as JSON values; numbers that are not finite stay as they are."""
    return json.loads(value.model_dump_json())


def json_text(value: Mapping[str, Any]) -> str:
    """One indented JSON object that any program can read: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast(Mapping[str, object], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast(Sequence[object], value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
