"""Other tools read shards and exports without this project's code, and find the same samples."""

import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

import datasets
import duckdb
import lhotse
import numpy as np
import pandas as pd
import pytest
import soundfile
import webdataset
from lhotse.qa import validate_recordings_and_supervisions

from pipelines.export import export
from pipelines.runtime.storage import Location
from pipelines.shards.card import CARD_NAME, dataset_card
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink

Samples = Mapping[str, Mapping[str, np.ndarray]]
KINDS = ["speech", "ink"]


def samples_of(shards: ShardSet) -> Samples:
    """The signal's columns by id, as our own reader has them."""
    signals = {str(id_): shards.signal(row) for row, id_ in enumerate(shards.index["id"])}
    return {id_: vars(signal) if isinstance(signal, Ink) else {"pcm": signal} for id_, signal in signals.items()}


@pytest.fixture(scope="module")
def opened(speech_shards: Path, ink_shards: Path) -> dict[str, ShardSet]:
    return {"speech": ShardSet(Location(str(speech_shards))), "ink": ShardSet(Location(str(ink_shards)))}


@pytest.fixture(scope="module")
def expected(opened: dict[str, ShardSet]) -> dict[str, Samples]:
    return {kind: samples_of(shards) for kind, shards in opened.items()}


@pytest.fixture(scope="module")
def exports(opened: dict[str, ShardSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exports")
    for kind, name in (("speech", "lhotse"), ("speech", "hf-audio"), ("speech", "webdataset"), ("ink", "webdataset")):
        export(opened[kind], name, Location(str(root / f"{kind}-{name}")))
    return root


def assert_equal(found: Samples, expected: Samples) -> None:
    assert found.keys() == expected.keys()
    for id_, columns in expected.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(np.asarray(found[id_][name]), values, err_msg=f"{id_} {name}")


def files_of(shards: ShardSet) -> dict[str, list[str]]:
    splits = shards.manifest.splits.items()
    return {name: [(shards.location / shard.file).path for shard in split.shards] for name, split in splits}


@pytest.mark.parametrize("kind", KINDS)
def test_pandas_reads_the_shards(kind: str, opened: dict[str, ShardSet], expected: dict[str, Samples]) -> None:
    files = [file for split in files_of(opened[kind]).values() for file in split]
    table = pd.concat([pd.read_parquet(file) for file in files]).set_index("id")
    columns = list(next(iter(expected[kind].values())))
    assert_equal(table[columns].to_dict("index"), expected[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_duckdb_reads_the_shards(kind: str, opened: dict[str, ShardSet], expected: dict[str, Samples]) -> None:
    files = [file for split in files_of(opened[kind]).values() for file in split]
    columns = list(next(iter(expected[kind].values())))
    quoted = ", ".join(f'"{name}"' for name in columns)
    query = f"select id, {quoted} from read_parquet($files)"
    with duckdb.connect() as connection:
        rows = connection.execute(query, {"files": files}).fetchall()
    assert_equal({row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}, expected[kind])


def by_id(loaded: datasets.DatasetDict, columns: list[str]) -> Samples:
    return {row["id"]: {name: row[name] for name in columns} for split in loaded.values() for row in split}


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_reads_the_shards(
    kind: str, opened: dict[str, ShardSet], expected: dict[str, Samples], tmp_path: Path
) -> None:
    loaded = datasets.load_dataset("parquet", data_files=files_of(opened[kind]), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == {
        name: split.sequences for name, split in opened[kind].manifest.splits.items()
    }
    assert_equal(by_id(loaded, list(next(iter(expected[kind].values())))), expected[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_finds_only_the_shards_by_the_card(
    kind: str, opened: dict[str, ShardSet], expected: dict[str, Samples], tmp_path: Path
) -> None:
    shards = opened[kind]
    place = shutil.copytree(shards.location.path, tmp_path / "shards")
    (place / CARD_NAME).write_text(dataset_card(shards.manifest), encoding="utf-8")
    loaded = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(shards.manifest.splits)
    assert all("code" not in rows.column_names for rows in loaded.values()), "the rejects stay out"
    assert_equal(by_id(loaded, list(next(iter(expected[kind].values())))), expected[kind])


def test_lhotse_reads_its_export(exports: Path, opened: dict[str, ShardSet], expected: dict[str, Samples]) -> None:
    root = exports / "speech-lhotse"
    found: dict[str, dict[str, np.ndarray]] = {}
    for split in opened["speech"].manifest.splits:
        recordings = lhotse.RecordingSet.from_file(root / split / "recordings.jsonl.gz").with_path_prefix(root)
        supervisions = lhotse.SupervisionSet.from_file(root / split / "supervisions.jsonl.gz")
        validate_recordings_and_supervisions(recordings, supervisions, read_data=True)
        cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
        found |= {cut.recording_id: {"pcm": cut.load_audio()[0] * 2**15} for cut in cuts}
        rows = opened["speech"].index.set_index("id")
        for supervision in supervisions:
            row = rows.loc[supervision.id]
            assert (supervision.text, supervision.speaker) == (row["transcript"], row["speaker"])
            assert supervision.custom["digest"] == row["digest"]
    assert_equal(found, expected["speech"])


def decoded(content: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    assert rate == 16000
    return samples


def test_datasets_knows_the_audio_export_as_audio(
    exports: Path, opened: dict[str, ShardSet], expected: dict[str, Samples], tmp_path: Path
) -> None:
    loaded = datasets.load_dataset(str(exports / "speech-hf-audio"), cache_dir=str(tmp_path))
    assert set(loaded) == set(opened["speech"].manifest.splits)
    for rows in loaded.values():
        assert isinstance(rows.features["audio"], datasets.Audio)
        assert rows.features["audio"].sampling_rate == 16000
    plain = loaded.cast_column("audio", datasets.Audio(decode=False))
    found = {row["id"]: {"pcm": decoded(row["audio"]["bytes"])} for rows in plain.values() for row in rows}
    assert_equal(found, expected["speech"])


@pytest.mark.parametrize("kind", KINDS)
def test_webdataset_reads_its_export(
    kind: str, exports: Path, opened: dict[str, ShardSet], expected: dict[str, Samples]
) -> None:
    tars = sorted(str(path) for path in (exports / f"{kind}-webdataset").rglob("*.tar"))
    rows = opened[kind].index.set_index("id")
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for sample in webdataset.WebDataset(tars, shardshuffle=False).decode(webdataset.handle_extension("flac", decoded)):
        facts = sample["json"]
        found[facts["id"]] = {"pcm": sample["flac"]} if kind == "speech" else sample["npz"]
        assert facts["split"] == rows.loc[facts["id"], "split"]
        assert sample.get("txt") == rows.loc[facts["id"], "transcript"]
    assert_equal(found, expected[kind])
