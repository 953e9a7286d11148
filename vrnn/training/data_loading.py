"""Data loading: threads make the next batches while a step computes on the current one.

A batch's frames and latent noise are made on the CPU, since the noise depends on the sequence and not on the device.
That takes about a hundredth of a training step on a CPU, but as long as a whole step on a GPU. Threads help, because
NumPy releases the interpreter lock while it draws and converts. The plan gives the batches' order, and their content
does not depend on the threads, so neither do a run's results.
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

from pipelines.batches.epoch_plan import Positions
from pipelines.batches.frames import Batch, FrameSource, to_device
from vrnn.device.device import padded_frames
from vrnn.training.noise import latent_noise

__all__ = ["BatchLoader", "Key", "LoadedBatch", "loader_threads", "prefetch"]

Key = tuple[str | int, ...]
Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 8


@dataclass(frozen=True)
class LoadedBatch:
    """A batch on the device.

    Attributes:
        batch: the sequences.
        noise: noise for their latents, `[T, B, Z]`; None without a latent, or where none was asked for.
    """

    batch: Batch
    noise: Tensor | None


class BatchLoader:
    """Loads batches of a source ahead of need, onto a device and in a precision.

    Attributes:
        waited: seconds that the consumer has waited for batches so far.
    """

    def __init__(self, source: FrameSource, latent_size: int, device: torch.device, dtype: torch.dtype) -> None:
        """Load from `source`.

        Args:
            source: the sequences.
            latent_size: size Z of the noise.
            device: device of the batches.
            dtype: precision of frames and noise.
        """
        self.waited = 0.0
        self._source = source
        self._latent_size = latent_size
        self._device = device
        self._dtype = dtype
        # Copies to a GPU run on a stream of their own, at the same time as the work on the batch before.
        self._copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def load(
        self, shares: Iterable[Positions], frame_key: Key, noise_key: Key | None
    ) -> Generator[LoadedBatch, None, None]:
        """The batches in the order of `shares`; close it (`contextlib.closing`) where not all of them are consumed.

        Args:
            shares: positions in the source for each batch; one may be empty.
            frame_key: the purpose of the dequantisation noise.
            noise_key: the purpose of the latent noise; None makes none.

        Raises:
            InputError: a shard is missing or altered.
        """

        def make(share: Positions) -> tuple[LoadedBatch, torch.cuda.Event | None]:
            batch = self._source.batch(share, *frame_key, pad_to=padded_frames(self._device))
            noise = None
            if noise_key is not None and self._latent_size:
                noise = latent_noise(batch, self._latent_size, *noise_key)
            return self._copy(LoadedBatch(batch, noise))

        start = time.perf_counter()
        for loaded, copied in prefetch(make, shares, loader_threads(self._device)):
            self._wait_for_copy(loaded, copied)
            self.waited += time.perf_counter() - start
            yield loaded
            start = time.perf_counter()

    def _copy(self, made: LoadedBatch) -> tuple[LoadedBatch, torch.cuda.Event | None]:
        """The batch on the device, and the event that its copy to a GPU is complete."""
        with torch.cuda.stream(self._copy_stream) if self._copy_stream is not None else nullcontext():
            batch = made.batch.to(self._device, self._dtype)
            noise = None if made.noise is None else to_device(made.noise, self._device, self._dtype)
        if self._copy_stream is None:
            return LoadedBatch(batch, noise), None
        copied = torch.cuda.Event()
        copied.record(self._copy_stream)
        return LoadedBatch(batch, noise), copied

    def _wait_for_copy(self, loaded: LoadedBatch, copied: torch.cuda.Event | None) -> None:
        if copied is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_event(copied)
        batch = loaded.batch
        # The allocator must not reuse this memory for the next copy before the step that reads it is done.
        for tensor in (batch.frames, batch.mask, batch.lengths, loaded.noise):
            if tensor is not None:
                tensor.record_stream(current)


def loader_threads(device: torch.device) -> int:
    """How many threads make batches: one where a CPU computes, up to 8 of a GPU's share of the cores."""
    if device.type == "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, cores // torch.cuda.device_count()))


def prefetch(make: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """`map(make, items)`, with the next `threads + 1` results made by threads in advance.

    An error of `make` is raised here, at its item. Closing the generator ends the threads after their current items.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="loading") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(make, item))
                if len(pending) > threads + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
