"""The grid of nonlinear potentials: six dynamics of HML on two tasks."""

from pathlib import Path
from typing import Any

from hmlcore.studies.kit.comparison import case_spec, is_due, measure, read_rates, task_spec
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.potentials import DYNAMICS

ONE_ROW = ("oscillator",)  # which needs twice the heads for the same floats
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=2, lrs=[1e-2], steps=3, batch_size=4, d_model=16, heads=2, layers=1, examples=4, vocab=34,
        pairs=([2], [2, 4]), sums=([8], [8, 32]),
    ),
    "laptop": dict(
        seeds=3, lrs=[3e-3, 1e-2], steps=600, batch_size=16, d_model=32, heads=4, layers=1, examples=256,
        vocab=66, pairs=([2, 4, 8], [2, 4, 8, 16]), sums=([4, 8, 16, 32], [32, 128]),
    ),
    "full": dict(
        seeds=5, lrs=[1e-3, 3e-3], steps=20_000, batch_size=64, d_model=128, heads=4, layers=2, examples=1024,
        vocab=514, pairs=([8, 16, 32], [8, 16, 32, 64, 128]), sums=([8, 16, 32, 64], [64, 256, 1024]),
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile, seeds outermost; beyond training only the last symbols of a sum are scored."""
    s, rates = dict(_SETTINGS[profile]), read_rates(Path(__file__).parent)
    vocab, pairs, sums = (s.pop(name) for name in ("vocab", "pairs", "sums"))
    cases = {
        "recall": [[task_spec("mqar", length=4 * n, pairs=n, vocab=vocab) for n in part] for part in pairs],
        "sums modulo 3": [
            [
                task_spec("word_problem", group="Z3", length=n, **({"scored": 8} if n > max(sums[0]) else {}))
                for n in part
            ]
            for part in sums
        ],
    }
    return [
        _spec(profile, task, s | {"train": train, "test": test}, dynamics, seed, lr)
        for seed in range(s["seeds"])
        for task, (train, test) in cases.items()
        for lr in s["lrs"]
        for dynamics in DYNAMICS
        if is_due(rates, profile, "potentials", f"{task}, {dynamics}", "hml", s["lrs"], seed, lr)
    ]


def _spec(profile: str, task: str, s: dict, dynamics: str, seed: int, lr: float) -> dict:
    heads = s["heads"] * (2 if dynamics in ONE_ROW else 1)
    given = {"num_heads": heads, "head_dim": s["d_model"] // s["heads"], "dynamics": dynamics}
    return case_spec("potentials", profile, task, s, "hml", seed, lr, variant=dynamics, mixer_args=given)


PROTOCOLS = {"potentials": Protocol(grid, measure)}
