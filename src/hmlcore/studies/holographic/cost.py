"""What a token costs by length: operations at the source's sizes, seconds and bytes at a laptop's."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch
from tqdm import tqdm

from hmlcore.evaluation import speed
from hmlcore.layers import build_mixer
from hmlcore.layers.base import Mixer
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec

SOURCE = {"attention": {"num_heads": 8}, "holographic": {"dim": 4096, "slots": 8},
          "holographic_legacy": {"dim": 4096, "slots": 8}}  # fmt: skip
SOURCE_WIDTH = 512
_LENGTHS = [2**n for n in range(9, 17)]
_SETTINGS = {
    "smoke": dict(lengths=[64, 128], longest_pass=128, repeats=3, decode_steps=2, d_model=16, heads=2),
    "laptop": dict(lengths=_LENGTHS, longest_pass=4096, repeats=5, decode_steps=16, d_model=64, heads=4),
    "full": dict(lengths=_LENGTHS, longest_pass=65_536, repeats=15, decode_steps=64, d_model=1024, heads=16),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One spec a mixer, of equal floats of state where it is bounded: 2·N·d_model, N = d_model / heads.

    Settings: `longest_pass`, up to which whole sequences are timed; `decode_steps`, tokens in a timed decoding.
    """
    s = dict(_SETTINGS[profile])
    d, heads = s.pop("d_model"), s.pop("heads")
    floats = 2 * d * d // heads
    given = {"attention": {"num_heads": heads}, "holographic": {"dim": floats},
             "holographic_legacy": {"dim": floats // 8, "slots": 8}}  # fmt: skip
    return [
        make_spec(
            "holographic_cost", profile, mixer, seed=0, precision="fp32", train=[], evaluate=[],
            model={"d_model": d, "layers": 1, "mixer_args": arguments}, **s,
        )
        for mixer, arguments in given.items()
    ]  # fmt: skip


def measure_all(specs: list[dict], device: torch.device) -> list[Run]:
    """Rows by length: flops_source (a token at the source's sizes), seconds_decode (a token after that many)
    and, up to `longest_pass`, seconds_token (of a forward pass over them); timed in turns."""
    started, begun = datetime.now(UTC), time.perf_counter()
    mixers = {spec["mixer"]: _build(spec, device) for spec in specs}
    rows = {name: [*_counted(name, specs[0]["lengths"])] for name in mixers}
    for length in tqdm(specs[0]["lengths"], desc="cost", disable=None, unit="length"):
        _timed(mixers, rows, specs[0], length, device)
    seconds = time.perf_counter() - begun
    return [_run(spec, mixers[spec["mixer"]], rows[spec["mixer"]], seconds, device, started) for spec in specs]


def _build(spec: dict, device: torch.device) -> Mixer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        return build_mixer(spec["mixer"], spec["model"]["d_model"], **spec["model"]["mixer_args"]).to(device)


def _counted(name: str, lengths: list[int]) -> Iterator[dict]:
    with torch.device("meta"):
        mixer = build_mixer(name, SOURCE_WIDTH, **SOURCE[name])
    for length in lengths:
        here = {"length": length, "size": "source", "n": 1, "state_bytes": 4 * mixer.state_size(length)}
        yield {"metric": "flops_source", "value": float(mixer.flops_per_token(length)), **here}


def _state_after(mixer: Mixer, length: int, device: torch.device):
    """A state as `length` tokens leave it: what grows is filled with as many random entries."""
    part = 64
    with torch.no_grad():
        _, state = mixer(torch.randn(1, part, mixer.d_model, device=device))
    if mixer.state_size(part) == mixer.state_size(2 * part):
        return state
    grown = (torch.randn(1, length, *x.shape[2:], device=device) if x.shape[1] == part else x for x in state)
    return type(state)(*grown)


def _timed(mixers: dict[str, Mixer], rows: dict, spec: dict, length: int, device: torch.device) -> None:
    steps = spec["decode_steps"]

    def decode(mixer: Mixer):
        state, token = _state_after(mixer, length, device), torch.randn(1, mixer.d_model, device=device)

        def run() -> None:
            with torch.no_grad():
                for _ in range(steps):
                    mixer.step(token, state)

        return run

    def whole(mixer: Mixer):
        x = torch.randn(1, length, mixer.d_model, device=device)

        def run() -> None:
            with torch.no_grad():
                mixer(x)

        return run

    kinds = {"seconds_decode": (decode, steps)}
    if length <= spec["longest_pass"]:
        kinds["seconds_token"] = (whole, length)
    for metric, (make, count) in kinds.items():
        passes = {name: make(mixer) for name, mixer in mixers.items()}
        for run in passes.values():
            run()
        found = speed.in_turns(passes, device, repeats=spec["repeats"], seconds=20.0)
        for name, timing in found.items():
            size = mixers[name].state_size(length)
            rows[name].append({
                "metric": metric, "value": timing.seconds / count, "spread": timing.spread, "n": timing.repeats,
                "length": length, "size": "laptop", "state_floats": size, "state_bytes": 4 * size,
                "flops_per_token": mixers[name].flops_per_token(length),
                "path": speed.path_text(timing.path),
            })  # fmt: skip


def _run(spec: dict, mixer: Mixer, rows: list[dict], seconds: float, device: torch.device, started) -> Run:
    longest = max(spec["lengths"])
    size = mixer.state_size(longest)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    provenance = collect_provenance(
        named, steps=0, parameters=sum(p.numel() for p in mixer.parameters()), state_floats=size,
        state_bytes=4 * size, flops_per_token=mixer.flops_per_token(longest), wall_s=seconds,
        tokens_per_s=longest / seconds, started_at=started,
    )  # fmt: skip
    return Run(spec, provenance, rows)
