"""Random numbers that belong to a thing, not to a moment.

Noise for a sequence is drawn from a generator keyed by what it is for (a purpose, a seed, an epoch, the
sequence's id), so that it does not depend on batch size, order, padding, or the number of workers.
"""

import hashlib

import numpy as np

__all__ = ["keyed_generator"]


def keyed_generator(*key: str | int) -> np.random.Generator:
    """A generator that depends on `key` alone: Philox, keyed with the first 128 bits of the key's SHA-256."""
    digest = hashlib.sha256("\0".join(str(part) for part in key).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
