"""A needle in a haystack: does a memory find what it read long ago, at which depth, up to which length?

Claim under test (``evaluation/synthetic_claims.py``): trained on at most 128 tokens, HML still answers at
16,384, at every depth, as well as the best other bounded memory. It is refuted where accuracy falls to chance
with length, or where another memory of equal bytes keeps more.

RULER's retrieval settings (Hsieh et al., arXiv 2404.06654) in their small-vocabulary form, from scratch. All
models train on four needles, one or all asked for; `full` also on one long value and on four scattered values
of one key, which at `laptop` nobody learned in 800 steps of all four settings at once. The test is the grid of
depths and lengths with four needles, and every setting, trained on or not, at a trained length, over 16 keys
at `laptop`. A bounded memory reads stretch after stretch and passes its state on, so that its memory stays
constant.
"""

from hmlcore.experiments.base import ALL_MIXERS, Experiment, task_spec
from hmlcore.experiments.synthetic import comparison, measure
from hmlcore.tasks.needle import RULER

DEPTHS = [0.0, 0.25, 0.5, 0.75, 1.0]
_SETTINGS = {
    "smoke": dict(
        keys=16, lengths=[32, 48], test={48: 4, 96: 4}, kinds=48, seeds=3, lrs=[1e-2], steps=4, batch_size=4,
        d_model=16, heads=2, layers=2, examples=4, scattered=True,
    ),
    # length → examples at each depth; the longest is 128 times the longest of training.
    "laptop": dict(
        keys=16, lengths=[32, 64, 128], test={128: 64, 1024: 32, 4096: 16, 16_384: 8}, kinds=128, seeds=3,
        headline_seeds=5, lrs=[3e-3, 1e-2], steps=1200, batch_size=16, d_model=32, heads=4, layers=2,
        examples=256, scattered=False,
    ),
    "full": dict(
        keys=64, lengths=[512, 1024, 2048, 4096], test={4096: 128, 16_384: 64, 65_536: 32, 262_144: 16},
        kinds=4096, seeds=5, lrs=[1e-3, 3e-3], steps=20_000, batch_size=64, d_model=256, heads=4, layers=2,
        examples=512, scattered=True,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile.

    Settings: `test`, length → examples for every depth; `kinds`, the length at which every one of RULER's
    settings is tested; `scattered`, whether a long value and scattered ones are trained on too.
    """
    s = dict(_SETTINGS[profile])
    keys, lengths, test, kinds, scattered = (
        s.pop(name) for name in ("keys", "lengths", "test", "kinds", "scattered")
    )

    def needle(kind: str, length: int, **knobs) -> dict:
        return task_spec("needle", length=length, keys=keys, **RULER[kind], **knobs)

    middle = lengths[len(lengths) // 2]
    s["train"] = [needle(kind, length) for length in lengths for kind in ("multikey_1", "multiquery")]
    if scattered:
        s["train"] += [needle(kind, middle) for kind in ("single_3", "multivalue")]
    s["test"] = [
        needle("multikey_1", length, depth=depth) | {"examples": examples}
        for length, examples in test.items()
        for depth in DEPTHS
    ]
    s["test"] += [needle(kind, kinds) for kind in RULER]
    return comparison("synthetic_needle", profile, {"needle": s})


SYNTHETIC_NEEDLE = Experiment(
    "synthetic_needle", "Which memory finds a needle, how deep and how long after?", grid, measure,
    mixers=ALL_MIXERS,
)  # fmt: skip
