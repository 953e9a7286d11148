"""Real recordings and real handwriting: properties that no synthetic file can show."""

from collections import Counter
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.ray_runner import run_on_ray
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.read import ShardSet
from pipelines.shards.verify import verify_shards
from pipelines.signals import Ink
from tests.conftest import prepare_here
from tests.pipelines.object_store import Store
from tests.pipelines.prepare.test_driver import contents
from tests.pipelines.runtime.test_object_store import upload


@pytest.mark.parametrize(("include_sa", "count"), [(False, 80), (True, 100)])
def test_real_timit_is_complete_and_equals_the_bytes_after_each_header(
    real_corpora: Path, tmp_path: Path, include_sa: bool, count: int
) -> None:
    raw = real_corpora / "timit" / "TIMIT"
    done = prepare_here("timit", raw, tmp_path, corpus_options={"include_sa": include_sa})
    shards = ShardSet(Location(str(tmp_path)))
    assert len(shards.index) == count
    assert done.manifest.rejects == {}
    for row, source in enumerate(shards.index["source"]):
        np.testing.assert_array_equal(shards.signal(row), np.frombuffer((raw / source).read_bytes()[1024:], "<i2"))


@pytest.mark.parametrize(("name", "kept", "rejected"), [("riff_mixed_2008", 20, 0), ("sphere_eolmangled_2006", 0, 20)])
def test_every_altered_file_is_rejected_and_every_intact_one_is_kept(
    real_corpora: Path, tmp_path: Path, name: str, kept: int, rejected: int
) -> None:
    raw = real_corpora / "timit" / "damaged" / name
    done = prepare_here("timit", raw, tmp_path, corpus_options={"include_sa": True})
    assert sum(split.sequences for split in done.manifest.splits.values()) == kept
    assert sum(done.manifest.rejects.values()) == rejected
    assert all(ShardSet(Location(str(tmp_path))).rejects()["message"].str.len() > 20)


def test_real_iam_ondb_keeps_every_point_and_one_and_two_workers_write_the_same_bytes(
    real_corpora: Path, tmp_path: Path, ray_cluster: None
) -> None:
    raw = Location(str(real_corpora / "iam_ondb"))
    for workers in (1, 2):
        run = partial(run_on_ray, address=None)
        prepare("iam_ondb", raw, Location(str(tmp_path / str(workers))), PrepareOptions(workers=workers), run_tasks=run)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    shards = ShardSet(Location(str(tmp_path / "1")))
    assert Counter(shards.index["split"]) == {"train": 5364, "valid": 1438}
    assert shards.manifest.rejects == {}
    assert int(shards.index["length"].sum()) == 4_184_388
    for row in range(0, len(shards.index), 200):
        _assert_same_points(shards.signal(row), Path(raw.path) / shards.index["source"].iloc[row])


def _assert_same_points(signal: object, source: Path) -> None:
    assert isinstance(signal, Ink)
    strokes = [list(stroke) for stroke in ElementTree.parse(source).getroot().iter("Stroke")]
    points = [point for stroke in strokes for point in stroke]
    assert signal.x.tolist() == [int(point.attrib["x"]) for point in points]
    assert signal.y.tolist() == [int(point.attrib["y"]) for point in points]
    assert signal.time.tolist() == [round(float(point.attrib["time"]) * 100) for point in points]
    assert signal.pen_up.sum() == len(strokes)


def oddities(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("corpus", "place", "options", "counts", "hours"),
    [
        ("blizzard", "single_speaker", {}, {"train": 10, "valid": 1, "test": 1}, 0.361),
        ("blizzard", "single_speaker", {"form": "segmented"}, {"train": 533, "valid": 30, "test": 30}, 0.497),
        ("onomatopoeia", "nonverbal", {}, {"train": 455, "valid": 19, "test": 29}, 0.39),
        ("accent", "accent", {}, {"train": 63, "valid": 3, "test": 4}, 0.597),
    ],
)
def test_every_real_recording_of_the_other_corpora_is_complete(
    real_corpora: Path,
    tmp_path: Path,
    corpus: str,
    place: str,
    options: dict[str, str],
    counts: dict[str, int],
    hours: float,
) -> None:
    done = prepare_here(corpus, real_corpora / place, tmp_path, corpus_options=options)
    assert {name: split.sequences for name, split in done.manifest.splits.items()} == counts
    assert done.manifest.rejects == {}
    seconds = sum(split.length for split in done.manifest.splits.values()) / 16000
    assert seconds / 3600 == pytest.approx(hours, abs=0.004)
    assert verify_shards(Location(str(tmp_path))).problems == ()


def test_every_odd_file_is_accounted_for(real_corpora: Path, tmp_path: Path) -> None:
    raw = real_corpora / "oddbox"
    done = prepare_here("audio_folder", raw, tmp_path)
    kept = sum(split.sequences for split in done.manifest.splits.values())
    assert kept + sum(done.manifest.rejects.values()) == oddities(raw) == 222
    assert kept > 115
    shards = ShardSet(Location(str(tmp_path)))
    assert set(shards.index["source"]).isdisjoint(shards.rejects()["path"])
    assert shards.rejects()["message"].str.len().min() > 10
    assert verify_shards(Location(str(tmp_path))).problems == ()


@pytest.mark.slow
def test_one_two_and_four_workers_and_an_object_store_give_one_manifest(
    real_corpora: Path, tmp_path: Path, ray_cluster: None
) -> None:
    raw, run = real_corpora / "nonverbal", partial(run_on_ray, address=None)
    places = [Location(str(tmp_path / str(workers))) for workers in (1, 2, 4)]
    for place, workers in zip(places, (1, 2, 4), strict=True):
        options = PrepareOptions(workers=workers, shard_bytes=2**21)
        prepare("onomatopoeia", Location(str(raw)), place, options, run_tasks=run)
    store = Store()
    store.start()
    there = upload(raw, store.at("raw"))
    prepare("onomatopoeia", there, store.at("out"), PrepareOptions(workers=2, shard_bytes=2**21), run_tasks=run)
    first, *others = [Manifest.load(place) for place in (*places, store.at("out"))]
    store.stop()
    assert all(other == first for other in others)
    assert len(first.splits["train"].shards) > 10
