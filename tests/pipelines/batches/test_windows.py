"""Long recordings are cut into rows by `prepare` and into windows by the protocol; no frame is lost or used twice."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import pipelines.prepare.source_rows
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import PROTOCOLS, Framing, find_protocol, frame_count, window_lengths
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here


@given(st.integers(0, 200_000), st.sampled_from([None, 1, 7, 40, 3200]), st.booleans())
def test_windows_hold_every_frame_once_or_drop_only_the_rest(length: int, window: int | None, rest_kept: bool) -> None:
    protocol = PROTOCOLS["clean", "speech"].model_copy(update={"window_frames": window, "rest_kept": rest_kept})
    lengths = window_lengths(protocol, length)
    frames = frame_count(protocol, length)
    assert all(0 < part <= (window or frames) for part in lengths)
    if window is None or rest_kept:
        assert sum(lengths) == frames
    else:
        assert sum(lengths) == frames // window * window


def test_the_paper_cuts_blizzard_and_accent_into_half_seconds_and_nothing_else() -> None:
    for corpus in ("blizzard", "accent"):
        protocol = find_protocol("paper", "speech", corpus)
        assert window_lengths(protocol, 8000 * 3 + 7999) == [40, 40, 40]
    assert window_lengths(find_protocol("paper", "speech", "timit"), 16000 * 100) == [8000]
    assert window_lengths(find_protocol("clean", "speech", "blizzard"), 16000 * 100) == [3200, 3200, 1600]


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve chapters of noise; the first is longer than one row."""
    raw = tmp_path_factory.mktemp("chapters")
    generator = np.random.default_rng(0)
    (raw / "unsegmented").mkdir()
    for number in range(12):
        samples = generator.integers(-9000, 9000, size=41_000 if number == 0 else 9_000 + number).astype(np.int16)
        soundfile.write(raw / "unsegmented" / f"chapter{number:02d}.mp3", samples, 16000)
    return raw


@pytest.fixture
def shards(chapters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    monkeypatch.setattr(pipelines.prepare.source_rows, "PART_SAMPLES", 16_000)
    prepare_here("blizzard", chapters, tmp_path / "out")
    return ShardSet(Location(str(tmp_path / "out")))


def test_the_parts_of_a_long_recording_are_the_recording(shards: ShardSet) -> None:
    index = shards.index
    parts = index[index["source"].str.contains("chapter00")].sort_values("offset")
    assert parts["offset"].tolist() == [0, 16000, 32000]
    assert parts["length"].sum() == 41_000
    assert parts["split"].nunique() == parts["split_by_sequence"].nunique() == 1
    assert parts["id"].str[-6:].tolist() == ["#00000", "#00001", "#00002"]
    assert parts["source_sha256"].nunique() == 1
    others = index[~index["source"].str.contains("chapter00")]
    assert not others["id"].str.contains("#").any()


class OneRow:
    """A shard set of a single recording."""

    def __init__(self, samples: np.ndarray) -> None:
        self._samples = samples
        self.index = pd.DataFrame({"id": ["a"], "length": [len(samples)]})

    def signal(self, row: int) -> np.ndarray:
        return self._samples


@pytest.mark.parametrize(("name", "expected"), [("paper", [4, 4]), ("clean", [4, 4, 3])])
def test_windows_are_what_the_signal_holds_at_their_place(name: str, expected: list[int]) -> None:
    protocol = find_protocol(name, "speech", "blizzard").model_copy(update={"window_frames": 4, "dequantise": False})
    samples = np.arange(200 * 11 + 50, dtype=np.int16)
    framing = Framing(protocol, (0.0,), (1.0,))
    source = FrameSource(OneRow(samples), framing, np.array([0]))  # type: ignore[arg-type]
    assert source.lengths.tolist() == expected
    assert source.ids == [f"a@{number:05d}" for number in range(len(expected))]
    joined = np.concatenate([source.frames(position).ravel() for position in range(len(source))])
    np.testing.assert_array_equal(joined, samples[: 200 * sum(expected)])


def test_each_protocol_follows_its_own_split_and_its_own_moments(shards: ShardSet) -> None:
    for name, column in (("clean", "split"), ("paper", "split_by_sequence")):
        protocol = find_protocol(name, "speech", "blizzard")
        roles = assign_roles(shards, protocol)
        assert set(shards.index[column].iloc[roles.fit]) == {"train"}
        assert set(shards.index[column].iloc[split_rows(shards, protocol, ("test",))]) == {"test"}
        train = [shards.signal(row) for row in np.flatnonzero(shards.index[column] == "train")]
        fitted = Framing.fit(protocol, shards.manifest)
        assert fitted.std[0] == pytest.approx(np.concatenate(train).astype(np.float64).std(), rel=1e-12)
