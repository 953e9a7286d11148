import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from benchmarks.errors import StudyError
from benchmarks.export import write_exports
from benchmarks.export.csv_tables import differences_csv, published_csv, rows_csv
from benchmarks.schema.base import to_json
from benchmarks.schema.comparison import Comparison
from benchmarks.statistics.table import compare_scores
from tests.benchmarks.export_cases import HOSTILE, compared, export_case, trials

FILES = ["table.md", "table.tex", "rows.csv", "differences.csv", "published.csv"]
FILES += ["comparison.json", "protocol.md", "CITATION.cff"]


@pytest.fixture(scope="module")
def found() -> Comparison:
    return export_case()


def test_every_file_is_there_and_the_same_comparison_makes_the_same_bytes(found: Comparison, tmp_path: Path) -> None:
    first = write_exports(found, tmp_path / "new" / "one")
    assert [path.name for path in first] == FILES
    assert sorted(path.name for path in (tmp_path / "new" / "one").iterdir()) == sorted(FILES)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "table.md").write_text("of an earlier study, longer than nothing")
    for one, other in zip(first, write_exports(found, tmp_path / "two"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_file_in_place_of_the_directory_is_named(found: Comparison, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StudyError, match="out: is a file"):
        write_exports(found, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_no_file_contains_the_location_of_data(found: Comparison, tmp_path: Path) -> None:
    for path in write_exports(found, tmp_path):
        assert not re.search("somewhere|elsewhere", path.read_text()), path.name


def test_json_is_the_comparison_with_null_for_what_is_not_finite(tmp_path: Path) -> None:
    one = compared(trials(sequences=1, seeds=1))
    assert one.rows[0].interval == (-math.inf, math.inf)
    write_exports(one, tmp_path)
    read = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert read["rows"][0]["interval"] == [None, None]
    assert read["rows"][0]["nats_per_sequence"] == one.rows[0].nats_per_sequence
    assert set(read) == set(to_json(one))


def read_csv(text: str) -> pd.DataFrame:
    """Read CSV without treating any string as missing."""
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def flattened(rows: list[Any]) -> pd.DataFrame:
    """The same rows, flattened by pandas."""
    table = pd.json_normalize([row.model_dump() for row in rows], sep="_")
    for name in [name for name in table if name.endswith("interval")]:
        stem = "nats_per_sequence_" if name == "interval" else name.removesuffix("interval")
        table[f"{stem}low"] = [ends[0] if isinstance(ends, tuple) else None for ends in table[name]]
        table[f"{stem}high"] = [ends[1] if isinstance(ends, tuple) else None for ends in table[name]]
        table = table.drop(columns=name)
    return table.drop(columns=["reasons", "bits_per_sample"] if "first_model" in table else "reasons", errors="ignore")


@pytest.mark.parametrize(("of", "write"), [("rows", rows_csv), ("differences", differences_csv)])
def test_csv_has_every_field_with_all_digits(found: Comparison, of: str, write: Callable[..., str]) -> None:
    read, expected = read_csv(write(getattr(found, of))), flattened(getattr(found, of))
    assert sorted(read) == sorted(expected)
    assert len(read) == len(expected) > 2
    for name in expected:
        for ours, theirs in zip(read[name], expected[name], strict=True):
            assert ours == theirs or (pd.isna(ours) and pd.isna(theirs)), name


def test_published_csv_has_every_field_and_every_reason(found: Comparison) -> None:
    read, expected = read_csv(published_csv(found.published)), flattened(found.published)
    assert sorted(read) == sorted([*expected, "blockers", "notes", "reasons"])
    assert len(read) == len(found.published) > 0
    for line, pair in zip(read.astype(object).fillna("").to_dict("records"), found.published, strict=True):
        assert (line["ours"], line["published_value"]) == (pair.ours, pair.published_value)
        codes = [*filter(None, line["blockers"].split(" | ")), *filter(None, line["notes"].split(" | "))]
        assert codes == [reason.code for reason in pair.reasons]
        assert line["reasons"].split(" | ") == [reason.sentence for reason in pair.reasons]
        assert bool(line["blockers"]) != pair.comparable


@pytest.mark.parametrize(
    ("of", "write"), [("rows", rows_csv), ("differences", differences_csv), ("published", published_csv)]
)
def test_a_table_without_rows_has_the_same_columns(found: Comparison, of: str, write: Callable[..., str]) -> None:
    assert write([]) == write(getattr(found, of)).splitlines(keepends=True)[0]


def test_counts_stay_whole_next_to_missing_ones(found: Comparison) -> None:
    lines = rows_csv(found.rows).splitlines()
    position = lines[0].split(",").index("parameters")
    assert {line.split(",")[position] for line in lines[1:]} == {"1234567", "4321", ""}


def test_an_unbounded_interval_is_read_back_as_such() -> None:
    read = read_csv(rows_csv(compared(trials(sequences=1, seeds=1)).rows))
    assert set(read["nats_per_sequence_low"]) == {-math.inf}


@given(HOSTILE)
@settings(max_examples=30, deadline=None)
def test_names_come_back_from_csv(name: str) -> None:
    (row, *_) = ROWS
    read = pd.read_csv(
        io.StringIO(rows_csv([row.model_copy(update={"model": name})])),
        keep_default_na=False,
        dtype=str,
        lineterminator="\n",
    )
    assert read["model"].tolist() == [name]


ROWS = compare_scores(trials(seeds=1, sequences=3))
