"""The recall–memory frontier: how many pairs does each memory recall, per byte of state?

Claims under test (``evaluation/synthetic_claims.py``): HML recalls at least what gated DeltaNet does at equal
bytes, and no bounded memory of at most its bytes recalls more. The task is Zoology's multi-query associative
recall (Arora et al., arXiv 2312.04927), in a small vocabulary at `laptop`.

Beside them stands what no memory can exceed: n pairs among K keys and V values hold log₂ of the number of
their assignments. Far before a state is full of bits the interference of its keys decides.
"""

from hmlcore.experiments.base import ALL_MIXERS, Experiment, task_spec
from hmlcore.experiments.synthetic import comparison, measure

_SETTINGS = {
    "smoke": dict(
        widths=[(16, 2), (32, 2)], train=[2, 4], test=[2, 4], vocab=34, seeds=3, lrs=[1e-2], steps=3,
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
    """All runs of the profile: every width, n pairs in 4n tokens."""
    s = dict(_SETTINGS[profile])
    vocab = s.pop("vocab")
    for part in ("train", "test"):
        s[part] = [task_spec("mqar", length=4 * n, pairs=n, vocab=vocab) for n in s[part]]
    widths = {f"width {d}": {**s, "d_model": d, "heads": heads} for d, heads in s.pop("widths")}
    return comparison("synthetic_recall", profile, widths)


SYNTHETIC_RECALL = Experiment(
    "synthetic_recall", "How many pairs does each memory recall, per byte?", grid, measure, mixers=ALL_MIXERS
)
