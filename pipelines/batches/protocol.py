"""A protocol: how a signal becomes the frames that a model sees and is scored on.

It is part of every result's identity: two scores under different protocols measure different things.

`paper` follows Chung et al. (NIPS 2015) and their released code: frames of 200 samples, one global mean and standard
deviation, no dequantisation. For IAM-OnDB, that code divides the sum over both axes by the number of points with
integer division and uses the result for both axes; it trains on trainset + testset_t + testset_f, and reports the score
of the set that also chose the checkpoint.

`clean` is what a fair comparison needs. Each axis has its own mean and standard deviation. The reported set never
chooses the checkpoint. Integers are dequantised: a density on integers is unbounded (silence repeats one value), but
with U(-1/2, 1/2) added it is a lower bound on the log-probability of the integers (Theis et al., 2016). The noise
depends on the sequence, so every evaluation sees the same noise.

Corpora without an official split are split by speaker (or page, or recording) under `clean` and by sequence under
`paper`. Long recordings are cut into windows, and each window is a sequence that starts from the zero state. Under
`paper`, Blizzard and Accent are cut into windows of half a second (40 frames) and the rest is dropped. Under `clean`,
recordings longer than 40 seconds are cut into windows of 40 seconds (3,200 frames) and the rest is a shorter window.

Under both, speech is cut into consecutive frames of 200 samples, and a last piece of fewer than 200 is left out. Pen
frame t is the offset from point t to point t + 1 (y grows upward under `paper`), and whether the pen is lifted after
point t + 1. The first point is where the line begins; it is not scored, since its offset would be a constant, and a
model could give a constant any density.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from pipelines.errors import InputError, suggest
from pipelines.shards.manifest import Manifest
from pipelines.shards.moments import Moments
from pipelines.signals import Ink, Kind, Signal

__all__ = ["PROTOCOLS", "Framing", "Protocol", "find_protocol", "frame_count", "window_lengths"]

Frames = npt.NDArray[np.float32]

PEN_FRAME_SIZE = 3


class Protocol(BaseModel):
    """The rules; see the description of the module. Its fields are part of every trial's key.

    Attributes:
        name: `clean` or `paper`.
        kind: the kind of signal that it applies to.
        version: raised whenever a rule changes.
        frame_size: values in a frame: samples, or (dx, dy, pen up).
        normalisation: `per_channel` by the training split's moments, or IAM-OnDB's released `shared_integer`.
        dequantise: whether U(-1/2, 1/2) is added to each integer before normalising.
        flip_y: whether y grows upward.
        split_column: the column of the index that holds a sequence's split.
        window_frames: longer sequences are cut into windows of this many frames; None cuts no sequence.
        rest_kept: whether a rest that is shorter than a window is kept.
        train_on: the splits to train on, as far as they exist.
        select_on: the split that chooses the checkpoint.
        report_on: the split whose score is reported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    version: int = 1
    frame_size: int
    normalisation: Literal["per_channel", "shared_integer"]
    dequantise: bool
    flip_y: bool = False
    split_column: Literal["split", "split_by_sequence"] = "split"
    window_frames: int | None = None
    rest_kept: bool = True
    train_on: tuple[str, ...] = ("train",)
    select_on: str = "valid"
    report_on: str = "test"


PROTOCOLS: Mapping[tuple[str, Kind], Protocol] = {
    (protocol.name, protocol.kind): protocol
    for protocol in (
        Protocol(
            name="clean",
            kind="speech",
            version=2,
            frame_size=200,
            normalisation="per_channel",
            dequantise=True,
            window_frames=3200,
        ),
        Protocol(
            name="paper",
            kind="speech",
            version=2,
            frame_size=200,
            normalisation="per_channel",
            dequantise=False,
            split_column="split_by_sequence",
        ),
        Protocol(name="clean", kind="pen", frame_size=PEN_FRAME_SIZE, normalisation="per_channel", dequantise=True),
        Protocol(
            name="paper",
            kind="pen",
            frame_size=PEN_FRAME_SIZE,
            normalisation="shared_integer",
            dequantise=False,
            flip_y=True,
            split_column="split_by_sequence",
            train_on=("train", "valid2", "test"),
            report_on="valid",
        ),
    )
}


_PAPER_WINDOW_FRAMES = {"blizzard": 40, "accent": 40}


def find_protocol(name: str, kind: Kind, corpus: str) -> Protocol:
    """The protocol called `name` for a corpus of `kind`.

    Raises:
        InputError: there is none; the message suggests another one.
    """
    if protocol := PROTOCOLS.get((name, kind)):
        if name == "paper" and corpus in _PAPER_WINDOW_FRAMES:
            return protocol.model_copy(update={"window_frames": _PAPER_WINDOW_FRAMES[corpus], "rest_kept": False})
        return protocol
    raise InputError(f"no protocol named {name!r}; {suggest(name, sorted({known for known, _ in PROTOCOLS}))}")


def window_lengths(protocol: Protocol, length: int) -> list[int]:
    """The number of frames in each window of a signal of `length` samples or points; empty if it has no frame."""
    frames = frame_count(protocol, length)
    if protocol.window_frames is None:
        return [frames] if frames else []
    whole, rest = divmod(frames, protocol.window_frames)
    return [protocol.window_frames] * whole + ([rest] if rest and protocol.rest_kept else [])


def frame_count(protocol: Protocol, length: int) -> int:
    """The number of frames of a signal of `length` samples or points."""
    return length // protocol.frame_size if protocol.kind == "speech" else max(length - 1, 0)


@dataclass(frozen=True)
class Framing:
    """A protocol with its normalisation constants: everything that turns a signal into frames and back.

    Attributes:
        protocol: the rules.
        mean: value that is subtracted, one for each channel (samples; or dx and dy).
        std: value to divide by, one for each channel.
    """

    protocol: Protocol
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, protocol: Protocol, manifest: Manifest) -> "Framing":
        """Compute the constants from the exact moments of the training split.

        Raises:
            InputError: the training split is empty or constant.
        """
        by_sequence = protocol.split_column == "split_by_sequence"
        moments = manifest.train_moments_by_sequence if by_sequence else manifest.train_moments
        if moments.count == 0 or min(moments.std) == 0.0:
            raise InputError(
                f"{manifest.corpus}: the training split is empty or constant, which cannot be normalised; "
                "prepare more data"
            )
        if protocol.normalisation == "per_channel":
            sign = -1.0 if protocol.flip_y else 1.0
            mean = (moments.mean[0], *(sign * value for value in moments.mean[1:]))
            return cls(protocol, mean, moments.std)
        return cls(protocol, *_shared_integer(moments, flip_y=protocol.flip_y))

    def frames(self, signal: Signal, noise: np.random.Generator | None) -> Frames:
        """The frames of a signal, `[T, frame_size]`.

        Args:
            signal: samples or points.
            noise: generator of the dequantisation noise; used only if the protocol dequantises.
        """
        if isinstance(signal, Ink):
            return self._pen_frames(signal, noise)
        count = frame_count(self.protocol, len(signal))
        values = self._dequantised(signal[: count * self.protocol.frame_size], noise)
        normal = (values - self.mean[0]) / self.std[0]
        return normal.astype(np.float32).reshape(count, self.protocol.frame_size)

    def _pen_frames(self, ink: Ink, noise: np.random.Generator | None) -> Frames:
        offsets = np.stack([np.diff(ink.x), np.diff(ink.y) * (-1 if self.protocol.flip_y else 1)], axis=1)
        normal = (self._dequantised(offsets, noise) - np.array(self.mean)) / np.array(self.std)
        return np.concatenate([normal, ink.pen_up[1:, None]], axis=1).astype(np.float32)

    def _dequantised(
        self, values: npt.NDArray[np.integer], noise: np.random.Generator | None
    ) -> npt.NDArray[np.float64]:
        exact = values.astype(np.float64)
        if not self.protocol.dequantise:
            return exact
        assert noise is not None, "this protocol dequantises and needs a generator of noise"
        return exact + noise.uniform(-0.5, 0.5, size=values.shape)

    def denormalise(self, frames: Frames) -> npt.NDArray[np.float64]:
        """Undo the normalisation of frames `[T, frame_size]`.

        Returns:
            Speech: the waveform `[T * frame_size]` in units of int16. Pen: (dx, dy, pen up) `[T, 3]` with y downward.
        """
        if self.protocol.kind == "speech":
            return frames.astype(np.float64).reshape(-1) * self.std[0] + self.mean[0]
        result = frames.astype(np.float64)
        result[:, :2] = result[:, :2] * np.array(self.std) + np.array(self.mean)
        if self.protocol.flip_y:
            result[:, 1] *= -1
        return result


def _shared_integer(moments: Moments, *, flip_y: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """The mean and standard deviation of the code released for IAM-OnDB, the same for both axes."""
    dx, dy = moments.sums
    # Both axes' sum over the number of points (not of values), by integer division: as the paper's code does it.
    mean = (dx - dy if flip_y else dx + dy) // moments.count
    std = math.sqrt(sum(moments.sums_of_squares) / moments.count - mean**2)
    return (float(mean), float(mean)), (std, std)
