"""Sampling from a model: from scratch, after the beginning of a real sequence, or as a reconstruction of one.

The same model, seed and request give the same samples on one machine. The noise of a real sequence's latents depends on
the seed and the sequence alone. New frames are drawn from one random stream for all sequences of a request.
"""

from functools import cached_property

import numpy as np
import torch

from benchmarks.errors import StudyError
from benchmarks.samples.recordings import Recordings, Sample, Values
from pipelines.batches.epoch_plan import Positions
from pipelines.batches.frames import Batch
from vrnn.models import LatentModel, SequenceModel, State
from vrnn.training import Checkpoint
from vrnn.training.noise import latent_noise

__all__ = ["Generator"]


class Generator:
    """Makes samples of one model with one seed."""

    def __init__(self, checkpoint: Checkpoint, seed: int, temperature: float = 1.0) -> None:
        """Set the model, the seed of all noise, and the temperature of new frames."""
        self._checkpoint = checkpoint
        self._name = checkpoint.spec.model.name
        self._seed = seed
        self._temperature = temperature
        suffix = "" if temperature == 1 else f", temperature {temperature:g}"
        self._drawn = f"drawn from {self._name}, seed {seed}{suffix}"

    @cached_property
    def _model(self) -> SequenceModel:
        return self._checkpoint.model()

    def prior(self, count: int, frames: int) -> list[Sample]:
        """Generate sequences from scratch."""
        return [
            Sample("generated", f"{self._drawn}, sample {number}", values, temperature=self._temperature)
            for number, values in enumerate(self._draw(frames, count, None))
        ]

    def continuations(self, real: Recordings, positions: Positions, prime: int, frames: int) -> list[Sample]:
        """Continue the first `prime` frames of real sequences, as recorded, with `frames` new ones.

        The model reads nothing after frame `prime`. A smoothing posterior, too, sees no more of the real sequence.
        """
        batch = self._batch(real, positions, prime)
        with torch.no_grad():
            noise = self._noise(batch) if self._model.latent_size else None
            state = self._model(batch.frames, batch.mask, noise).state
        made: list[Sample] = []
        for position, drawn in zip(positions.tolist(), self._draw(frames, len(positions), state), strict=True):
            name, beginning = real.source.ids[position], real.beginning(position, prime)
            made.append(
                Sample(
                    role="continuation",
                    caption=f"{name}, its first {prime} frames, then {frames} {self._drawn}",
                    values=np.concatenate([beginning, drawn]),
                    source=name,
                    temperature=self._temperature,
                    prime_frames=prime,
                    prime_steps=len(beginning) + beginning.ndim - 1,  # N samples, or T + 1 points of T offsets
                )
            )
        return made

    def reconstructions(self, real: Recordings, positions: Positions, frames: int | None = None) -> list[Sample]:
        """The frames that the model expects in real sequences (or in their first `frames`), given posterior latents.

        Raises:
            StudyError: the model has no latent.
        """
        made: list[Sample] = []
        for position in positions:
            batch = self._batch(real, np.array([position]), frames)
            expected = self._latent_model().reconstruct(batch.frames, batch.mask, self._noise(batch))
            values = self._checkpoint.framing.denormalise(expected[:, 0].numpy())
            name = real.source.ids[position]
            caption = f"{name}, as {self._name} expects it, seed {self._seed}"
            made.append(Sample("reconstruction", caption, values, source=name))
        return made

    def latent_path(self, real: Recordings, position: int, frames: int) -> tuple[Values, Values]:
        """KL(q || p) in nats, `[T]`, and the posterior's mean, `[T, Z]`, over the first `frames` of a real sequence.

        Raises:
            StudyError: the model has no latent.
        """
        model = self._latent_model()
        batch = self._batch(real, np.array([position]), frames)
        kl, mean = model.latent_path(batch.frames, batch.mask, self._noise(batch))
        return kl[:, 0].double().numpy(), mean[:, 0].double().numpy()

    def _latent_model(self) -> LatentModel:
        if not isinstance(self._model, LatentModel):
            raise StudyError(f"{self._name} has no latent to reconstruct from; use --mode continuation")
        return self._model

    def _draw(self, frames: int, count: int, state: State | None) -> list[Values]:
        """New frames of `count` sequences, on the recorded scale."""
        generator = torch.Generator().manual_seed(self._seed)
        drawn = self._model.sample(frames, count, generator, self._temperature, state)
        return [self._checkpoint.framing.denormalise(drawn[:, column].numpy()) for column in range(count)]

    def _batch(self, real: Recordings, positions: Positions, frames: int | None) -> Batch:
        """The first `frames` frames of sequences as the model reads them."""
        whole = real.source.batch(positions, "generate", self._seed)
        kept = len(whole.mask) if frames is None else frames
        return Batch(whole.ids, whole.frames[:kept], whole.mask[:kept], whole.lengths.clamp(max=kept))

    def _noise(self, batch: Batch) -> torch.Tensor:
        return latent_noise(batch, self._model.latent_size, "generate", self._seed)
