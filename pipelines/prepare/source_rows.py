"""From a source item to the rows of a shard: read, hash, decode, verify, cut.

A recording longer than `PART_SAMPLES` becomes several rows, so that no row outgrows a row group. Decoded samples beyond
`SPOOL_BYTES` go to a temporary file, so that memory does not depend on a file's length, and no row is written before
the whole file is verified.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import numpy as np

from pipelines.corpora.base import Options, SourceItem
from pipelines.decode.audio import decode_audio
from pipelines.decode.ink import decode_ink
from pipelines.errors import RejectedSourceError
from pipelines.runtime.storage import Location
from pipelines.shards.columns import Row, make_row

__all__ = ["PART_SAMPLES", "decode_item"]

PART_SAMPLES = 24_000 * 200
"""Five minutes at 16 kHz, and a whole number of frames, so that cutting loses none."""

SPOOL_BYTES = 64 * 2**20
_WHOLE_FILE_BYTES = 64 * 2**20
_READ_BYTES = 4 * 2**20
_MAX_INK_BYTES = 64 * 2**20


def decode_item(raw: Location, item: SourceItem, sample_rate: int | None, options: Options) -> Iterator[Row]:
    """The rows of one source item; the first one comes after the whole item is verified.

    Args:
        raw: the raw root.
        item: the source item, below the raw root.
        sample_rate: rate to decode to, in Hz; None for pen.
        options: the corpus's options; pen coordinates are multiplied by `scale`.

    Raises:
        RejectedSourceError: the item cannot be used.
        OSError: an object store failed; another attempt may succeed.
    """
    with _opened(raw / item.file.path, item) as source:
        hashed = hashlib.sha256()
        while block := source.read(_READ_BYTES):
            hashed.update(block)
        digest = hashed.hexdigest()
        source.seek(0)
        if sample_rate is not None:
            yield from _sound_rows(source, item, sample_rate, digest)
            return
        content = source.read(_MAX_INK_BYTES + 1)
        if len(content) > _MAX_INK_BYTES:
            raise RejectedSourceError("too_large", f"more than {_MAX_INK_BYTES // 2**20} MiB for one drawing")
        yield make_row(item, decode_ink(content, int(options.get("scale", 1))), digest)


@contextlib.contextmanager
def _opened(place: Location, item: SourceItem) -> Iterator[BinaryIO]:
    try:
        with Path(place.path).open("rb") if place.is_local else place.open() as opened:
            file = cast(Any, opened)
            # One request for a small object is faster than many; a long local file is read as it is decoded.
            if item.length is not None or (not place.is_local and item.bytes <= _WHOLE_FILE_BYTES):
                file.seek(item.start)
                yield io.BytesIO(file.read(item.length))
            else:
                yield file if place.is_local else io.BufferedReader(file, _READ_BYTES)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise RejectedSourceError("unreadable", f"cannot be read: {type(error).__name__}") from error
    except OSError as error:
        # A failing store says nothing about the file; a failing read of a local file does.
        if not place.is_local:
            raise
        raise RejectedSourceError("unreadable", f"cannot be read: {error.strerror or error}") from error


def _sound_rows(source: BinaryIO, item: SourceItem, sample_rate: int, digest: str) -> Iterator[Row]:
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        for block in decode_audio(source, sample_rate):
            spool.write(block.tobytes())
        length = spool.tell() // np.dtype(np.int16).itemsize
        spool.seek(0)
        for offset in range(0, length, PART_SAMPLES):
            samples = np.frombuffer(spool.read(2 * PART_SAMPLES), dtype=np.int16)
            part = offset // PART_SAMPLES if length > PART_SAMPLES else None
            yield make_row(item, samples, digest, part, offset)
