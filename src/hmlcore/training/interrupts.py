"""Ctrl-C at a moment when it does no harm."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _handled_here() -> bool:
    """Signals arrive in the main thread only; a handler that is None is not Python's to replace."""
    ours = threading.current_thread() is threading.main_thread()
    return ours and signal.getsignal(signal.SIGINT) is not None


@contextmanager
def handled_by(handler) -> Iterator[None]:
    """Ctrl-C goes to `handler` meanwhile; nothing changes where signals cannot be handled."""
    if not _handled_here():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is done: a checkpoint never holds half an update."""
    asked: list = []
    before = signal.getsignal(signal.SIGINT)
    with handled_by(lambda *signal_and_frame: asked.append(signal_and_frame)):
        yield
    if asked and callable(before):
        before(*asked[0])
