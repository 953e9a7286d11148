"""The latent of a model over one real sequence: `latent.json`, next to the samples of a trial.

Chung et al. (2015), section 5.2 and figure 1: the divergence of the posterior from the prior at each frame, and how far
the posterior's mean moved since the frame before. The report shows both above the waveform and its phones.
"""

import numpy as np

from benchmarks.samples.generation import Generator
from benchmarks.samples.recordings import Recordings, Values
from benchmarks.samples.sound import SAMPLE_RATE
from benchmarks.schema.samples import LatentPath, Segment
from pipelines.runtime.storage import Location
from vrnn.training import Checkpoint

__all__ = ["write_latent_path"]

_DIGITS = 6


def write_latent_path(
    target: Location,
    checkpoint: Checkpoint,
    generator: Generator,
    real: Recordings,
    position: int,
    frames: int,
    file: str,
) -> None:
    """Write the latent path over the first `frames` frames of a real sequence, unless a value is not finite.

    Args:
        target: the directory.
        checkpoint: the model.
        generator: of the same model; its seed is that of the latents.
        real: the recordings that contain the sequence.
        position: of the sequence.
        frames: the most frames to include.
        file: the sample that shows the same frames.

    Raises:
        StudyError: the model has no latent.
    """
    kl, mean = generator.latent_path(real, position, frames)
    if not (np.isfinite(kl).all() and np.isfinite(mean).all()):
        return
    protocol = checkpoint.framing.protocol
    speech = protocol.kind == "speech"
    path = LatentPath(
        kind=protocol.kind,
        source=real.source.ids[position],
        file=file,
        frame_size=protocol.frame_size if speech else 1,
        sample_rate=SAMPLE_RATE if speech else None,
        kl_nats=_rounded(kl),
        mean_change=(None, *_rounded(np.square(np.diff(mean, axis=0)).sum(axis=1))),
        segments=_phones(real, position, len(kl) * protocol.frame_size) if speech else (),
    )
    (target / LatentPath.file_name).write_bytes(path.to_bytes())


def _rounded(values: Values) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def _phones(real: Recordings, position: int, length: int) -> tuple[Segment, ...]:
    """The phones within the first `length` samples of the sequence, if the corpus labels them."""
    start = real.source.start(position)
    found: list[Segment] = []
    for line in real.source.attributes(position).get("phones", "").splitlines():
        first, last, label = line.split()
        begin, end = max(int(first) - start, 0), min(int(last) - start, length)
        if begin < end:
            found.append((begin, end, label))
    return tuple(found)
