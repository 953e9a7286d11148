"""Memory: what a process gives back and takes again at every step, and what there is too little of.

A step frees its large tensors and the next asks for the same sizes. The C library hands blocks of more than a few MB
back to the system each time, and the system hands them out page by page, cleared: at the paper's sizes that costs a
training step up to a tenth, and a step in bfloat16 more. A process that does little but such steps keeps them.
"""

import ctypes
import gc
import sys

import torch

__all__ = ["is_out_of_memory", "keep_freed_memory", "release_memory"]

_NO_CPU_MEMORY = "can't allocate memory"
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


def release_memory() -> None:
    """Give back to the system, or the GPU, all that is held and not used: what failed for want of memory left much.

    Where a way back fails, torch keeps what is left of its graph until the thread's next one (pytorch/pytorch#82218),
    hence one that costs nothing.
    """
    torch.zeros((), requires_grad=True).backward()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how a GPU, torch's allocator on the CPU, or Python says that there is no more."""
    refused = isinstance(error, RuntimeError) and _NO_CPU_MEMORY in str(error)
    return refused or isinstance(error, torch.OutOfMemoryError | MemoryError)
