"""References that need no training: what a lossless coder makes of the very samples that models are scored on.

A code of b bits is a probability of 2^-b, so that a coder's row stands among the masses, in the same unit, and its bits
per sample are what a model has to beat to have learned anything that a coder does not know.
"""

import io
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

from benchmarks.schema.suite import Suite
from benchmarks.schema.trial import Outcome
from benchmarks.store.results import SCORES, StoredTrial, read_trial, write_file, write_outcome
from benchmarks.suites.suite import Reference
from benchmarks.trials.record import record_of_reference
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing, Protocol
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet

__all__ = ["REFERENCES", "flac", "score_reference"]

_MAGIC_BYTES, _BLOCK_HEADER_BYTES, _LAST_BLOCK = 4, 4, 0x80


def flac(shards: ShardSet, protocol: Protocol, split: str) -> pd.DataFrame:
    """FLAC at its highest compression; each scored sequence or window is a stream of its own, metadata left out.

    Returns:
        A table as `benchmarks.scoring.score.score` makes, with the estimator `code`: minus the code length in nats.
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


def score_reference(suite: Suite, reference: Reference) -> StoredTrial:
    """Score a codec baseline of a suite, unless its result is on disk.

    Raises:
        InputError: the shards are missing or damaged.
    """
    directory = Location(suite.runs).absolute / suite.study / f"{reference.name.replace('/', '-')}-{reference.key}"
    done = read_trial(directory)
    if done is not None and done.record.identity == reference.key:
        return done
    shards = ShardSet(Location(reference.corpus.shards))
    split = assign_roles(shards, reference.protocol).report_split
    with tempfile.TemporaryDirectory() as artifacts:
        table = REFERENCES[reference.model](shards, reference.protocol, split)
        table.to_parquet(Path(artifacts) / SCORES, index=False)
        bits = -math.fsum(table["nats"]) / (float(table["samples"].sum()) * math.log(2))
        write_file(directory, record_of_reference(suite, reference, shards))
        outcome = Outcome(identity=reference.key, metrics={f"{split}/code_bits_per_sample": bits})
        write_outcome(directory, outcome, Path(artifacts))
    done = read_trial(directory)
    assert done is not None, "the result was written just now"
    return done
