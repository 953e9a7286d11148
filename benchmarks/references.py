"""References that need no training: what a lossless coder makes of the very samples that models are scored on.

A code of b bits is a probability of 2^-b, so that a coder's row stands among the masses, in the same unit, and its bits
per sample are what a model has to beat to have learned anything that a coder does not know.
"""

import io
import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

from pipelines.batches import FrameSource
from pipelines.protocol import Framing, Protocol
from pipelines.roles import split_rows
from pipelines.shard_set import ShardSet

__all__ = ["REFERENCES", "flac"]

_MAGIC_BYTES, _BLOCK_HEADER_BYTES, _LAST_BLOCK = 4, 4, 0x80


def flac(shards: ShardSet, protocol: Protocol, split: str) -> pd.DataFrame:
    """FLAC at its highest compression; each scored sequence or window is a stream of its own, metadata left out.

    Returns:
        A table as `benchmarks.scoring.score` makes, with the estimator `code`: minus the code length in nats.
    """
    source = FrameSource(shards, Framing.fit(protocol, shards.manifest), split_rows(shards, protocol, (split,)))
    samples = source.lengths * protocol.frame_size
    sample_rate = shards.manifest.sample_rate
    assert sample_rate is not None, "FLAC codes sound"
    bits = [
        8 * _frames_bytes(np.asarray(source.signal(position))[:count], sample_rate)
        for position, count in enumerate(samples.tolist())
    ]
    table = pd.DataFrame({"id": source.ids, "frames": source.lengths, "samples": samples})
    whole = {"split": split, "estimator": "code", "num_samples": 1, "repeats": 1, "standard_error": 0.0}
    return table.assign(nats=-math.log(2) * np.array(bits), **whole).sort_values("id", ignore_index=True)


def _frames_bytes(signal: npt.NDArray[np.int16], sample_rate: int) -> int:
    """Bytes of the FLAC frames of a signal: the file without its magic number and metadata blocks."""
    stream = io.BytesIO()
    soundfile.write(stream, signal, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    content, place = stream.getvalue(), _MAGIC_BYTES
    while True:
        last = content[place] & _LAST_BLOCK
        place += _BLOCK_HEADER_BYTES + int.from_bytes(content[place + 1 : place + _BLOCK_HEADER_BYTES], "big")
        if last:
            return len(content) - place


REFERENCES: Mapping[str, Callable[[ShardSet, Protocol, str], pd.DataFrame]] = {"flac": flac}
"""The references by the name that a suite gives them; each is of speech."""
