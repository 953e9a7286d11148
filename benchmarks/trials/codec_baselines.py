"""Codec baselines: what lossless audio compression achieves on the samples that models are scored on.

A code of b bits corresponds to a probability of 2^-b, so a codec's score is comparable with those of models that give
probabilities to integers, in the same unit. A model that needs more bits a sample has learned less than a codec knows.
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
from benchmarks.suites.suite import CodecBaseline
from benchmarks.trials.record import record_of_codec
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing, Protocol
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet

__all__ = ["flac", "score_codec"]

_MAGIC_BYTES, _BLOCK_HEADER_BYTES, _LAST_BLOCK = 4, 4, 0x80


def flac(shards: ShardSet, protocol: Protocol, split: str) -> pd.DataFrame:
    """Score FLAC at its highest compression; each sequence or window is a stream of its own, without its metadata.

    Returns:
        A table like that of `benchmarks.scoring.score.score`, with the estimator `code`: minus the code length in nats.
    """
    source = FrameSource(shards, Framing.fit(protocol, shards.manifest), split_rows(shards, protocol, (split,)))
    samples = source.lengths * protocol.frame_size
    sample_rate = shards.manifest.sample_rate
    assert sample_rate is not None, "codec baselines are for speech"
    bits = [
        8 * _frames_bytes(np.asarray(source.signal(position))[:count], sample_rate)
        for position, count in enumerate(samples.tolist())
    ]
    table = pd.DataFrame({"id": source.ids, "frames": source.lengths, "samples": samples})
    whole = {"split": split, "estimator": "code", "num_samples": 1, "repeats": 1, "standard_error": 0.0}
    return table.assign(nats=-math.log(2) * np.array(bits), **whole).sort_values("id", ignore_index=True)


def _frames_bytes(signal: npt.NDArray[np.int16], sample_rate: int) -> int:
    """Bytes of a signal's FLAC file without its magic number and metadata blocks."""
    stream = io.BytesIO()
    soundfile.write(stream, signal, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    content, offset = stream.getvalue(), _MAGIC_BYTES
    while True:
        # A metadata block: a byte of type, whose top bit marks the last block, three bytes of length, and the content.
        is_last = content[offset] & _LAST_BLOCK
        offset += _BLOCK_HEADER_BYTES + int.from_bytes(content[offset + 1 : offset + _BLOCK_HEADER_BYTES], "big")
        if is_last:
            return len(content) - offset


_CODECS: Mapping[str, Callable[[ShardSet, Protocol, str], pd.DataFrame]] = {"flac": flac}
"""The codecs by their names in a suite's `references`; all are for speech."""


def score_codec(suite: Suite, baseline: CodecBaseline) -> StoredTrial:
    """Score a codec baseline of a suite, unless its result is on disk.

    Raises:
        InputError: the shards are missing or damaged.
    """
    directory = Location(suite.runs).absolute / suite.study / f"{baseline.name.replace('/', '-')}-{baseline.key}"
    done = read_trial(directory)
    if done is not None and done.record.identity == baseline.key:
        return done
    shards = ShardSet(Location(baseline.corpus.shards))
    split = assign_roles(shards, baseline.protocol).report_split
    with tempfile.TemporaryDirectory() as artifacts:
        table = _CODECS[baseline.model](shards, baseline.protocol, split)
        table.to_parquet(Path(artifacts) / SCORES, index=False)
        bits = -math.fsum(table["nats"]) / (float(table["samples"].sum()) * math.log(2))
        write_file(directory, record_of_codec(suite, baseline, shards))
        outcome = Outcome(identity=baseline.key, metrics={f"{split}/code_bits_per_sample": bits})
        write_outcome(directory, outcome, Path(artifacts))
    done = read_trial(directory)
    assert done is not None, "the result was written just now"
    return done
