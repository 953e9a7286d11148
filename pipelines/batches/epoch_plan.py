"""Which sequences form which batch: the plan of a training epoch and of an evaluation.

A plan is a pure function of (lengths, batch size, seed, epoch). It is the same on every rank and every machine, so a
run can resume at any step by counting. Each rank takes every N-th sequence of a global batch: all ranks take the same
number of steps, no sequence is dropped, and N ranks together see the batches that one rank would see.
"""

import numpy as np
import numpy.typing as npt

from pipelines.randomness import keyed_generator

__all__ = ["Positions", "plan_epoch", "plan_evaluation", "rank_share"]

Positions = npt.NDArray[np.int64]

_POOL_BATCHES = 32


def plan_epoch(lengths: Positions, batch_size: int, seed: int, epoch: int) -> list[Positions]:
    """The global batches of a training epoch; every sequence is in exactly one of them.

    The sequences are shuffled and cut into pools of 32 batches. Each pool is sorted by length, so that its batches need
    little padding, and the batches are shuffled again. Only the last pool can hold a batch that is not full.

    Args:
        lengths: frames of each sequence, `[N]`.
        batch_size: sequences in a global batch.
        seed: the run's seed.
        epoch: counted from 0.

    Returns:
        Positions into `lengths`, one array for each batch.
    """
    generator = keyed_generator("epoch-plan", seed, epoch)
    order = generator.permutation(len(lengths))
    batches: list[Positions] = []
    for start in range(0, len(order), _POOL_BATCHES * batch_size):
        pool = order[start : start + _POOL_BATCHES * batch_size]
        # A stable sort keeps the shuffled order among sequences of one length.
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def plan_evaluation(lengths: Positions, batch_size: int) -> list[Positions]:
    """Batches with every sequence exactly once, the longest first, so that a lack of memory shows at the start."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def rank_share(batch: Positions, rank: int, world_size: int) -> Positions:
    """The part of a global batch that one rank takes; empty if the batch has fewer sequences than there are ranks."""
    return batch[rank::world_size]
