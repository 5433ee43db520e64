"""A lock between processes that ends with the process that holds it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hmlcore.errors import HmlcoreError, require

_FAR = 1 << 20


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until nobody else holds the lock file `path`, and hold it. The file stays: it means nothing.

    Raises HmlcoreError: it cannot be made, or its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise HmlcoreError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    with file:
        while not (held := try_lock(file.fileno())):
            require(held is False, f"cannot lock {path}: its disk has no locks; pack on a disk of this machine")
            time.sleep(0.02)
        yield  # closing the file ends the lock, and so does the end of the process


def try_lock(handle: int) -> bool | None:
    """Lock an open file until it is closed, if nobody else holds it: whether it is; None without such locks."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(handle, _FAR, os.SEEK_SET)  # what is locked there cannot be read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True
