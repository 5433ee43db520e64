"""A worker process of a grid: it is asked to stop as the command is, and ends with its parent.

Imports no torch, so that both hold from its first moment.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from hmlcore.interrupts import SIGNALS, blocked, leave_terminal, unblock

_working = False
_asked = False


def pool(jobs: int) -> ProcessPoolExecutor:
    """Workers, each of which is started by :func:`submit` when it is needed."""
    # Threads and CUDA do not survive a fork.
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)


def submit(workers: ProcessPoolExecutor, work: Callable, *arguments):
    """Give `workers` something to do; the future of what comes of it."""
    with blocked():
        return workers.submit(work, *arguments)


def stop(workers: ProcessPoolExecutor, signum: int) -> None:
    """Pass a request on: the terminal sends Ctrl-C to the workers too, others ask the parent alone."""
    for process in list((workers._processes or {}).values()):
        if process.pid is not None:
            os.kill(process.pid, signum)


@contextmanager
def interruptible() -> Iterator[None]:
    """The first request, even one of before, raises KeyboardInterrupt; no other cuts a checkpoint short."""
    global _working
    _working = True
    try:
        if _asked:
            raise KeyboardInterrupt
        yield
    finally:
        _working = False


def _begin() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for signum in SIGNALS:
        if signum == signal.SIGTERM or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _on_request)
    unblock()


def _on_request(signum: int, _frame) -> None:
    global _asked
    leave_terminal(signum)
    first, _asked = not _asked, True
    if first and _working:
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """However the parent ended: a worker would train on, and hold what the terminal reads."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)
