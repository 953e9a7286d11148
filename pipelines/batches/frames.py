"""From shards to padded tensors: `FrameSource` yields the `Batch` of any set of sequences.

Shape letters: T frames, B sequences, D frame size. Tensors are time-major and padded with zeros at the end.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from pipelines.batches.epoch_plan import Positions
from pipelines.batches.protocol import Framing, window_lengths
from pipelines.randomness import keyed_generator
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink, Signal

__all__ = ["Batch", "FrameSource", "to_device"]


@dataclass(frozen=True)
class Batch:
    """Sequences that are padded to one length.

    Attributes:
        ids: the sequences' ids, in order.
        frames: `[T, B, D]` float32, zeros where padded.
        mask: `[T, B]` bool, True at real frames.
        lengths: `[B]` int64, frames of each sequence.
    """

    ids: tuple[str, ...]
    frames: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """The batch on `device`, with its frames as `dtype`."""
        mask, lengths = to_device(self.mask, device), to_device(self.lengths, device)
        return Batch(self.ids, to_device(self.frames, device, dtype), mask, lengths)


def to_device(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The tensor on `device`, as `dtype` if one is given; a copy from the CPU to a GPU does not block."""
    dtype = tensor.dtype if dtype is None else dtype
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device, dtype)
    # Only a copy from pinned memory is asynchronous.
    return tensor.to(dtype).pin_memory().to(device, non_blocking=True)


class FrameSource:
    """Some sequences of a shard set as frames under a protocol, which may cut them into windows.

    Attributes:
        rows: positions in the shard set's index, one for each sequence or window, `[N]`.
        lengths: frames of each sequence or window, `[N]`.
        ids: id of each; window n of a sequence that is cut is called `id@n`.
    """

    def __init__(self, shards: ShardSet, framing: Framing, rows: Positions) -> None:
        """Use the sequences at the positions `rows` of the index."""
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
        """The frames of one sequence, `[T, D]`; the dequantisation noise depends on `noise_key` and the id alone."""
        noise = keyed_generator("dequantise", *noise_key, self.ids[position])
        return self._framing.frames(self.signal(position), noise)

    def start(self, position: int) -> int:
        """Where one sequence begins in its recording, in samples or points."""
        protocol, offset = self._framing.protocol, int(self._shards.index["offset"].iloc[self.rows[position]])
        return offset + self._windows[position] * (protocol.window_frames or 0) * protocol.frame_size

    def attributes(self, position: int) -> dict[str, str]:
        """The attributes of the recording that one sequence comes from; see `SourceItem.attributes`."""
        return json.loads(self._shards.index["attributes"].iloc[self.rows[position]])

    def signal(self, position: int) -> Signal:
        """The recorded signal behind one sequence's frames; its end may be shorter than a frame."""
        signal, protocol = self._shards.signal(int(self.rows[position])), self._framing.protocol
        if isinstance(signal, Ink) or protocol.window_frames is None:
            return signal
        start = self._windows[position] * protocol.window_frames
        return signal[start * protocol.frame_size : (start + int(self.lengths[position])) * protocol.frame_size]

    def batch(self, positions: Positions, *noise_key: str | int, pad_to: Callable[[int], int] = int) -> Batch:
        """The sequences at `positions`, padded to the length of the longest one.

        Args:
            positions: positions into `rows`.
            noise_key: what the dequantisation noise is for: `("train", seed, epoch)` or `("evaluate",)`.
            pad_to: maps the longest sequence's frames to the frames of the tensors, which must not be fewer.
        """
        lengths = self.lengths[positions]
        frame_size = self._framing.protocol.frame_size
        frames = np.zeros((pad_to(int(lengths.max(initial=0))), len(positions), frame_size), dtype=np.float32)
        for column, position in enumerate(positions):
            frames[: lengths[column], column] = self.frames(int(position), *noise_key)
        mask = np.arange(len(frames))[:, None] < lengths[None, :]
        ids = tuple(self.ids[int(position)] for position in positions)
        return Batch(ids, torch.from_numpy(frames), torch.from_numpy(mask), torch.from_numpy(lengths))
