"""Random numbers that depend on a key alone, not on when they are drawn.

The noise of a sequence comes from a generator keyed by its purpose, a seed, an epoch and the sequence's id. It does not
depend on batch size, order, padding or the number of workers.
"""

import hashlib

import numpy as np

__all__ = ["keyed_generator"]


def keyed_generator(*key: str | int) -> np.random.Generator:
    """A generator that depends on `key` alone: Philox, keyed with the first 128 bits of the key's SHA-256."""
    digest = hashlib.sha256("\0".join(str(part) for part in key).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
