"""From the bytes of a sound file to verified 16-bit samples, in memory that does not depend on the file's length.

The format is recognised by the bytes, not by the suffix: TIMIT's `.WAV` is SPHERE. libsndfile (soundfile) decodes block
by block, and soxr resamples as a stream (quality HQ: 20 bits, more than the 16 that are kept). torchaudio's resampler
needs the whole signal, and for odd ratios a huge kernel (gigabytes for 44,099 Hz); from 48 kHz it takes three times as
long, at a default quality that does not suppress aliases as well.

libsndfile repairs what it can and ignores most of a header. Therefore a file is compared with what its own header
states: the length in RIFF, AIFF, SPHERE, FLAC and Xing headers, SPHERE's sample_min and sample_max, FLAC's MD5.

A copy that went through a text-mode transfer decodes without an error, but its samples are wrong. A conversion of line
endings leaves a trace: one of the bytes CR and LF never occurs, although its neighbours are common. Length and extremes
may still match: of the twenty altered files in one circulating copy, nine pass the three checks of the header.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from pipelines.decode.headers import StatedLength, flac_md5, read_stated_length, sphere_header
from pipelines.errors import RejectedSourceError
from pipelines.signals import Pcm

__all__ = ["decode_audio"]

_INT16 = np.iinfo(np.int16)
_LINE_ENDINGS = {"carriage return": 0x0D, "line feed": 0x0A}
_MIN_NEIGHBOURS = 40
_MIN_RATE, _MAX_RATE = 2_000, 768_000
_MAX_CHANNELS = 64
_MAX_SECONDS = 100 * 3600
_BLOCK_VALUES = 2**20
_HEAD_BYTES = 65536
_SEARCH_BYTES = 2**16
_EMPTY = np.zeros(0, dtype=np.float32)
_NATIVE_TYPES = (
    dict.fromkeys(("PCM_16", "PCM_S8", "PCM_U8"), np.dtype(np.int16))
    | dict.fromkeys(("PCM_24", "PCM_32"), np.dtype(np.int32))
    | dict.fromkeys(
        ("FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"), np.dtype(np.float32)
    )
)
"""The types that libsndfile decodes to without a conversion; all other subtypes are read as float64."""
_FLAC_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}

Block = npt.NDArray[Any]  # [N, channels]: int16, int32, float32 or float64


def decode_audio(source: BinaryIO, sample_rate: int) -> Iterator[Pcm]:
    """Decode, verify, mix to one channel and resample.

    Sixteen-bit mono sound at `sample_rate` is returned bit for bit. Values beyond full scale are clipped.

    Args:
        source: the file, open for reading and seeking. libsndfile reads a file of the operating system by itself, and
            any other file through this object, which must not have a `name`: soundfile would go by its suffix.
        sample_rate: rate of the returned samples, in Hz.

    Yields:
        The samples in blocks, `[N]` each, int16. They are verified only when the iterator has ended.

    Raises:
        RejectedSourceError: the content is not sound, is damaged, or contradicts its own header.
    """
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    if not head:
        raise RejectedSourceError("empty_file", "the file holds no bytes")
    stated = read_stated_length(source)
    if stated.missing_bytes:
        raise RejectedSourceError(
            "truncated", f"the header states {stated.missing_bytes} bytes of sound more than the file has"
        )
    source.seek(0)
    with _sound_file(source) as file:
        if not _MIN_RATE <= file.samplerate <= _MAX_RATE:
            message = f"a rate of {file.samplerate} Hz is not from {_MIN_RATE} to {_MAX_RATE}"
            raise RejectedSourceError("sample_rate", message)
        if file.channels > _MAX_CHANNELS:
            raise RejectedSourceError("channels", f"{file.channels} channels are more than {_MAX_CHANNELS}")
        checks = _Checks(file, head, stated)
        convert = _Converter(file.samplerate, sample_rate)
        for block in _blocks(file):
            checks.update(block)
            yield convert(block)
        checks.finish()
        yield convert.flush()
        if not convert.count:
            raise RejectedSourceError("no_samples", f"too short to hold a sample at {sample_rate} Hz")


@contextlib.contextmanager
def _sound_file(source: BinaryIO) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(_descriptor(source) or source) as file:
            yield file
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = getattr(error, "error_string", error)
        raise RejectedSourceError("undecodable", f"libsndfile cannot read it: {reason}") from error


def _descriptor(source: BinaryIO) -> int | None:
    """A new descriptor of an operating-system file, at the file's beginning; None for a file in memory."""
    try:
        descriptor = os.dup(source.fileno())
    except OSError:
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _blocks(file: soundfile.SoundFile) -> Iterator[Block]:
    """Read to the real end in blocks, whatever length the header states."""
    dtype: Any = _NATIVE_TYPES.get(file.subtype, np.dtype(np.float64))
    count = _BLOCK_VALUES // file.channels
    total = 0
    while len(block := file.read(count, dtype=dtype.name, always_2d=True)):
        total += len(block)
        if total > _MAX_SECONDS * file.samplerate:
            raise RejectedSourceError("too_long", f"it decodes to more than {_MAX_SECONDS // 3600} hours")
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise RejectedSourceError("not_finite", "the file holds samples that are not finite")
        yield block


class _Checks:
    """The comparison of decoded samples with the header, block by block."""

    def __init__(self, file: soundfile.SoundFile, head: bytes, stated: StatedLength) -> None:
        self._stated = stated
        self._sphere = sphere_header(head) if head.startswith(b"NIST_1A") else {}
        is_flac = file.format == "FLAC"
        # FLAC has 36 bits for the length and writes 0 for an unknown one; libsndfile then reports a larger number.
        if is_flac and 0 < file.frames < 2**36:
            self._stated = StatedLength(frames=file.frames)
        self._md5 = flac_md5(head) if is_flac and file.subtype in _FLAC_BITS else None
        self._bits = _FLAC_BITS.get(file.subtype, 16)
        self._digest = hashlib.md5(usedforsecurity=False)
        self._bytes = np.zeros(256, dtype=np.int64)
        self._extremes: tuple[int, int] | None = None
        self._count = 0

    def update(self, block: Block) -> None:
        self._count += len(block)
        if self._md5 is not None:
            # FLAC's MD5 covers interleaved little-endian samples, in as few bytes as the bits need.
            width = block.dtype.itemsize
            values = np.ascontiguousarray(block >> (8 * width - self._bits)).astype(f"<i{width}", copy=False)
            self._digest.update(values.reshape(-1, 1).view(np.uint8)[:, : self._bits // 8].tobytes())
        if block.dtype == np.int16:
            self._count_bytes(block)
            if self._sphere:
                low, high = int(block.min()), int(block.max())
                before = self._extremes or (low, high)
                self._extremes = (min(low, before[0]), max(high, before[1]))

    def _count_bytes(self, block: Block) -> None:
        values = block.astype("<i2", copy=False).view(np.uint8).ravel()
        for start in range(0, len(values), _SEARCH_BYTES):
            # In real sound both line-ending bytes occur soon, and the search ends there.
            if all(self._bytes[byte] for byte in _LINE_ENDINGS.values()):
                return
            self._bytes += np.bincount(values[start : start + _SEARCH_BYTES], minlength=256)

    def finish(self) -> None:
        if self._count == 0:
            raise RejectedSourceError("no_samples", "the file decodes to no samples")
        frames = self._stated.frames
        if frames is not None and self._count < frames - self._stated.tolerance:
            raise RejectedSourceError("truncated", f"the header states {frames} samples, decoded {self._count}")
        self._check_line_endings()
        self._check_sphere()
        if self._md5 is not None and self._digest.hexdigest() != self._md5:
            raise RejectedSourceError("md5", f"FLAC states MD5 {self._md5}, decoded {self._digest.hexdigest()}")

    def _check_line_endings(self) -> None:
        neighbours = int(min(self._bytes[[0x0B, 0x0C, 0x0E, 0x0F]]))
        for name, byte in _LINE_ENDINGS.items():
            if self._bytes[byte] == 0 and neighbours >= _MIN_NEIGHBOURS:
                raise RejectedSourceError(
                    "line_endings",
                    f"no {name} byte (0x{byte:02X}) in the samples, although its neighbours occur {neighbours} times "
                    "or more: line endings were converted; copy it again in binary mode",
                )

    def _check_sphere(self) -> None:
        actual = {"sample_count": self._count}
        if self._extremes is not None:
            actual |= {"sample_min": self._extremes[0], "sample_max": self._extremes[1]}
        for field, value in actual.items():
            stated = self._sphere.get(field)
            if stated is not None and stated.strip() != str(value):
                raise RejectedSourceError(field, f"the SPHERE header states {field} {stated}, decoded {value}")


class _Converter:
    """Converts blocks of any form to 16-bit mono samples at the wanted rate; `count` counts them."""

    def __init__(self, rate: int, sample_rate: int) -> None:
        self._stream: Any = None
        if rate != sample_rate:
            self._stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
        self.count = 0

    def __call__(self, block: Block) -> Pcm:
        if self._stream is None and block.dtype == np.int16 and block.shape[1] == 1:
            return self._counted(block[:, 0].astype(np.int16, copy=False))
        mono = _mono(block)
        return self._counted(_to_int16(mono if self._stream is None else self._stream.resample_chunk(mono)))

    def flush(self) -> Pcm:
        """The samples that the resampler still holds."""
        held = _EMPTY if self._stream is None else self._stream.resample_chunk(_EMPTY, last=True)
        return self._counted(_to_int16(held))

    def _counted(self, samples: Pcm) -> Pcm:
        self.count += len(samples)
        return samples


def _mono(block: Block) -> npt.NDArray[np.float32]:
    """The mean of the channels, in units of int16."""
    total = block[:, 0].astype(np.float64 if block.dtype.itemsize > 4 else np.float32)
    # Channel by channel, since numpy's mean is slow over a short axis.
    for channel in range(1, block.shape[1]):
        total += block[:, channel]
    full_scale = {"i2": 1.0, "i4": 2.0**-16}.get(block.dtype.str[1:], 2.0**15)
    return (total * (full_scale / block.shape[1])).astype(np.float32, copy=False)


def _to_int16(values: npt.NDArray[np.float32]) -> Pcm:
    return np.clip(np.rint(values), _INT16.min, _INT16.max).astype(np.int16)
