import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pipelines.shards.write
from pipelines.corpora import SourceItem
from pipelines.runtime.storage import FoundFile, Location
from pipelines.shards.columns import make_row, read_signals
from pipelines.shards.manifest import fingerprint
from pipelines.shards.moments import Moments, signal_moments
from pipelines.shards.write import write_shard
from pipelines.signals import Ink

PCM = hnp.arrays(np.int16, st.integers(1, 60))


def item(name: str) -> SourceItem:
    return SourceItem(name, FoundFile(f"{name}.wav", 1, 0), "train", None, name)


def ink(points: list[tuple[int, int, bool, int]]) -> Ink:
    x, y, up, time = (np.array(column) for column in zip(*points, strict=True))
    return Ink(x.astype(np.int32), y.astype(np.int32), up.astype(np.bool_), time.astype(np.int64))


@settings(max_examples=25, deadline=None)
@given(st.lists(PCM, max_size=6))
def test_sound_comes_back_bit_for_bit_sorted_by_length(tmp_path_factory: pytest.TempPathFactory, signals: list) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-00000-of-00001.parquet"
    write_shard(Location(str(path)), "speech", [make_row(item(f"{n}"), s, "0") for n, s in enumerate(signals)], {})
    table = pq.read_table(path)
    restored = dict(zip(table["id"].to_pylist(), read_signals(table, "speech"), strict=True))
    for number, signal in enumerate(signals):
        np.testing.assert_array_equal(restored[str(number)], signal)
    assert table["length"].to_pylist() == sorted(len(signal) for signal in signals)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-(2**24), 2**24), st.integers(-9, 9), st.booleans(), st.integers(0, 2**40)), min_size=1
    )
)
def test_ink_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, points: list) -> None:
    path = tmp_path_factory.mktemp("shard") / "shard.parquet"
    line = ink(points)
    write_shard(Location(str(path)), "pen", [make_row(item("a"), line, "0")], {})
    (restored,) = read_signals(pq.read_table(path), "pen")
    assert isinstance(restored, Ink)
    for name in ("x", "y", "pen_up", "time"):
        np.testing.assert_array_equal(getattr(restored, name), getattr(line, name))


def test_row_groups_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.shards.write, "ROW_GROUP_BYTES", 100)
    rows = [make_row(item(f"{n:02d}"), np.full(20, n, dtype=np.int16), "0") for n in range(10)]
    write_shard(Location(str(tmp_path / "s.parquet")), "speech", rows, {})
    file = pq.ParquetFile(tmp_path / "s.parquet")
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert sizes == [2, 2, 2, 2, 2]


def test_the_fingerprint_depends_on_content_and_split_but_not_on_order() -> None:
    rows = [("train", "a", "0"), ("test", "b", "1")]
    base = fingerprint("speech", 16000, rows)
    assert base == fingerprint("speech", 16000, reversed(rows))
    others = [("speech", 8000, rows), ("pen", 16000, rows), ("speech", 16000, [("valid", "a", "0"), rows[1]])]
    assert len({base, *(fingerprint(*other) for other in others)}) == 4


@settings(max_examples=40, deadline=None)
@given(st.lists(PCM, min_size=1, max_size=5))
def test_moments_are_exact_whatever_the_partition(signals: list[np.ndarray]) -> None:
    together = signal_moments(np.concatenate(signals))
    assert Moments.total([signal_moments(signal) for signal in reversed(signals)], channels=1) == together
    values = [Fraction(int(value)) for signal in signals for value in signal]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert together.mean == (float(mean),)
    assert together.std[0] == pytest.approx(math.sqrt(variance), rel=1e-15)


def test_ink_moments_are_of_offsets() -> None:
    moments = signal_moments(ink([(0, 5, False, 0), (3, 1, False, 1), (3, 2, True, 2)]))
    assert moments == Moments(count=2, sums=(3, -3), sums_of_squares=(9, 17))


def test_no_values_have_no_mean() -> None:
    assert math.isnan(Moments.total([], channels=1).mean[0])
