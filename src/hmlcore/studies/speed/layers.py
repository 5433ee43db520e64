"""Layers against layers: one of every mixer, timed in turns in one process, in training and in decoding."""

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import torch
from tqdm import tqdm

from hmlcore.errors import require
from hmlcore.evaluation import speed
from hmlcore.layers import build_mixer
from hmlcore.layers.base import Mixer
from hmlcore.ops.backend import recording_choices
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import TODAY, make_spec
from hmlcore.studies.kit.study import ALL_MIXERS

_SETTINGS = {
    "smoke": dict(
        d_model=16, heads=2, lengths=[64, 128], tokens=128, repeats=3, share_s=1.0, decode_steps=2, limit_s=2.0
    ),
    # The width and heads that the other laptop experiments train.
    "laptop": dict(
        d_model=64, heads=4, lengths=[2**n for n in range(9, 15)], tokens=2**14, repeats=7, share_s=10.0,
        decode_steps=32, limit_s=10.0,
    ),
    "full": dict(
        d_model=1024, heads=16, lengths=[2**n for n in range(11, 17)], tokens=2**16, repeats=15, share_s=60.0,
        decode_steps=64, limit_s=30.0,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec a mixer.

    Settings: `tokens`, in a training pass (batch = tokens / length); `repeats`, rounds of all mixers, fewer
    (at least 3) where a length's rounds would take over `share_s`; `decode_steps`, tokens in a timed decoding;
    `limit_s`, of one pass; half of it for recording its memory.
    """
    s = dict(_SETTINGS[profile])
    d_model, heads = s.pop("d_model"), s.pop("heads")
    longest = max(s["lengths"])
    return [
        make_spec(
            "speed", profile, mixer, seed=0, precision="bf16" if profile == "full" else "fp32",
            model={
                "d_model": d_model, "layers": 1,
                "mixer_args": TODAY.arguments(mixer, d_model, heads, longest),
            },
            train=[], evaluate=[], **s,
        )
        for mixer in ALL_MIXERS
    ]  # fmt: skip


@dataclass
class _Candidate:
    """One mixer on its way through the lengths: its rows, the seconds that its passes took, why it stopped."""

    spec: dict
    mixer: Mixer
    rows: list[dict] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    profiles: list[float] = field(default_factory=list)
    tokens_per_s: float = 0.0
    wall_s: float = 0.0
    stopped: bool = False

    def add(self, length: int, **row) -> None:
        size = self.mixer.state_size(length)
        here = {"state_floats": size, "state_bytes": 4 * size, "length": length}
        self.rows.append(row | here | {"flops_per_token": self.mixer.flops_per_token(length)})


def measure(specs: list[dict], device: torch.device) -> list[Run]:
    """Measure the mixers of `specs` side by side; a run each, whose rows share ``started_at``.

    Rows, all with length, batch, passes ("train", "decode"), path (op:form ...), spread (interquartile range
    over median) and n (repeats): seconds_train (a pass), seconds_decode (a token), peak_memory_bytes (of a
    training pass; `method` says how). And the machine's own limits: copy_bandwidth (bytes/s), matmul_rate
    (FLOP/s).

    Raises: HmlcoreError where the specs differ in more than the mixer.
    """
    own = ("mixer", "model")
    common = [{k: v for k, v in s.items() if k not in own} | {"d": s["model"]["d_model"]} for s in specs]
    require(bool(specs) and all(c == common[0] for c in common), "timings need specs that differ in mixer only")
    spec, started = specs[0], datetime.now(UTC)
    for length in spec["lengths"]:
        require(type(length) is int and length >= 2, f"lengths must be whole and at least 2, got {length}")
    candidates = {s["mixer"]: _Candidate(s, _build(s, device)) for s in specs}
    limits = {
        "copy_bandwidth": speed.copy_bandwidth(device),
        "matmul_rate": speed.matmul_rate(device, spec["precision"]),
    }
    with tqdm(desc="speed", disable=None, unit="pass") as bar:
        for length in sorted(set(spec["lengths"])):
            batch = max(1, spec["tokens"] // length)
            x = _tokens(batch, length, spec, device).requires_grad_()
            paths = _train(candidates, x, bar)
            _decode(candidates, x[:1].detach(), bar, paths)
    threads = {} if device.type == "cuda" else {"threads": torch.get_num_threads()}
    for candidate in candidates.values():
        for metric, limit in limits.items():
            row = {"metric": metric, "value": limit.seconds, "spread": limit.spread, "n": limit.repeats}
            candidate.rows.append(row)
    return [_run(c, [row | threads for row in c.rows], device, started) for c in candidates.values()]


def _build(spec: dict, device: torch.device) -> Mixer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        mixer = build_mixer(spec["mixer"], spec["model"]["d_model"], **spec["model"]["mixer_args"])
    return mixer.to(device)


def _tokens(batch: int, length: int, spec: dict, device: torch.device) -> torch.Tensor:
    g = torch.Generator().manual_seed(spec["seed"])
    return torch.randn(batch, length, spec["model"]["d_model"], generator=g).to(device)


def _warm(
    candidates: dict[str, _Candidate], make, length: int, bar: tqdm, first=lambda candidate, run: run()
) -> dict[str, speed.Pass]:
    """A pass of each that is still in the race, run once by `first`; what has no memory to run leaves it."""
    ready = {}
    for name, candidate in candidates.items():
        if candidate.stopped:
            continue
        bar.set_postfix_str(f"T={length} {name}")
        try:
            with speed.out_of_memory_as(MemoryError):
                run = make(candidate.mixer)
                first(candidate, run)
        except MemoryError as error:
            candidate.mixer.zero_grad(set_to_none=True)
            _leave(candidate, length, str(error), bar)
        else:
            ready[name] = run
        bar.update()
    return ready


def _train(candidates: dict[str, _Candidate], x: torch.Tensor, bar: tqdm) -> dict[str, dict[str, str]]:
    """Time forward and backward of all at x [B, T, d_model]; the path of each that ran."""
    batch, length = x.shape[:2]
    for candidate in candidates.values():
        expected, limit = _expected(candidate.passes), candidate.spec["limit_s"]
        if not candidate.stopped and expected > limit:
            _leave(candidate, length, f"about {expected:.0f} s a pass, the limit is {limit:g} s", bar)
    spec = next(iter(candidates.values())).spec
    ready = _warm(
        candidates, lambda mixer: speed.train_pass(mixer, x, spec["precision"]), length, bar,
        lambda candidate, run: _memory(candidate, run, x, bar),
    )  # fmt: skip
    timings = _in_turns(candidates, ready, x.device, spec["share_s"], bar)
    for name, timing in timings.items():
        candidate = candidates[name]
        candidate.passes.append(timing.seconds)
        candidate.tokens_per_s = batch * length / timing.seconds
        candidate.add(
            length, metric="seconds_train", value=timing.seconds, n=timing.repeats, spread=timing.spread,
            batch=batch, passes="train", path=speed.path_text(timing.path),
        )  # fmt: skip
    return {name: timing.path for name, timing in timings.items()}


def _memory(candidate: _Candidate, run: speed.Pass, x: torch.Tensor, bar: tqdm) -> None:
    """Run the pass for the first time and record its peak memory; where a pass has many small steps, recording
    them takes long, and it is run without."""
    (batch, length), spec = x.shape[:2], candidate.spec
    expected, limit = _expected(candidate.profiles), spec["limit_s"] / 2
    if expected > limit:
        bar.write(
            f"speed: memory of {spec['mixer']} at {length:,} tokens left out: about {expected:.0f} s, "
            f"the limit is {limit:g} s", file=sys.stderr,
        )  # fmt: skip
        run()
        return
    if x.device.type == "cuda":
        run()  # kernels are compiled and tuned the first time, which takes memory of its own
    begun = time.perf_counter()
    with recording_choices() as path:
        peak, method = speed.peak_memory(run, x.device)
    candidate.profiles.append(time.perf_counter() - begun)
    candidate.wall_s += candidate.profiles[-1]
    candidate.add(
        length, metric="peak_memory_bytes", value=peak, n=1, batch=batch, passes="train", method=method,
        path=speed.path_text(path),
    )  # fmt: skip


def _decode(candidates: dict[str, _Candidate], x: torch.Tensor, bar: tqdm, paths: dict) -> None:
    """Time the token after x [1, T, d_model] of all."""
    spec = next(iter(candidates.values())).spec
    length, steps = x.shape[1], spec["decode_steps"]
    ready = _warm(
        candidates, lambda mixer: speed.decode_pass(mixer, x, steps, spec["precision"]), length, bar
    )  # fmt: skip
    for name, timing in _in_turns(candidates, ready, x.device, spec["share_s"], bar).items():
        path = speed.decode_path(timing.path, paths.get(name, {}))
        candidates[name].add(
            length, metric="seconds_decode", value=timing.seconds / steps, n=timing.repeats,
            spread=timing.spread, batch=1, passes="decode", path=speed.path_text(path),
        )  # fmt: skip


def _in_turns(candidates, ready, device, seconds, bar) -> dict[str, speed.Timing]:
    repeats = next(iter(candidates.values())).spec["repeats"]
    timings = speed.in_turns(ready, device, repeats=repeats, seconds=seconds, tick=lambda _: bar.update())
    for name, timing in timings.items():
        candidates[name].wall_s += timing.seconds * timing.repeats
    return timings


def _expected(before: list[float]) -> float:
    """Seconds at twice the length and the same tokens: growing as before, or as long if that is not known."""
    if not before:
        return 0.0
    growth = before[-1] / before[-2] if len(before) > 1 else 1.0
    return before[-1] * max(1.0, growth)


def _leave(candidate: _Candidate, length: int, why: str, bar: tqdm) -> None:
    candidate.stopped = True
    bar.write(f"speed: {candidate.spec['mixer']} left out from {length:,} tokens on: {why}", file=sys.stderr)


def _run(candidate: _Candidate, rows: list[dict], device: torch.device, started: datetime) -> Run:
    # A mixer that had no memory for any length has the machine's limits for its only rows.
    longest = max((row["length"] for row in rows if "length" in row), default=max(candidate.spec["lengths"]))
    size = candidate.mixer.state_size(longest)
    provenance = collect_provenance(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        steps=0,
        parameters=sum(p.numel() for p in candidate.mixer.parameters()),
        state_floats=size,
        state_bytes=4 * size,
        flops_per_token=candidate.mixer.flops_per_token(longest),
        wall_s=candidate.wall_s,
        tokens_per_s=candidate.tokens_per_s,
        started_at=started,
    )
    return Run(candidate.spec, provenance, rows)


def timing_table(runs: list[Run]) -> str:
    """For people: milliseconds a token of a training pass and of decoding, and their ratio to attention's."""
    rows = [(row, run.spec["mixer"]) for run in runs for row in run.rows]
    lines = []
    for metric, title in (("seconds_train", "training: forward and backward"), ("seconds_decode", "decoding")):
        chosen = [(row, mixer) for row, mixer in rows if row["metric"] == metric]
        chosen.sort(key=lambda found: found[0]["length"])
        attention = {row["length"]: row["value"] for row, mixer in chosen if mixer == "attention"}
        lines += [title, f"  {'T':>6}  {'mixer':<18}{'ms/token':>10}{'÷ attention':>13}{'spread':>8}  path"]
        for row, mixer in chosen:
            length, seconds = row["length"], row["value"]
            tokens = row["batch"] * length if metric == "seconds_train" else 1
            ratio = f"{seconds / attention[length]:.3g}" if length in attention else "-"
            lines.append(
                f"  {length:>6}  {mixer:<18}{1e3 * seconds / tokens:>10.4g}{ratio:>13}{row['spread']:>8.0%}"
                f"  {row['path']}"
            )
    return "\n".join(lines)
