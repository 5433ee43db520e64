"""Slots without a model: how long they last under random writing, and how many cues their buckets hold."""

from datetime import UTC, datetime
from time import perf_counter

import torch
import torch.nn.functional as F

from hmlcore.ops.hashing import mixed, uniform_of
from hmlcore.ops.sparse_write import Offers, Slots, empty_slots, sparse_write
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec

_SETTINGS = {
    "smoke": dict(
        buckets=8, ways=4, streams=4, chunk=16, density=0.25, facts=8, loads=[0.5, 2.0], deltas=[64, 128]
    ),
    "laptop": dict(
        buckets=64, ways=8, streams=16, chunk=64, density=0.12, facts=64, loads=[0.25, 0.5, 1.0, 2.0, 4.0],
        deltas=[1024, 2048, 4096, 8192, 16_384],
    ),
    "full": dict(
        buckets=512, ways=32, streams=16, chunk=1024, density=0.12, facts=512, loads=[0.25, 0.5, 1.0, 2.0, 4.0],
        deltas=[2**14, 2**15, 2**16, 2**17, 2**18, 2**19],
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec an eviction; that of collisions is neither."""
    s = _SETTINGS[profile]
    return [
        make_spec("sparse_laws", profile, "slots", variant=variant, seed=0, model={"d_model": 8}, train=[],
                  evaluate=[], **s)
        for variant in ("random", "oldest", "collisions")
    ]  # fmt: skip


def side_by_side(specs: list[dict], device: torch.device) -> list[Run]:
    """A run each: rows `survival` by delta, or `held` by load, the share of cues that find a slot."""
    return [_run(spec, device) for spec in specs]


def _run(spec: dict, device: torch.device) -> Run:
    started, begun = datetime.now(UTC), perf_counter()
    rows = _collisions(spec, device) if spec["variant"] == "collisions" else _survival(spec, device)
    size = spec["buckets"] * spec["ways"]
    made = collect_provenance(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", steps=0, parameters=0,
        state_floats=size * 21, state_bytes=4 * size * 21, flops_per_token=0.0, wall_s=perf_counter() - begun,
        tokens_per_s=0.0, started_at=started,
    )  # fmt: skip
    return Run(spec, made, [row | {"variant": spec["variant"]} for row in rows])


def _offers(spec: dict, number: torch.Tensor, is_open: torch.Tensor, bucket: torch.Tensor) -> Offers:
    """Offers at times `number` [B, U], with keys that resemble no other."""
    stream = torch.arange(len(number), device=number.device)[:, None, None]
    axes = torch.arange(8, device=number.device)
    keys = F.normalize(uniform_of(1, stream, number[..., None], axes) - 0.5, dim=-1)
    priority = uniform_of(2, stream[..., 0], number)
    return Offers(keys, keys, bucket, is_open, priority, number, number)


def _worth(spec: dict, slots: Slots, chunk: int) -> torch.Tensor:
    if spec["variant"] != "random":
        return slots.time.float()
    place = torch.arange(slots.time[0].numel(), device=slots.time.device).view(slots.time.shape[1:])
    stream = torch.arange(len(slots.time), device=slots.time.device)[:, None, None]
    return uniform_of(3, stream, chunk, place)


def _survival(spec: dict, device: torch.device) -> list[dict]:
    """Full slots, facts of one chunk, one a bucket, and then a share of tokens written, in any bucket."""
    streams, width, buckets = spec["streams"], spec["chunk"], spec["buckets"]
    size = buckets * spec["ways"]
    slots = empty_slots(streams, buckets, spec["ways"], 8, 8, device)
    stream = torch.arange(streams, device=device)[:, None]
    warm = -(-8 * size // width)  # with everything written, until no slot is empty
    wanted, rows = list(spec["deltas"]), []
    last = warm + 1 + -(-max(wanted) // width)
    for chunk in range(last):
        number = chunk * width + torch.arange(width, device=device).expand(streams, width)
        bucket = mixed(4, stream, number) % buckets
        some = uniform_of(5, stream, number) < spec["density"]
        some = torch.ones_like(some) if chunk < warm else some
        if chunk == warm:  # a fact a bucket: what lies beside it is older
            some = torch.arange(width, device=device).expand_as(some) < spec["facts"]
            bucket = torch.arange(width, device=device).expand_as(bucket) % buckets
        slots, fate = sparse_write(slots, _offers(spec, number, some, bucket), _worth(spec, slots, chunk), 1.0)
        if chunk == warm:
            there = int(fate.stands.sum())
        for delta in [d for d in wanted if chunk > warm and (chunk - warm) * width == d]:
            kept = (slots.time >= warm * width) & (slots.time < (warm + 1) * width)
            rows.append({"metric": "survival", "delta": delta, "value": int(kept.sum()) / there, "n": there})
    return rows


def _collisions(spec: dict, device: torch.device) -> list[dict]:
    """Distinct ids, each stream its own, by the hash of the model into empty slots, until all are offered."""
    rows, streams, width = [], spec["streams"], spec["chunk"]
    size = spec["buckets"] * spec["ways"]
    for load in spec["loads"]:
        count = round(load * size)
        ids = torch.arange(count, device=device) + 100_003 * torch.arange(streams, device=device)[:, None]
        bucket = mixed(ids) % spec["buckets"]
        slots = empty_slots(streams, spec["buckets"], spec["ways"], 8, 8, device)
        for part, buckets in zip(ids.split(width, 1), bucket.split(width, 1), strict=True):
            offers = _offers(spec, part, torch.ones_like(part, dtype=torch.bool), buckets)
            slots, _ = sparse_write(slots, offers, slots.time.float(), 1.0)
        held = int((slots.time >= 0).sum())
        rows.append({"metric": "held", "load": load, "value": held / (streams * count), "n": streams * count})
    return rows
