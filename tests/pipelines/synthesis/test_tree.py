import json
import os
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.synthesis.tree import MARKER, Request, build_once

REQUEST = Request("test", 1, {"seed": 3, "forms": 2})


def write_one(tree: Path) -> int:
    (tree / "deep").mkdir()
    (tree / "deep" / "file").write_text("content")
    return 7


def must_not_write(tree: Path) -> int:
    raise AssertionError(f"wrote {tree}")


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("existing", [False, True])
def test_builds_into_a_new_or_an_empty_directory(tmp_path, existing):
    out = tmp_path / "a" / "b"
    if existing:
        out.mkdir(parents=True)
    assert build_once(out, REQUEST, write_one) == 7
    assert listing(out) == [MARKER, "deep", "deep/file"]
    assert listing(tmp_path) == ["a", "a/b", f"a/b/{MARKER}", "a/b/deep", "a/b/deep/file"]
    made = json.loads((out / MARKER).read_text())
    assert made == {"generator": "test", "version": 1, "parameters": {"seed": 3, "forms": 2}, "sequences": 7}


def test_the_same_request_again_does_nothing(tmp_path):
    build_once(tmp_path / "out", REQUEST, write_one)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert build_once(tmp_path / "out", REQUEST, must_not_write) == 7
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "other",
    [
        Request("test", 1, {"seed": 4, "forms": 2}),
        Request("test", 2, {"seed": 3, "forms": 2}),
        Request("another", 1, {"seed": 3, "forms": 2}),
    ],
)
def test_another_synthesis_is_not_overwritten(tmp_path, other):
    build_once(tmp_path / "out", REQUEST, write_one)
    with pytest.raises(InputError, match="other parameters"):
        build_once(tmp_path / "out", other, must_not_write)


def test_a_foreign_directory_is_refused_and_unchanged(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not empty") as caught:
        build_once(tmp_path, REQUEST, must_not_write)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == ["thesis.tex"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        build_once(tmp_path / "out", REQUEST, must_not_write)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"generator": "test"', "\x00"])
def test_a_damaged_marker_is_refused(tmp_path, content):
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(InputError, match="damaged"):
        build_once(tmp_path, REQUEST, must_not_write)


def test_a_failure_leaves_nothing(tmp_path):
    def fail(tree: Path) -> int:
        write_one(tree)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "out", REQUEST, fail)
    assert listing(tmp_path) == []


def test_the_remains_of_a_killed_run_are_replaced(tmp_path):
    def be_killed(tree: Path) -> int:
        write_one(tree)
        os._exit(9)

    child = os.fork()
    if child == 0:
        try:
            build_once(tmp_path / "out", REQUEST, be_killed)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "out").exists()
    assert listing(tmp_path) != []
    assert build_once(tmp_path / "out", REQUEST, write_one) == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert listing(tmp_path / "out") == [MARKER, "deep", "deep/file"]


def test_two_writers_at_once_are_refused(tmp_path):
    def look_again(tree: Path) -> int:
        with pytest.raises(InputError, match="another process"):
            build_once(tmp_path / "out", REQUEST, must_not_write)
        return write_one(tree)

    assert build_once(tmp_path / "out", REQUEST, look_again) == 7


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("seed", 2**63), ("forms", 0), ("forms", 10_001)])
def test_parameters_out_of_range_are_refused(tmp_path, name, value):
    parameters = dict(REQUEST.parameters) | {name: value}
    with pytest.raises(InputError, match=f"{name} = {value}"):
        build_once(tmp_path / "out", Request("test", 1, parameters), must_not_write)
    assert listing(tmp_path) == []
