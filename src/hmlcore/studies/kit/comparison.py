"""What comparisons have in common: who meets, at what cost, and how a rate is chosen.

In a comparison all mixers have the same number of parameters and, where it can be set, the same floats of
state: with N = d_model / heads, 2·N·d_model a block. Short convolutions' windows are not counted as memory.
There are three, which differ in what HML is and in the parameters that attention sets for all:

    PROPOSED  HML is the leapfrog of the first proposal; attention has an MLP of twice its width
    DEFAULT   HML is the oscillator of the first bake-off, named in every spec; an MLP of four times
    TODAY     HML is what the second bake-off made its default, on the ground that was decided for all memories

Tuning: every mixer tries the same learning rates on every task. At `laptop` all are tried with seed 0, and the
other seeds run at the better one by cross-entropy on validation data (``rates.json``, which `hml tune` writes
and a test holds to the store); elsewhere all seeds run at all rates. A new grid tries
what :func:`hmlcore.studies.kit.tuning.rates_to_try` says, which goes on where an edge won. Where a case says
so, the two of the headline, HML and gated DeltaNet, have five seeds and the others three.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from hmlcore.checks import check_bool, check_fields, check_instance, check_int, check_positive
from hmlcore.evaluation.metrics import Scores
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.results import SCHEMA, canonical
from hmlcore.studies.kit import ground
from hmlcore.studies.kit.study import ALL_MIXERS
from hmlcore.studies.kit.tuning import read_tuned
from hmlcore.tasks import Task, build_task

HEADLINE = ("hml", "gated_deltanet")
WEIGHT_DECAY = 0.1


def make_spec(experiment: str, profile: str, mixer: str, **settings) -> dict:
    """A spec with the fields every run has; `settings` are the run's own (see ``runner.model.build_model``)."""
    return {"schema": SCHEMA, "experiment": experiment, "profile": profile, "mixer": mixer, **settings}


def training_spec(
    experiment: str,
    profile: str,
    mixer: str,
    *,
    seed: int,
    lr: float,
    steps: int,
    batch_size: int,
    solved_at: float | None = None,
    **own,
) -> dict:
    """The spec of a run that is trained; `own` has its model, train and evaluate, and what else it needs.

    Args: solved_at, the training accuracy that ends it before `steps` (see ``training.TrainingConfig``).
    """
    if solved_at is not None:  # not among what runs without it are known by
        own["solved_at"] = check_positive("solved_at", solved_at, 1.0)
    return make_spec(
        experiment, profile, mixer, seed=seed, lr=lr, steps=steps, batch_size=batch_size,
        warmup=max(1, steps // 10), weight_decay=WEIGHT_DECAY,
        precision="bf16" if profile == "full" else "fp32", **own,
    )  # fmt: skip


def task_spec(name: str, **knobs) -> dict:
    """A task inside a spec."""
    return {"task": name, **knobs}


def scored(tasks: list[dict], split: str, examples: int, batch: int = 32) -> list[dict]:
    """`tasks` as entries of `evaluate`; a task may carry its own number of examples."""
    entries = [{"examples": examples, **task, "split": split} for task in tasks]
    return [entry | {"batch_size": min(batch, entry["examples"])} for entry in entries]


def task_from(spec: dict) -> Task:
    """The task that a spec's entry describes; in an entry with a split, evaluation settings are left out."""
    settings = ("task", "split", "examples", "batch_size") if "split" in spec else ("task",)
    return build_task(spec["task"], **{k: v for k, v in spec.items() if k not in settings})


def parameters_of(vocabulary: int, mixer: str, d_model: int, layers: int, mlp: int, arguments: dict) -> int:
    """How many parameters such a backbone has."""
    return _counted(vocabulary, mixer, d_model, layers, mlp, canonical(arguments))


@cache
def _counted(vocabulary: int, mixer: str, d_model: int, layers: int, mlp: int, arguments: str) -> int:
    with torch.device("meta"):
        config = BackboneConfig(vocabulary, mixer, d_model, layers, mlp, json.loads(arguments))
        return Backbone(config).parameter_count


@dataclass(frozen=True)
class Comparison:
    """Attributes: hml, what the layer is given beside its heads; mlp, attention's MLP over its width; packed,
    whether HML's one row needs twice the heads of N × N for the same state; ground, whether gated memories have
    the norm, and all the embedding, of `kit.ground`."""

    hml: Mapping
    mlp: int
    packed: bool = False
    ground: bool = False

    def __post_init__(self) -> None:
        bools = {"packed": (check_bool,), "ground": (check_bool,)}
        check_fields(self, hml=(check_instance, Mapping), mlp=(check_int,), **bools)

    def arguments(self, mixer: str, d_model: int, heads: int, length: int) -> dict:
        """What `mixer` is given: its authors' choices, and equal state where it can be set.

        Hyena's filters take the length one trains on as their unit of time; LinOSS gets an oscillator a
        channel.
        """
        norm = ground.norm_ground() if self.ground else {}
        if mixer == "hml":
            size = (
                {"num_heads": 2 * heads, "head_dim": d_model // heads} if self.packed else {"num_heads": heads}
            )
            return size | dict(self.hml) | norm
        if mixer in ("attention", "retnet", "gated_deltanet", "momentum_deltanet"):
            return {"num_heads": heads} | (norm if mixer == "gated_deltanet" else {})
        own = {
            "mamba2": {"d_state": d_model // heads},
            "hyena": {"filter_length": length, "filter_width": min(64, d_model)},
            "linoss": {"d_state": d_model},
        }
        return own.get(mixer, {})

    def parameters(self, vocabulary: int, d_model: int, layers: int, heads: int) -> int:
        """The budget that all mixers share: attention's."""
        given = {"num_heads": heads}
        return parameters_of(vocabulary, "attention", d_model, layers, self.mlp * d_model, given)

    def model(self, mixer: str, vocabulary: int, length: int, s: Mapping) -> dict:
        """The model of a spec; `s` has d_model, layers and heads."""
        return {
            "d_model": s["d_model"], "layers": s["layers"],
            "target_parameters": self.parameters(vocabulary, s["d_model"], s["layers"], s["heads"]),
            "mixer_args": self.arguments(mixer, s["d_model"], s["heads"], length),
            **(ground.model_ground() if self.ground else {}),
        }  # fmt: skip


PROPOSED = Comparison({"dynamics": "leapfrog"}, mlp=2)
DEFAULT = Comparison({"dynamics": "oscillator", "theta": "few"}, mlp=4, packed=True)
TODAY = Comparison(ground.DEFAULT, mlp=4, packed=True, ground=True)


def read_rates(folder: Path) -> dict:
    """The rates that tuning chose for the study in `folder`: profile → experiment → case → mixer → rate."""
    return {
        profile: {
            name: {case: {mixer: found.lr for mixer, found in mixers.items()} for case, mixers in cases.items()}
            for name, cases in names.items()
        }
        for profile, names in read_tuned(folder).items()
    }


def chosen_rate(
    rates: Mapping, profile: str, experiment: str, case: str, mixer: str, lrs: list[float]
) -> float:
    """The rate that tuning chose; before it has, the largest that is tried."""
    return rates.get(profile, {}).get(experiment, {}).get(case, {}).get(mixer, max(lrs))


def comparison(experiment: str, profile: str, cases: dict[str, dict], rates: Mapping) -> list[dict]:
    """The specs of every case, seeds outermost, so that an early stop leaves complete comparisons.

    Args: cases, name → settings: train and test (lists of tasks as specs have them; a test may carry its own
        ``examples``), seeds, headline_seeds, lrs, steps, batch_size, d_model, heads, layers, examples, and
        solved_at if runs may end early. The name is the spec's `task`, except where the cases are widths of
        one task and named by a number.
        rates, as :func:`read_rates` gives them.
    """
    return [
        case_spec(experiment, profile, name, s, mixer, seed, lr)
        for seed in range(max(max(s["seeds"], s.get("headline_seeds", 0)) for s in cases.values()))
        for name, s in cases.items()
        for lr in s["lrs"]
        for mixer in ALL_MIXERS
        if seed < (s.get("headline_seeds", s["seeds"]) if mixer in HEADLINE else s["seeds"])
        and is_due(rates, profile, experiment, name, mixer, s["lrs"], seed, lr)
    ]


def is_due(rates, profile: str, experiment: str, case: str, mixer: str, lrs, seed: int, lr: float) -> bool:
    """Whether a run belongs to the grid: at `laptop` later seeds run at the chosen rate only."""
    later = profile == "laptop" and seed > 0
    return not later or lr == chosen_rate(rates, profile, experiment, case, mixer, lrs)


def case_spec(
    experiment: str, profile: str, name: str, s: dict, mixer: str, seed: int, lr: float, **own
) -> dict:  # fmt: skip
    """One run of a case; `own` are further fields of it, mixer_args in place of the comparison's."""
    tasks = [task_from(task) for task in s["train"]]
    model = DEFAULT.model(mixer, tasks[0].vocab_size, max(task.length for task in tasks), s)
    model["mixer_args"] = own.pop("mixer_args", None) or model["mixer_args"]
    return training_spec(
        experiment, profile, mixer, **({} if name.isdigit() else {"task": name}), seed=seed, lr=lr,
        steps=s["steps"], batch_size=s["batch_size"], model=model, train=s["train"],
        evaluate=scored(s["train"], "validation", s["examples"]) + scored(s["test"], "test", s["examples"]),
        solved_at=s.get("solved_at"), **own,
    )  # fmt: skip


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
