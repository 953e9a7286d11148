"""Lhotse: one FLAC file for each sequence, and manifests for lhotse's `RecordingSet` and `SupervisionSet`.

Paths are relative to the export's directory. Lhotse resolves them against the working directory;
`RecordingSet.from_file(...).with_path_prefix(DIR)` reads them from anywhere. The manifests follow lhotse's
documentation, "Recording manifest" and "Supervision manifest".
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

_STANDARD = ("id", "speaker", "transcript", "length", "sample_rate")
"""Columns for which a recording or a supervision has fields of its own."""


class Lhotse:
    """`SPLIT/recordings.jsonl.gz`, `SPLIT/supervisions.jsonl.gz` and `SPLIT/audio/SHARD/ID.flac`."""

    name = "lhotse"
    kinds: tuple[Kind, ...] = ("speech",)

    def write(self, source: SplitSource, out: Location) -> None:
        """Write the FLAC files, and the manifests, which appear once all FLAC files are written."""
        with (
            _gzip_writer(out / source.split / "recordings.jsonl.gz") as recordings,
            _gzip_writer(out / source.split / "supervisions.jsonl.gz") as supervisions,
        ):
            for number, file in enumerate(source.files):
                for sequence in source.sequences(file):
                    path = f"{source.split}/audio/{number:05d}/{file_key(sequence.id)}.flac"
                    (out / path).write_bytes(encode_flac(sequence.pcm, source.sample_rate))
                    recordings.write(_line(_recording(sequence, source.sample_rate, path)))
                    supervisions.write(_line(_supervision(source, sequence)))

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Do nothing: there is no file for all splits."""


@contextmanager
def _gzip_writer(place: Location) -> Iterator[gzip.GzipFile]:
    # Without a name and a time, equal content gives equal bytes.
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
    fields = {
        "id": sequence.id,
        "recording_id": sequence.id,
        "start": 0.0,
        "duration": len(sequence.pcm) / source.sample_rate,
        "channel": 0,
        "text": sequence.row["transcript"],
        "speaker": sequence.row["speaker"],
        "custom": {name: value for name, value in describe(source, sequence).items() if name not in _STANDARD},
    }
    return {name: value for name, value in fields.items() if value is not None}
