"""NIST SPHERE files like TIMIT's: a 1,024-byte ASCII header, then 16-bit little-endian samples.

Source: NIST SPHERE documentation, and the headers of TIMIT itself, with their keys, order and padding. `database_id`
names this project, since the data are not TIMIT's.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_sphere"]

_HEADER_BYTES = 1024


def encode_sphere(samples: NDArray[np.int16], sample_rate: int, utterance_id: str) -> bytes:
    """Encode one channel of speech.

    Args:
        samples: int16 samples, shape (N,), at least one.
        sample_rate: rate in Hz.
        utterance_id: the speaker without the letter for the sex, and the sentence: `cjf0_sa1`.
    """
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    fields = (
        _text("database_id", "vrnn-bench built-in"),
        _text("database_version", "1.0"),
        _text("utterance_id", utterance_id),
        "channel_count -i 1",
        f"sample_count -i {samples.size}",
        f"sample_rate -i {sample_rate}",
        f"sample_min -i {samples.min()}",
        f"sample_max -i {samples.max()}",
        "sample_n_bytes -i 2",
        _text("sample_byte_format", "01"),
        "sample_sig_bits -i 16",
        "end_head",
    )
    header = f"NIST_1A\n{_HEADER_BYTES:>7}\n" + "\n".join(fields) + "\n" * 5
    return header.encode("ascii").ljust(_HEADER_BYTES) + samples.astype("<i2").tobytes()


def _text(key: str, value: str) -> str:
    return f"{key} -s{len(value)} {value}"
