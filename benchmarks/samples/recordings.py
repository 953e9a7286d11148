"""Samples on the recorded scale, and the real sequences among them.

The recorded scale is samples in units of int16, or pen offsets with y growing downward. A real sample holds the
recorded integers, also where a protocol adds noise to them before a model reads them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.errors import StudyError
from benchmarks.schema.samples import SampleRole
from pipelines.batches.epoch_plan import Positions
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing
from pipelines.batches.roles import split_rows
from pipelines.randomness import keyed_generator
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink

__all__ = ["Recordings", "Sample", "Values"]

Values = npt.NDArray[np.float64]
"""A waveform `[N]` in units of int16, or (dx, dy, pen up) `[T, 3]` with y downward."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A sound or a drawing.

    Attributes:
        role: how it was made.
        caption: the same in words, without the role.
        values: the sound or the pen offsets.
        source: id of the real sequence that it is, continues or reconstructs.
        temperature: of the distribution that its frames were drawn from; None where none were drawn.
        prime_frames: number of recorded frames at its beginning, which the model was given.
        prime_steps: the same in samples, or in points, of which there is one more than offsets.
    """

    role: SampleRole
    caption: str
    values: Values
    source: str | None = None
    temperature: float | None = None
    prime_frames: int = 0
    prime_steps: int = 0

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite, so that it can be played or drawn."""
        return bool(np.isfinite(self.values).all())


class Recordings:
    """The real sequences of one split, or their windows where the protocol cuts them.

    Attributes:
        source: the same sequences as frames.
    """

    def __init__(self, shards: ShardSet, framing: Framing, split: str) -> None:
        """Find the sequences of `split`.

        Raises:
            StudyError: there are none.
        """
        rows = split_rows(shards, framing.protocol, (split,))
        if not len(rows):
            known = ", ".join(sorted(shards.index[framing.protocol.split_column].unique()))
            raise StudyError(f"{shards.location}: no sequence in split {split!r}; use one of {known}")
        self.source = FrameSource(shards, framing, rows)
        self._frame_size = framing.protocol.frame_size

    def choose(self, count: int, seed: int, least: int = 1) -> Positions:
        """Positions of `count` random sequences of at least `least` frames, or of as many as there are.

        Raises:
            StudyError: there is none.
        """
        lengths = self.source.lengths
        order = keyed_generator("real-samples", seed).permutation(len(lengths))
        chosen = order[lengths[order] >= least][:count]
        if not len(chosen):
            raise StudyError(f"--prime-frames {least}: the longest sequence has {lengths.max()} frames; use fewer")
        return chosen

    def samples(self, positions: Positions, frames: int | None = None) -> list[Sample]:
        """The first `frames` frames of sequences, or all of them."""
        found: list[Sample] = []
        for position in positions.tolist():
            name, length = self.source.ids[position], int(self.source.lengths[position])
            kept = min(frames or length, length)
            caption = name if kept == length else f"{name}, the first {kept} of its {length} frames"
            found.append(Sample("real", caption, self.beginning(position, kept), source=name))
        return found

    def beginning(self, position: int, frames: int) -> Values:
        """The first `frames` frames of a sequence as they were recorded."""
        signal = self.source.signal(position)
        if isinstance(signal, Ink):
            offsets = np.stack([np.diff(signal.x), np.diff(signal.y), signal.pen_up[1:]], axis=1)
            return offsets[:frames].astype(np.float64)
        return signal[: frames * self._frame_size].astype(np.float64)
