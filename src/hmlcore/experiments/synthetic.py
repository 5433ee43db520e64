"""What the controlled tasks have in common: who meets, at what cost, and how a rate is chosen.

All mixers have the same number of parameters (attention with an MLP of four times its width sets it) and, where
it can be set, the same floats of state: with N = d_model / heads, 2·N·d_model a block. HML is its default, the
oscillator of the bake-off, named in every spec. Short convolutions' windows are not counted as memory.

Tuning: two learning rates for every mixer on every task. At `laptop` both are tried with seed 0, the other
seeds run at the better one by cross-entropy on validation data (``synthetic_rates``, and a test holds it to
the store); elsewhere all seeds run at all rates. Where a case says so, the two of the headline, HML and gated
DeltaNet, have five seeds and the others three.
"""

import torch

from hmlcore.evaluation.metrics import Scores
from hmlcore.experiments.base import ALL_MIXERS, make_spec, mixer_arguments, task_from
from hmlcore.experiments.synthetic_rates import SMALLER
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import Task

HEADLINE = ("hml", "gated_deltanet")
HML_DEFAULT = {"dynamics": "oscillator", "theta": "few"}


def arguments(mixer: str, d_model: int, heads: int, length: int) -> dict:
    """Arguments of `mixer` at equal state; HML's one complex row needs twice the heads of N × N."""
    if mixer == "hml":
        return {"num_heads": 2 * heads, "head_dim": d_model // heads, **HML_DEFAULT}
    return mixer_arguments(mixer, d_model, heads, length)


def budget(vocabulary: int, d_model: int, layers: int, heads: int) -> int:
    """The parameters that all mixers share: attention's with an MLP of four times the width."""
    with torch.device("meta"):
        config = BackboneConfig(vocabulary, "attention", d_model, layers, 4 * d_model, {"num_heads": heads})
        return Backbone(config).parameter_count


def comparison(experiment: str, profile: str, cases: dict[str, dict]) -> list[dict]:
    """The specs of every case, seeds outermost, so that an early stop leaves complete comparisons.

    Args: cases, name → settings: train and test (lists of tasks as specs have them; a test may carry its own
        ``examples``), seeds, headline_seeds, lrs, steps, batch_size, d_model, heads, layers, examples. The name
        is the spec's `task`, except where the cases are widths of one task ("width 32").
    """
    return [
        spec(experiment, profile, name, s, mixer, seed, lr)
        for seed in range(max(max(s["seeds"], s.get("headline_seeds", 0)) for s in cases.values()))
        for name, s in cases.items()
        for lr in s["lrs"]
        for mixer in ALL_MIXERS
        if seed < (s.get("headline_seeds", s["seeds"]) if mixer in HEADLINE else s["seeds"])
        and (profile != "laptop" or seed == 0 or lr == chosen_rate(experiment, name, mixer, s["lrs"]))
    ]


def chosen_rate(experiment: str, case: str, mixer: str, lrs: list[float]) -> float:
    """The learning rate of `mixer` at `laptop`, chosen on validation with the first seed."""
    return min(lrs) if mixer in SMALLER.get((experiment, case), ()) else max(lrs)


def spec(
    experiment: str, profile: str, name: str, s: dict, mixer: str, seed: int, lr: float, **own
) -> dict:  # fmt: skip
    """One run of a case; `own` are further fields of it."""
    vocabulary = task_from(s["train"][0]).vocab_size
    longest = max(task_from(task).length for task in s["train"])
    given = own.pop("mixer_args", None) or arguments(mixer, s["d_model"], s["heads"], longest)
    task = {} if name.startswith("width") else {"task": name}
    return make_spec(
        experiment, profile, mixer, **task, seed=seed, lr=lr, steps=s["steps"], batch_size=s["batch_size"],
        warmup=max(1, s["steps"] // 10), weight_decay=0.1, precision="bf16" if profile == "full" else "fp32",
        model={
            "d_model": s["d_model"], "layers": s["layers"], "mixer_args": given,
            "target_parameters": budget(vocabulary, s["d_model"], s["layers"], s["heads"]),
        },
        train=s["train"],
        evaluate=_scored(s["train"], "validation", s["examples"]) + _scored(s["test"], "test", s["examples"]),
        **own,
    )  # fmt: skip


def _scored(tasks: list[dict], split: str, examples: int) -> list[dict]:
    entries = [{"examples": examples, **task, "split": split} for task in tasks]
    return [entry | {"batch_size": min(32, entry["examples"])} for entry in entries]


def measure(task: Task, scores: Scores) -> list[dict]:
    """Accuracy of tokens and of whole answers, and the cross-entropy that chooses learning rates; of sums of
    real numbers also how often the error is at most one level, .01 of a hundred."""
    rows = [
        {"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens},
        {"metric": "exact", "value": scores.exact_accuracy, "n": scores.sequences},
        {"metric": "bits_per_token", "value": scores.bits_per_token, "n": scores.tokens},
    ]
    if task.name == "adding":
        rows.append({"metric": "within_one", "value": scores.accuracy_within_one, "n": scores.tokens})
    return rows
