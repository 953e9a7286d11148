"""Feeding: the next batches are read, framed and sent to the device while this one is computed on.

A batch's frames and latent noise are made on the CPU, since noise belongs to the sequence and not to the device. That
costs about a hundredth of a training step on a CPU, but as much as a whole step on a GPU. Threads make them ahead of
need: NumPy lets go of the interpreter while it draws and converts. Their order is that of the plan and their content
does not depend on the threads, so a run's figures do not either.

To a GPU they go from pinned memory on a stream of their own, beside the work on the batch before.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.batches.frames import Batch, FrameSource, Positions, moved
from vrnn.device.device import padded_frames
from vrnn.training.noise import latent_noise

__all__ = ["Feeder", "Key", "Portion", "feeding_threads", "made_ahead"]

Key = tuple[str | int, ...]
Item = TypeVar("Item")
Made = TypeVar("Made")

_MOST_THREADS = 8


@dataclass(frozen=True)
class Portion:
    """What a step computes on.

    Attributes:
        batch: the sequences.
        noise: for their latents, `[T, B, Z]`; None without a latent, or where none was asked for.
    """

    batch: Batch
    noise: Tensor | None


class Feeder:
    """Makes the batches of a source ahead of need, on a device and in a precision.

    Attributes:
        waited: seconds that whoever took batches has waited for them so far.
    """

    def __init__(self, source: FrameSource, latent_size: int, device: torch.device, dtype: torch.dtype) -> None:
        """Feed from `source`.

        Args:
            source: of the sequences.
            latent_size: Z of the noise.
            device: where batches go.
            dtype: of frames and noise.
        """
        self.waited = 0.0
        self._source = source
        self._latent_size = latent_size
        self._device = device
        self._dtype = dtype
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def portions(
        self, shares: Iterable[Positions], frame_key: Key, noise_key: Key | None
    ) -> Generator[Portion, None, None]:
        """The batches in the order of `shares`; to be closed (`contextlib.closing`) where they are not all taken.

        Args:
            shares: positions into the source, a batch each; one may be empty.
            frame_key: what the dequantisation noise is for.
            noise_key: what the latent noise is for; None makes none.

        Raises:
            InputError: a shard is missing or altered.
        """

        def make(share: Positions) -> tuple[Portion, torch.cuda.Event | None]:
            return self._sent(self._made(share, frame_key, noise_key))

        ahead = made_ahead(make, shares, feeding_threads(self._device))
        start = time.perf_counter()
        for portion, arrival in ahead:
            self._receive(portion, arrival)
            self.waited += time.perf_counter() - start
            yield portion
            start = time.perf_counter()

    def _made(self, share: Positions, frame_key: Key, noise_key: Key | None) -> Portion:
        batch = self._source.batch(share, *frame_key, padded=padded_frames(self._device))
        if noise_key is None or not self._latent_size:
            return Portion(batch, None)
        return Portion(batch, latent_noise(batch, self._latent_size, *noise_key))

    def _sent(self, portion: Portion) -> tuple[Portion, torch.cuda.Event | None]:
        """The portion on the device, and what happens on the stream of copies once it has arrived there."""
        with torch.cuda.stream(self._copies) if self._copies is not None else nullcontext():
            batch = portion.batch.to(self._device, self._dtype)
            noise = None if portion.noise is None else moved(portion.noise, self._device, self._dtype)
        if self._copies is None:
            return Portion(batch, noise), None
        arrival = torch.cuda.Event()
        arrival.record(self._copies)
        return Portion(batch, noise), arrival

    def _receive(self, portion: Portion, arrival: torch.cuda.Event | None) -> None:
        """Have the device begin on the portion no sooner than it is there, and keep it until that work is done."""
        if arrival is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrival)
        batch = portion.batch
        for tensor in (batch.frames, batch.mask, batch.lengths, portion.noise):
            if tensor is not None:
                tensor.record_stream(current)


def feeding_threads(device: torch.device) -> int:
    """How many threads make batches: one beside a CPU's own work, a GPU's share of the cores up to 8."""
    if device.type == "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, cores // torch.cuda.device_count()))


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Generator[Made, None, None]:
    """`map(make, items)`, the next `threads + 1` results made by threads before they are asked for.

    What `make` raises is raised here, in its turn. Closing the generator ends the threads, after what each is at.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="feeding") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
