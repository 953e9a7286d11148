import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.plots import loudness, pen_speed, write_plots
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink
from tests.conftest import prepare_here
from tests.pipelines.sound_files import sphere, tone


def sine(rate: int, level: float, seconds: float = 5.0) -> np.ndarray:
    time = np.arange(int(rate * seconds)) / rate
    return np.round(10 ** (level / 20) * 2**15 * np.sin(2 * np.pi * 997 * time)).astype(np.int16)


@pytest.mark.parametrize(("rate", "level"), [(48_000, -20.0), (48_000, -40.0), (16_000, -20.0)])
def test_a_sine_of_997_hz_reads_three_decibels_under_its_peak(rate: int, level: float) -> None:
    # BS.1770-4, annex 1: a 0 dBFS sine of 997 Hz in one channel reads -3.01 LKFS.
    assert loudness(sine(rate, level), rate) == pytest.approx(level - 3.01, abs=0.1)


def test_a_signal_too_short_to_gate_has_no_loudness() -> None:
    assert math.isnan(loudness(sine(16_000, -20, seconds=0.39), 16_000))
    assert math.isnan(loudness(np.zeros(16_000, dtype=np.int16), 16_000))


def ink(x: list[int], y: list[int]) -> Ink:
    points = (np.array(x, dtype=np.int32), np.array(y, dtype=np.int32))
    return Ink(*points, np.ones(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.int64))


def test_pen_speed_is_the_mean_offset() -> None:
    assert pen_speed(ink([0, 3, 3], [0, 4, 5])) == 3.0
    assert math.isnan(pen_speed(ink([1], [1])))


@pytest.mark.parametrize("kind", ["speech", "ink"])
def test_plots_are_images_with_titles(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    shards: ShardSet = request.getfixturevalue(kind)
    paths = write_plots(shards, tmp_path / "plots")
    assert sorted(path.name for path in paths) == ["lengths.png", "lengths.svg", "loudness.png", "loudness.svg"]
    texts = {
        path.stem: "".join(ElementTree.parse(path).getroot().itertext()) for path in paths if path.suffix == ".svg"
    }
    assert f"length of {len(shards.index)} sequences" in texts["lengths"]
    assert ("seconds" if kind == "speech" else "points") in texts["lengths"]
    assert f"{len(shards.index)} of {len(shards.index)} sequences, drawn with seed 0" in texts["loudness"]
    assert all(split in texts["lengths"] for split in shards.manifest.splits)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths if path.suffix == ".png")
    again = write_plots(shards, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def one_recording(root: Path, content: bytes) -> ShardSet:
    folder = root / "raw" / "TRAIN" / "DR1" / "FAAA0"
    folder.mkdir(parents=True)
    (folder / "SX1.WAV").write_bytes(content)
    prepare_here("timit", root / "raw", root / "out")
    return ShardSet(Location(str(root / "out")))


def test_sequences_too_short_to_gate_are_left_out_and_counted(tmp_path: Path) -> None:
    paths = write_plots(one_recording(tmp_path, sphere(tone(1000))), tmp_path / "plots")
    text = "".join(ElementTree.parse(tmp_path / "plots" / "loudness.svg").getroot().itertext())
    assert "1 of them left out (under 0.4 s or silent)" in text
    assert len(paths) == 4


def test_empty_shards_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sequence, so there is nothing to draw"):
        write_plots(one_recording(tmp_path, b"junk"), tmp_path / "plots")
    assert not (tmp_path / "plots").exists()
