import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.shards.summary import describe, length_histogram, rejects_by_code, speakers_by_length, summarise
from tests.conftest import prepare_here
from tests.pipelines.sound_files import sphere, tone


def test_speakers_are_counted_by_split_and_unknown_ones_separately(speech: ShardSet) -> None:
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


def test_a_description_holds_the_summary_and_is_plain_json(speech: ShardSet, ink: ShardSet) -> None:
    for shards in (speech, ink):
        described = describe(shards)
        assert described.items() >= summarise(shards).items()
        assert json.loads(json.dumps(described, allow_nan=False)) == described
        assert described["licence"] == shards.manifest.licence
        entries = shards.manifest.splits.items()
        assert described["bytes"] == {name: sum(part.bytes for part in split.shards) for name, split in entries}


def test_lengths_are_counted_in_bins_that_splits_share(ink: ShardSet) -> None:
    found = length_histogram(ink)
    edges, counts = found["edges"], found["counts"]
    assert isinstance(edges, list)
    assert isinstance(counts, dict)
    assert 2 <= len(edges) <= 41
    assert edges[0] == ink.index["length"].min()
    assert len({high - low for low, high in pairwise(edges)}) == 1
    for split, rows in ink.index.groupby("split"):
        lengths = rows["length"]
        expected = [int(lengths.between(low, high, inclusive="left").sum()) for low, high in pairwise(edges)]
        assert counts[split] == expected
        assert sum(expected) == len(rows)


def test_the_last_bin_holds_the_longest_whatever_the_range(speech: ShardSet) -> None:
    rows = len(speech.index)
    for low, high in ((7, 7), (1, 40), (1, 41), (3, 10**12)):
        speech.index["length"] = [low] * (rows - 1) + [high]
        found = length_histogram(speech)
        edges, counts = found["edges"], found["counts"]
        assert isinstance(edges, list)
        assert isinstance(counts, dict)
        assert edges[0] == low
        assert edges[-2] <= high < edges[-1]
        assert sum(map(sum, counts.values())) == rows


def test_a_description_is_bounded_whatever_files_and_speakers_are_called(speech: ShardSet) -> None:
    speech.index["speaker"] = [f"{number}-" + "é" * 5000 for number in range(len(speech.index))]
    described = describe(speech)
    speakers = described["by_speaker"]
    assert isinstance(speakers, list)
    assert (len(speakers), described["speaker_rows"]) == (20, len(speech.index))
    assert len(json.dumps(described, ensure_ascii=False).encode()) < 20_000
    assert all(row["speaker"].endswith("…") for row in speakers)


def test_the_split_by_sequence_is_counted_separately(speech: ShardSet) -> None:
    speech.index["split_by_sequence"] = "valid"
    expected = {"sequences": len(speech.index), "samples": int(speech.index["length"].sum())}
    assert describe(speech)["by_sequence"] == {"valid": expected}
