"""What is seen of a training as it goes: how far it is, its curve, and what it costs the machine."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore.training.allocator import give_back_freed_memory
from hmlcore.training.settings import Progress, TrainingConfig, cooling_down

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
        give_back_freed_memory()
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


class Reporter:
    """A progress bar up to the training's end, and the points of the curve as they come, with the machine's
    readings. Where the task is solved, the bar says so and gets shorter, and points have the step as `solved`.

    Args: label of the bar; on_point, see :func:`hmlcore.training.train`; shown, False for no bar at all.
    """

    def __init__(
        self,
        progress: Progress,
        config: TrainingConfig,
        device: torch.device,
        label: str = "",
        on_point: Callable[[int, dict[str, float]], None] | None = None,
        shown: bool = True,
    ):
        self.progress, self.config, self.on_point = progress, config, on_point
        self._monitor = Monitor(device)
        self._earlier_peak = progress.peak_memory_bytes or 0
        self._last = progress.tokens, time.monotonic()
        quiet = None if shown else True  # None: quiet unless this is a terminal
        end, begun = progress.end(config), progress.step
        self._bar = tqdm(None, label, end, leave=False, disable=quiet, unit="step", initial=begun)

    def step(self, rate: float) -> None:
        """A step was done, at the learning rate `rate`; the curve may have a new point."""
        progress = self.progress
        self._bar.update()
        if not progress.curve or progress.curve[-1][0] != progress.step:
            return
        self._monitor.sample()
        peak = self._monitor.peak_memory_bytes()
        progress.peak_memory_bytes = None if peak is None else max(peak, self._earlier_peak)
        progress.gpu_utilisation = self._monitor.gpu_utilisation()
        tokens, since = progress.tokens - self._last[0], time.monotonic() - self._last[1]
        self._last = progress.tokens, time.monotonic()
        step, loss, accuracy = progress.curve[-1]
        speed = tokens / max(since, 1e-9)
        values = {
            "loss": loss, "accuracy": accuracy, "lr": rate, "tokens_per_s": speed,
            "peak_memory_bytes": progress.peak_memory_bytes, "gpu_utilisation": progress.gpu_utilisation,
            "solved": progress.solved,
        }  # fmt: skip
        values |= {f"auxiliary_{name}": points[-1][1] for name, points in progress.beside.items()}
        self._bar.total = progress.end(self.config)
        said = [f"loss {loss:.3f}, accuracy {accuracy:.3f}, {speed:,.0f} tokens/s"]
        if progress.solved is not None:
            said.append(cooling_down(progress.solved))
        self._bar.set_postfix_str(", ".join(said))
        if self.on_point is not None:
            self.on_point(step, {name: value for name, value in values.items() if value is not None})

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()
