"""The grids of the needle: in letters over a small vocabulary, and in prose, a token a byte."""

from pathlib import Path
from typing import Any

from hmlcore.studies.kit.comparison import comparison, measure, read_rates, task_spec
from hmlcore.studies.kit.study import Protocol
from hmlcore.tasks.needle import RULER
from hmlcore.tasks.needle_text import FORMS

DEPTHS = [0.0, 0.25, 0.5, 0.75, 1.0]
_RATES = read_rates(Path(__file__).parent)
_LETTERS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        keys=16, lengths=[32, 48], test={48: 4, 96: 4}, kinds=48, seeds=2, lrs=[1e-2], steps=4, batch_size=4,
        d_model=16, heads=2, layers=2, examples=4, scattered=True,
    ),
    # test: length → examples at each depth.
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
_PROSE: dict[str, dict[str, Any]] = {
    "smoke": dict(
        corpus="filler", digits=1, lengths=[150, 160], test={160: 4, 320: 4}, kinds=640, seeds=2, lrs=[1e-2],
        steps=2, batch_size=2, d_model=16, heads=2, layers=2, examples=2,
    ),
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


def letters_grid(profile: str) -> list[dict]:
    """All runs of the profile.

    Settings: `test`, length → examples for every depth; `kinds`, the length at which every one of RULER's
    settings is tested; `scattered`, whether a long value and scattered ones are trained on too.
    """
    s = dict(_LETTERS[profile])
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
    return comparison("synthetic_needle", profile, {"needle": s}, _RATES)


def prose_grid(profile: str) -> list[dict]:
    """All runs of the profile.

    Settings: `test`, length → examples for every depth; `kinds`, the length at which every one of RULER's
    settings is tested.
    """
    s = dict(_PROSE[profile])
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
    return comparison("synthetic_needle_text", profile, {"text": s}, _RATES)


PROTOCOLS = {
    "synthetic_needle": Protocol(letters_grid, measure),
    "synthetic_needle_text": Protocol(prose_grid, measure),
}
