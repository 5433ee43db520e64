"""A long stream through a sparse memory: what the process holds while it is read."""

import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import torch

from hmlcore.models import SparseConfig
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec

_SETTINGS = {
    "smoke": dict(d_model=16, layers=1, heads=2, chunk=32, buckets=8, ways=4, vocab=64, marks=[256, 512, 1024]),
    "laptop": dict(d_model=64, layers=2, heads=4, chunk=256, buckets=64, ways=16, vocab=512,
                   marks=[2**15, 2**16, 2**17, 2**18, 2**19]),
    "full": dict(d_model=512, layers=8, heads=8, chunk=1024, buckets=512, ways=32, vocab=50_304,
                 marks=[2**16, 2**17, 2**18, 2**19]),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One run: surprisal decides, at the headline's density."""
    s = dict(_SETTINGS[profile])
    model = {name: s.pop(name) for name in ("d_model", "layers")}
    return [
        make_spec("sparse_stream", profile, "window_attention", seed=0, model=model, train=[], evaluate=[],
                  precision="fp32", **s)
    ]  # fmt: skip


def held_now() -> int:
    """Bytes that this process has in memory; where the system does not say, the most that it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def side_by_side(specs: list[dict], device: torch.device) -> list[Run]:
    """Rows by length: resident_bytes while the stream is read, at each of the spec's marks; state_bytes."""
    return [_run(spec, device) for spec in specs]


@torch.no_grad()
def _run(spec: dict, device: torch.device) -> Run:
    started, begun = datetime.now(UTC), perf_counter()
    torch.manual_seed(0)
    width = spec["model"]["d_model"]
    config = SparseConfig(
        spec["vocab"], d_model=width, layers=spec["model"]["layers"], d_ff=2 * width,
        mixer_args={"window": spec["chunk"], "num_heads": spec["heads"]}, chunk=spec["chunk"],
        buckets=spec["buckets"], ways=spec["ways"], slot_dim=width, top=min(8, spec["ways"]),
    )  # fmt: skip
    model, rows, state, read = config.build().to(device).eval(), [], None, 0
    g, stretch = torch.Generator().manual_seed(0), min(spec["marks"][0], 16 * spec["chunk"])
    while read < max(spec["marks"]):
        tokens = torch.randint(spec["vocab"], (1, stretch), generator=g).to(device)
        _, state = model(tokens, state)
        read += stretch
        if read in spec["marks"]:
            rows.append({"metric": "resident_bytes", "length": read, "value": held_now(), "n": 1})
            rows.append({"metric": "state_bytes_held", "length": read, "value": _bytes(state), "n": 1})
    seconds, size = perf_counter() - begun, model.state_size(read)
    made = collect_provenance(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", steps=0,
        parameters=model.parameter_count, state_floats=size, state_bytes=4 * size,
        flops_per_token=model.flops_per_token(read), wall_s=seconds, tokens_per_s=read / seconds,
        started_at=started,
    )  # fmt: skip
    return Run(spec, made, rows)


def _bytes(state: list) -> int:
    """Of all tensors of a state, as they lie in memory."""
    return sum(x.untyped_storage().nbytes() for block in state for x in block)
