"""The contents of an export's directory; test_interoperability.py shows that the tools read it."""

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.export.hf_audio
import pipelines.export.webdataset
from pipelines.errors import InputError
from pipelines.export import FORMATS, export
from pipelines.export.export_record import RECORD_NAME
from pipelines.export.source import encode_flac, file_key
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.read import ShardSet


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run(shards: ShardSet, format_name: str, out: Path, split: str | None = None) -> dict[str, int]:
    done = export(shards, format_name, Location(str(out)), split)
    return {name: result.sequences for name, result in done.items()}


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_every_export_has_the_same_bytes(format_name: str, speech: ShardSet, tmp_path: Path) -> None:
    expected = {name: split.sequences for name, split in speech.manifest.splits.items()}
    assert run(speech, format_name, tmp_path / "a") == expected
    first = contents(tmp_path / "a")
    assert run(speech, format_name, tmp_path / "b") == expected
    assert contents(tmp_path / "b") == first
    assert run(speech, format_name, tmp_path / "a", "test") == {"test": expected["test"]}
    assert contents(tmp_path / "a") == first
    assert json.loads(first[RECORD_NAME])["splits"].keys() == expected.keys()


def test_progress_reaches_the_end(speech: ShardSet, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export(speech, "webdataset", Location(str(tmp_path)), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(count, len(speech.index)) for count in range(1, len(speech.index) + 1)]


def test_a_directory_with_other_files_is_refused_and_untouched(speech: ShardSet, tmp_path: Path) -> None:
    (tmp_path / "thesis.tar").write_text("precious")
    with pytest.raises(InputError, match="holds files that are not an export; choose an empty or new directory"):
        run(speech, "webdataset", tmp_path)
    assert contents(tmp_path) == {"thesis.tar": b"precious"}
    (tmp_path / RECORD_NAME).write_text("[]")
    with pytest.raises(InputError, match="not the record of an export"):
        run(speech, "webdataset", tmp_path)


def test_an_export_of_other_shards_or_in_another_format_is_refused(
    speech: ShardSet, ink: ShardSet, tmp_path: Path
) -> None:
    run(speech, "webdataset", tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds a webdataset export of shards .* choose another --out"):
        run(speech, "lhotse", tmp_path)
    with pytest.raises(InputError, match="holds a webdataset export of shards"):
        run(ink, "webdataset", tmp_path)
    assert contents(tmp_path) == before


def test_an_interrupted_export_is_finished_by_the_same_command(
    speech: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(speech, "lhotse", tmp_path / "undisturbed")

    def stop(count: int, total: int) -> None:
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(speech, "lhotse", Location(str(tmp_path / "out")), on_progress=stop)
    assert not (tmp_path / "out" / "train" / "recordings.jsonl.gz").exists()
    (tmp_path / "out" / "train" / f"x{TEMPORARY_MARK}0").write_bytes(b"half")
    run(speech, "lhotse", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("format_name", ["lhotse", "hf-audio"])
def test_ink_goes_to_webdataset_only(format_name: str, ink: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use --format webdataset"):
        run(ink, format_name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_formats_and_splits_are_refused(speech: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format called 'zip'; choose one of lhotse, hf-audio, webdataset"):
        run(speech, "zip", tmp_path / "out")
    with pytest.raises(InputError, match="has no split 'dev'; choose one of train, valid, test"):
        run(speech, "lhotse", tmp_path / "out", "dev")


def test_altered_shards_are_not_exported(speech_shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(speech_shards, tmp_path / "shards")
    (copy / "test-00000-of-00001.parquet").write_bytes(b"junk")
    with pytest.raises(InputError, match="checksum differs"):
        run(ShardSet(Location(str(copy))), "webdataset", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def members(out: Path, split: str) -> Iterator[tuple[Path, tarfile.TarInfo]]:
    for path in sorted((out / split).glob("*.tar")):
        with tarfile.open(path) as archive:
            yield from ((path, member) for member in archive.getmembers())


def test_tar_files_are_bounded_and_keep_a_sequence_together(
    speech: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines.export.webdataset, "TAR_BYTES", 200_000)
    run(speech, "webdataset", tmp_path, "train")
    place: dict[str, set[Path]] = {}
    for path, member in members(tmp_path, "train"):
        assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
        place.setdefault(member.name.partition(".")[0], set()).add(path)
    assert len(place) == speech.manifest.splits["train"].sequences
    assert all(len(paths) == 1 for paths in place.values())
    sizes = [path.stat().st_size for path in sorted((tmp_path / "train").glob("*.tar"))]
    assert len(sizes) > 2
    assert max(sizes) <= 200_000 + 10_240


def test_audio_row_groups_are_bounded(speech: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.export.hf_audio, "ROW_GROUP_BYTES", 200_000)
    run(speech, "hf-audio", tmp_path, "train")
    file = pq.ParquetFile(tmp_path / "train" / "00000.parquet")
    groups = [file.read_row_group(group)["audio"].to_pylist() for group in range(file.num_row_groups)]
    assert len(groups) > 2
    assert all(len(group) == 1 or sum(len(row["bytes"]) for row in group) <= 200_000 for group in groups)


def test_lhotse_manifests_name_files_relative_to_the_export(speech: ShardSet, tmp_path: Path) -> None:
    run(speech, "lhotse", tmp_path, "test")
    with gzip.open(tmp_path / "test" / "recordings.jsonl.gz", "rt") as stream:
        recordings = [json.loads(line) for line in stream]
    assert len(recordings) == speech.manifest.splits["test"].sequences
    for recording in recordings:
        (source,) = recording["sources"]
        assert soundfile.info(tmp_path / source["source"]).frames == recording["num_samples"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=300), st.sampled_from([8000, 16000, 44_099]))
def test_flac_is_bit_for_bit(samples: list[int], rate: int) -> None:
    pcm = np.array(samples, dtype=np.int16)
    decoded, found = soundfile.read(io.BytesIO(encode_flac(pcm, rate)), dtype="int16")
    np.testing.assert_array_equal(decoded, pcm)
    assert found == rate


@given(st.text(min_size=1), st.text(min_size=1))
def test_file_keys_are_plain_and_distinct(one: str, other: str) -> None:
    key = file_key(one)
    assert not set(key) & set("./\\:#?*~ ")
    assert (key == file_key(other)) == (one == other)
