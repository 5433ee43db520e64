"""Being asked to stop: Ctrl-C, SIGTERM and a closed terminal alike, and at a moment when it does no harm."""

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# `timeout` and a terminal that closes send theirs to a process and to its group: that is one request.
_ONE_REQUEST_S = 1.0

# The signal that asked this process to stop, and when.
_asked: tuple[int, float] | None = None


def asked(signum: int) -> bool:
    """Note that `signum` asks to stop; whether it is the first. A later request ends the process at once."""
    global _asked
    if _asked is None:
        _asked = signum, time.monotonic()
        leave_terminal(signum)
        return True
    if time.monotonic() - _asked[1] > _ONE_REQUEST_S:
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
    return False


def interrupt(signum: int, _frame=None) -> None:
    """What a request does where nothing else is said: whatever goes on ends by KeyboardInterrupt, once."""
    if asked(signum):
        raise KeyboardInterrupt


def asked_by() -> int:
    """The signal that asked this process to stop; Ctrl-C's where none did."""
    return _asked[0] if _asked else int(signal.SIGINT)


@contextmanager
def handled_by(handler) -> Iterator[None]:
    """Requests go to `handler` meanwhile, but those that this process was started to ignore, as by ``nohup``;
    nothing changes where signals cannot be handled."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # the only one in which signals arrive
        # A handler that is None is not Python's to replace.
        before = {s: h for s in SIGNALS if (h := signal.getsignal(s)) not in (None, signal.SIG_IGN)}
    try:
        for signum in before:
            signal.signal(signum, handler)
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)


@contextmanager
def listening(handler=interrupt) -> Iterator[None]:
    """Requests go to `handler`, and so far there was none."""
    global _asked
    _asked = None
    with handled_by(handler):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Requests wait until the block is done: a checkpoint never holds half an update."""
    waiting: list[int] = []
    with handled_by(lambda signum, _frame: waiting.append(signum)):
        yield
    if waiting:
        signal.raise_signal(waiting[0])


@contextmanager
def blocked() -> Iterator[None]:
    """Requests wait; a process started meanwhile is born with them blocked, until it calls :func:`unblock`."""
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Let requests arrive that this process was born with blocked."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def leave_terminal(signum: int) -> None:
    """After SIGHUP a terminal refuses what is written, and that must not cut a checkpoint short."""
    if signum != getattr(signal, "SIGHUP", None):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
    os.close(nowhere)
