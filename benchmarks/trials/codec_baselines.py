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

from benchmarks.store.mlflow_sync import Kept
from benchmarks.store.records import load_record, record_of_reference, write_record
from benchmarks.suites.suite import Reference, Suite
from benchmarks.trials.trial import SCORES, Outcome, keep_outcome, load_outcome
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing, Protocol
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet

__all__ = ["REFERENCES", "flac", "perform_reference"]

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


def perform_reference(suite: Suite, reference: Reference) -> Kept:
    """Score a reference of a suite and keep the result, unless it is kept already.

    Raises:
        InputError: the shards are missing or damaged.
    """
    directory = Location(suite.runs).absolute / suite.study / f"{reference.name.replace('/', '-')}-{reference.key}"
    record, outcome = load_record(directory), load_outcome(directory)
    if record is not None and outcome is not None and outcome.identity == record.identity == reference.key:
        return Kept(record, outcome, directory)
    shards = ShardSet(Location(reference.corpus.shards))
    record = record_of_reference(suite, reference, shards)
    split = assign_roles(shards, reference.protocol).report_split
    with tempfile.TemporaryDirectory() as artifacts:
        table = REFERENCES[reference.model](shards, reference.protocol, split)
        table.to_parquet(Path(artifacts) / SCORES, index=False)
        bits = -math.fsum(table["nats"]) / (float(table["samples"].sum()) * math.log(2))
        outcome = Outcome(record.identity, {f"{split}/code_bits_per_sample": bits})
        write_record(directory, record)
        keep_outcome(directory, outcome, Path(artifacts))
    return Kept(record, outcome, directory)
