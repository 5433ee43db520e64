"""What becomes of memory that was freed, where the C library can be told: a training step's is kept for the
next step, a training's is given back before the next training."""

import ctypes
import sys
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to hand no freed memory back to the system, up to 2 GiB; whether it took the request.

    A step frees what it allocated, megabytes at a time. By default glibc gives such pieces back, and the next
    step pays for each of their pages anew: the system clears it and maps it. On a CPU, where training waits for
    memory and not for arithmetic, that is up to a fifth of a step. Nothing is computed
    otherwise, and the request lasts as long as the process. Elsewhere than under glibc nothing happens.
    """
    mallopt = _of_libc("mallopt")
    return mallopt is not None and all(mallopt(o, _KEPT) == 1 for o in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def give_back_freed_memory() -> bool:
    """Hand the system all that :func:`keep_freed_memory` kept so far; whether the C library can.

    Else what an earlier run of this process once needed would count as memory of the run that begins.
    """
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)
    return trim is not None


def _of_libc(function: str) -> Callable[..., int] | None:
    """A function of glibc; None under another C library."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), function)
    except (OSError, AttributeError):
        return None
