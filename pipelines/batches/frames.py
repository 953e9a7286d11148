"""Batches: an epoch's plan, and the padded tensors of a batch.

A plan is a pure function of (lengths, batch size, seed, epoch): the same on every rank and every machine, so that a
run resumes at any step by counting. Each rank takes its stride of every global batch: all ranks take the same
number of steps, nothing is dropped, and N ranks see what one rank would see.

Shape letters: T frames, B sequences, D frame size. Time-major, right-padded with zeros.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from pipelines.batches.protocol import Framing, window_lengths
from pipelines.randomness import keyed_generator
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink, Signal

__all__ = ["Batch", "FrameSource", "moved", "plan_epoch", "plan_evaluation", "rank_share"]

Positions = npt.NDArray[np.int64]

_POOL_BATCHES = 32


@dataclass(frozen=True)
class Batch:
    """Sequences padded to one length.

    Attributes:
        ids: of the sequences, in order.
        frames: `[T, B, D]` float32, zeros where padded.
        mask: `[T, B]` bool, True at real frames.
        lengths: `[B]` int64, frames of each sequence.
    """

    ids: tuple[str, ...]
    frames: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """The batch on `device`, its frames as `dtype`."""
        mask, lengths = moved(self.mask, device), moved(self.lengths, device)
        return Batch(self.ids, moved(self.frames, device, dtype), mask, lengths)


def moved(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The tensor on `device`, as `dtype` if one is given; from the CPU to a GPU without waiting until it is there."""
    dtype = tensor.dtype if dtype is None else dtype
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device, dtype)
    return tensor.to(dtype).pin_memory().to(device, non_blocking=True)


def plan_epoch(lengths: Positions, batch_size: int, seed: int, epoch: int) -> list[Positions]:
    """The global batches of a training epoch, every sequence exactly once.

    Sequences are shuffled, pools of 32 batches are sorted by length so that a batch pads little, and the batches
    are shuffled again. Only the last batch of the plan's pools may be short.

    Args:
        lengths: frames of each sequence, `[N]`.
        batch_size: sequences in a global batch.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        Positions into `lengths`.
    """
    generator = keyed_generator("epoch-plan", seed, epoch)
    order = generator.permutation(len(lengths))
    batches: list[Positions] = []
    for start in range(0, len(order), _POOL_BATCHES * batch_size):
        pool = order[start : start + _POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def plan_evaluation(lengths: Positions, batch_size: int) -> list[Positions]:
    """Batches that hold every sequence exactly once, longest first, so that memory peaks at the start."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def rank_share(batch: Positions, rank: int, world_size: int) -> Positions:
    """What one rank takes of a global batch; it may be empty where the batch is shorter than the world."""
    return batch[rank::world_size]


class FrameSource:
    """Some sequences of a shard set as frames under a protocol, which may cut them into windows.

    Attributes:
        rows: positions in the shard set's index, one for each sequence or window, `[N]`.
        lengths: frames of each, `[N]`.
        ids: of each; the n-th window of a sequence that is cut is called `id@n`.
    """

    def __init__(self, shards: ShardSet, framing: Framing, rows: Positions) -> None:
        """Take the sequences at `rows` of the index."""
        self._shards = shards
        self._framing = framing
        chosen = shards.index.iloc[rows]
        windows = [window_lengths(framing.protocol, int(length)) for length in chosen["length"]]
        counts = [len(lengths) for lengths in windows]
        self.rows: Positions = np.repeat(np.asarray(rows, dtype=np.int64), counts)
        self.lengths: Positions = np.array(list(chain.from_iterable(windows)), dtype=np.int64)
        self._windows = list(chain.from_iterable(map(range, counts)))
        self.ids: list[str] = [
            name if count == 1 else f"{name}@{window:05d}"
            for name, count in zip(chosen["id"], counts, strict=True)
            for window in range(count)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def frames(self, position: int, *noise_key: str | int) -> npt.NDArray[np.float32]:
        """The frames of one sequence, `[T, D]`; dequantisation noise belongs to `noise_key` and the sequence."""
        noise = keyed_generator("dequantise", *noise_key, self.ids[position])
        return self._framing.frames(self.signal(position), noise)

    def start(self, position: int) -> int:
        """Where one sequence begins in what was recorded, in samples or points."""
        protocol, offset = self._framing.protocol, int(self._shards.index["offset"].iloc[self.rows[position]])
        return offset + self._windows[position] * (protocol.window_frames or 0) * protocol.frame_size

    def attributes(self, position: int) -> dict[str, str]:
        """What the raw form says of the recording that one sequence is of; see `SourceItem.attributes`."""
        return json.loads(self._shards.index["attributes"].iloc[self.rows[position]])

    def signal(self, position: int) -> Signal:
        """The recorded signal that the frames of one sequence are made of; it may end in less than a frame."""
        signal, protocol = self._shards.signal(int(self.rows[position])), self._framing.protocol
        if isinstance(signal, Ink) or protocol.window_frames is None:
            return signal
        start = self._windows[position] * protocol.window_frames
        return signal[start * protocol.frame_size : (start + int(self.lengths[position])) * protocol.frame_size]

    def batch(self, positions: Positions, *noise_key: str | int, padded: Callable[[int], int] = int) -> Batch:
        """The sequences at `positions`, padded to the longest of them.

        Args:
            positions: into `rows`.
            noise_key: what the dequantisation noise is for: `("train", seed, epoch)` or `("evaluate",)`.
            padded: the frames of the tensors for the longest sequence's; no fewer.
        """
        lengths = self.lengths[positions]
        frame_size = self._framing.protocol.frame_size
        frames = np.zeros((padded(int(lengths.max(initial=0))), len(positions), frame_size), dtype=np.float32)
        for column, position in enumerate(positions):
            frames[: lengths[column], column] = self.frames(int(position), *noise_key)
        mask = np.arange(len(frames))[:, None] < lengths[None, :]
        ids = tuple(self.ids[int(position)] for position in positions)
        return Batch(ids, torch.from_numpy(frames), torch.from_numpy(mask), torch.from_numpy(lengths))
