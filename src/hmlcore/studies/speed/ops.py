"""Ops against ops: what a token costs the memory itself, without a layer, and how far that is from the floor.

All candidates (``evaluation/op_candidates.py``) are timed in turns in one process. A training pass has `tokens`
tokens, or one sequence where that is longer. One that cannot run here (no GPU, a package that is not installed)
is left out with a notice, as is a (candidate, length) over the limit of time or memory: there is no row of it.
"""

import time
from datetime import UTC, datetime

import torch
from tqdm import tqdm

from hmlcore.errors import require
from hmlcore.evaluation import op_timing as ops
from hmlcore.evaluation import speed
from hmlcore.evaluation.op_candidates import CANDIDATES, candidate_named
from hmlcore.ops.backend import recording_choices
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec
from hmlcore.studies.speed.op_entry import Entry, Unable

_ON_CPU = tuple(name for name in CANDIDATES if not name.endswith("-fla"))
_SETTINGS = {
    "smoke": dict(
        heads=2, head_dim=8, lengths=[64, 128], tokens=128, repeats=3, share_s=1.0, limit_s=2.0,
        contexts=[64, 4096], decode_steps=4, decode_repeats=3,
    ),
    "laptop": dict(
        heads=2, head_dim=64, lengths=[2**n for n in range(10, 16)], tokens=2**13, repeats=5, share_s=5.0,
        limit_s=5.0, contexts=[1000, 100_000, 1_000_000], decode_steps=64, decode_repeats=15,
    ),
    "full": dict(
        heads=16, head_dim=64, lengths=[2**n for n in range(11, 17)], tokens=2**16, repeats=15, share_s=60.0,
        limit_s=30.0, contexts=[1000, 100_000, 1_000_000], decode_steps=64, decode_repeats=15,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec a candidate: those that a CPU can run, and in `full` all.

    Settings: `heads` of `head_dim` channels; `lengths` of training; `tokens` in a training pass, at least;
    `repeats`, rounds of all candidates, fewer (at least 3) where a length's rounds would take over `share_s`;
    `limit_s`, of one pass; `contexts`, tokens before a decoded one; `decode_steps` in a timed decoding, fewer
    where they are slow; `decode_repeats`, rounds of these, also within `share_s`.
    """
    s = dict(_SETTINGS[profile])
    heads, n = s.pop("heads"), s.pop("head_dim")
    return [
        make_spec(
            "op_speed", profile, name, seed=0, precision="bf16" if profile == "full" else "fp32",
            model={"d_model": heads * n, "heads": heads, "head_dim": n}, train=[], evaluate=[], **s,
        )
        for name in (CANDIDATES if profile == "full" else _ON_CPU)
    ]  # fmt: skip


def measure(specs: list[dict], device: torch.device) -> list[Run]:
    """Measure the candidates of `specs` side by side; a run each, whose rows share ``started_at``.

    Rows, all with length, batch, passes ("train", "decode"), path, n and spread (interquartile range over
    median): seconds_train (a pass), seconds_decode (a token after `length` others), peak_memory_bytes (of a
    training pass; `method` says how). Times come with what the machine cannot beat: bytes_moved and flops of
    the same work, floor_bytes_s and floor_flops_s at the rate of a large copy and of a large matrix product;
    a state that fits a cache may be moved faster than that. And these rates: copy_bandwidth, matmul_rate.

    Raises: HmlcoreError where the specs differ in more than the candidate, or a candidate is unknown.
    """
    common = [{k: v for k, v in spec.items() if k != "mixer"} for spec in specs]
    require(bool(specs) and all(c == common[0] for c in common), "timings need specs that differ in mixer only")
    spec, started = specs[0], datetime.now(UTC)
    for name, least in (("lengths", 2), ("contexts", 1)):
        for length in spec[name]:
            require(
                type(length) is int and length >= least,
                f"{name} must be whole and at least {least}, got {length}",
            )
    sizes = ops.Sizes(spec["model"]["heads"], spec["model"]["head_dim"])
    half = spec["precision"] == "bf16" and device.type == "cuda"
    dtype = torch.bfloat16 if half else torch.float32
    entries = [Entry(s, candidate_named(s["mixer"]), sizes, dtype) for s in specs]
    limits = _limits(device, spec["precision"])
    with tqdm(desc="op_speed", disable=None, unit="pass") as bar:
        for entry in entries:
            if why := entry.op.obstacle(device):
                entry.leave(f"left out: {why}", bar)
        able = [entry for entry in entries if not entry.stopped]
        for length in sorted(set(spec["lengths"])):
            _train(able, length, device, bar)
        _decode(able, device, bar)
    # What disturbs the machine for a moment must not lower its floor: the better of before and after.
    for metric, limit in _limits(device, spec["precision"]).items():
        limits[metric] = max(limits[metric], limit, key=lambda found: found.seconds)
    threads = {} if device.type == "cuda" else {"threads": torch.get_num_threads()}
    for entry in entries:
        for row in entry.rows:
            if "flops" in row:
                row["floor_bytes_s"] = row["bytes_moved"] / limits["copy_bandwidth"].seconds
                row["floor_flops_s"] = row["flops"] / limits["matmul_rate"].seconds
        for metric, limit in limits.items():
            row = {"metric": metric, "value": limit.seconds, "spread": limit.spread, "n": limit.repeats}
            entry.rows.append(row)
    return [_run(entry, [row | threads for row in entry.rows], device, started) for entry in entries]


def _limits(device: torch.device, precision: str) -> dict[str, speed.Timing]:
    return {
        "copy_bandwidth": speed.copy_bandwidth(device),
        "matmul_rate": speed.matmul_rate(device, precision),
    }


def _train(entries: list[Entry], length: int, device: torch.device, bar: tqdm) -> None:
    """Time forward and backward of all at `length`. The first pass of each warms up; its memory is recorded."""
    ready, made = {}, {}
    for entry in entries:
        spec = entry.spec
        batch = max(1, spec["tokens"] // length)
        expected = entry.expected(batch * length)
        if not entry.stopped and expected > spec["limit_s"]:
            why = f"about {expected:.0f} s a pass, the limit is {spec['limit_s']:g} s"
            entry.leave(f"training left out from {length:,} tokens on: {why}", bar)
        if entry.stopped:
            continue
        bar.set_postfix_str(f"T={length} {spec['mixer']}")
        begun = time.perf_counter()
        try:
            with entry.attempt(), recording_choices() as path:
                x = ops.leaves(entry.op, entry.sizes, batch, length, device, entry.dtype)
                run = ops.train_pass(entry.op, x)
                if device.type == "cuda":
                    run()  # kernels are compiled and tuned the first time, which takes memory of its own
                peak, method = speed.peak_memory(run, device)
        except Unable as error:
            entry.leave(f"training left out from {length:,} tokens on: {error}", bar)
            continue
        entry.wall_s += time.perf_counter() - begun
        entry.add(
            length, entry.op.path or speed.path_text(path), metric="peak_memory_bytes", value=peak, n=1,
            batch=batch, passes="train", method=method,
        )  # fmt: skip
        ready[spec["mixer"]] = run
        made[spec["mixer"]] = (entry, batch * length, ops.train_bytes(entry.op, x))
        bar.update()
    for name, timing in _in_turns(entries, ready, device, "repeats", bar).items():
        entry, tokens, moved = made[name]
        entry.passes.append((tokens, timing.seconds))
        entry.tokens_per_s = tokens / timing.seconds
        entry.wall_s += timing.seconds * timing.repeats
        entry.add(
            length, entry.op.path or speed.path_text(timing.path), metric="seconds_train",
            value=timing.seconds, n=timing.repeats, spread=timing.spread, batch=tokens // length,
            passes="train", bytes_moved=moved,
            # Each product of the forward pass has two in its gradient.
            flops=3 * entry.op.flops_per_token(entry.sizes, length) * tokens,
        )  # fmt: skip


def _decode(entries: list[Entry], device: torch.device, bar: tqdm) -> None:
    """Time one token after each context of all, contexts too in turns: whether they differ is the question."""
    ready, made = {}, {}
    for entry in entries:
        spec = entry.spec
        x = ops.leaves(entry.op, entry.sizes, 1, 1, device, entry.dtype)
        for context in sorted(set(spec["contexts"])):
            room = ops.room_for_state(device)
            needed = entry.op.state_bytes(entry.sizes, context, entry.dtype)
            if needed > room:
                why = f"a cache of {needed / 2**30:.1f} GiB, there is room for {room / 2**30:.1f}"
                entry.say(f"decoding after {context:,} tokens left out: {why}", bar)
                continue
            bar.set_postfix_str(f"decode {context} {spec['mixer']}")
            try:
                with entry.attempt():
                    state = ops.state_after(entry.op, entry.sizes, context, device, entry.dtype)
                    run, steps = ops.warm_decoding(entry.op, x, state, spec["decode_steps"])
            except Unable as error:
                entry.say(f"decoding after {context:,} tokens left out: {error}", bar)
                continue
            name = f"{spec['mixer']} after {context}"
            ready[name], made[name] = run, (entry, context, steps, ops.decode_bytes(entry.op, x, state))
            bar.update()
    for name, timing in _in_turns(entries, ready, device, "decode_repeats", bar).items():
        entry, context, steps, moved = made[name]
        entry.wall_s += timing.seconds * timing.repeats
        entry.add(
            context, entry.op.step_path or speed.path_text(timing.path), metric="seconds_decode",
            value=timing.seconds / steps, n=timing.repeats, spread=timing.spread, batch=1, passes="decode",
            bytes_moved=moved, flops=entry.op.step_flops(entry.sizes, context),
        )  # fmt: skip


def _in_turns(
    entries: list[Entry], ready: dict[str, speed.Pass], device: torch.device, rounds: str, bar: tqdm
) -> dict[str, speed.Timing]:
    if not ready:
        return {}
    spec = entries[0].spec
    return speed.in_turns(
        ready, device, repeats=spec[rounds], seconds=spec["share_s"], tick=lambda _: bar.update()
    )


def _run(entry: Entry, rows: list[dict], device: torch.device, started: datetime) -> Run:
    # A candidate that cannot run here has the machine's limits for its only rows.
    trained = [row["length"] for row in rows if row.get("passes") == "train"]
    provenance = collect_provenance(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        steps=0,
        parameters=0,
        wall_s=entry.wall_s,
        tokens_per_s=entry.tokens_per_s,
        started_at=started,
        **entry.costs(max(trained, default=max(entry.spec["lengths"]))),
    )
    return Run(entry.spec, provenance, rows)
