"""LRA Text: which memory can tell, byte by byte, whether a review liked its film, and from how much of it?

Claims under test (``evaluation/lra_claims.py``), at equal parameters, equal state where it can be set and equal
tuning: causal HML answers as well as the best other bounded memory; reading both ways helps it; nobody gets
worse by reading more of a review than in training.

`full` is Long Range Arena's own length, 4,096 bytes, in the small setting of S4 (4 layers, width 128). The
laptop reads the first bytes of a review in training, of few reviews, and is compared with nothing published.
Two learning rates for causal models, chosen on validation; one for those that read both ways.
"""

from hmlcore.experiments.base import ALL_MIXERS, Experiment, make_spec, task_spec
from hmlcore.experiments.lra import measure
from hmlcore.experiments.synthetic import arguments, budget, chosen_rate

_SETTINGS = {
    "smoke": dict(
        seeds=3, lrs={"causal": [3e-3], "bidirectional": [3e-3]}, steps=4, batch_size=4, d_model=16, layers=2,
        heads=2, train=32, test=[16, 32, 64], held_out=40, scored=16, batch=16,
    ),
    "laptop": dict(
        seeds=3, lrs={"causal": [3e-3, 1e-2], "bidirectional": [3e-3]}, steps=120, batch_size=16, d_model=32,
        layers=2, heads=4, train=256, test=[128, 256, 512], held_out=2_500, scored=400, batch=50,
    ),
    "full": dict(
        seeds=3, lrs={"causal": [1e-3, 3e-3], "bidirectional": [1e-3, 3e-3]}, steps=25_000, batch_size=50,
        d_model=128, layers=4, heads=4, train=4096, test=[256, 512, 1024, 2048, 4096], held_out=2_500,
        scored=2_500, batch=50,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: causal first, and seeds before rates."""
    s = _SETTINGS[profile]
    return [
        _spec(profile, s, direction, mixer, seed, lr)
        for direction, lrs in s["lrs"].items()
        for seed in range(s["seeds"])
        for lr in lrs
        for mixer in ALL_MIXERS
        if profile != "laptop" or seed == 0 or lr == chosen_rate("lra_text", direction, mixer, lrs)
    ]


def _spec(profile: str, s: dict, direction: str, mixer: str, seed: int, lr: float) -> dict:
    def scored(length: int, split: str, examples: int) -> dict:
        task = task_spec("imdb", max_length=length, held_out=s["held_out"])
        return task | {"split": split, "examples": examples, "batch_size": min(s["batch"], examples)}

    # `full` is judged by all reviews, which are 25,000; elsewhere by as many as choose the rate.
    judged = 25_000 if profile == "full" else s["scored"]
    return make_spec(
        "lra_text", profile, mixer, direction=direction, seed=seed, lr=lr, steps=s["steps"],
        batch_size=s["batch_size"], warmup=max(1, s["steps"] // 10), weight_decay=0.1,
        precision="bf16" if profile == "full" else "fp32",
        model={
            "d_model": s["d_model"], "layers": s["layers"],
            "target_parameters": budget(256, s["d_model"], s["layers"], s["heads"]),
            "mixer_args": arguments(mixer, s["d_model"], s["heads"], s["train"]),
        },
        train=[task_spec("imdb", max_length=s["train"], held_out=s["held_out"])],
        evaluate=[
            scored(s["train"], "validation", s["scored"]), *(scored(x, "test", judged) for x in s["test"])
        ],
    )  # fmt: skip


LRA_TEXT = Experiment(
    "lra_text", "Which memory can tell whether a review liked its film, byte by byte?", grid, measure,
    mixers=ALL_MIXERS,
)  # fmt: skip
