from pathlib import Path

import pandas as pd
import pytest

from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from pipelines.summary import rejects_by_code, speakers_by_length, summarise
from tests.conftest import prepare_here
from tests.pipelines.sound_files import sphere, tone


def test_speakers_are_counted_by_split_and_the_unknown_apart(speech: ShardSet) -> None:
    summary = summarise(speech)
    expected = {name: rows["speaker"].nunique() for name, rows in speech.index.groupby("split")}
    assert summary["speakers"] == expected
    assert summary["without_speaker"] == dict.fromkeys(expected, 0)
    speech.index.loc[speech.index["split"] == "test", "speaker"] = None
    summary = summarise(speech)
    assert summary["speakers"] == expected | {"test": 0}
    assert summary["without_speaker"] == dict.fromkeys(expected, 0) | {"test": speech.manifest.splits["test"].sequences}


def test_speakers_come_with_most_first_and_add_up(speech: ShardSet) -> None:
    table = speakers_by_length(speech)
    assert table["length"].is_monotonic_decreasing
    assert table["length"].sum() == sum(split.length for split in speech.manifest.splits.values())
    assert table["sequences"].sum() == len(speech.index)
    assert table["seconds"].to_list() == pytest.approx((table["length"] / 16000).to_list())
    first = speech.index[speech.index["speaker"] == table["speaker"][0]]["length"]
    assert table.loc[0, ["shortest", "median", "longest"]].to_list() == [first.min(), first.median(), first.max()]


def test_sequences_without_a_speaker_are_one_row(ink: ShardSet) -> None:
    ink.index["speaker"] = None
    table = speakers_by_length(ink)
    assert set(table["split"]) == set(ink.manifest.splits)
    assert table["speaker"].isna().all()
    assert table["seconds"].isna().all()


def test_each_reject_code_comes_with_its_count_and_an_example(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "TRAIN" / "DR1" / "FAAA0"
    folder.mkdir(parents=True)
    (folder / "SX1.WAV").write_bytes(sphere(tone()))
    for name in ("SX3.WAV", "SX2.WAV"):
        (folder / name).write_bytes(b"junk")
    prepare_here("timit", tmp_path / "raw", tmp_path / "out")
    table = rejects_by_code(ShardSet(Location(str(tmp_path / "out"))))
    assert list(table.columns) == ["code", "count", "path", "message"]
    (row,) = table.to_dict("records")
    assert (row["count"], row["path"]) == (2, "TRAIN/DR1/FAAA0/SX2.WAV")
    assert isinstance(row["message"], str)
    assert not pd.isna(row["code"])
