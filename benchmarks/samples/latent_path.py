"""What a model's latent does along one real sequence: `latent.json`, beside the samples of a trial.

Chung et al. (2015), section 5.2 and figure 1: at each frame the divergence of the posterior from the prior, and how far
the posterior's mean moved since the frame before, to be seen above what is said there.
"""

import json

import numpy as np

from benchmarks.samples.generation import Generator
from benchmarks.samples.passages import Recordings, Values
from benchmarks.samples.sound import SAMPLE_RATE
from pipelines.runtime.storage import Location
from vrnn.training import Checkpoint

__all__ = ["LATENT", "write_latent"]

LATENT = "latent.json"
_VERSION = 1
_DIGITS = 6

Segment = tuple[int, int, str]


def write_latent(
    target: Location,
    checkpoint: Checkpoint,
    generator: Generator,
    real: Recordings,
    position: int,
    frames: int,
    file: str,
) -> None:
    """Write the path of the latent along the first `frames` frames of a real sequence, unless it is not finite.

    Args:
        target: the directory.
        checkpoint: the model.
        generator: of the same model; its seed is that of the latents.
        real: where the sequence is.
        position: of the sequence.
        frames: at most so many.
        file: the sample that shows the same frames.

    Raises:
        StudyError: the model has no latent.
    """
    kl, mean = generator.latent_path(real, position, frames)
    if not (np.isfinite(kl).all() and np.isfinite(mean).all()):
        return
    protocol = checkpoint.framing.protocol
    content = {
        "version": _VERSION,
        "kind": protocol.kind,
        "source": real.source.ids[position],
        "file": file,
        "frame_size": protocol.frame_size if protocol.kind == "speech" else 1,
        "sample_rate": SAMPLE_RATE if protocol.kind == "speech" else None,
        "kl_nats": _rounded(kl),
        "mean_change": [None, *_rounded(np.square(np.diff(mean, axis=0)).sum(axis=1))],
        "segments": _phones(real, position, len(kl) * protocol.frame_size) if protocol.kind == "speech" else [],
    }
    (target / LATENT).write_bytes(json.dumps(content).encode())


def _rounded(values: Values) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]


def _phones(real: Recordings, position: int, length: int) -> list[Segment]:
    """The phones, within the first `length` samples of the sequence, where the raw form has them."""
    start = real.source.start(position)
    found: list[Segment] = []
    for line in real.source.attributes(position).get("phones", "").splitlines():
        first, last, label = line.split()
        begin, end = max(int(first) - start, 0), min(int(last) - start, length)
        if begin < end:
            found.append((begin, end, label))
    return found
