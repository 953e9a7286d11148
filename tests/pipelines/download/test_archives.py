"""Intact, damaged and malicious archives."""

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines.download.archives import extract
from pipelines.errors import InputError
from tests.pipelines.download.packing import special, tar, zipped

CONTENT = bytes(range(256)) * 40


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("file", ["set.tar.gz", "set.tar.bz2", "set.tar", "set.zip"])
def test_an_archive_is_unpacked_completely(tmp_path: Path, file: str) -> None:
    entries = {"./top/a.txt": b"one", "top/b/c.txt": b"two"}
    modes = {"set.tar.gz": "w:gz", "set.tar.bz2": "w:bz2", "set.tar": "w:"}
    content = (
        zipped(*entries.items())
        if file == "set.zip"
        else tar(entries, special("top/d", tarfile.DIRTYPE), mode=modes[file])
    )
    (tmp_path / file).write_bytes(content)
    extract(tmp_path / file, tmp_path / "set", silent)
    assert (tmp_path / "set/top/a.txt").read_bytes() == b"one"
    assert (tmp_path / "set/top/b/c.txt").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", file]


LINK_IN_ZIP = zipfile.ZipInfo("link")
LINK_IN_ZIP.external_attr = (stat.S_IFLNK | 0o777) << 16
HOSTILE = {
    "traversal.tar.gz": tar({"ok": b"", "../outside": b"x"}),
    "deep-traversal.tar.gz": tar({"a/b/../../../outside": b"x"}),
    "absolute.tar.gz": tar({"/tmp/outside": b"x"}),
    "backslash.tar.gz": tar({"..\\outside": b"x"}),
    "drive.tar.gz": tar({"C:outside": b"x"}),
    "control.tar.gz": tar({"a\x1b[2Jb": b"x"}),
    "symlink.tar.gz": tar({}, special("out", tarfile.SYMTYPE, "..")),
    "inner-symlink.tar.gz": tar({"a": b"x"}, special("b", tarfile.SYMTYPE, "a")),
    "hardlink.tar.gz": tar({}, special("out", tarfile.LNKTYPE, "/etc/passwd")),
    "device.tar.gz": tar({}, special("null", tarfile.CHRTYPE)),
    "pipe.tar.gz": tar({}, special("pipe", tarfile.FIFOTYPE)),
    "bomb.tar.gz": tar({"zeros": bytes(4 * 2**20)}),
    "headers.tar.gz": tar({"n" * 4_000_000: b"x"}),
    "bomb.tar.bz2": tar({"zeros": bytes(4 * 2**20)}, mode="w:bz2"),
    "slip.zip": zipped(("../outside", b"x")),
    "absolute.zip": zipped(("/tmp/outside", b"x")),
    "symlink.zip": zipped((LINK_IN_ZIP, b"..")),
    "bomb.zip": zipped(*((f"zeros{n}", bytes(2**20)) for n in range(4))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / name).write_bytes(HOSTILE[name])
    with pytest.raises(InputError, match="refused") as caught:
        extract(inner / name, inner / "set", silent)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", name]


def test_a_duplicate_name_is_refused(tmp_path: Path) -> None:
    twice = tar({"a": b"one", "./a": b"two"})
    (tmp_path / "twice.tar.gz").write_bytes(twice)
    with pytest.raises(InputError, match=r"two members are called './a'"):
        extract(tmp_path / "twice.tar.gz", tmp_path / "set", silent)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("short.tar.gz", tar({"a": CONTENT * 20})[:300]),
        ("other.tar.gz", b"no archive at all"),
        ("empty.tar.gz", b""),
        ("other.zip", b"no archive at all"),
        ("damaged.zip", zipped(("a", CONTENT)).replace(b"PK\x03\x04", b"PK\x03\x05")),
        ("other.tar.bz2", b"no archive at all"),
        ("short.tar.bz2", tar({"a": CONTENT}, mode="w:bz2")[:60]),
        ("file-and-directory.tar", tar({"a": b"x", "a/b": b"y"}, mode="w:")),
    ],
)
def test_a_damaged_archive_is_an_error_of_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((InputError, OSError)) as caught:
        extract(tmp_path / name, tmp_path / "set", silent)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]
