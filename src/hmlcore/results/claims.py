"""Who makes a run just now: a claim, by which processes and machines that share a disk share a grid.

The claim is a file beside the run that is to be. Its holder locks it, so that on the same machine it ends with
its process, and touches it every minute, so that other machines see that somebody still holds it: their locks
may not reach each other.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from hmlcore.errors import HmlcoreError
from hmlcore.results.lock import try_lock

_BEAT_S = 60
_DEAD_S = 600  # clocks of machines differ, though hardly by minutes


@contextmanager
def claimed(path: Path) -> Iterator[str]:
    """Hold the claim `path` meanwhile, if nobody else does: who does, or "".

    Raises HmlcoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _take(path)
    except OSError as error:
        raise HmlcoreError(f"cannot write {path}: {error.strerror or error}") from error
    if isinstance(file, str):
        yield file
        return
    with file:
        done = threading.Event()
        heart = threading.Thread(target=_beat, args=(file.fileno(), path, done), daemon=True)
        heart.start()
        try:
            yield ""
        finally:
            done.set()
            heart.join()
            with suppress(OSError):
                path.unlink()


def sweep_claims(folder: Path) -> None:
    """Delete the claims in `folder` that the dead left, as one that was killed when its run was stored."""
    for path in folder.glob(f".{'[0-9a-f]' * 16}.claim"):
        with suppress(HmlcoreError), claimed(path):
            pass


def _take(path: Path) -> BinaryIO | str:
    """The claim, locked and signed, or who holds it."""
    while True:
        try:
            file, new = path.open("x+b"), True
        except FileExistsError:
            try:
                file, new = path.open("r+b"), False
            except FileNotFoundError:  # it was given back a moment ago
                continue
        try:
            holder = _holder(file, new)
            if not holder and _is_at(file, path):
                file.truncate(0)
                file.write(json.dumps(_signature()).encode())
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        if holder:
            return holder


def _holder(file: BinaryIO, new: bool) -> str:
    """Who holds the claim in `file`; "" where this process may, by the lock that it has then."""
    locked = try_lock(file.fileno())
    if new and locked is not False:
        return ""
    signed = _read(file)
    beats = time.time() - os.fstat(file.fileno()).st_mtime < _DEAD_S
    # A lock that is free here says nothing of another machine; where there are no locks, only the beat speaks.
    elsewhere = locked is None or signed.get("machine", _machine()) != _machine()
    if locked is False or (elsewhere and beats):
        return "process {process} on {host}, since {since}".format(**_UNKNOWN | signed)
    return ""


_UNKNOWN = {"process": "?", "host": "some machine", "since": "a moment ago"}


def _signature() -> dict:
    since = datetime.now(UTC).isoformat(" ", "seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "machine": _machine(), "since": since}


def _read(file: BinaryIO) -> dict:
    file.seek(0)
    try:
        signed = json.loads(file.read())
    except ValueError:  # not signed yet
        return {}
    return signed if isinstance(signed, dict) else {}


def _machine() -> str:
    """What processes share that see each other's locks; containers of one machine have names of their own."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether `file` is still the one at `path`: its holder may have deleted it before the lock was free."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _beat(handle: int, path: Path, done: threading.Event) -> None:
    while not done.wait(_BEAT_S):
        with suppress(OSError):
            os.utime(handle if os.utime in os.supports_fd else path)
