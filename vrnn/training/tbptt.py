"""Truncated back-propagation: a batch of long sequences as pieces of so many frames, one optimiser step each.

A piece starts from the state that the one before it ended with, detached: memory is that of a piece however long the
recording, the forward pass sees all of the past, and the gradient sees no further back than the piece's beginning.
Pieces follow from the lengths of the global batch, which every rank knows: all ranks take the same steps.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.batches.frames import Positions, plan_epoch
from vrnn.training.spec import Optimisation

__all__ = ["Piece", "cut", "planned_steps"]


@dataclass(frozen=True)
class Piece:
    """A stretch of the frames of a batch.

    Attributes:
        place: its frames; the last piece's has no end, so that padding goes with it.
        frames: real ones among them, over all sequences of the global batch.
    """

    place: slice
    frames: int


def cut(lengths: Positions, truncate_frames: int) -> list[Piece]:
    """The pieces of a global batch of sequences of these lengths; one for all of it if `truncate_frames` is 0."""
    longest = int(lengths.max())
    size = truncate_frames or longest
    return [
        Piece(
            slice(start, start + size if start + size < longest else None), int(np.clip(lengths - start, 0, size).sum())
        )
        for start in range(0, longest, size)
    ]


def planned_steps(lengths: Positions, rules: Optimisation, seed: int) -> int:
    """The steps of all `max_epochs`, if nothing ends them early."""
    if not rules.truncate_frames:
        return rules.max_epochs * math.ceil(len(lengths) / rules.batch_size)
    return sum(
        math.ceil(int(lengths[positions].max()) / rules.truncate_frames)
        for epoch in range(rules.max_epochs)
        for positions in plan_epoch(lengths, rules.batch_size, seed, epoch)
    )
