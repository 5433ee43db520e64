"""What a training costs the machine: peak memory, and how busy the GPU was."""

import re
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Monitor:
    """Readings of one training on `device`, from construction on; on a CPU no CUDA function is called."""

    def __init__(self, device: torch.device):
        self.device = device
        self._busy: list[float] = []
        self._readable = device.type == "cuda"
        self._since_here = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        # Linux starts the peak anew, so that an earlier run's in this process is not taken for ours.
        try:
            _CLEAR.write_text("5")
        except OSError:
            self._since_here = False

    def sample(self) -> None:
        """Take a reading of how busy the GPU is; nothing where that cannot be known (`hml doctor` says why)."""
        if not self._readable:
            return
        try:
            self._busy.append(torch.cuda.utilization(self.device) / 100)
        except Exception:  # no binding, no driver, no permission, a slice of a GPU: NVML has its own classes
            self._readable = False

    def peak_memory_bytes(self) -> int | None:
        """The most memory since construction: of tensors on a GPU, of the whole process on a CPU.

        None where the system does not tell (for processes only Linux does).
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if not self._since_here:
            return None
        peak = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        return 1024 * int(peak[1]) if peak else None

    def gpu_utilisation(self) -> float | None:
        """Mean fraction of time that the GPU was busy, over the samples; None without any."""
        return sum(self._busy) / len(self._busy) if self._busy else None
