"""Memory that a training step frees is kept for the next one, where the C library can be told so."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to hand no freed memory back to the system, up to 2 GiB; whether it took the request.

    A step frees what it allocated, megabytes at a time. By default glibc gives such pieces back, and the next
    step pays for each of their pages anew: the system clears it and maps it. On a CPU, where training waits for
    memory and not for arithmetic, that is up to a fifth of a step. Nothing is computed
    otherwise, and the request lasts as long as the process. Elsewhere than under glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(option, _KEPT) == 1 for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
