"""An experiment: one question, its grid of runs, and how a run is measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.evaluation.labels import LabelScores
from hmlcore.evaluation.metrics import Scores
from hmlcore.models import Backbone, BackboneConfig, Classifier, match_parameters
from hmlcore.results import SCHEMA, Run
from hmlcore.tasks import LabelledTask, Task, build_task

PROFILES = ("smoke", "laptop", "full")
COMPARED = ("hml", "attention", "gru")
ALL_MIXERS = (
    "hml", "attention", "gru", "lstm", "mamba", "mamba2", "hyena", "retnet", "gated_deltanet",
    "momentum_deltanet", "linoss",
)  # fmt: skip
DIRECTIONS = ("causal", "bidirectional")


@dataclass(frozen=True)
class Experiment:
    """A question and the runs that answer it.

    Attributes:
        name: as in commands and results.
        question: one line.
        grid: profile → the specs of all its runs, in the order they are worth having.
        measure: (task, scores, split) → result rows of one evaluation.
        trace: None, or (model, task) → the rows of a trace, for specs that ask for one.
        examine: None, or (trained model, the same untrained, spec) → further rows of a run.
        mixers: those that the grid compares.
        together: None, or (specs, device) → runs, for what must be measured side by side in one process
            (timings) instead of trained run by run.
        repeatable: what `together` measures depends on the specs alone, so that `hml verify` can do it again.
    """

    name: str
    question: str
    grid: Callable[[str], list[dict]]
    measure: Callable[[Task, Scores | LabelScores], list[dict]] | None = None
    trace: Callable[[Backbone | Classifier, Task], list[dict]] | None = None
    mixers: tuple[str, ...] = COMPARED
    together: Callable[[list[dict], torch.device], list[Run]] | None = None
    repeatable: bool = False
    examine: Callable[[Backbone, Backbone, dict], list[dict]] | None = None


def make_spec(experiment: str, profile: str, mixer: str, **settings) -> dict:
    """A spec with the fields every run has; `settings` are the run's own (see :func:`build_model`)."""
    return {"schema": SCHEMA, "experiment": experiment, "profile": profile, "mixer": mixer, **settings}


def task_spec(name: str, **knobs) -> dict:
    """A task inside a spec."""
    return {"task": name, **knobs}


def task_from(spec: dict) -> Task:
    """The task that a spec's entry describes; in an entry with a split, evaluation settings are left out."""
    settings = ("task", "split", "examples", "batch_size") if "split" in spec else ("task",)
    return build_task(spec["task"], **{k: v for k, v in spec.items() if k not in settings})


def mixer_arguments(mixer: str, d_model: int, heads: int, length: int) -> dict:
    """What `mixer` is given in comparisons of all: its authors' choices, and equal state where it can be set.

    With N = d_model / heads, the matrix memories (hml, mamba2, retnet and both DeltaNets) all hold 2·N·d_model
    floats a block. Hyena's filters take the length one trains on as their unit of time; LinOSS gets an
    oscillator a channel. HML is the leapfrog, whatever its default has become since.
    """
    if mixer in ("attention", "retnet", "gated_deltanet", "momentum_deltanet"):
        return {"num_heads": heads}
    own = {
        "hml": {"num_heads": heads, "dynamics": "leapfrog"},
        "mamba2": {"d_state": d_model // heads},
        "hyena": {"filter_length": length, "filter_width": min(64, d_model)},
        "linoss": {"d_state": d_model},
    }  # fmt: skip
    return own.get(mixer, {})


def reference_parameters(vocab_size: int, d_model: int, layers: int, mixer_args: dict) -> int:
    """The budget all mixers share: attention's parameters with an MLP of twice the width."""
    with torch.device("meta"):
        return Backbone(
            BackboneConfig(vocab_size, "attention", d_model, layers, 2 * d_model, mixer_args)
        ).parameter_count


def model_config(spec: dict, vocab_size: int) -> BackboneConfig:
    """The backbone of a spec: its MLP width chosen to meet ``model.target_parameters`` within 1%."""
    model = spec["model"]
    config = BackboneConfig(
        vocab_size, spec["mixer"], model["d_model"], model["layers"], mixer_args=model["mixer_args"]
    )
    return match_parameters(config, model["target_parameters"])


def build_model(spec: dict, task: Task) -> Backbone | Classifier:
    """The untrained model of a spec, a classifier where `task` has labels; weights depend on the seed alone."""
    config = model_config(spec, task.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        if isinstance(task, LabelledTask):
            return Classifier(config, task.classes, spec.get("direction") == "bidirectional")
        return Backbone(config)


def select(
    specs: list[dict], only: dict[str, list[str]] | None = None, seeds: Iterable[int] | None = None
) -> list[dict]:
    """The specs that match: `only` maps a spec or model field, or a task knob, to allowed values.

    Raises: HmlcoreError for a field or value that the grid does not have, listing those it has.
    """
    for key, wanted in (only or {}).items():
        values = {id(s): field_values(s, key) for s in specs}
        known = set().union(*values.values()) if values else set()
        if not known:
            raise unknown("field in --only", key, [f for f in FIELDS if any(field_values(s, f) for s in specs)])
        for value in wanted:
            if value not in known:
                raise unknown(f"{key} in --only", value, known)
        specs = [s for s in specs if values[id(s)] & set(wanted)]
    if seeds is not None:
        known_seeds = sorted({s["seed"] for s in specs})
        for seed in seeds:
            require(seed in known_seeds, f"seed {seed} is not in the grid; known: {known_seeds}")
        specs = [s for s in specs if s["seed"] in set(seeds)]
    require(len(specs) > 0, "no run of the grid matches all of --only and --seeds together")
    return specs


FIELDS = ("mixer", "lr", "seed", "d_model", "layers", "task", "corpus", "direction", "variant")


def field_values(spec: dict, key: str) -> set[str]:
    """What a spec says of `key`, as text: a field of its own, of its model, or of its training tasks."""
    places = (spec, spec["model"], *spec.get("train", []))
    return {str(place[key]) for place in places if key in place and not isinstance(place[key], list | dict)}


def check_profile(profile: str) -> None:
    """Refuse an unknown profile with the list of known ones."""
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)


def check_machine(profile: str, device: torch.device, dirty: bool, force: bool) -> None:
    """Refuse a `full` run on a CPU or from uncommitted code unless forced: it would pass for reference."""
    if profile != "full" or force:
        return
    if device.type == "cpu":
        raise HmlcoreError("profile 'full' needs a GPU and this machine has none; add --force to run anyway")
    if dirty:
        raise HmlcoreError(
            "profile 'full' needs committed code and the tree has changes; commit, or add --force"
        )
