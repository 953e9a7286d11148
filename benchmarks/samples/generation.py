"""What a model makes: passages from nothing, from the beginning of a real sequence, or of a real sequence.

The same model, seed and request give the same passages on one machine. Noise for the latents of a real sequence
belongs to the seed and the sequence; what is drawn comes from one stream, for all sequences of a request at once.
"""

from functools import cached_property

import numpy as np
import torch

from benchmarks.errors import StudyError
from benchmarks.samples.passages import Passage, Recordings, Values
from pipelines.batches.frames import Batch, Positions
from vrnn.models import LatentModel, SequenceModel, State
from vrnn.training import Checkpoint
from vrnn.training.noise import latent_noise

__all__ = ["Generator"]


class Generator:
    """Makes the passages of one model and one seed."""

    def __init__(self, checkpoint: Checkpoint, seed: int, temperature: float = 1.0) -> None:
        """Choose the model, the seed of all noise, and the temperature that frames are drawn with."""
        self._checkpoint = checkpoint
        self._name = checkpoint.spec.architecture.name
        self._seed = seed
        self._temperature = temperature
        warmth = "" if temperature == 1 else f", temperature {temperature:g}"
        self._drawn = f"drawn from {self._name}, seed {seed}{warmth}"

    @cached_property
    def _model(self) -> SequenceModel:
        return self._checkpoint.model()

    def prior(self, count: int, frames: int) -> list[Passage]:
        """Sequences from nothing."""
        return [
            Passage("generated", f"{self._drawn}, sample {number}", values, temperature=self._temperature)
            for number, values in enumerate(self._draw(frames, count, None))
        ]

    def continuations(self, real: Recordings, positions: Positions, prime: int, frames: int) -> list[Passage]:
        """The first `prime` frames of real sequences, as recorded, and `frames` that the model draws after them.

        The model reads the beginning alone, with latents of its posterior, which therefore knows nothing of what
        really follows, even where it smooths.
        """
        batch = self._batch(real, positions, prime)
        with torch.no_grad():
            noise = self._noise(batch) if self._model.latent_size else None
            state = self._model(batch.frames, batch.mask, noise).state
        drawn = self._draw(frames, len(positions), state)
        return [
            self._continuation(real.source.ids[position], real.beginning(position, prime), values, prime, frames)
            for position, values in zip(positions.tolist(), drawn, strict=True)
        ]

    def _continuation(self, name: str, beginning: Values, drawn: Values, prime: int, frames: int) -> Passage:
        return Passage(
            role="continuation",
            caption=f"{name}, its first {prime} frames, then {frames} {self._drawn}",
            values=np.concatenate([beginning, drawn]),
            source=name,
            temperature=self._temperature,
            prime_frames=prime,
            prime_steps=len(beginning) + beginning.ndim - 1,
        )

    def reconstructions(self, real: Recordings, positions: Positions, frames: int | None = None) -> list[Passage]:
        """The frames that the model expects in real sequences, or in their first `frames`, given posterior latents.

        Raises:
            StudyError: the model has no latent.
        """
        return [self._reconstruction(real, position, frames) for position in positions]

    def _reconstruction(self, real: Recordings, position: int, frames: int | None) -> Passage:
        batch = self._batch(real, np.array([position]), frames)
        expected = self._latent_model().reconstruct(batch.frames, batch.mask, self._noise(batch))
        values = self._checkpoint.framing.recorded_scale(expected[:, 0].numpy())
        name = real.source.ids[position]
        return Passage("reconstruction", f"{name}, as {self._name} expects it, seed {self._seed}", values, source=name)

    def latent_path(self, real: Recordings, position: int, frames: int) -> tuple[Values, Values]:
        """KL(q || p) in nats, `[T]`, and the posterior's mean, `[T, Z]`, along the first `frames` of a real sequence.

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
        generator = torch.Generator().manual_seed(self._seed)
        drawn = self._model.sample(frames, count, generator, self._temperature, state)
        return [self._checkpoint.framing.recorded_scale(drawn[:, column].numpy()) for column in range(count)]

    def _batch(self, real: Recordings, positions: Positions, frames: int | None) -> Batch:
        """The first `frames` frames of sequences as the model reads them."""
        whole = real.source.batch(positions, "generate", self._seed)
        kept = len(whole.mask) if frames is None else frames
        return Batch(whole.ids, whole.frames[:kept], whole.mask[:kept], whole.lengths.clamp(max=kept))

    def _noise(self, batch: Batch) -> torch.Tensor:
        return latent_noise(batch, self._model.latent_size, "generate", self._seed)
