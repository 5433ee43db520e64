"""The grids of recall: few mixers over two widths, on today's ground, and all mixers on an older frontier.

In a row with `length` tokens and `pairs` pairs; the vocabulary is smaller below `full`, so that two CPU cores
can learn it. The rate is chosen per mixer and width.
"""

from pathlib import Path
from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.studies.kit import comparison as kit
from hmlcore.studies.kit.comparison import TODAY, read_rates, scored, task_spec, training_spec
from hmlcore.studies.kit.study import COMPARED, Protocol
from hmlcore.studies.kit.tuning import rates_due, read_tuned
from hmlcore.tasks import Task

_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=3, lrs=[1e-2], steps=30, batch_size=16, vocab=128, widths=[(16, 2), (32, 2)],
        train=[(32, 2), (32, 4)], test=[(32, 2), (32, 4), (64, 8)], examples=32,
    ),
    "laptop": dict(
        seeds=5, lrs=[3e-3, 1e-2, 3e-2], steps=2000, batch_size=32, vocab=256, widths=[(32, 2), (64, 4)],
        train=[(64, 4), (64, 8), (64, 16)],
        test=[(64, 4), (64, 8), (64, 16), (128, 32)], examples=256,
    ),
    "full": dict(
        seeds=5, lrs=[1e-3, 3e-3, 1e-2], steps=12_500, batch_size=256, vocab=8192,
        widths=[(64, 2), (128, 4), (256, 4)],
        train=[(64, 4), (128, 8), (256, 16), (256, 32), (256, 64)],
        test=[(64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256)], examples=1024,
    ),
}  # fmt: skip
_FRONTIER: dict[str, dict[str, Any]] = {
    "smoke": dict(
        widths=[(16, 2), (32, 2)], train=[2, 4], test=[2, 4], vocab=34, seeds=2, lrs=[1e-2], steps=3,
        batch_size=4, layers=2, examples=4,
    ),
    "laptop": dict(
        widths=[(16, 2), (32, 2)], train=[4, 8, 16], test=[4, 8, 16, 32], vocab=130,
        seeds=3, lrs=[3e-3, 1e-2], steps=800, batch_size=16, layers=2, examples=256,
    ),
    "full": dict(
        widths=[(64, 4), (128, 4), (256, 4)], train=[8, 16, 32, 64], test=[8, 16, 32, 64, 128, 256], vocab=8192,
        seeds=5, lrs=[1e-3, 3e-3], steps=20_000, batch_size=128, layers=2, examples=1024,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: seeds outermost, so that an early stop leaves complete comparisons."""
    s, stored = _SETTINGS[profile], read_tuned(Path(__file__).parent).get(profile, {}).get("recall", {})

    def tasks(part: list[tuple[int, int]]) -> list[dict]:
        return [task_spec("mqar", length=t, pairs=n, vocab=s["vocab"]) for t, n in part]

    longest = max(length for length, _ in s["train"])
    return [
        training_spec(
            "recall", profile, mixer, seed=seed, lr=lr, steps=s["steps"], batch_size=s["batch_size"],
            model=TODAY.model(mixer, s["vocab"], longest, {"d_model": width, "layers": 2, "heads": heads}),
            optimizer="muon", solved_at=0.99, train=tasks(s["train"]),
            evaluate=scored(tasks(s["train"]), "validation", s["examples"])
            + scored(tasks(s["test"]), "test", s["examples"]),
        )
        for seed in range(s["seeds"]) for width, heads in s["widths"] for mixer in COMPARED
        for lr in rates_due(
            s["lrs"], stored.get(str(width), {}).get(mixer), tunes=profile != "laptop" or seed == 0
        )
    ]  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Accuracy over the queries."""
    return [{"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens}]


def frontier_grid(profile: str) -> list[dict]:
    """All runs of the profile: every width, n pairs in 4n tokens."""
    s = dict(_FRONTIER[profile])
    vocab = s.pop("vocab")
    for part in ("train", "test"):
        s[part] = [task_spec("mqar", length=4 * n, pairs=n, vocab=vocab) for n in s[part]]
    widths = {str(d): {**s, "d_model": d, "heads": heads} for d, heads in s.pop("widths")}
    return kit.comparison("synthetic_recall", profile, widths, read_rates(Path(__file__).parent))


PROTOCOLS = {"recall": Protocol(grid, measure), "synthetic_recall": Protocol(frontier_grid, kit.measure)}
