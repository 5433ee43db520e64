"""Freed memory is kept, not given back to be mapped and cleared again."""

import platform
import subprocess
import sys

import pytest

from hmlcore.training.allocator import give_back_freed_memory, keep_freed_memory

PAGES = """
import resource
import torch
from hmlcore.training.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        kept = [torch.ones(2_000_000) for _ in range(6)]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first, taken = faults(), keep_freed_memory()
faults()
print(first, taken, faults())
"""


PEAKS = """
import torch
from hmlcore.training.allocator import keep_freed_memory
from hmlcore.training.monitor import Monitor

keep_freed_memory()
floor = Monitor(torch.device("cpu")).peak_memory_bytes()
kept = [torch.ones(2_000_000) for _ in range(40)]
last = torch.ones(10)  # above the others in the heap
del kept
held = Monitor(torch.device("cpu")).peak_memory_bytes()
print("unknown" if floor is None else held - floor)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_not_paid_for_again():
    """In a process of its own, for the request lasts."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    first, taken, then = done.stdout.split()
    assert taken == "True" and int(first) > 5000 and int(then) < 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_an_earlier_run_kept_is_not_memory_of_the_next():
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    if done.stdout.strip() == "unknown":
        pytest.skip("this system keeps /proc/self/clear_refs shut")
    assert int(done.stdout) < 80_000_000, "of 320 MB that were freed"


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory() and not give_back_freed_memory()


def test_another_library_is_no_error(monkeypatch):
    class Other:
        pass

    monkeypatch.setattr("hmlcore.training.allocator.ctypes.CDLL", lambda _: Other())
    monkeypatch.setattr(sys, "platform", "linux")
    assert not keep_freed_memory() and not give_back_freed_memory()
