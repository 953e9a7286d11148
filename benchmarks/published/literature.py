"""Published log-likelihoods as data: `published/*.csv`, typed, and refused where a column or a value is not known.

Three tables, so that each thing is said once: `papers.csv` (who, when, which table), `settings.csv` (what a paper did
with a corpus) and `numbers.csv` (one published number a row). An empty cell is a thing that is not known; nothing is
guessed, since what is not known to be equal blocks a comparison (`benchmarks.published.comparability`).

`provenance` says where a number is from: `read` in its paper or in a later one that quotes it, or `recalled` from
memory of the paper. Nothing recalled is shown without that mark.
"""

import csv
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from benchmarks.errors import StudyError
from benchmarks.schema.base import Measure
from benchmarks.schema.comparison import Bound, Unit
from pipelines.corpora import find_corpus
from vrnn.models.registry import family_of

__all__ = ["Number", "Paper", "Published", "Setting", "load_published"]

_SHIPPED = Path(__file__).parent

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_Split = Literal["train", "valid", "valid2", "test"]
_Splits = Annotated[tuple[_Split, ...], BeforeValidator(lambda cell: cell.split() if isinstance(cell, str) else cell)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paper(_Row):
    """Where numbers were published.

    Attributes:
        intra_frame_rival: whether its tables have a model that is autoregressive inside a frame.
    """

    paper: _Text
    authors: _Text
    year: PositiveInt
    table: _Text | None = None
    intra_frame_rival: bool | None = None


class Setting(_Row):
    """What a paper did with a corpus; None is not known.

    Attributes:
        corpus: by the name of what prepares it here.
        sequence: recordings or lines as a `whole`, or a `window` that begins from the zero state.
        frames_per_sequence: of a window.
        split: that was scored, by its name here.
        train_on: the splits that were fitted on, by their names here.
        training_sequences: fitted on.
        normalisation: as `pipelines.batches.protocol.Protocol` calls it.
        dequantised: whether noise was added to the integers.
        quantisation: of a mass, which integers.
        sigma_floor: under every standard deviation, in units of the normalised frame.
        counts_padding: whether padded frames were scored.
        left_out: frames of a sequence that were not scored.
        code_released: whether what was done with this corpus can be read.
        sampler_released: whether the estimator of `iwae` can be read.
        protocol: the rest, in words.
    """

    paper: _Text
    corpus: _Text
    measure: Measure | None = None
    sequence: Literal["whole", "window"] | None = None
    frames_per_sequence: PositiveInt | None = None
    split: _Split | None = None
    sequences: PositiveInt | None = None
    train_on: _Splits | None = None
    training_sequences: PositiveInt | None = None
    normalisation: Literal["per_channel", "shared_integer"] | None = None
    dequantised: bool | None = None
    quantisation: Literal["linear", "mu-law"] | None = None
    sigma_floor: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    counts_padding: bool | None = None
    left_out: _Text | None = None
    code_released: bool | None = None
    sampler_released: bool | None = None
    protocol: _Text | None = None

    @field_validator("corpus")
    @classmethod
    def _known_corpus(cls, name: str) -> str:
        return find_corpus(name).name

    @model_validator(mode="after")
    def _windows_have_frames(self) -> "Setting":
        if (self.sequence == "window") != (self.frames_per_sequence is not None):
            raise ValueError("frames_per_sequence is given with sequence window, and only there")
        return self


class Number(_Row):
    """One published number; None is not known.

    Attributes:
        our_model: our model that it is compared with; None where there is none.
        value: in `unit`; of bits, lower is better.
        rounded_to: what the value was rounded to, where more than the last digit is lost.
        bound: `exact`, `elbo`, or `iwae`, an importance-sampled estimate.
        num_samples: K of iwae; 1 otherwise.
        frame_size: samples, or values of a pen frame.
        provenance: see the module's text.
        note: what a reader should know of this number.
    """

    paper: _Text
    model: _Text
    our_model: _Text | None = None
    corpus: _Text
    value: FiniteFloat
    rounded_to: PositiveFloat | None = None
    bound: Bound
    num_samples: PositiveInt
    unit: Unit
    frame_size: PositiveInt | None = None
    parameters: PositiveInt | None = None
    provenance: Literal["read", "recalled"]
    note: _Text | None = None

    @field_validator("our_model")
    @classmethod
    def _known_model(cls, name: str | None) -> str | None:
        if name is not None:
            family_of(name)
        return name

    @model_validator(mode="after")
    def _only_iwae_takes_samples(self) -> "Number":
        if self.bound != "iwae" and self.num_samples != 1:
            raise ValueError(f"num_samples is 1 where the bound is {self.bound}")
        return self


@dataclass(frozen=True)
class Published:
    """A published number, how it was made, and where it stands."""

    number: Number
    setting: Setting
    paper: Paper

    @property
    def source(self) -> str:
        """Authors, year and table."""
        table = f", {self.paper.table}" if self.paper.table else ""
        return f"{self.paper.authors} {self.paper.year}{table}"


def load_published(directory: Path = _SHIPPED) -> tuple[Published, ...]:
    """The published numbers, in the order of `numbers.csv`.

    Args:
        directory: holds `papers.csv`, `settings.csv` and `numbers.csv`.

    Raises:
        StudyError: a table is missing or not CSV; a column or value is not known; a row is there twice; or a number
            has no setting or no paper.
    """
    papers = _by_key(directory / "papers.csv", Paper, ("paper",))
    settings = _by_key(directory / "settings.csv", Setting, ("paper", "corpus"))
    path = directory / "numbers.csv"
    numbers = _by_key(path, Number, ("paper", "model", "corpus", "bound", "num_samples", "frame_size"))
    return tuple(
        Published(
            number,
            _found(settings, (number.paper, number.corpus), path, "settings.csv"),
            _found(papers, (number.paper,), path, "papers.csv"),
        )
        for number in numbers.values()
    )


_R = TypeVar("_R", bound=_Row)


def _found(table: Mapping[tuple[object, ...], _R], key: tuple[object, ...], path: Path, other: str) -> _R:
    if key not in table:
        raise StudyError(f"{path}: {' on '.join(map(str, key))} has no row in {other}; add one")
    return table[key]


def _by_key(path: Path, kind: type[_R], columns: tuple[str, ...]) -> dict[tuple[object, ...], _R]:
    table: dict[tuple[object, ...], _R] = {}
    for line, row in _rows(path, kind):
        key = tuple(getattr(row, column) for column in columns)
        if key in table:
            raise StudyError(f"{path}, line {line}: a row with this {', '.join(columns)} is there already; remove one")
        table[key] = row
    return table


def _rows(path: Path, kind: type[_R]) -> Iterator[tuple[int, _R]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = next(reader, [])
            _check_columns(path, columns, list(kind.model_fields))
            for cells in reader:
                yield reader.line_num, _row(f"{path}, line {reader.line_num}", kind, columns, cells)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); put the table there") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not CSV in UTF-8 ({error}); fix it") from error


def _check_columns(path: Path, columns: list[str], known: list[str]) -> None:
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise StudyError(f"{path}: unknown column {column!r}; {hint}")
    for column in known:
        if columns.count(column) != 1:
            raise StudyError(f"{path}: column {column!r} is there {columns.count(column)} times, once is needed")


def _row(where: str, kind: type[_R], columns: list[str], cells: list[str]) -> _R:
    if len(cells) != len(columns):
        raise StudyError(f"{where}: {len(cells)} cells under {len(columns)} columns; give each column one")
    given = {column: cell for column, cell in zip(columns, cells, strict=True) if cell}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        column = ".".join(str(part) for part in problem["loc"][:1])
        value = f" {problem['input']!r}" if column in given else ""
        said = problem["msg"].removeprefix("Value error, ")
        raise StudyError(f"{where}: {f'{column}{value}: ' if column else ''}{said}") from error
