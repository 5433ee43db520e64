"""A sparse memory timed beside its window alone, in turns in one process."""

import resource
from datetime import UTC, datetime

import torch

from hmlcore.evaluation.speed import in_turns
from hmlcore.models import Backbone, BackboneConfig, SparseConfig
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec

VARIANTS = ("window alone", "every", "random", "surprisal")
_SETTINGS = {
    "smoke": dict(d_model=16, layers=1, heads=2, chunk=32, buckets=8, ways=4, vocab=64, lengths=[128, 256],
                  repeats=2, share_s=2.0),
    "laptop": dict(d_model=64, layers=2, heads=4, chunk=256, buckets=64, ways=16, vocab=512, repeats=5,
                   lengths=[4096, 16_384, 65_536], share_s=60.0),
    "full": dict(d_model=512, layers=8, heads=8, chunk=1024, buckets=512, ways=32, vocab=50_304, repeats=5,
                 lengths=[2**14, 2**17, 2**19], share_s=120.0),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec a variant. `share_s`: after so many seconds no further round of a length is begun."""
    s = dict(_SETTINGS[profile])
    model = {name: s.pop(name) for name in ("d_model", "layers")}
    return [
        make_spec("sparse_speed", profile, "window_attention", variant=variant, seed=0, model=model, train=[],
                  evaluate=[], precision="fp32", **s)
        for variant in VARIANTS
    ]  # fmt: skip


def side_by_side(specs: list[dict], device: torch.device) -> list[Run]:
    """Rows by length: seconds_token, one stream read in stretches of sixteen chunks, its answers said (logits);
    resident_bytes, the most that the process has held until then."""
    started, first = datetime.now(UTC), specs[0]
    models = {spec["variant"]: _model(spec).to(device).eval() for spec in specs}
    rows: dict[str, list[dict]] = {name: [] for name in models}
    for length in first["lengths"]:
        g = torch.Generator().manual_seed(0)
        tokens = torch.randint(first["vocab"], (1, length), generator=g).to(device)
        passes = {name: _reading(model, tokens, 16 * first["chunk"]) for name, model in models.items()}
        passes["window alone" if "window alone" in passes else next(iter(passes))]()  # what starts up, starts
        timings = in_turns(passes, device, repeats=first["repeats"], seconds=first["share_s"])
        resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, timing in timings.items():
            at = {"length": length, "variant": name}
            seconds = timing.seconds / length
            rows[name] += [
                at
                | {"metric": "seconds_token", "value": seconds, "n": timing.repeats, "spread": timing.spread},
                at | {"metric": "resident_bytes", "value": resident, "n": 1},
            ]
    return [_run(spec, models[spec["variant"]], rows[spec["variant"]], device, started) for spec in specs]


def _model(spec: dict) -> Backbone:
    size = dict(
        d_model=spec["model"]["d_model"], layers=spec["model"]["layers"], d_ff=2 * spec["model"]["d_model"]
    )
    size |= {"mixer_args": {"window": spec["chunk"], "num_heads": spec["heads"]}}
    if spec["variant"] == "window alone":
        config = BackboneConfig(spec["vocab"], "window_attention", **size)
    else:
        density = None if spec["variant"] == "every" else 0.12
        config = SparseConfig(
            spec["vocab"], **size, chunk=spec["chunk"], buckets=spec["buckets"], ways=spec["ways"],
            slot_dim=size["d_model"], top=min(8, spec["ways"]), gate=spec["variant"], density=density,
        )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return config.build()


def _reading(model: Backbone, tokens: torch.Tensor, stretch: int):
    @torch.no_grad()
    def run() -> None:
        state = None
        for part in tokens.split(stretch, 1):
            _, state = model(part, state)

    return run


def _run(spec: dict, model: Backbone, rows: list[dict], device: torch.device, started: datetime) -> Run:
    longest = max(spec["lengths"])
    size = model.state_size(longest)
    timed = [row for row in rows if row["metric"] == "seconds_token"]
    made = collect_provenance(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", steps=0,
        parameters=model.parameter_count, state_floats=size, state_bytes=4 * size,
        flops_per_token=model.flops_per_token(longest),
        wall_s=sum(row["value"] * row["length"] * row["n"] for row in timed),
        tokens_per_s=1 / timed[-1]["value"], started_at=started,
    )  # fmt: skip
    threads = {} if device.type == "cuda" else {"threads": torch.get_num_threads()}
    return Run(spec, made, [row | threads for row in rows])


def report(runs: list[Run]) -> str:
    """For people: tokens a second by length, and beside the window alone."""
    rows = {(r.spec["variant"], row["length"]): row["value"] for r in runs for row in r.rows
            if row["metric"] == "seconds_token"}  # fmt: skip
    lines = [f"  {'T':>8}  {'variant':<14}{'tokens/s':>12}{'of the window':>15}"]
    for (variant, length), seconds in sorted(rows.items(), key=lambda found: (found[0][1], found[0][0])):
        window = rows.get(("window alone", length))
        ratio = f"{window / seconds:.3f}" if window else "-"
        lines.append(f"  {length:>8}  {variant:<14}{1 / seconds:>12,.0f}{ratio:>15}")
    return "\n".join(lines)
