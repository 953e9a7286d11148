"""True TIMIT and IAM-OnDB, whole: what no synthetic file can show."""

from collections import Counter
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.cluster import run_on_ray
from pipelines.prepare import PrepareOptions, prepare
from pipelines.shard_set import ShardSet
from pipelines.signals import Ink
from pipelines.storage import Location
from tests.conftest import prepare_here
from tests.pipelines.test_prepare import contents


@pytest.mark.parametrize(("include_sa", "count"), [(False, 80), (True, 100)])
def test_true_timit_is_kept_whole_and_equals_the_bytes_behind_each_header(
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
def test_every_altered_file_is_rejected_and_every_sound_one_is_kept(
    real_corpora: Path, tmp_path: Path, name: str, kept: int, rejected: int
) -> None:
    raw = real_corpora / "timit" / "damaged" / name
    done = prepare_here("timit", raw, tmp_path, corpus_options={"include_sa": True})
    assert sum(split.sequences for split in done.manifest.splits.values()) == kept
    assert sum(done.manifest.rejects.values()) == rejected
    assert all(ShardSet(Location(str(tmp_path))).rejects()["message"].str.len() > 20)


def test_true_iam_ondb_keeps_every_point_and_one_and_two_workers_write_the_same_bytes(
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
