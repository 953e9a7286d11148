"""Memory that a process gives back and takes again at every step.

A step frees its large tensors and the next asks for the same sizes. The C library hands blocks of more than a few MB
back to the system each time, and the system hands them out page by page, cleared: at the paper's sizes that costs a
training step up to a tenth, and a step in bfloat16 more. A process that does little but such steps keeps them.
"""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have this process keep what it frees for its next allocations, up to the most it has ever used.

    For the entry points of programs, not for libraries that others import. Only glibc on Linux knows how.

    Returns:
        Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
