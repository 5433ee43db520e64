"""Superpositions of random pairs, read back: no training but of keys where that is the question."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch
from torch import Tensor
from tqdm import tqdm

from hmlcore.ops.holographic import BINDINGS, bind, keys_of_phases, random_keys, unbind
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.holographic import LAYER
from hmlcore.studies.kit.comparison import make_spec
from hmlcore.studies.kit.superposition import accuracy, routed

BITS = {"fp32": None, "fp16": None, "int8": 8, "int4": 4, "signs": 1}
_SETTINGS = {
    "smoke": dict(channels=[64], ratios=[16, 4], slots=[1, 4], stored_at=64, reads=64, values=16, steps=5),
    "laptop": dict(
        channels=[2**n for n in range(8, 14)], ratios=[64, 32, 16, 8, 4], slots=[1, 4, 16], stored_at=1024,
        reads=1024, values=256, steps=200,
    ),
    "full": dict(
        channels=[2**n for n in range(8, 15)], ratios=[64, 32, 16, 8, 4, 2], slots=[1, 4, 16], stored_at=4096,
        reads=8192, values=1024, steps=1000,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec a binding.

    Settings: `channels` D; `ratios` D / N; `slots` at equal bytes; `stored_at`, the D whose state is stored
    with fewer bits and whose quarter has learned keys; `reads` behind each accuracy; `values` K; `steps` of
    learning.
    """
    return [
        make_spec(
            "holographic_capacity", profile, LAYER, seed=0, binding=binding, precision="fp32",
            model={"d_model": _SETTINGS[profile]["stored_at"], "layers": 0}, train=[], evaluate=[],
            **_SETTINGS[profile],
        )
        for binding in BINDINGS
    ]  # fmt: skip


def measure_all(specs: list[dict], device: torch.device) -> list[Run]:
    """Rows of each spec: accuracy beside the law's, by binding, channels, pairs, slots, stored and keys."""
    runs = []
    for spec in tqdm(specs, desc="capacity", disable=None, unit="run"):
        started, begun = datetime.now(UTC), time.perf_counter()
        rows = [*_by_load(spec), *_stored(spec), *_learned(spec)]
        seconds, floats = time.perf_counter() - begun, max(spec["channels"])
        provenance = collect_provenance(
            "cpu", steps=0, parameters=0, state_floats=floats, state_bytes=4 * floats, flops_per_token=0.0,
            wall_s=seconds, tokens_per_s=len(rows) * spec["reads"] / seconds, started_at=started,
        )  # fmt: skip
        runs.append(Run(spec, provenance, [{"binding": spec["binding"]} | row for row in rows]))
    return runs


def _rows(right: float, law: float, spec: dict, **place) -> Iterator[dict]:
    here = {"slots": 1, "stored": "fp32", "keys": "random"} | place
    yield {"metric": "accuracy", "value": right, "n": spec["reads"], **here}
    yield {"metric": "law", "value": law, "n": spec["reads"], **here}


def _by_load(spec: dict) -> Iterator[dict]:
    k = spec["values"]
    for channels in spec["channels"]:
        for ratio in spec["ratios"]:
            pairs = channels // ratio
            for slots in spec["slots"]:
                right = recalled(spec, channels, pairs, slots)["fp32"]
                law = routed(channels / slots, pairs, k, slots)
                yield from _rows(right, law, spec, channels=channels, pairs=pairs, slots=slots)


def _stored(spec: dict) -> Iterator[dict]:
    channels = spec["stored_at"]
    for ratio in spec["ratios"]:
        pairs = channels // ratio
        found = recalled(spec, channels, pairs, 1, tuple(BITS), seed=1)
        for stored, right in found.items():
            if stored != "fp32":
                law = accuracy(channels, pairs, spec["values"])
                yield from _rows(right, law, spec, channels=channels, pairs=pairs, stored=stored)
        # The same superpositions as they were, to be compared with.
        yield from _rows(
            found["fp32"], law, spec, channels=channels, pairs=pairs, stored="fp32, the same ones"
        )  # fmt: skip


def stored_as(memory: Tensor, stored: str) -> Tensor:
    """What a state [..., D] is read as after it was stored: in integers of some bits, of the size of the
    largest; by its signs, of the mean size."""
    if stored == "fp32":
        return memory
    if stored == "fp16":
        return memory.half().float()
    if stored == "signs":
        return memory.sign() * memory.abs().mean(-1, keepdim=True)
    most = 2 ** (BITS[stored] - 1) - 1
    scale = memory.abs().amax(-1, keepdim=True) / most
    return (memory / scale).round() * scale


def recalled(
    spec: dict, channels: int, pairs: int, slots: int, stored: tuple[str, ...] = ("fp32",), seed: int = 0
) -> dict[str, float]:
    """How the state is stored → the share of keys whose value is the nearest of K, over `reads` of them.

    Superpositions are drawn until there are enough reads, up to 256 keys asked of each; values are of signs.
    With several slots of D / S channels each key has one, drawn at random.
    """
    g = torch.Generator().manual_seed(channels * 1009 + pairs * 17 + slots + seed)
    size, k, binding = channels // slots, spec["values"], spec["binding"]
    codebook = torch.where(torch.randn(k, size, generator=g) < 0, -1.0, 1.0)
    asked, right, done = min(pairs, 256), dict.fromkeys(stored, 0), 0
    while done < spec["reads"]:
        keys = random_keys(binding, torch.randn(pairs, size, generator=g))
        which = torch.randint(k, (pairs,), generator=g)
        route = torch.randint(slots, (pairs,), generator=g)
        memory = torch.zeros(slots, size).index_add_(0, route, bind(binding, keys, codebook[which]))
        count = min(asked, spec["reads"] - done)
        for kind in stored:
            read = unbind(binding, keys[:count], stored_as(memory, kind)[route[:count]])
            right[kind] += int(((read @ codebook.T).argmax(-1) == which[:count]).sum())
        done += count
    return {kind: n / done for kind, n in right.items()}


def _learned(spec: dict) -> Iterator[dict]:
    """Keys learned for superpositions of N known keys, whatever value each is given; signs are not learned."""
    channels, k = spec["stored_at"] // 4, spec["values"]
    for ratio in spec["ratios"] if spec["binding"] != "bipolar" else ():
        pairs = channels // ratio
        for keys in ("random", "learned"):
            right = _with_keys(spec, channels, pairs, spec["steps"] if keys == "learned" else 0)
            yield from _rows(right, accuracy(channels, pairs, k), spec, channels=channels, pairs=pairs,
                             keys=f"{keys}, the same in all")  # fmt: skip


def _with_keys(spec: dict, channels: int, pairs: int, steps: int, batch: int = 16) -> float:
    g = torch.Generator().manual_seed(channels + pairs)
    k, binding = spec["values"], spec["binding"]
    codebook = torch.where(torch.randn(k, channels, generator=g) < 0, -1.0, 1.0)
    phases = (2 * math.pi * torch.rand(pairs, channels // 2, generator=g)).requires_grad_()
    optimizer = torch.optim.Adam([phases], lr=0.05)

    def scores(count: int) -> tuple[Tensor, Tensor]:
        which = torch.randint(k, (count, pairs), generator=g)
        keys = keys_of_phases(binding, phases)
        memory = bind(binding, keys, codebook[which]).sum(1, keepdim=True)
        return unbind(binding, keys, memory) @ codebook.T, which

    for _ in range(steps):
        logits, which = scores(batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(4 * logits.flatten(0, 1) / channels, which.flatten()).backward()
        optimizer.step()
    with torch.no_grad():
        count = max(1, -(-spec["reads"] // pairs))
        logits, which = scores(count)
        return float((logits.argmax(-1) == which).float().mean())
