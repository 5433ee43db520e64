"""How fast and how large: a pass of a mixer over a sequence, one decoded token, and the machine's own limits.

Timings are taken in turns (:func:`in_turns`): what else the machine does meanwhile then slows all alike, and
their ratios hold although the seconds vary. A value is the median of its repeats; its spread is reported.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmlcore.checks import check_choice, check_int, check_positive
from hmlcore.layers.base import Mixer
from hmlcore.ops.backend import recording_choices

PRECISIONS = ("fp32", "bf16")
Pass = Callable[[], object]


class Timing(NamedTuple):
    """Median seconds of some repeats, their interquartile range over the median, how many, and what ran."""

    seconds: float
    spread: float
    repeats: int
    path: dict[str, str]  # op → the form that ran


def train_pass(mixer: Mixer, x: Tensor, precision: str = "fp32") -> Pass:
    """Forward and backward of `mixer` over x [B, T, d_model]: gradients of all weights, and of x if it asks.

    Args: precision: "fp32", or "bf16" for autocast on a GPU.
    """

    check_choice("precision", precision, PRECISIONS)

    def run() -> None:
        with _autocast(x.device, precision):
            y, _ = mixer(x)
        y.backward(torch.ones_like(y))
        # Here, not before: what a pass frees it has allocated itself, and the next finds an empty desk.
        mixer.zero_grad(set_to_none=True)
        x.grad = None

    return run


def decode_pass(mixer: Mixer, x: Tensor, steps: int, precision: str = "fp32") -> Pass:
    """`steps` times the token after x [1, T, d_model], each from the state that T tokens have left."""
    steps = check_int("steps", steps)
    check_choice("precision", precision, PRECISIONS)
    with torch.no_grad(), _autocast(x.device, precision):
        _, state = mixer(x)
    token = x[:, -1].detach()

    def run() -> None:
        with torch.no_grad(), _autocast(x.device, precision):
            for _ in range(steps):
                mixer.step(token, state)

    return run


def in_turns(
    passes: Mapping[str, Pass],
    device: torch.device,
    *,
    repeats: int,
    seconds: float | None = None,
    least: int = 3,
    tick: Callable[[str], object] = lambda name: None,
) -> dict[str, Timing]:
    """Time each pass once a round, for up to `repeats` rounds; what goes first changes from round to round.

    Args:
        seconds: after these no further round is started, once there are `least`; None: no limit.
        tick: told the name of every pass that was timed.
    """
    repeats, least = check_int("repeats", repeats), check_int("least", least)
    limit = float("inf") if seconds is None else check_positive("seconds", seconds)
    samples: dict[str, list[float]] = {name: [] for name in passes}
    paths: dict[str, dict[str, str]] = {name: {} for name in passes}
    names, begun = list(passes), time.perf_counter()
    for number in range(repeats):
        # The next round would take as long as the mean of those before.
        spent = time.perf_counter() - begun
        if number >= min(least, repeats) and spent * (number + 1) / number > limit:
            break
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            with recording_choices() as chosen:
                samples[name].append(timed(passes[name], device))
            paths[name] |= chosen
            tick(name)
    return {name: _timing(samples[name], paths[name]) for name in names}


def timed(run: Pass, device: torch.device) -> float:
    """Seconds of one call, until the device is done with it."""
    _synchronize(device)
    begun = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - begun


def _timing(samples: list[float], path: dict[str, str]) -> Timing:
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75))
    return Timing(float(median), float((high - low) / median), len(samples), path)


def path_text(path: Mapping[str, str]) -> str:
    """``{"hamiltonian": "chunk", "short_conv": "conv1d"}`` as ``hamiltonian:chunk short_conv:conv1d``."""
    return " ".join(f"{op}:{form}" for op, form in sorted(path.items()))


def decode_path(decode: Mapping[str, str], train: Mapping[str, str]) -> dict[str, str]:
    """What decoding ran: an op of the whole sequence that single steps do without is written as ``step``,
    unless its steps are an op of their own (``hamiltonian_step``), which says more."""
    without = (op for op in train if f"{op}_step" not in decode)
    return {**dict.fromkeys(without, "step"), **decode}


def peak_memory(run: Pass, device: torch.device) -> tuple[int, str]:
    """Most bytes of tensors that one call held at once, beyond those held before it, and how that was found.

    On a GPU the high-water mark of torch's allocator. On a CPU the running sum over torch.profiler's memory
    events, the same quantity: tensors to the byte, without scratch space inside libraries, and unlike the
    process's resident memory not rounded up by what the C library keeps for later.
    """
    if device.type == "cuda":
        _synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        _synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before, "cuda allocator"
    with _silence(), torch.autograd.profiler.profile(use_kineto=True, profile_memory=True) as profile:
        run()
    recorded: Any = profile  # which torch does not describe
    changes = ((e.start_ns(), e.nbytes()) for e in recorded.kineto_results.events() if e.name() == "[memory]")
    held = np.cumsum([change for _, change in sorted(changes, key=lambda c: c[0])] or [0])
    return int(held.max()), "torch profiler"


@contextmanager
def _silence() -> Iterator[None]:
    """Without the lines that the profiler's C++ part writes to the standard error of the process."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def copy_bandwidth(device: torch.device, repeats: int = 5) -> Timing:
    """Bytes read and written a second (in place of seconds) while copying a tensor larger than any cache."""
    repeats = check_int("repeats", repeats)
    count = 2**28 if device.type == "cuda" else 2**24
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return _rate(lambda: target.copy_(source), 2 * 4 * count, device, repeats)


def matmul_rate(device: torch.device, precision: str = "fp32", repeats: int = 5) -> Timing:
    """Floating-point operations a second (in place of seconds) of a large square matrix product."""
    repeats = check_int("repeats", repeats)
    check_choice("precision", precision, PRECISIONS)
    size = 8192 if device.type == "cuda" else 1024
    half = precision == "bf16" and device.type == "cuda"
    a = torch.ones(size, size, device=device, dtype=torch.bfloat16 if half else torch.float32)
    return _rate(lambda: a @ a, 2 * size**3, device, repeats)


def _rate(run: Pass, work: float, device: torch.device, repeats: int) -> Timing:
    run()
    found = _timing([timed(run, device) for _ in range(repeats)], {})
    return found._replace(seconds=work / found.seconds)


@contextmanager
def out_of_memory_as(error: type[Exception]) -> Iterator[None]:
    """Raise `error` where torch finds no memory, on either device."""
    try:
        yield
    except torch.OutOfMemoryError as problem:
        torch.cuda.empty_cache()
        raise error(str(problem).split(".")[0]) from problem
    except RuntimeError as problem:
        if "can't allocate memory" not in str(problem):
            raise
        raise error("not enough memory") from problem


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and device.type == "cuda")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
