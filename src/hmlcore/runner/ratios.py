"""What the store has measured of mixers beside each other: speed in training, and memory. No torch, no pandas.

A speed is operations a second: what a token costs forward and backward, times tokens a second. It is compared
within an experiment only, where models, lengths and machine are the same.
"""

from statistics import median
from typing import NamedTuple

import pyarrow.compute as pc

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.results.merge import table_of
from hmlcore.runner.demand import PASSES
from hmlcore.studies import experiments

_REFERENCE = "attention"
_BEST_FIRST = ("full", "laptop", "smoke")


class Ratios(NamedTuple):
    """What the store has measured: mixer → its speed over attention's; attention's on a GPU, in operations a
    second, None where none trained it, and that GPU; mixer → bytes a channel."""

    speed: dict[str, float]
    reached: float | None
    device: str
    memory: dict[str, float]


def ratios(store: Store) -> Ratios:
    """What the stored trainings and timings say of mixers, GPUs before CPUs and large profiles before small.

    Raises: HmlcoreError where no training of attention is stored.
    """
    speed: dict[str, float] = {}
    reached, device = None, ""
    measured: list[list[_Training]] = []
    for profile in _BEST_FIRST:
        # A few steps of the smoke profile say little, and its runs are files by the hundred.
        if profile == "smoke" and any(t.mixer == _REFERENCE for trained in measured for t in trained):
            break
        measured.append(_trainings(store, profile))
    for on_gpu in (True, False):
        for trained in measured:
            found, base, where = _relative([t for t in trained if (t.device != "cpu") == on_gpu])
            speed = found | speed
            if on_gpu and reached is None and base is not None:
                reached, device = base, where
    if _REFERENCE not in speed:
        raise HmlcoreError(
            f"no training of {_REFERENCE} is stored in {store.root}, to which speeds are relative; make some "
            "with: hml run copy --profile laptop"
        )
    return Ratios(speed, reached, device, _memory(store))


class _Training(NamedTuple):
    experiment: str
    mixer: str
    device: str
    reached: float


def _trainings(store: Store, profile: str) -> list[_Training]:
    """Every stored training, with the operations a second that it reached."""
    found = []
    for name in (n for n, e in experiments().items() if e.trained):
        table = table_of(store.place(profile, name))
        if table is None or not {"tokens_per_s", "flops_per_token"} <= set(table.column_names):
            continue
        # The rows of its training carry what a token costs at the length that it trained on.
        columns = ["spec_hash", "mixer", "device", "tokens_per_s", "flops_per_token"]
        training = pc.call_function("equal", [table["split"], "train"])
        runs = table.filter(training).select(columns).group_by(columns).aggregate([])
        for _, mixer, device, tokens, flops in zip(*(runs[c].to_pylist() for c in columns), strict=True):
            if tokens and flops:
                found.append(_Training(name, mixer, device, PASSES * tokens * flops))
    return found


def _relative(trained: list[_Training]) -> tuple[dict[str, float], float | None, str]:
    """Mixer → its speed over attention's; attention's; the device of these."""
    grouped: dict[tuple[str, str], list[float]] = {}
    for t in trained:
        grouped.setdefault((t.experiment, t.mixer), []).append(t.reached)
    speeds: dict[str, list[float]] = {}
    for (experiment, mixer), values in grouped.items():
        if base := grouped.get((experiment, _REFERENCE)):
            speeds.setdefault(mixer, []).append(median(values) / median(base))
    own = [t for t in trained if t.mixer == _REFERENCE]
    devices = " and ".join(sorted({t.device for t in own}))
    return {m: median(s) for m, s in speeds.items()}, median(t.reached for t in own) if own else None, devices


def _memory(store: Store) -> dict[str, float]:
    """Mixer → bytes that one layer holds of a token and channel of its input, forward and backward."""
    found: dict[str, list[float]] = {}
    for profile in _BEST_FIRST:
        table = table_of(store.place(profile, "speed"))
        if table is None:
            continue
        table = table.filter(pc.call_function("equal", [table["metric"], "peak_memory_bytes"]))
        columns = ("mixer", "value", "batch", "length", "d_model")
        for mixer, value, batch, length, width in zip(*(table[c].to_pylist() for c in columns), strict=True):
            found.setdefault(mixer, []).append(value / (batch * length * width))
        break
    return {mixer: median(values) for mixer, values in found.items()}
