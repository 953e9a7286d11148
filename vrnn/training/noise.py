"""Standard normal noise for the latents, that belongs to a sequence and a purpose.

Drawn on the CPU by sequence: a score does not change with batch size, order, padding or device, a run
needs no generator state to resume, and N workers draw what one would.
"""

import numpy as np
import torch

from pipelines.batches import Batch
from pipelines.randomness import keyed_generator

__all__ = ["latent_noise"]


def latent_noise(batch: Batch, latent_size: int, *key: str | int) -> torch.Tensor:
    """Noise `[T, B, Z]` for the batch, zeros where padded; on the device and in the precision of its frames.

    Args:
        batch: the sequences.
        latent_size: Z.
        key: what the noise is for, such as `("train", seed, epoch)` or `("score", seed, k)`.
    """
    noise = np.zeros((*batch.mask.shape, latent_size), dtype=np.float32)
    for column, (sequence, length) in enumerate(zip(batch.ids, batch.lengths.tolist(), strict=True)):
        generator = keyed_generator("latent", *key, sequence)
        noise[:length, column] = generator.standard_normal((length, latent_size), dtype=np.float32)
    return torch.from_numpy(noise).to(batch.frames)
