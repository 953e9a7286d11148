"""Sound files built byte by byte, so that a test can falsify any field."""

import io

import numpy as np
import soundfile

from pipelines.decode.audio import decode_audio


def tone(count: int = 4000, amplitude: float = 9000.0, rate: int = 16000, hertz: float = 220.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(scale=amplitude / 20, size=count)
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * np.arange(count) / rate) + noise).astype(np.int16)


def sphere(samples: np.ndarray, **overrides: object) -> bytes:
    fields = {
        "channel_count": 1,
        "sample_count": len(samples),
        "sample_rate": 16000,
        "sample_min": int(samples.min()),
        "sample_max": int(samples.max()),
        "sample_n_bytes": 2,
        "sample_sig_bits": 16,
    } | overrides
    lines = [f"{key} -i {value}" for key, value in fields.items() if value is not None]
    text = "\n".join(["NIST_1A", "   1024", *lines, "sample_byte_format -s2 01", "end_head", ""])
    return text.encode().ljust(1024) + samples.astype("<i2").tobytes()


def encoded(samples: np.ndarray, rate: int = 16000, container: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def decoded(content: bytes, rate: int = 16000) -> np.ndarray:
    """The whole decoded sound."""
    return np.concatenate(list(decode_audio(io.BytesIO(content), rate)))
