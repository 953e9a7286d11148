"""Each test alters one thing in an intact set of shards and expects a problem that names it."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.manifest import INDEX_NAME, MANIFEST_NAME, REJECTS_NAME
from pipelines.shards.verify import Verification, verify_shards
from pipelines.shards.verify_shard import PROBLEM_LIMIT

SHARD = "train-00000-of-00001.parquet"
Edit = Callable[[pa.Table], pa.Table]


@pytest.fixture
def shards(speech_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(speech_shards, tmp_path / "shards"))


def check(shards: Path) -> Verification:
    return verify_shards(Location(str(shards)))


def problems(shards: Path) -> list[str]:
    found = check(shards)
    assert not found.ok
    return list(found.problems)


def edit_manifest(shards: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((shards / MANIFEST_NAME).read_text())
    edit(manifest)
    (shards / MANIFEST_NAME).write_text(json.dumps(manifest))


def rewrite(shards: Path, edit: Edit) -> None:
    """Replace the training shard and its bytes in the manifest, as an attacker would."""
    path = shards / SHARD
    file = pq.ParquetFile(path)
    table = edit(file.read())
    metadata = {key: value for key, value in (file.metadata.metadata or {}).items() if key != b"ARROW:schema"}
    pq.write_table(table.replace_schema_metadata(metadata), path)

    def note(manifest: dict[str, Any]) -> None:
        (entry,) = manifest["splits"]["train"]["shards"]
        entry |= {"bytes": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}

    edit_manifest(shards, note)


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


@pytest.mark.parametrize("kind", ["speech_shards", "ink_shards"])
def test_intact_shards_have_no_problem(kind: str, request: pytest.FixtureRequest) -> None:
    seen: list[tuple[int, int]] = []
    shards = request.getfixturevalue(kind)
    found = verify_shards(Location(str(shards)), on_progress=lambda done, total: seen.append((done, total)))
    assert (found.ok, found.problems, found.further) == (True, (), 0)
    assert found.sequences == pq.read_metadata(shards / INDEX_NAME).num_rows
    assert seen[-1] == (found.shards, found.shards)


def test_a_flipped_byte_of_a_signal_is_named_with_its_file(shards: Path) -> None:
    content = bytearray((shards / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (shards / SHARD).write_bytes(bytes(content))
    first, *others = problems(shards)
    assert first.startswith(f"{SHARD}: SHA-256: expected ")
    assert all(line.startswith(SHARD) for line in others), "nothing else is blamed"


def test_a_shard_cut_short_is_one_problem_of_size_and_one_of_content(shards: Path) -> None:
    (shards / SHARD).write_bytes((shards / SHARD).read_bytes()[:1000])
    size, content = problems(shards)
    assert size.startswith(f"{SHARD}: bytes: expected ")
    assert size.endswith("found 1000")
    assert content.startswith(f"{SHARD}: content: expected readable Parquet, found ")


def test_a_changed_sample_is_found_though_the_manifest_knows_the_new_bytes(shards: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        pcm = [np.asarray(samples, dtype=np.int16) for samples in table["pcm"].to_pylist()]
        pcm[1] = pcm[1].copy()
        pcm[1][100] += 1
        return with_column(table, "pcm", [list(samples) for samples in pcm])

    id_ = pq.read_table(shards / SHARD)["id"][1].as_py()
    rewrite(shards, change)
    found = problems(shards)
    assert [line.split(": expected")[0] for line in found] == [
        f"{SHARD}: {id_}: {what}" for what in ("digest", "sums", "sums_of_squares")
    ]


@pytest.mark.parametrize("name", ["train_moments", "train_moments_by_sequence"])
def test_a_wrong_moment_in_the_manifest(shards: Path, name: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest[name]["sums"][0] += 1

    edit_manifest(shards, change)
    (line,) = problems(shards)
    assert line.startswith(f"{MANIFEST_NAME}: {name}: expected ")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (("splits", "train", "sequences"), f"{MANIFEST_NAME}: sequences of train"),
        (("splits", "train", "length"), f"{MANIFEST_NAME}: length of train"),
        (("splits", "train", "shards", 0, "sequences"), f"{SHARD}: sequences"),
    ],
)
def test_a_wrong_count_in_the_manifest(shards: Path, path: tuple[str | int, ...], what: str) -> None:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] += 1

    edit_manifest(shards, change)
    (line,) = problems(shards)
    assert line.startswith(f"{what}: expected ")


def test_a_wrong_fingerprint(shards: Path) -> None:
    edit_manifest(shards, lambda manifest: manifest.update(fingerprint="0" * 64))
    (line,) = problems(shards)
    assert line.startswith(f"{MANIFEST_NAME}: fingerprint: expected ")


def test_a_missing_shard_is_one_problem(shards: Path) -> None:
    (shards / SHARD).unlink()
    (line,) = problems(shards)
    assert line.startswith(f"{SHARD}: file: expected ")
    assert line.endswith("found no such file")


def test_an_extra_row_is_found_in_every_count(shards: Path) -> None:
    def add(table: pa.Table) -> pa.Table:
        extra = with_column(table.slice(table.num_rows - 1), "id", ["stranger"])
        return pa.concat_tables([table, extra])

    rewrite(shards, add)
    found = {line.split(": expected")[0] for line in problems(shards)}
    moments = {line for line in found if "moments" in line}
    assert found - moments == {
        f"{SHARD}: sequences",
        f"{INDEX_NAME}: stranger: sequence",
        f"{MANIFEST_NAME}: sequences of train",
        f"{MANIFEST_NAME}: length of train",
        f"{MANIFEST_NAME}: fingerprint",
    }
    assert f"{MANIFEST_NAME}: train_moments" in moments


def test_a_missing_row_is_named(shards: Path) -> None:
    id_ = pq.read_table(shards / SHARD)["id"].to_pylist()[-1]
    rewrite(shards, lambda table: table.slice(0, table.num_rows - 1))
    assert any(line.startswith(f"{INDEX_NAME}: {id_}: sequence: expected none, found") for line in problems(shards))


def test_a_duplicated_id_is_found_in_the_shard_and_missed_in_the_index(shards: Path) -> None:
    first, second = pq.read_table(shards / SHARD)["id"].to_pylist()[:2]
    rewrite(shards, lambda table: with_column(table, "id", [first, first, *table["id"].to_pylist()[2:]]))
    found = {line.split(": expected")[0] for line in problems(shards)}
    assert f"{SHARD}: {first}: id" in found
    assert f"{INDEX_NAME}: {second}: sequence" in found


def test_a_row_that_contradicts_the_index(shards: Path) -> None:
    id_ = pq.read_table(shards / SHARD)["id"][0].as_py()
    rewrite(shards, lambda table: with_column(table, "transcript", ["other", *table["transcript"].to_pylist()[1:]]))
    (line,) = problems(shards)
    assert line.startswith(f"{INDEX_NAME}: {id_}: transcript: expected other, found ")


def test_rows_in_another_order_have_another_place(shards: Path) -> None:
    rewrite(shards, lambda table: table.take([1, 0, *range(2, table.num_rows)]))
    found = problems(shards)
    assert len(found) == 2
    assert all(": row: expected " in line for line in found)


def test_an_altered_schema(shards: Path) -> None:
    rewrite(shards, lambda table: table.drop_columns(["speaker"]).append_column("colour", table["speaker"]))
    (line,) = problems(shards)
    assert line.startswith(f"{SHARD}: columns: expected ")
    assert "speaker: string" in line.split("found")[0]
    assert "colour: string" in line.split("found")[1]


def test_another_schema_version(shards: Path) -> None:
    path = shards / SHARD
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata({"schema_version": "99"}), path)
    assert any(line.startswith(f"{SHARD}: schema_version: expected ") for line in problems(shards))


def test_a_wrong_reject_count(shards: Path) -> None:
    edit_manifest(shards, lambda manifest: manifest.update(rejects={"undecodable": 2}))
    (line,) = problems(shards)
    assert line == f"{MANIFEST_NAME}: rejects: expected {{}}, found {{'undecodable': 2}}"


@pytest.mark.parametrize("name", [INDEX_NAME, REJECTS_NAME])
def test_a_missing_or_damaged_table(shards: Path, name: str) -> None:
    (shards / name).unlink()
    assert f"{name}: content: expected readable Parquet, found no such file" in problems(shards)
    (shards / name).write_bytes(b"junk")
    assert any(line.startswith(f"{name}: content: expected readable Parquet, found ") for line in problems(shards))


def test_an_index_with_one_more_row_of_the_same_id(shards: Path) -> None:
    table = pq.ParquetFile(shards / INDEX_NAME).read()
    id_ = table["id"][0].as_py()
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), shards / INDEX_NAME)
    found = {line.split(": expected")[0] for line in problems(shards)}
    assert found == {f"{INDEX_NAME}: SHA-256", f"{INDEX_NAME}: {id_}: rows", f"{INDEX_NAME}: {id_}: sequence"}


@pytest.mark.parametrize("name", ["train-00001-of-00002.parquet", f"{SHARD}{TEMPORARY_MARK}0", "sub/copy.parquet"])
def test_unknown_and_temporary_files(shards: Path, name: str) -> None:
    (shards / "sub").mkdir()
    (shards / name).write_bytes(b"half a shard")
    (line,) = problems(shards)
    assert line.startswith(f"{name}: file: expected none, found ")


def test_a_successor_in_progress_is_no_problem(shards: Path) -> None:
    (shards / ".state" / "next").mkdir(exist_ok=True)
    (shards / ".state" / "next" / SHARD).write_bytes(b"half a shard")
    assert check(shards).ok


def test_a_damaged_manifest_is_a_problem_and_none_at_all_is_wrong_input(shards: Path) -> None:
    (shards / MANIFEST_NAME).write_text("{")
    (line,) = problems(shards)
    assert line.startswith(f"{MANIFEST_NAME}: content: expected ")
    (shards / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match="not a finished set of shards"):
        check(shards)


def test_only_the_first_problems_are_listed_and_all_are_counted(shards: Path) -> None:
    for number in range(PROBLEM_LIMIT + 7):
        (shards / f"stray-{number:03d}.parquet").write_bytes(b"")
    found = check(shards)
    assert (len(found.problems), found.further) == (PROBLEM_LIMIT, 7)
