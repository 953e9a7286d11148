"""Noise for the latents, keyed by the sequence and its purpose.

It is drawn on the CPU for each sequence: a score therefore does not depend on batch size, order, padding or device, a
run needs no generator state to resume, and N workers draw what one would.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# The stubs of torch.distributed and of some tensor methods leave types open.

from collections.abc import Iterator

import numpy as np
import torch

from pipelines.batches.frames import Batch
from pipelines.randomness import keyed_generator

__all__ = ["latent_noise", "particle_noise", "resampling_uniforms"]

_BLOCK_FRAMES = 16


def latent_noise(batch: Batch, latent_size: int, *key: str | int) -> torch.Tensor:
    """Noise `[T, B, Z]` for the batch, zeros where padded; on the device and in the precision of its frames.

    Args:
        batch: the sequences.
        latent_size: Z.
        key: the purpose of the noise, such as `("train", seed, epoch)` or `("score", seed, k)`.
    """
    noise = np.zeros((*batch.mask.shape, latent_size), dtype=np.float32)
    for column, (sequence, length) in enumerate(zip(batch.ids, batch.lengths.tolist(), strict=True)):
        generator = keyed_generator("latent", *key, sequence)
        noise[:length, column] = generator.standard_normal((length, latent_size), dtype=np.float32)
    return torch.from_numpy(noise).to(batch.frames)


def particle_noise(batch: Batch, latent_size: int, particles: int, *key: str | int) -> Iterator[torch.Tensor]:
    """Noise `[K, B, Z]` for each frame in turn, on the device and in the precision of the batch's frames.

    Args:
        batch: the sequences; the noise of one does not depend on the others.
        latent_size: Z.
        particles: K.
        key: the purpose of the noise, such as `("score", seed, repetition)`.
    """
    generators = [keyed_generator("particles", *key, sequence) for sequence in batch.ids]
    # A few frames at a time: noise for all frames and particles would not fit into memory.
    for _ in range(0, len(batch.mask), _BLOCK_FRAMES):
        shape = (_BLOCK_FRAMES, particles, latent_size)
        block = np.stack([g.standard_normal(shape, dtype=np.float32) for g in generators], axis=2)
        yield from torch.from_numpy(block).to(batch.frames).unbind()


def resampling_uniforms(batch: Batch, *key: str | int) -> torch.Tensor:
    """Uniform numbers on [0, 1), float64 `[T, B]`, one for each frame and sequence; zeros where padded."""
    uniforms = np.zeros(batch.mask.shape)
    for column, (sequence, length) in enumerate(zip(batch.ids, batch.lengths.tolist(), strict=True)):
        uniforms[:length, column] = keyed_generator("resample", *key, sequence).random(length)
    return torch.from_numpy(uniforms).to(batch.frames.device)
