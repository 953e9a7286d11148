"""What the header of a sound file states, read independently of the decoder, so that it can be checked.

libsndfile repairs what it can: a WAV file whose data chunk is cut short decodes to the rest without an error. Therefore
the length in a RIFF, RF64, AIFF or MP3 (Xing) header is read here and compared with the file. A length that the writer
left open, as for a stream (0 or the largest number), states nothing.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipelines.errors import RejectedSourceError

__all__ = ["StatedLength", "flac_md5", "read_stated_length", "sphere_header"]

_HEAD_BYTES = 65536
_MAX_CHUNKS = 4096
_OPEN_LENGTHS = {0, 0xFFFFFFFF, 0x7FFFFFFF, 2**64 - 1}
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG_1 = 3


@dataclass(frozen=True)
class StatedLength:
    """The length that a header states.

    Attributes:
        missing_bytes: how many of the stated bytes of sound are beyond the end of the file.
        frames: the stated samples of each channel, if only decoding can check them; else None.
        tolerance: by how many samples `frames` may exceed the decoded ones (an encoder's delay and padding).
    """

    missing_bytes: int = 0
    frames: int | None = None
    tolerance: int = 0


def read_stated_length(source: BinaryIO) -> StatedLength:
    """Read the length that the header of `source` states; unknown formats state nothing. The position changes.

    Raises:
        RejectedSourceError: the header states no channels or a rate of 0.
    """
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    head = source.read(16)
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return _riff_length(source, size)
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return _aiff_length(source, size)
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return _mp3_length(source, _after_id3(head))
    return StatedLength()


def _chunks(source: BinaryIO, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of an IFF file: name, stated length, position of the content."""
    place = 12
    for _ in range(_MAX_CHUNKS):
        source.seek(place)
        head = source.read(8)
        if len(head) < 8 or place >= size:
            return
        name, length = struct.unpack(f"{order}4sI", head)
        yield name, length, place + 8
        place += 8 + length + length % 2


def _riff_length(source: BinaryIO, size: int) -> StatedLength:
    long_data = None
    for name, length, place in _chunks(source, size, "<"):
        if name == b"ds64":
            source.seek(place)
            long_data = struct.unpack("<QQ", source.read(16).ljust(16, b"\0"))[1]
        elif name == b"fmt ":
            source.seek(place)
            channels, rate = struct.unpack("<HI", source.read(8).ljust(8, b"\0")[2:])
            _check_form(channels, rate)
        elif name == b"data":
            # RF64 keeps a length beyond 32 bits in its ds64 chunk.
            stated = long_data if length == 0xFFFFFFFF and long_data is not None else length
            return StatedLength() if stated in _OPEN_LENGTHS else StatedLength(max(0, place + stated - size))
    return StatedLength()


def _aiff_length(source: BinaryIO, size: int) -> StatedLength:
    for name, length, place in _chunks(source, size, ">"):
        if name == b"COMM":
            source.seek(place)
            channels = struct.unpack(">H", source.read(2).ljust(2, b"\0"))[0]
            _check_form(channels, rate=1)
        elif name == b"SSND":
            return StatedLength() if length in _OPEN_LENGTHS else StatedLength(max(0, place + length - size))
    return StatedLength()


def _check_form(channels: int, rate: int) -> None:
    if channels == 0:
        raise RejectedSourceError("zero_channels", "the header states no channels")
    if rate == 0:
        raise RejectedSourceError("sample_rate", "the header states a rate of 0 Hz")


def _after_id3(head: bytes) -> int:
    """The position after an ID3 tag, whose length has seven bits in each byte; 0 if there is no tag."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _mp3_length(source: BinaryIO, start: int) -> StatedLength:
    """The frames that a Xing or Info header counts; an MP3 without one states no length."""
    source.seek(start)
    head = source.read(_HEAD_BYTES)
    # The first MPEG frame holds the Xing header: find it by its sync bits and a valid version, layer and rate.
    at = head.find(b"\xff")
    while 0 <= at < len(head) - 200:
        version, layer = head[at + 1] >> 3 & 3, head[at + 1] >> 1 & 3
        if head[at + 1] >= 0xE0 and layer == 1 and version in _MP3_RATES and head[at + 2] >> 2 & 3 < 3:
            return _xing_length(head[at : at + 200], mpeg1=version == _MPEG_1)
        at = head.find(b"\xff", at + 1)
    return StatedLength()


def _xing_length(frame: bytes, *, mpeg1: bool) -> StatedLength:
    mono = frame[3] >> 6 == 3
    # The tag follows the frame's 4 header bytes and its side information.
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = frame[4 + side : 16 + side]
    if tag[:4] not in {b"Xing", b"Info"} or not tag[7] & 1:
        return StatedLength()
    samples = 1152 if mpeg1 else 576
    return StatedLength(frames=struct.unpack(">I", tag[8:12])[0] * samples, tolerance=4 * samples)


def flac_md5(head: bytes) -> str | None:
    """The MD5 of the decoded samples that a FLAC file's first block states; None if it states none."""
    start = _after_id3(head)
    block = head[start : start + 42]
    if block[:4] != b"fLaC" or len(block) < 42 or block[4] & 0x7F or not any(block[26:42]):
        return None
    return block[26:42].hex()


def sphere_header(head: bytes) -> dict[str, str]:
    """The fields of a NIST SPHERE header: lines `key -type value` up to `end_head`.

    Raises:
        RejectedSourceError: the header does not end, or one of its lines is malformed.
    """
    text, found, _ = head[:_HEAD_BYTES].partition(b"\nend_head")
    if not found:
        raise RejectedSourceError("sphere_header", "the SPHERE header has no end_head line")
    fields: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines()[2:]:
        if line.strip() and not line.startswith(";"):
            parts = line.split(maxsplit=2)
            if len(parts) != 3:
                raise RejectedSourceError("sphere_header", f"SPHERE header line {line!r} is not `key -type value`")
            fields[parts[0]] = parts[2]
    return fields
