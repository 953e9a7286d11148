import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.batches.epoch_plan import plan_epoch, plan_evaluation, rank_share
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import PROTOCOLS, Framing
from pipelines.batches.roles import split_rows
from pipelines.shards.read import ShardSet

LENGTHS = st.lists(st.integers(1, 900), min_size=1, max_size=300).map(lambda values: np.array(values, dtype=np.int64))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 17), st.integers(0, 5), st.integers(0, 5), st.integers(1, 5))
def test_an_epoch_holds_every_sequence_once_in_as_many_steps_on_every_rank(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, world: int
) -> None:
    plan = plan_epoch(lengths, batch_size, seed, epoch)
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert max(len(batch) for batch in plan) <= batch_size
    for batch in plan:
        shares = [rank_share(batch, rank, world) for rank in range(world)]
        assert sorted(np.concatenate(shares)) == sorted(batch)


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 200)
    same = [plan_epoch(lengths, 8, 1, 2) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*same, strict=True))
    for other in (plan_epoch(lengths, 8, 2, 2), plan_epoch(lengths, 8, 1, 3)):
        assert not np.array_equal(np.concatenate(same[0]), np.concatenate(other))


def test_bucketing_pads_far_less_than_random_batches() -> None:
    lengths = np.random.default_rng(0).integers(10, 1000, 2000)
    padded = sum(lengths[batch].max() * len(batch) for batch in plan_epoch(lengths, 16, 0, 0))
    by_chance = sum(lengths[i : i + 16].max() * 16 for i in range(0, 2000, 16))
    assert padded < 1.1 * lengths.sum()
    assert by_chance > 1.5 * lengths.sum()


def test_evaluation_starts_with_the_longest_and_leaves_nothing_out() -> None:
    lengths = np.array([3, 9, 1, 9, 4])
    plan = plan_evaluation(lengths, 2)
    assert [batch.tolist() for batch in plan] == [[1, 3], [4, 0], [2]]


def test_batches_mask_exactly_the_frames_there_are(ink: ShardSet) -> None:
    framing = Framing.fit(PROTOCOLS["clean", "pen"], ink.manifest)
    source = FrameSource(ink, framing, split_rows(ink, framing.protocol, ("test",)))
    for batch in (source.batch(share, "evaluate") for share in plan_evaluation(source.lengths, 3)):
        for column, (name, length) in enumerate(zip(batch.ids, batch.lengths.tolist(), strict=True)):
            position = source.ids.index(name)
            alone = source.frames(position, "evaluate")
            assert batch.mask[:, column].sum() == length == len(alone)
            assert batch.mask[:length, column].all()
            torch.testing.assert_close(batch.frames[:length, column], torch.from_numpy(alone), rtol=0, atol=0)
            assert (batch.frames[length:, column] == 0).all()
