import numpy as np
import pytest

from pipelines.batches.frames import plan_epoch
from vrnn.training import Optimisation
from vrnn.training.tbptt import cut, planned_steps


@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 8, 100])
def test_pieces_hold_every_real_frame_once(size: int) -> None:
    lengths = np.array([7, 2, 3])
    mask = np.arange(7)[:, None] < lengths
    pieces = cut(lengths, size)
    assert [piece.frames for piece in pieces] == [mask[piece.place].sum() for piece in pieces]
    assert [frame for piece in pieces for frame in range(7)[piece.place]] == list(range(7))
    assert all(piece.frames > 0 for piece in pieces)
    assert len(pieces) == (-(-7 // size) if size else 1)


@pytest.mark.parametrize("truncate", [0, 9, 1000])
def test_the_planned_steps_are_those_of_all_epochs(truncate: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, size=45)
    rules = Optimisation(max_epochs=3, batch_size=4, truncate_frames=truncate, schedule="linear")
    plans = [positions for epoch in range(3) for positions in plan_epoch(lengths, 4, 5, epoch)]
    assert planned_steps(lengths, rules, 5) == sum(len(cut(lengths[positions], truncate)) for positions in plans)
