"""The grid of gradient stability, and what is examined in each trained model.

The sequences that are measured are of copy with the longest delay: the payload is the longest lag away.
"""

from pathlib import Path

import torch

from hmlcore.evaluation.gradients import early_late_ratio, gradient_by_lag, log_slope, state_gradient_by_lag
from hmlcore.evaluation.probes import linear_probe, noise_robustness
from hmlcore.evaluation.state_motion import energy_drift, spectral_radius_proxy
from hmlcore.models import Backbone
from hmlcore.studies.kit.comparison import (
    DEFAULT,
    case_spec,
    chosen_rate,
    measure,
    read_rates,
    task_from,
    task_spec,
)
from hmlcore.studies.kit.study import ALL_MIXERS, Protocol
from hmlcore.tasks.copy import Copy

# HML's damping, by what it moves: without loss, at a fixed one, and at one that tokens choose.
VARIANTS: dict[str, dict] = {
    "oscillator undamped": {"dynamics": "oscillator", "theta": "token", "damping": 1.0},
    "leapfrog undamped": {"dynamics": "leapfrog", "damping": 1.0},
    "leapfrog damped": {"dynamics": "leapfrog", "damping": 0.9},
    "leapfrog learned": {"dynamics": "leapfrog"},
}
_SETTINGS = {
    "smoke": dict(
        copy=[(2, 4)], seeds=2, steps=3, batch_size=4, d_model=16, heads=2, layers=1, examples=4,
        examine=dict(lags=[4, 16, 64], state_lags=[4, 16, 64], batch=2, chunk=64, probe_lags=[8, 32],
                     probe_sequences=16, growth_lag=32, blanks=16, noise=[0.0, 0.5]),
    ),
    "laptop": dict(
        copy=[(4, 8), (8, 16), (4, 64)], seeds=3, steps=800, batch_size=16, d_model=32, heads=4, layers=1,
        examples=256,
        examine=dict(lags=[2**n for n in range(4, 15)], state_lags=[4**n for n in range(2, 8)], batch=1,
                     chunk=1024, probe_lags=[256, 1024, 4096], probe_sequences=128, growth_lag=1024,
                     blanks=256, noise=[0.0, 0.1, 0.3, 1.0]),
    ),
    "full": dict(
        copy=[(8, 64), (16, 256), (32, 512)], seeds=5, steps=20_000, batch_size=128, d_model=128, heads=4,
        layers=1, examples=1024,
        examine=dict(lags=[2**n for n in range(4, 17)], state_lags=[4**n for n in range(2, 9)], batch=4,
                     chunk=4096, probe_lags=[256, 1024, 4096, 16_384], probe_sequences=1024, growth_lag=4096,
                     blanks=1024, noise=[0.0, 0.1, 0.3, 1.0]),
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile, seeds outermost. `variant` is the mixer, or HML's own.

    `examine`: `lags` of input gradients and `state_lags` of state gradients, over `batch` sequences, the graph
    held over `chunk` tokens; `probe_lags`, `probe_sequences`; `growth_lag`, tokens that the Jacobian spans;
    `blanks`, tokens of the energy's drift; `noise`, levels relative to the embeddings.
    """
    s = dict(_SETTINGS[profile])
    examine, sizes = s.pop("examine"), s.pop("copy")
    s["train"] = s["test"] = [
        task_spec("copy", payload=payload, delay=delay, cue="previous") for payload, delay in sizes
    ]
    contestants = [(mixer, mixer, None) for mixer in ALL_MIXERS]
    contestants += [("hml", name, own) for name, own in VARIANTS.items()]
    # Nothing is tuned here: every mixer has the rate that validation chose for it on copy, of these two.
    rates = read_rates(Path(__file__).parent)
    return [
        case_spec(
            "synthetic_gradient", profile, "copy", s, mixer, seed,
            chosen_rate(rates, "laptop", "synthetic_gradient", "copy", mixer, [3e-3, 1e-2]), variant=variant,
            examine=examine,
            mixer_args=None if own is None else _at_equal_state(s["d_model"], s["heads"], own),
        )
        for seed in range(s["seeds"]) for mixer, variant, own in contestants
    ]  # fmt: skip


def _at_equal_state(d_model: int, heads: int, own: dict) -> dict:
    """Two rows of N × N in a head, or twice the heads with one."""
    given = DEFAULT.arguments("hml", d_model, heads, 0)
    if own["dynamics"] == "oscillator":
        return given | own
    return {"num_heads": heads, "head_dim": given["head_dim"], **own}


def examine(model: Backbone, initial: Backbone, spec: dict) -> list[dict]:
    """The rows of a run beside its scores: gradients of both models, and what the trained one's state holds.

    Metrics: gradient_by_lag and state_gradient_by_lag (stage, lag, stderr, floored), gradient_slope (stage;
    natural log of the norm per token, with low and high) and gradient_power (its exponent), early_late
    (stage); linear_probe (lag, chance), spectral_radius_proxy, energy_change, noise_accuracy (level).
    """
    asked = spec["examine"]
    task = task_from(spec["train"][0])
    assert isinstance(task, Copy)
    reach = max(asked["lags"])
    long = Copy(task.payload, reach + 1 - 2 * task.payload, task.alphabet, task.cue)
    inputs, targets = long.batch("test", 0, asked["batch"], seed=0)
    rows = []
    for stage, network in (("initial", initial), ("trained", model)):
        device = model.embedding.weight.device
        network = network.to(device)
        found = gradient_by_lag(network, inputs.to(device), asked["lags"], chunk=asked["chunk"])
        found += _slopes(found)
        found += state_gradient_by_lag(network, inputs.to(device), targets.to(device), asked["state_lags"])
        rows += [{"stage": stage, **row} for row in found]
    rows += linear_probe(
        model, asked["probe_lags"], sequences=asked["probe_sequences"], alphabet=task.alphabet, batch=32
    )
    rows += spectral_radius_proxy(model, inputs, asked["growth_lag"])
    if getattr(model.blocks[-1].mixer, "rows", None) == 2:
        rows += energy_drift(model, inputs[:, : task.length], task.blank, asked["blanks"])
    rows += noise_robustness(
        model, task_from(spec["train"][-1]), asked["noise"], examples=spec["evaluate"][-1]["examples"]
    )
    return [row for row in rows if row["value"] is not None]


def _slopes(rows: list[dict]) -> list[dict]:
    lags, values = [row["lag"] for row in rows], [row["value"] for row in rows]
    if not all(torch.tensor(values).isfinite()):
        return []
    slopes, n = log_slope(lags, values), rows[0]["n"]
    found = [
        {"metric": name, "value": x.slope, "low": x.low, "high": x.high, "floored": slopes.floored, "n": n}
        for name, x in (("gradient_slope", slopes.rate), ("gradient_power", slopes.power))
    ]
    return [*found, {"metric": "early_late", "value": early_late_ratio(lags, values), "n": n}]


PROTOCOLS = {"synthetic_gradient": Protocol(grid, measure, examine=examine)}
