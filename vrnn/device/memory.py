"""Memory: keep what a step frees for the next, release it after a failure, recognise an out-of-memory error.

A step frees its large tensors and the next allocates the same sizes. The C library returns blocks of more than a few MB
to the system each time, and the system hands them out again page by page, zeroed: at the paper's sizes that costs up to
a tenth of a training step, and more in bfloat16. A process that does little but such steps should keep them.
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
    """Make this process keep what it frees for its next allocations, up to the most it has ever used.

    It is meant for the entry points of programs, not for libraries. Only glibc on Linux supports it.

    Returns:
        Whether it is supported.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def release_memory() -> None:
    """Return to the system, or the GPU, all memory that is held and not used, as after an out-of-memory error."""
    # After a failed backward pass torch keeps the rest of its graph until the thread's next backward pass
    # (pytorch/pytorch#82218): run one that costs nothing.
    torch.autograd.backward(torch.zeros((), requires_grad=True))
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error of a GPU, of torch's allocator on the CPU, or of Python means that memory ran out."""
    refused = isinstance(error, RuntimeError) and _NO_CPU_MEMORY in str(error)
    return refused or isinstance(error, torch.OutOfMemoryError | MemoryError)
