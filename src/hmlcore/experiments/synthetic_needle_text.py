"""A needle in prose: does a memory that reads bytes find a number in a book, how deep and how long after?

Claims under test (``evaluation/synthetic_claims.py``): trained on windows of at most 192 bytes,
needle, question and a little of PG-19, HML still answers at 16,384, as well as the best other bounded memory.

RULER's retrieval settings (Hsieh et al., arXiv 2404.06654) in their own sentences, a token a byte. All models
train on one needle in prose; the test is the grid of depths and lengths of that setting in books that training
did not see, and every setting at one length. `smoke` has RULER's noise for a haystack and needs no data.
"""

from hmlcore.experiments.base import ALL_MIXERS, Experiment, task_spec
from hmlcore.experiments.synthetic import comparison, measure
from hmlcore.experiments.synthetic_needle import DEPTHS
from hmlcore.tasks.needle_text import FORMS

_SETTINGS = {
    "smoke": dict(
        corpus="filler", digits=1, lengths=[150, 160], test={160: 4, 320: 4}, kinds=640, seeds=3, lrs=[1e-2],
        steps=2, batch_size=2, d_model=16, heads=2, layers=2, examples=2,
    ),
    # length → examples at each depth; the longest is 85 times the longest of training.
    "laptop": dict(
        corpus="pg19", digits=4, lengths=[160, 192], test={192: 32, 1024: 32, 4096: 16, 16_384: 8}, kinds=768,
        seeds=3, lrs=[3e-3, 1e-2], steps=800, batch_size=16, d_model=32, heads=4, layers=2, examples=64,
    ),
    "full": dict(
        corpus="pg19", digits=7, lengths=[256, 512, 1024],
        test={1024: 128, 16_384: 64, 65_536: 32, 262_144: 16}, kinds=4096, seeds=5, lrs=[1e-3, 3e-3],
        steps=20_000, batch_size=64, d_model=256, heads=4, layers=2, examples=512,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile.

    Settings: `test`, length → examples for every depth; `kinds`, the length at which every one of RULER's
    settings is tested.
    """
    s = dict(_SETTINGS[profile])
    corpus, digits, lengths, test, kinds = (
        s.pop(name) for name in ("corpus", "digits", "lengths", "test", "kinds")
    )

    def needle(length: int, kind: str = "single_2", **knobs) -> dict:
        hay = corpus if FORMS[kind].haystack == "corpus" else "filler"
        return task_spec("needle_text", length=length, kind=kind, digits=digits, corpus=hay, **knobs)

    s["train"] = [needle(length) for length in lengths]
    s["test"] = [
        needle(length, depth=depth) | {"examples": examples}
        for length, examples in test.items()
        for depth in DEPTHS
    ]
    s["test"] += [needle(kinds, kind) for kind in FORMS]
    return comparison("synthetic_needle_text", profile, {"text": s})


SYNTHETIC_NEEDLE_TEXT = Experiment(
    "synthetic_needle_text", "Which memory finds a number in a book, how deep and how long after?", grid,
    measure, mixers=ALL_MIXERS,
)  # fmt: skip
