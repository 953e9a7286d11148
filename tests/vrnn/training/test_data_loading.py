"""Batches that are loaded ahead: the same ones in the same order, a bounded number, and no thread left."""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.batches.epoch_plan import plan_epoch
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import PROTOCOLS, Framing
from pipelines.batches.roles import assign_roles
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.vrnn.training.epochs import run_epoch
from vrnn.scan.cuda_graphs import bucketed
from vrnn.training import TrialSpec, data_loading, train
from vrnn.training.data_loading import BatchLoader, prefetch
from vrnn.training.loop import open_run
from vrnn.training.noise import latent_noise

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")
SOON = 20.0


def loading_threads_alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loading")]


def source_of(ink: ShardSet) -> FrameSource:
    framing = Framing.fit(PROTOCOLS["clean", "pen"], ink.manifest)
    return FrameSource(ink, framing, assign_roles(ink, framing.protocol).fit)


@given(st.lists(st.integers()), st.integers(1, 5), st.data())
def test_order_and_content_are_those_of_map(items: list[int], threads: int, data: st.DataObject) -> None:
    delays = data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.001]), min_size=len(items), max_size=len(items)))

    def make(place: int) -> int:
        time.sleep(delays[place])
        return items[place]

    assert list(prefetch(make, range(len(items)), threads)) == items
    assert not loading_threads_alive()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bounded_number_is_made_while_the_taker_is_busy(threads: int) -> None:
    made = [threading.Event() for _ in range(20)]
    with closing(prefetch(lambda n: made[n].set(), range(20), threads)) as ahead:
        next(ahead)
        assert all(event.wait(SOON) for event in made[: threads + 2]), "nothing was made ahead"
        time.sleep(0.05)
        assert not any(event.is_set() for event in made[threads + 2 :])
    assert not loading_threads_alive()


def test_what_a_maker_raises_is_raised_in_its_turn_and_ends_the_threads() -> None:
    def make(n: int) -> int:
        if n == 2:
            raise InputError("shard 2: its checksum differs")
        return n

    ahead = prefetch(make, range(9), 2)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(InputError, match="shard 2"):
        next(ahead)
    assert not loading_threads_alive()


@pytest.mark.parametrize("threads", [1, 4])
def test_loaded_batches_are_the_batches_and_their_noise_bit_by_bit(
    ink: ShardSet, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_loading, "loader_threads", lambda device: threads)
    source, key = source_of(ink), ("train", 3, 1)
    plan = [*plan_epoch(source.lengths, 5, 3, 1), np.zeros(0, dtype=np.int64)]
    loader = BatchLoader(source, 4, CPU, torch.float64)
    batches = list(loader.load(plan, key, ("other", 1)))
    assert len(batches) == len(plan)
    for share, loaded in zip(plan, batches, strict=True):
        alone = source.batch(share, *key)
        assert loaded.batch.ids == alone.ids
        assert loaded.batch.frames.dtype == torch.float64
        assert loaded.noise is not None
        for given_, expected in (
            (loaded.batch.frames, alone.frames.double()),
            (loaded.batch.mask, alone.mask),
            (loaded.batch.lengths, alone.lengths),
            (loaded.noise, latent_noise(alone, 4, "other", 1).double()),
        ):
            torch.testing.assert_close(given_, expected, rtol=0, atol=0)
    assert all(loaded.noise is None for loaded in loader.load(plan, key, None))


def test_waiting_is_counted_and_nothing_else(ink: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(ink)
    loader = BatchLoader(source, 0, CPU, torch.float32)
    frames = source.frames

    def slowly(position: int, *key: str | int) -> np.ndarray:
        time.sleep(0.05)
        return frames(position, *key)

    monkeypatch.setattr(source, "frames", slowly)
    shares = [np.array([n % len(source)]) for n in range(4)]
    assert len(list(loader.load(shares, ("evaluate",), None))) == 4
    busy_maker = loader.waited
    assert busy_maker > 0.19
    for _ in loader.load(shares, ("evaluate",), None):
        time.sleep(0.3)
    busy_taker = loader.waited - busy_maker
    assert 0.04 < busy_taker < busy_maker, "the first batch is waited for, the others were made meanwhile"


@pytest.mark.parametrize("truncate", [0, 16])
def test_padding_to_a_bucket_changes_no_result(
    make_spec: MakeSpec, tmp_path: Path, truncate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("vrnn-i-gmm", truncate_frames=truncate)
    plain = run_epoch(open_run(spec, Location(str(tmp_path / "plain"))))
    monkeypatch.setattr(data_loading, "padded_frames", lambda device: lambda frames: bucketed(frames) + 8)
    padded = run_epoch(open_run(spec, Location(str(tmp_path / "padded"))))
    assert padded.step == plain.step
    for name in ("train_nats_per_frame", "valid_nats_per_frame", "gradient_norm_mean", "train_kl_nats_per_frame"):
        assert getattr(padded, name) == pytest.approx(getattr(plain, name), rel=1e-11)


def test_an_altered_shard_ends_training_with_its_own_error(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    copy = tmp_path / "shards"
    shutil.copytree(spec.shards.removeprefix("file://"), copy)
    shard = next(copy.glob("train-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    moved = spec.model_copy(update={"shards": str(copy)})
    with pytest.raises(InputError, match="checksum differs"):
        train(moved, Location(str(tmp_path / "run")))
    assert not loading_threads_alive()


def test_threads_may_read_shards_at_once(ink: ShardSet) -> None:
    """With a cache of one byte every read is of another row group: each is still its own signal."""
    crowded = ShardSet(ink.location, cache_bytes=1)
    alone = [ink.signal(row) for row in range(len(ink.index))]
    order = np.random.default_rng(0).integers(0, len(alone), size=400)
    for row, signal in zip(order, prefetch(lambda row: crowded.signal(int(row)), order, 8), strict=True):
        assert (signal.x == alone[row].x).all()


def test_a_record_says_how_long_training_waited(make_spec: MakeSpec, tmp_path: Path) -> None:
    record = run_epoch(open_run(make_spec(), Location(str(tmp_path))))
    assert 0 < record.data_wait_share < 1
