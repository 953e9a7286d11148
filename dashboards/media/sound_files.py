"""Encodes sounds for the browser: FLAC, which is lossless, or OGG Vorbis, which is a fifth of the size.

libsndfile takes the serial number of an OGG stream from the clock. It is set to 0 here, and the checksum of each OGG
page is recomputed (RFC 3533, section 6), so that the same sound gives the same bytes.
"""

import io
from typing import Literal

import numpy as np
import soundfile

from dashboards.media.loudness import Sound

__all__ = ["Container", "encode"]

Container = Literal["flac", "ogg"]

_SERIAL, _CHECKSUM, _SEGMENTS = slice(14, 18), slice(22, 26), 26
_POLYNOMIAL = 0x04C11DB7


def encode(sound: Sound, container: Container) -> bytes:
    """The bytes of a file: 16-bit FLAC, or OGG Vorbis at the default quality of libsndfile."""
    buffer = io.BytesIO()
    if container == "ogg":
        soundfile.write(buffer, sound.signal, sound.rate, format="OGG", subtype="VORBIS")
        return _without_serial(buffer.getvalue())
    pcm = np.rint(sound.signal * 2**15).astype(np.int16)
    soundfile.write(buffer, pcm, sound.rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _without_serial(stream: bytes) -> bytes:
    """An OGG stream with serial number 0 in every page."""
    pages: list[bytes] = []
    start = 0
    while start < len(stream):
        # A page is a header with a table of segment lengths, then the segments.
        count = stream[start + _SEGMENTS]
        body = start + _SEGMENTS + 1 + count
        end = body + sum(stream[start + _SEGMENTS + 1 : body])
        page = bytearray(stream[start:end])
        # The checksum is computed with its own field set to 0.
        page[_SERIAL] = page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(page).to_bytes(4, "little")
        pages.append(bytes(page))
        start = end
    return b"".join(pages)


def _remainder(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


# CRC-32 with the polynomial of OGG, a byte at a time.
_REMAINDERS = tuple(map(_remainder, range(256)))


def _checksum(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _REMAINDERS[(value >> 24) ^ byte]
    return value
