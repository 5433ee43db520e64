"""Freed memory is kept, not given back to be mapped and cleared again."""

import platform
import subprocess
import sys

import pytest

from hmlcore.runner.allocator import keep_freed_memory

PAGES = """
import resource
import torch
from hmlcore.runner.allocator import keep_freed_memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_not_paid_for_again():
    """In a process of its own, for the request lasts."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    first, taken, then = done.stdout.split()
    assert taken == "True" and int(first) > 5000 and int(then) < 100


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_another_library_is_no_error(monkeypatch):
    class Other:
        pass

    monkeypatch.setattr("hmlcore.runner.allocator.ctypes.CDLL", lambda _: Other())
    monkeypatch.setattr(sys, "platform", "linux")
    assert not keep_freed_memory()
