import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.prepare.driver import PrepareOptions, TooManyRejectsError, prepare
from pipelines.prepare.ray_runner import run_on_ray
from pipelines.prepare.shard_task import ShardReport, ShardTask, run_shard_task
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.manifest import MANIFEST_NAME
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here
from tests.pipelines.sound_files import sphere, tone


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for number, speaker in enumerate(["FAAA0", "FBBB0", "MCCC0", "MDDD0"]):
        folder = root / ("TEST" if number == 3 else "TRAIN") / "DR1" / speaker
        folder.mkdir(parents=True)
        for sentence in ("SX1", "SI2"):
            (folder / f"{sentence}.WAV").write_bytes(
                sphere(tone(1000 + 400 * number + len(sentence), hertz=90 + number))
            )
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_shards_hold_exactly_the_samples_of_the_raw_files(raw: Path, tmp_path: Path) -> None:
    prepare_here("timit", raw, tmp_path / "out")
    shards = ShardSet(Location(str(tmp_path / "out")))
    for row, source in enumerate(shards.index["source"]):
        expected = np.frombuffer((raw / source).read_bytes()[1024:], dtype="<i2")
        np.testing.assert_array_equal(shards.signal(row), expected)
    assert len(shards.index) == 8


def test_a_second_run_does_nothing_and_changes_no_byte(raw: Path, tmp_path: Path) -> None:
    first = prepare_here("timit", raw, tmp_path / "out", shard_bytes=4000)
    before = contents(tmp_path / "out")

    def fail(tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
        raise AssertionError("there was nothing to do")

    place = Location(str(tmp_path / "out"))
    second = prepare("timit", Location(str(raw)), place, PrepareOptions(shard_bytes=4000), run_tasks=fail)
    assert (second.written, second.skipped) == (0, first.written)
    assert contents(tmp_path / "out") == before


def test_only_what_changed_is_redone(raw: Path, tmp_path: Path) -> None:
    first = prepare_here("timit", raw, tmp_path / "out", shard_bytes=4000)
    (raw / "TEST/DR1/MDDD0/SX1.WAV").write_bytes(sphere(tone(2000)))
    second = prepare_here("timit", raw, tmp_path / "out", shard_bytes=4000)
    assert 0 < second.written < first.written
    assert second.manifest.fingerprint != first.manifest.fingerprint
    fresh = prepare_here("timit", raw, tmp_path / "fresh", shard_bytes=4000)
    assert fresh.manifest == second.manifest


def test_the_cut_into_shards_does_not_change_the_fingerprint(raw: Path, tmp_path: Path) -> None:
    many = prepare_here("timit", raw, tmp_path / "many", shard_bytes=1)
    one = prepare_here("timit", raw, tmp_path / "one")
    assert many.manifest.fingerprint == one.manifest.fingerprint
    assert many.manifest.train_moments == one.manifest.train_moments
    assert len(many.manifest.splits["test"].shards) == 2


def test_unusable_sources_are_kept_as_rejects_and_do_not_stop_the_run(raw: Path, tmp_path: Path) -> None:
    (raw / "TRAIN/DR1/FAAA0/SX1.WAV").write_bytes(b"junk")
    (raw / "TEST/DR1/MDDD0/SI2.WAV").write_bytes(sphere(tone(), sample_max=1))
    done = prepare_here("timit", raw, tmp_path / "out")
    assert done.manifest.rejects == {"sample_max": 1, "undecodable": 1}
    shards = ShardSet(Location(str(tmp_path / "out")))
    assert set(shards.rejects()["id"]) == {"faaa0-sx1", "mddd0-si2"}
    assert not set(shards.rejects()["id"]) & set(shards.index["id"])
    assert len(shards.index) == 6


def test_a_corpus_of_rejects_alone_still_has_its_list_of_rejects(raw: Path, tmp_path: Path) -> None:
    for path in raw.rglob("*.WAV"):
        path.write_bytes(b"junk")
    done = prepare_here("timit", raw, tmp_path / "out")
    assert done.manifest.rejects == {"undecodable": 8}
    assert len(ShardSet(Location(str(tmp_path / "out"))).index) == 0


def test_too_many_rejects_are_an_error_that_leaves_no_manifest(raw: Path, tmp_path: Path) -> None:
    (raw / "TRAIN/DR1/FAAA0/SX1.WAV").write_bytes(b"junk")
    with pytest.raises(TooManyRejectsError, match="more than --max-rejects 0"):
        prepare_here("timit", raw, tmp_path / "out", max_rejects=0)
    assert (tmp_path / "out" / "rejects.parquet").is_file()
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()


def test_a_run_that_stopped_half_way_is_finished_by_the_same_command(raw: Path, tmp_path: Path) -> None:
    def stop_after_two(tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
        for task in tasks[:2]:
            yield run_shard_task(task)
        Location(str(tmp_path / "out" / f"{tasks[2].name}{TEMPORARY_MARK}0")).write_bytes(b"half a shard")
        raise KeyboardInterrupt

    place, options = Location(str(tmp_path / "out")), PrepareOptions(shard_bytes=4000)
    with pytest.raises(KeyboardInterrupt):
        prepare("timit", Location(str(raw)), place, options, run_tasks=stop_after_two)
    with pytest.raises(InputError, match="not a finished set of shards"):
        ShardSet(place)
    resumed = prepare_here("timit", raw, tmp_path / "out", shard_bytes=4000)
    assert resumed.skipped == 2
    prepare_here("timit", raw, tmp_path / "undisturbed", shard_bytes=4000)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_one_and_two_workers_on_ray_write_the_same_bytes(raw: Path, tmp_path: Path, ray_cluster: None) -> None:
    for workers in (1, 2):
        place = Location(str(tmp_path / str(workers)))
        options = PrepareOptions(workers=workers, shard_bytes=4000)
        prepare("timit", Location(str(raw)), place, options, run_tasks=partial(run_on_ray, address=None))
    prepare_here("timit", raw, tmp_path / "here", shard_bytes=4000)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "here")


@pytest.mark.parametrize("name", ["timit", "iam_ondb"])
def test_a_missing_raw_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such directory; point --raw at"):
        prepare_here(name, tmp_path / "nowhere", tmp_path / "out")


def test_an_output_that_holds_something_else_is_refused_and_untouched(raw: Path, tmp_path: Path, raw_ink: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.parquet").write_text("precious")
    with pytest.raises(InputError, match="holds files that are not shards"):
        prepare_here("timit", raw, foreign)
    prepare_here("iam_ondb", raw_ink, tmp_path / "ink")
    before = contents(tmp_path / "ink")
    with pytest.raises(InputError, match="holds shards of iam_ondb, not timit"):
        prepare_here("timit", raw, tmp_path / "ink")
    assert contents(tmp_path / "ink") == before
    assert (foreign / "thesis.parquet").read_text() == "precious"


@pytest.mark.parametrize("victim", ["test-00000-of-00001.parquet", "index.parquet"])
def test_altered_files_are_found_before_they_are_used(raw: Path, tmp_path: Path, victim: str) -> None:
    prepare_here("timit", raw, tmp_path / "out")
    path = tmp_path / "out" / victim
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="checksum differs"):
        ShardSet(Location(str(tmp_path / "out"))).verify()


def test_a_missing_shard_is_named(raw: Path, tmp_path: Path) -> None:
    prepare_here("timit", raw, tmp_path / "out")
    (tmp_path / "out" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"test-00000-of-00001.*: missing"):
        ShardSet(Location(str(tmp_path / "out"))).verify()
    prepare_here("timit", raw, tmp_path / "out")
    ShardSet(Location(str(tmp_path / "out"))).verify()


def test_a_copy_elsewhere_gives_the_same_fingerprint(raw: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    for path in raw.rglob("*.WAV"):
        target = lower / str(path.relative_to(raw)).lower()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    first = prepare_here("timit", raw, tmp_path / "a").manifest.fingerprint
    assert prepare_here("timit", lower, tmp_path / "b").manifest.fingerprint == first


@pytest.mark.parametrize(
    ("name", "content"),
    [(MANIFEST_NAME, b'{"corpus": '), ("index.parquet", b"junk"), ("rejects.parquet", None), ("README.md", None)],
)
def test_damaged_files_that_describe_the_shards_are_written_again(
    raw: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    prepare_here("timit", raw, tmp_path / "out")
    before = contents(tmp_path / "out")
    path = tmp_path / "out" / name
    path.unlink() if content is None else path.write_bytes(content)
    again = prepare_here("timit", raw, tmp_path / "out")
    assert again.written == 0
    if name != "README.md":
        assert contents(tmp_path / "out") == before


def test_a_manifest_that_contradicts_the_shards_is_written_again(raw: Path, tmp_path: Path) -> None:
    first = prepare_here("timit", raw, tmp_path / "out").manifest
    path = tmp_path / "out" / MANIFEST_NAME
    path.write_text(path.read_text().replace(first.fingerprint, "0" * 64))
    assert prepare_here("timit", raw, tmp_path / "out").manifest == first


def test_shards_among_raw_files_are_no_sources_and_raw_files_among_shards_are_no_stray_files(
    raw: Path, tmp_path: Path
) -> None:
    (raw / "notes.parquet").write_text("precious")
    expected = prepare_here("audio_folder", raw, tmp_path / "out").manifest
    for _ in range(2):
        assert prepare_here("audio_folder", raw, raw / "shards").manifest == expected
    shutil.rmtree(raw / "shards")
    for _ in range(2):
        assert prepare_here("audio_folder", raw, tmp_path).manifest == expected
    assert (raw / "notes.parquet").read_text() == "precious"
    with pytest.raises(InputError, match="is --raw itself"):
        prepare_here("audio_folder", raw, raw)


def test_an_output_that_is_a_file_is_refused(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="is a file"):
        prepare_here("timit", raw, tmp_path / "file")


def test_stray_files_are_only_removed_where_prepare_writes(raw: Path, tmp_path: Path) -> None:
    prepare_here("timit", raw, tmp_path / "out")
    kept = tmp_path / "out" / "mine" / "results.parquet"
    kept.parent.mkdir()
    kept.write_text("precious")
    (tmp_path / "out" / "train-00009-of-00010.parquet").write_text("of an earlier cut")
    prepare_here("timit", raw, tmp_path / "out")
    assert kept.read_text() == "precious"
    assert not (tmp_path / "out" / "train-00009-of-00010.parquet").exists()


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(raw: Path, tmp_path: Path) -> None:
    (raw / os.fsdecode(b"latin1_\xe9.wav")).write_bytes(b"x")
    with pytest.raises(InputError, match="not UTF-8") as caught:
        prepare_here("audio_folder", raw, tmp_path / "out")
    str(caught.value).encode()
