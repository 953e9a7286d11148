from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.runtime.storage import Location


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    place = Location(str(tmp_path)) / "file"
    place.write_bytes(b"before")

    def write_half() -> None:
        with place.atomic_writer() as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert place.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_are_listed_in_the_order_of_their_paths(tmp_path: Path) -> None:
    root = Location(str(tmp_path))
    for name in ("b/1", "a/2", "a/10"):
        (root / name).write_bytes(name.encode())
    assert [file.path for file in root.files()] == ["a/10", "a/2", "b/1"]
    assert (root / "nowhere").files() == []


def test_an_unknown_scheme_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="neither a local path nor a known object store"):
        Location("gopher://x/y").is_file()


def test_a_shown_uri_has_no_credentials() -> None:
    place = Location("s3://key:secret@bucket/a?region=us-east-1")
    assert str(place / "b") == "s3://bucket/a/b"
    assert (place / "b").path == "bucket/a/b"
