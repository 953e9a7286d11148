"""Lhotse: a FLAC file a sequence, and the manifests that lhotse's `RecordingSet` and `SupervisionSet` read.

Paths are relative to the export's directory, since lhotse takes a relative path from the working directory:
`RecordingSet.from_file(...).with_path_prefix(DIR)` reads them from anywhere. Manifest form: lhotse's documentation,
"Recording manifest" and "Supervision manifest".
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.export.source import Sequence, SplitSource, describe, encode_flac, file_key
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.signals import Kind

__all__ = ["Lhotse"]

_OWN = ("id", "speaker", "transcript", "length", "sample_rate")
"""What a recording or a supervision says in fields of its own."""


class Lhotse:
    """`SPLIT/recordings.jsonl.gz`, `SPLIT/supervisions.jsonl.gz` and `SPLIT/audio/SHARD/ID.flac`."""

    name = "lhotse"
    kinds: tuple[Kind, ...] = ("speech",)

    def write(self, source: SplitSource, out: Location) -> None:
        """Write the FLAC files, and the manifests that appear once all of them lie there."""
        here = out / source.split
        with (
            _lines(here / "recordings.jsonl.gz") as recordings,
            _lines(here / "supervisions.jsonl.gz") as supervisions,
        ):
            for number, file in enumerate(source.files):
                for sequence in source.sequences(file):
                    path = f"{source.split}/audio/{number:05d}/{file_key(sequence.id)}.flac"
                    (out / path).write_bytes(encode_flac(sequence.pcm, source.sample_rate))
                    recordings.write(_line(_recording(sequence, source.sample_rate, path)))
                    supervisions.write(_line(_supervision(source, sequence)))

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Nothing concerns all splits."""


@contextmanager
def _lines(place: Location) -> Iterator[gzip.GzipFile]:
    with place.atomic_writer() as stream, gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
        yield packed


def _line(content: dict[str, object]) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def _recording(sequence: Sequence, rate: int, path: str) -> dict[str, object]:
    samples = len(sequence.pcm)
    return {
        "id": sequence.id,
        "sources": [{"type": "file", "channels": [0], "source": path}],
        "sampling_rate": rate,
        "num_samples": samples,
        "duration": samples / rate,
        "channel_ids": [0],
    }


def _supervision(source: SplitSource, sequence: Sequence) -> dict[str, object]:
    facts = {
        "id": sequence.id,
        "recording_id": sequence.id,
        "start": 0.0,
        "duration": len(sequence.pcm) / source.sample_rate,
        "channel": 0,
        "text": sequence.row["transcript"],
        "speaker": sequence.row["speaker"],
        "custom": {name: value for name, value in describe(source, sequence).items() if name not in _OWN},
    }
    return {name: value for name, value in facts.items() if value is not None}
