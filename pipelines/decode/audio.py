"""From the bytes of a sound file to verified 16-bit samples, in memory that does not depend on its length.

What a file is, its bytes tell: TIMIT's `.WAV` is SPHERE. libsndfile (soundfile) decodes block by block, soxr resamples
as a stream (HQ: 20 bits, more than the 16 that are kept). torchaudio's resampler needs the whole signal and a kernel as
large as the ratio is odd (gigabytes for 44,099 Hz), and at its default quality, which lets aliases through, it takes
three times as long from 48 kHz.

libsndfile mends what it can and ignores most of a header, so a file is held against its own claims: the length that
RIFF, AIFF, SPHERE, FLAC and Xing headers state, SPHERE's sample_min and sample_max, FLAC's MD5. And a copy that went
through a text-mode transfer decodes without complaint but is wrong; so the samples are looked at for the trace that
line-ending conversion leaves: one of the bytes CR and LF never occurs, though its neighbours are common. (A
conversion may keep length and extremes: of the twenty altered files of one circulating copy, nine pass the
header's three checks.)
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

from pipelines.decode.headers import Claim, flac_md5, read_claim, sphere_header
from pipelines.errors import RejectedSourceError
from pipelines.signals import Pcm

__all__ = ["decode_audio"]

_INT16 = np.iinfo(np.int16)
_LINE_ENDINGS = {"carriage return": 0x0D, "line feed": 0x0A}
_ENOUGH_NEIGHBOURS = 40
_RATES = (2_000, 768_000)
_MOST_CHANNELS = 64
_MOST_SECONDS = 100 * 3600
_BLOCK_VALUES = 2**20
_HEAD_BYTES = 65536
_NOTHING = np.zeros(0, dtype=np.float32)
_LOOK_BYTES = 2**16
_NATIVE_TYPES = (
    dict.fromkeys(("PCM_16", "PCM_S8", "PCM_U8"), np.dtype(np.int16))
    | dict.fromkeys(("PCM_24", "PCM_32"), np.dtype(np.int32))
    | dict.fromkeys(
        ("FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"), np.dtype(np.float32)
    )
)
"""What libsndfile decodes to without a conversion; the rest is read as float64."""
_FLAC_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}

Block = npt.NDArray[Any]  # [N, channels]: int16, int32, float32 or float64


def decode_audio(source: BinaryIO, sample_rate: int) -> Iterator[Pcm]:
    """Decode, verify, mix to one channel and resample.

    Sixteen-bit mono material at `sample_rate` comes out bit for bit. Values beyond full scale are clipped.

    Args:
        source: the file, open for reading and seeking. libsndfile reads a file of the operating system by itself, and
            any other through this object, which must have no `name`: soundfile would believe its suffix.
        sample_rate: the rate to return, in Hz.

    Yields:
        The samples in blocks, `[N]` each, int16. What was yielded is verified only when the iterator has ended.

    Raises:
        RejectedSourceError: the content is not sound, is damaged, or contradicts its own header.
    """
    head = _head(source)
    claim = read_claim(source)
    if claim.missing_bytes:
        raise RejectedSourceError(
            "truncated", f"the header states {claim.missing_bytes} bytes of sound more than the file has"
        )
    source.seek(0)
    with _reading(source) as file:
        _verify_form(file)
        checks = _Checks(file, head, claim)
        convert = _Converter(file.samplerate, sample_rate)
        for block in _blocks(file):
            checks.see(block)
            yield convert(block)
        checks.finish()
        yield convert.rest()
        if not convert.count:
            raise RejectedSourceError("no_samples", f"too short to hold a sample at {sample_rate} Hz")


def _head(source: BinaryIO) -> bytes:
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    if not head:
        raise RejectedSourceError("empty_file", "the file holds no bytes")
    return head


@contextlib.contextmanager
def _reading(source: BinaryIO) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(_descriptor(source) or source) as file:
            yield file
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RejectedSourceError("undecodable", f"libsndfile cannot read it: {_reason(error)}") from error


def _descriptor(source: BinaryIO) -> int | None:
    """A descriptor of its own for what the system has open, at the beginning; None for what is in memory."""
    try:
        descriptor = os.dup(source.fileno())
    except OSError:
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error))


def _verify_form(file: soundfile.SoundFile) -> None:
    lowest, highest = _RATES
    if not lowest <= file.samplerate <= highest:
        raise RejectedSourceError("sample_rate", f"a rate of {file.samplerate} Hz lies outside {lowest} to {highest}")
    if file.channels > _MOST_CHANNELS:
        raise RejectedSourceError("channels", f"{file.channels} channels are more than {_MOST_CHANNELS}")


def _blocks(file: soundfile.SoundFile) -> Iterator[Block]:
    """Read to the end in blocks, whatever length the header states."""
    dtype: Any = _NATIVE_TYPES.get(file.subtype, np.dtype(np.float64))
    count = _BLOCK_VALUES // file.channels
    total = 0
    while len(block := file.read(count, dtype=dtype.name, always_2d=True)):
        total += len(block)
        if total > _MOST_SECONDS * file.samplerate:
            raise RejectedSourceError("too_long", f"it decodes to more than {_MOST_SECONDS // 3600} hours")
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise RejectedSourceError("not_finite", "the file holds samples that are not finite")
        yield block


class _Checks:
    """What the decoded samples are held against, kept up block by block."""

    def __init__(self, file: soundfile.SoundFile, head: bytes, claim: Claim) -> None:
        self._claim = claim
        self._sphere = sphere_header(head) if head.startswith(b"NIST_1A") else {}
        self._flac = file.format == "FLAC"
        self._stated_frames = file.frames if self._flac and 0 < file.frames < 2**36 else None
        self._md5 = flac_md5(head) if self._flac and file.subtype in _FLAC_BITS else None
        self._bits = _FLAC_BITS.get(file.subtype, 16)
        self._digest = hashlib.md5(usedforsecurity=False)
        self._bytes = np.zeros(256, dtype=np.int64)
        self._extremes: tuple[int, int] | None = None
        self._count = 0

    def see(self, block: Block) -> None:
        self._count += len(block)
        if self._md5 is not None:
            self._digest.update(_packed(block, self._bits))
        if block.dtype == np.int16:
            self._look_for_line_endings(block)
            if self._sphere:
                low, high = int(block.min()), int(block.max())
                before = self._extremes or (low, high)
                self._extremes = (min(low, before[0]), max(high, before[1]))

    def _look_for_line_endings(self, block: Block) -> None:
        """Count bytes until each of both has been seen, which in sound is soon."""
        values = block.astype("<i2", copy=False).view(np.uint8).ravel()
        for start in range(0, len(values), _LOOK_BYTES):
            if all(self._bytes[byte] for byte in _LINE_ENDINGS.values()):
                return
            self._bytes += np.bincount(values[start : start + _LOOK_BYTES], minlength=256)

    def finish(self) -> None:
        if self._count == 0:
            raise RejectedSourceError("no_samples", "the file decodes to no samples")
        self._verify_length()
        self._verify_line_endings()
        self._verify_sphere()
        if self._md5 is not None and self._digest.hexdigest() != self._md5:
            raise RejectedSourceError("md5", f"FLAC states MD5 {self._md5}, decoded {self._digest.hexdigest()}")

    def _verify_length(self) -> None:
        stated, tolerance = self._claim.frames, self._claim.tolerance
        if self._stated_frames is not None:
            stated, tolerance = self._stated_frames, 0
        if stated is not None and self._count < stated - tolerance:
            raise RejectedSourceError("truncated", f"the header states {stated} samples, decoded {self._count}")

    def _verify_line_endings(self) -> None:
        neighbours = int(min(self._bytes[[0x0B, 0x0C, 0x0E, 0x0F]]))
        for name, byte in _LINE_ENDINGS.items():
            if self._bytes[byte] == 0 and neighbours >= _ENOUGH_NEIGHBOURS:
                raise RejectedSourceError(
                    "line_endings",
                    f"no {name} byte (0x{byte:02X}) in the samples, where its neighbours occur {neighbours} times or "
                    "more: line endings were converted; copy it again in binary mode",
                )

    def _verify_sphere(self) -> None:
        actual = {"sample_count": self._count}
        if self._extremes is not None:
            actual |= {"sample_min": self._extremes[0], "sample_max": self._extremes[1]}
        for field, value in actual.items():
            stated = self._sphere.get(field)
            if stated is not None and stated.strip() != str(value):
                raise RejectedSourceError(field, f"the SPHERE header states {field} {stated}, decoded {value}")


def _packed(block: Block, bits: int) -> bytes:
    """The samples as FLAC's MD5 sees them: interleaved, little-endian, in as few bytes as the bits need."""
    width = block.dtype.itemsize
    values = np.ascontiguousarray(block >> (8 * width - bits)).astype(f"<i{width}", copy=False)
    return values.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()


class _Converter:
    """Blocks of any form to 16-bit mono samples at the wanted rate; `count` of them so far."""

    def __init__(self, rate: int, sample_rate: int) -> None:
        self._stream: Any = None
        if rate != sample_rate:
            self._stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
        self.count = 0

    def __call__(self, block: Block) -> Pcm:
        return self._counted(self._converted(block))

    def rest(self) -> Pcm:
        """What the resampler still holds."""
        held = _NOTHING if self._stream is None else self._stream.resample_chunk(_NOTHING, last=True)
        return self._counted(_to_int16(held))

    def _counted(self, samples: Pcm) -> Pcm:
        self.count += len(samples)
        return samples

    def _converted(self, block: Block) -> Pcm:
        if self._stream is None and block.dtype == np.int16 and block.shape[1] == 1:
            return block[:, 0].astype(np.int16, copy=False)
        mono = _mono(block)
        return _to_int16(mono if self._stream is None else self._stream.resample_chunk(mono))


def _mono(block: Block) -> npt.NDArray[np.float32]:
    """The mean of the channels, in units of int16; added up channel by channel, since numpy's mean is slow over few."""
    total = block[:, 0].astype(np.float64 if block.dtype.itemsize > 4 else np.float32)
    for channel in range(1, block.shape[1]):
        total += block[:, channel]
    full_scale = {"i2": 1.0, "i4": 2.0**-16}.get(block.dtype.str[1:], 2.0**15)
    return (total * (full_scale / block.shape[1])).astype(np.float32, copy=False)


def _to_int16(values: npt.NDArray[np.float32]) -> Pcm:
    return np.clip(np.rint(values), _INT16.min, _INT16.max).astype(np.int16)
