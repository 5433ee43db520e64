"""What a training costs: peak memory of this run alone, GPU readings where there are any, no CUDA on a CPU."""

import sys

import pytest
import torch

from hmlcore.training import monitor
from hmlcore.training.monitor import Monitor

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of three readings, the last of which fails; returns what was asked of it."""
    asked, readings = [], iter([20, 60])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda d: asked.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda d: 12345)

    def utilization(_device):
        asked.append("reading")
        if (reading := next(readings, None)) is None:
            raise FailureOfNVML("not supported")
        return reading

    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    return asked


class FailureOfNVML(Exception):
    """NVML's errors are of no builtin kind but Exception."""


def test_a_cpu_is_asked_nothing_about_cuda(monkeypatch):
    def refused(*_args, **_options):
        raise AssertionError("CUDA was asked")

    for name in ("reset_peak_memory_stats", "max_memory_allocated", "utilization", "init", "current_device"):
        monkeypatch.setattr(torch.cuda, name, refused)
    watch = Monitor(CPU)
    watch.sample()
    assert watch.gpu_utilisation() is None
    watch.peak_memory_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
def test_peak_memory_is_of_this_run_and_in_bytes():
    size = 300_000_000
    Monitor(CPU)
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])  # pages count once they are written
    first = Monitor(CPU)
    with_block = first.peak_memory_bytes()
    del block
    watch = Monitor(CPU)
    if with_block is None or watch.peak_memory_bytes() is None:
        pytest.skip("this system keeps /proc/self/clear_refs shut")
    assert with_block > size
    assert watch.peak_memory_bytes() < with_block - 0.8 * size, "the peak of what ran before was kept"
    before = watch.peak_memory_bytes()
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert 0.8 * size < watch.peak_memory_bytes() - before < 1.5 * size, "memory given back still counts"


def test_peak_memory_is_unknown_rather_than_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(monitor, "_CLEAR", tmp_path / "no" / "such" / "file")
    assert Monitor(CPU).peak_memory_bytes() is None


def test_a_gpu_is_read_once_a_sample(gpu):
    watch = Monitor(GPU)
    assert watch.gpu_utilisation() is None and watch.peak_memory_bytes() == 12345
    watch.sample()
    assert watch.gpu_utilisation() == pytest.approx(0.2)
    watch.sample()
    assert watch.gpu_utilisation() == pytest.approx(0.4)
    assert gpu == ["reset", "reading", "reading"]


def test_readings_that_fail_end_quietly(gpu):
    watch = Monitor(GPU)
    for _ in range(5):
        watch.sample()
    assert gpu.count("reading") == 3, "what failed once is not asked again"
    assert watch.gpu_utilisation() == pytest.approx(0.4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu():
    watch = Monitor(GPU)
    kept = torch.ones(25_000_000, device=GPU)
    watch.sample()
    assert watch.peak_memory_bytes() >= kept.numel() * kept.element_size()
    assert watch.gpu_utilisation() is None or 0 <= watch.gpu_utilisation() <= 1
