"""`prepare` killed at every file operation, started twice at once, on a full disk and on a read-only disk."""

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InputError
from pipelines.runtime.locks import BusyError, lock_directory
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.manifest import MANIFEST_NAME
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here
from tests.pipelines.prepare.test_driver import contents
from tests.pipelines.sound_files import sphere, tone

KILLED = 9


def visible(out: Path) -> dict[str, bytes]:
    """The files that a reader sees, and the names of the others (markers depend on the raw files' times)."""
    return {name: b"" if name.startswith(".state") else data for name, data in contents(out).items()}


def write_raw(root: Path, speakers: int, length: int = 1500) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    for number in range(speakers):
        folder = root / ("TEST" if number == 0 else "TRAIN") / "DR1" / f"FAA{chr(65 + number)}0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "SX1.WAV").write_bytes(sphere(tone(length + number, hertz=90.0 + number)))
    return root


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw", 4)


def in_a_process_that_is_killed_at(instant: int, raw: Path, out: Path) -> bool:
    """Run `prepare` in a forked process that is gone, without any clean-up, at its `instant`-th file operation.

    Returns:
        Whether it was killed; if not, there are no more instants.
    """
    process = multiprocessing.get_context("fork").Process(target=_prepare_until, args=(instant, raw, out))
    process.start()
    process.join()
    assert process.exitcode in {0, KILLED}
    return process.exitcode == KILLED


def _prepare_until(instant: int, raw: Path, out: Path) -> None:
    left = iter(range(instant, 0, -1))

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if next(left) == 1:
                os._exit(KILLED)
            return operation(*arguments, **named)

        return run

    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Location.move = counted(Location.move)
    Location.delete = counted(Location.delete)
    prepare_here("timit", raw, out, shard_bytes=1)


def instants(raw: Path, prepare_out: Callable[[int], Path]) -> Iterator[Path]:
    """The output after a kill at each instant, until one run gets through."""
    instant = 1
    while in_a_process_that_is_killed_at(instant, raw, out := prepare_out(instant)):
        yield out
        instant += 1


def test_a_first_run_killed_at_any_instant_is_finished_by_the_same_command(raw: Path, tmp_path: Path) -> None:
    prepare_here("timit", raw, tmp_path / "undisturbed", shard_bytes=1)
    expected = contents(tmp_path / "undisturbed")
    count = 0
    for out in instants(raw, lambda instant: tmp_path / f"killed-{instant}"):
        prepare_here("timit", raw, out, shard_bytes=1)
        assert contents(out) == expected
        count += 1
    assert count > 15


def test_an_update_killed_at_any_instant_leaves_the_old_set_or_is_finished_by_the_same_command(
    raw: Path, tmp_path: Path
) -> None:
    def finished(instant: int) -> Path:
        write_raw(raw, 4)
        prepare_here("timit", raw, tmp_path / f"killed-{instant}", shard_bytes=1)
        write_raw(raw, 5, length=1700)
        return tmp_path / f"killed-{instant}"

    write_raw(raw, 4)
    old = prepare_here("timit", raw, tmp_path / "old", shard_bytes=1).manifest.fingerprint
    write_raw(raw, 5, length=1700)
    prepare_here("timit", raw, tmp_path / "new", shard_bytes=1)
    expected = visible(tmp_path / "new")
    intact = 0
    for out in instants(raw, finished):
        if (out / MANIFEST_NAME).exists():
            left = ShardSet(Location(str(out)))
            left.verify()
            intact += left.manifest.fingerprint == old
        prepare_here("timit", raw, out, shard_bytes=1)
        assert visible(out) == expected
    assert intact > 15


def test_of_two_runs_at_once_the_second_is_refused(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        lock_directory(Location(str(out))),
        pytest.raises(BusyError, match=f"another command is writing.*{os.getpid()}"),
    ):
        prepare_here("timit", raw, out)
    assert prepare_here("timit", raw, out).written


def test_a_lock_ends_with_its_process(raw: Path, tmp_path: Path) -> None:
    assert in_a_process_that_is_killed_at(1, raw, tmp_path / "out")
    assert prepare_here("timit", raw, tmp_path / "out").written


def test_a_temporary_file_in_a_finished_set_is_removed_by_the_next_run(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_here("timit", raw, out, shard_bytes=1)
    (out / f"train-00000-of-00001.parquet{TEMPORARY_MARK}1").write_bytes(b"half")
    prepare_here("timit", raw, out, shard_bytes=1)
    assert not [name for name in contents(out) if TEMPORARY_MARK in name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]
    if os.getuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small disk takes a superuser")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_fails_with_its_reason_and_leaves_the_old_set_as_it_was(raw: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    prepare_here("timit", raw, out, shard_bytes=1)
    before = {name: data for name, data in contents(out).items() if not name.startswith(".state")}
    write_raw(raw, 6, length=200_000)
    with pytest.raises(OSError, match=r"No space left on device: .*/out/"):
        prepare_here("timit", raw, out, shard_bytes=1)
    after = {name: data for name, data in contents(out).items() if not name.startswith(".state")}
    assert after == before
    ShardSet(Location(str(out))).verify()
    assert not [name for name in contents(out) if TEMPORARY_MARK in name]


def test_a_read_only_output_fails_with_its_reason_and_stays_readable(raw: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    prepare_here("timit", raw, out)
    before = contents(out)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert prepare_here("timit", raw, out).written == 0
    write_raw(raw, 5)
    with pytest.raises(OSError, match="Read-only"):
        prepare_here("timit", raw, out)
    assert contents(out) == before


def test_symbolic_links_are_followed_and_loops_of_them_refused(raw: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (raw / "TRAIN").rename(elsewhere)
    (raw / "TRAIN").symlink_to(elsewhere)
    (raw / "TEST" / "DR1" / "FAAA0" / "SX2.WAV").symlink_to(raw / "nowhere")
    done = prepare_here("timit", raw, tmp_path / "out").manifest
    assert done.splits["train"].sequences + done.splits["valid"].sequences == 3
    assert done.rejects == {"unreadable": 1}
    (raw / "TRAIN" / "again").symlink_to(raw)
    with pytest.raises(InputError, match="symbolic link that leads back"):
        prepare_here("timit", raw, tmp_path / "other")
