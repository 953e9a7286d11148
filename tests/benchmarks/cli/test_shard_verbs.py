"""`inspect`, `verify` and `export` from the command line: statuses, streams, files."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.benchmarks.cli.test_entry import bench, json_of


@pytest.fixture
def shards(speech_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(speech_shards, tmp_path / "shards"))


def test_verify_of_intact_shards_prints_nothing_on_stdout_and_succeeds(shards: Path, tmp_path: Path) -> None:
    done = bench("verify", shards, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no problems in 3 shards" in done.stderr
    found = json_of(bench("verify", shards, "--json", cwd=tmp_path))
    manifest = json.loads((shards / "manifest.json").read_text())
    expected = sum(split["sequences"] for split in manifest["splits"].values())
    assert found == {"ok": True, "shards": 3, "sequences": expected, "problems": [], "further_problems": 0}


def test_verify_names_each_problem_on_a_line_and_fails(shards: Path, tmp_path: Path) -> None:
    (shards / "stray.parquet").write_bytes(b"")
    (shards / "test-00000-of-00001.parquet").unlink()
    done = bench("verify", shards, cwd=tmp_path)
    assert done.returncode == 1
    missing, stray = done.stdout.splitlines()
    assert missing.startswith("test-00000-of-00001.parquet: file: expected ")
    assert stray.startswith("stray.parquet: file: expected none, found ")
    assert "2 problems" in done.stderr
    as_json = bench("verify", shards, "--json", cwd=tmp_path)
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["problems"] == [missing, stray]


def test_verify_of_no_shards_is_wrong_input(tmp_path: Path) -> None:
    done = bench("verify", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "not a finished set of shards" in done.stderr


def test_inspect_writes_speakers_and_pictures(shards: Path, tmp_path: Path) -> None:
    arguments = ["inspect", shards, "--speakers", "s.csv", "--plots", "plots"]
    found = json_of(bench(*arguments, "--json", cwd=tmp_path))
    table = pd.read_csv(tmp_path / "s.csv")
    assert [row["speaker"] for row in found["by_speaker"]] == table["speaker"].to_list()
    assert sum(found["speakers"].values()) == len(table)
    assert found["reject_examples"] == {}
    assert len(list((tmp_path / "plots").iterdir())) == 4
    shown = bench("inspect", shards, cwd=tmp_path).stdout
    assert all(speaker in shown for speaker in table["speaker"])


def test_inspect_of_ink_has_no_seconds(ink_shards: Path, tmp_path: Path) -> None:
    found = json_of(bench("inspect", ink_shards, "--json", cwd=tmp_path))
    assert {row["seconds"] for row in found["by_speaker"]} == {None}
    assert bench("inspect", ink_shards, cwd=tmp_path).returncode == 0


def test_export_prints_what_it_wrote(shards: Path, tmp_path: Path) -> None:
    arguments = ["export", shards, "--format", "webdataset", "--out", tmp_path / "out"]
    found = json_of(bench(*arguments, "--split", "test", "--json", cwd=tmp_path))
    assert found["format"] == "webdataset"
    assert found["splits"]["test"]["files"] == len(list((tmp_path / "out" / "test").iterdir()))
    assert "webdataset" in bench(*arguments, cwd=tmp_path).stdout


def test_export_of_ink_to_a_sound_format_is_wrong_input(ink_shards: Path, tmp_path: Path) -> None:
    done = bench("export", ink_shards, "--format", "lhotse", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "use --format webdataset" in done.stderr
    assert "Traceback" not in done.stderr
