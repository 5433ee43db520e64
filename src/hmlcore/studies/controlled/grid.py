"""The grid of the controlled tasks: what is learned at which sizes, and what is tested beyond them."""

from pathlib import Path
from typing import Any

from hmlcore.studies.kit.comparison import comparison, measure, read_rates, task_spec
from hmlcore.studies.kit.study import Protocol

_COMMON: dict[str, dict[str, Any]] = {
    "smoke": dict(seeds=2, lrs=[1e-2], steps=3, batch_size=4, d_model=16, heads=2, layers=1, examples=4),
    "laptop": dict(
        seeds=3, lrs=[3e-3, 1e-2], steps=800, batch_size=16, d_model=32, heads=4, layers=1, examples=256,
    ),
    "full": dict(
        seeds=5, lrs=[1e-3, 3e-3, 1e-2], steps=20_000, batch_size=128, d_model=128, heads=4, layers=2,
        examples=1024,
    ),
}  # fmt: skip
# Lengths of training and of the tests beyond it, in symbols; pairs (keys, writes) or (payload, delay) where the
# task has two sizes.
_SIZES: dict[str, dict[str, Any]] = {
    "smoke": dict(
        group=([8], [8, 32]), digits=([2], [2, 4]), terms=([8], [8, 16]), pairs=([(2, 4)], [(2, 4)]),
        copy=([(2, 4)], [(2, 4), (2, 16)]), adding=([8], [8, 16]), vocab=34,
    ),
    "laptop": dict(
        group=([8, 16, 32, 64], [64, 256, 1024]), digits=([2, 4, 8], [8, 16, 64]),
        terms=([16, 32, 64], [64, 256, 1024]), pairs=([(2, 8), (4, 12), (8, 24)], [(8, 24), (8, 96), (16, 48)]),
        copy=([(4, 8), (8, 16), (4, 64)], [(4, 64), (8, 64), (4, 1024), (8, 1024), (4, 8192)]),
        adding=([16, 32, 64], [64, 256, 1024]), vocab=66,
    ),
    "full": dict(
        group=([8, 16, 32, 64], [64, 256, 1024, 4096]), digits=([4, 8, 16, 20], [20, 64, 256]),
        terms=([16, 32, 64], [64, 256, 1024, 4096]),
        pairs=([(16, 64), (32, 128), (64, 256)], [(64, 256), (64, 2048), (128, 512)]),
        copy=([(8, 64), (16, 256), (32, 512)], [(32, 512), (32, 4096), (16, 65_536), (10, 100_000)]),
        adding=([128, 256, 512], [512, 4096, 16_384]), vocab=514,
    ),
}  # fmt: skip
# A law that holds for a whole sequence is found late: after 800 steps HML was right about sums of 64 symbols
# little more often than a guess, and still got better when training ended (on validation data).
_GROUP_STEPS = {"smoke": 3, "laptop": 2400, "full": 20_000}
GROUPS = {"parity": "Z2", "sums modulo 3": "Z3", "sums modulo 5": "Z5", "S3": "S3"}


def _tasks(profile: str) -> dict[str, dict]:
    """Name → train, test and what differs from the common settings."""
    sizes = _SIZES[profile]

    def both(size: str, make) -> dict:
        train, test = sizes[size]
        longest = max(train)
        return {
            "train": [make(x, False) for x in train],
            "test": [make(x, x not in train and size != "copy" and x > longest) for x in test],
        }

    def scored(beyond: bool, length: int) -> dict:
        """Beyond training only the end is scored: what comes before was trained on."""
        return {"scored": min(32, length // 2)} if beyond else {}

    found = {
        "overwrite": both(
            "pairs", lambda x, _: task_spec("overwrite", keys=x[0], writes=x[1], vocab=sizes["vocab"])
        )
        | {"layers": 2},
    }
    for name, group in GROUPS.items():
        found[name] = both(
            "group",
            lambda x, beyond, group=group: task_spec(
                "word_problem", group=group, length=x, **scored(beyond, x)
            ),
        ) | {"steps": _GROUP_STEPS[profile]}
    found["addition"] = both("digits", lambda x, _: task_spec("addition", digits=x)) | {"layers": 2}
    found["recurrence"] = both(
        "terms", lambda x, beyond: task_spec("recurrence", length=x, **scored(beyond, x))
    ) | {"layers": 2}
    found["copy"] = both("copy", lambda x, _: task_spec("copy", payload=x[0], delay=x[1], cue="previous"))
    found["adding"] = both("adding", lambda x, _: task_spec("adding", length=x))
    return found


def grid(profile: str) -> list[dict]:
    """All runs of the profile."""
    cases = {name: _COMMON[profile] | own for name, own in _tasks(profile).items()}
    return comparison("synthetic_tasks", profile, cases, read_rates(Path(__file__).parent))


PROTOCOLS = {"synthetic_tasks": Protocol(grid, measure)}
