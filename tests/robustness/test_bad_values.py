"""Every argument of everything public, given what means nothing: used, or refused in one line that names it."""

import json
import re
from dataclasses import asdict, fields, replace
from functools import partial
from importlib import import_module
from inspect import isabstract, isclass, isfunction, signature
from pkgutil import walk_packages

import numpy as np
import pytest
import torch
from bad_values import answers, as_declared
from made_up import run

from hmlcore import layers, models, ops, tasks, training
from hmlcore.layers import MIXERS, build_mixer
from hmlcore.layers.hml import FAMILY
from hmlcore.models import (
    Backbone,
    BackboneConfig,
    Classifier,
    MemorizingConfig,
    RecurrentMemoryConfig,
    SparseConfig,
    match_parameters,
)
from hmlcore.models.generation import Sampling, generate
from hmlcore.models.generation import read as read_prompt
from hmlcore.models.sparse.addresses import ADDRESSES
from hmlcore.models.sparse.gates import GATES
from hmlcore.ops.backend import choose
from hmlcore.ops.retention import multi_scale
from hmlcore.results import Store
from hmlcore.results.statistics import seed_interval, wilson_interval
from hmlcore.studies import kit
from hmlcore.studies.kit.claim import Claim
from hmlcore.studies.kit.comparison import DEFAULT, Comparison
from hmlcore.studies.kit.figure import Figure, TableOf
from hmlcore.studies.kit.study import Experiment, Protocol, Study
from hmlcore.tasks import SPLITS, TASKS, build_task
from hmlcore.tasks.base import SyntheticTask
from hmlcore.training import TrainingConfig, train
from hmlcore.training.optim import build_optimizer, parameter_groups

WIDTH = 8
MIXERS_AND_DYNAMICS = {
    **{name: (name, {}) for name in MIXERS},
    **{f"hml-{dynamics}": ("hml", {"dynamics": dynamics}) for dynamics in FAMILY},
    "hml-corrections": ("hml", {"dynamics": "oscillator", "corrections": 2}),
    "hml-channel": ("hml", {"dynamics": "oscillator", "decay": "channel"}),
    "mamba2-rotation": ("mamba2", {"rotation": True}),
    "linoss-im": ("linoss", {"dynamics": "im"}),
    "hml-rotors": ("hml", {"rotors": 2}),
}


def read(mixer):
    x = torch.randn(1, 3, mixer.d_model, generator=torch.Generator().manual_seed(0))
    assert mixer(x)[0].isfinite().all()


@pytest.mark.parametrize("case", MIXERS_AND_DYNAMICS)
def test_mixers(case):
    name, given = MIXERS_AND_DYNAMICS[case]
    arguments = MIXERS[name].arguments(**given)

    def build(**bad):
        return build_mixer(name, **{"d_model": WIDTH, **given, **bad})

    read(build())
    assert answers(build, ["d_model", *arguments], read) == []


def test_the_registry_of_mixers():
    assert answers(lambda mixer: build_mixer(mixer, WIDTH), ["mixer"]) == []


@pytest.mark.parametrize("scalar", [np.int64, torch.tensor])
def test_sizes_of_numpy_and_torch_are_sizes(scalar):
    """What is kept of them is a plain number, which a spec and a saved model can hold."""
    for name, mixer in MIXERS.items():
        plain = {size: 2 for size in ("conv_size", "num_heads") if size in mixer.arguments()}
        torch.manual_seed(0)
        wanted = build_mixer(name, WIDTH, **plain)
        torch.manual_seed(0)
        found = build_mixer(name, scalar(WIDTH), **{key: scalar(value) for key, value in plain.items()})
        assert found.state_dict().keys() == wanted.state_dict().keys()
        assert all(torch.equal(x, wanted.state_dict()[key]) for key, x in found.state_dict().items())
        numbers = {key: type(value) for key, value in vars(wanted).items() if isinstance(value, int | float)}
        assert numbers == {key: type(vars(found)[key]) for key in numbers}


# Sizes at which a task makes a batch at once; those of real text are only built.
SMALL = {"mqar": {"vocab": 80}, "needle_text": {"length": 300}}


@pytest.mark.parametrize("name", TASKS)
def test_tasks(name):
    def build(**bad):
        task = build_task(name, **{**SMALL.get(name, {}), **bad})
        assert json.dumps(task.knobs()) and task.vocab_size and task.length and task.conditions()
        return task

    def draw(task):
        as_declared(task)
        if isinstance(task, SyntheticTask):
            assert task.batch("train", 0, 1, 0).inputs.shape == (1, task.length)

    draw(build())
    assert answers(build, [field.name for field in fields(TASKS[name])], draw) == []


@pytest.mark.parametrize("split", SPLITS)
def test_batches(split):
    task = build_task("copy")

    def batch(**bad):
        return task.batch(**{"split": split, "index": 0, "batch_size": 2, "seed": 0, **bad})

    batch()
    assert answers(batch, ["split", "index", "batch_size", "seed"]) == []


def test_the_registry_of_tasks():
    assert answers(lambda task: build_task(task), ["task"]) == []


@pytest.mark.parametrize("scalar", [np.int64, torch.tensor])
def test_knobs_of_numpy_and_torch_are_knobs(scalar):
    wanted = build_task("copy", payload=3, delay=4)
    found = build_task("copy", payload=scalar(3), delay=scalar(4))
    assert found == wanted and json.dumps(found.knobs()) == json.dumps(wanted.knobs())


CONFIG = BackboneConfig(7, "gru", WIDTH, 1, 12)
TOKENS = torch.tensor([[1, 2, 3]])


@pytest.fixture(scope="module")
def model():
    return Backbone(CONFIG)


def speak(model):
    assert model(TOKENS)[0].isfinite().all()


def test_models():
    names = [field.name for field in fields(BackboneConfig)]
    assert answers(lambda **bad: Backbone(replace(CONFIG, **bad)), names, speak) == []
    assert answers(Backbone, ["config"]) == []
    good = {"config": replace(CONFIG, layers=2), "classes": 3, "bidirectional": False}
    assert answers(partial(Classifier, **good), good, lambda made: made(TOKENS)) == []
    good = {"config": CONFIG, "target": 2000, "tolerance": 0.1}
    assert answers(partial(match_parameters, **good), good) == []


def test_models_that_are_read_in_chunks():
    size = {"d_model": WIDTH, "layers": 1, "d_ff": 12, "chunk": 2}
    heads = {"num_heads": 2}
    configs = (
        MemorizingConfig(7, mixer_args={"window": 4, **heads}, capacity=4, top=2, **size),
        RecurrentMemoryConfig(7, mixer_args=heads, memory_tokens=2, **size),
    )
    for config in configs:
        names = [field.name for field in fields(config)]
        assert answers(lambda c=config, **bad: replace(c, **bad).build(), names, speak) == []


def test_models_with_a_sparse_memory():
    config = SparseConfig(
        7, d_model=WIDTH, layers=1, d_ff=12, mixer_args={"window": 4, "num_heads": 2}, chunk=2, buckets=2,
        ways=2, slot_dim=4, top=2,
    )  # fmt: skip
    names = [field.name for field in fields(SparseConfig)]
    assert answers(lambda **bad: replace(config, **bad).build(), names, speak) == []
    parts = {"rare": "rare_from", "heads": "heads", "stratified": "by"}
    for gate, name in parts.items():
        assert (
            answers(lambda g=gate, **bad: replace(config, gate=g, gate_args=bad).build(), [name], speak) == []
        )
    centroids = replace(config, address="centroids")
    assert answers(lambda **bad: replace(centroids, address_args=bad).build(), ["top", "decay"], speak) == []
    tree = replace(config, address="tree")
    assert answers(lambda **bad: replace(tree, address_args=bad).build(), ["branches", "top"], speak) == []


def test_mixer_arguments_inside_a_model():
    names = ["num_heads", "dynamics", "unheard_of"]
    config = replace(CONFIG, mixer="hml")
    assert answers(lambda **bad: Backbone(replace(config, mixer_args=bad)), names, speak) == []


def test_sizes_of_models(model):
    caching = replace(CONFIG, mixer="attention")
    for sized in (Backbone(caching), Classifier(caching, 3)):
        assert answers(sized.state_size, ["length"]) == answers(sized.flops_per_token, ["length"]) == []
    assert answers(model.init_state, ["batch"]) == []


def test_generation(model):
    def draw(sampling):
        sampling.draw(torch.zeros(1, 7))

    assert answers(Sampling, [field.name for field in fields(Sampling)], draw) == []
    assert answers(partial(generate, model, TOKENS), ["max_new"]) == []
    assert answers(partial(read_prompt, model, TOKENS), ["stretch"]) == []


GOOD = TrainingConfig(steps=1, batch_size=1, seed=0, lr=0.01)


def test_training(model):
    assert answers(partial(replace, GOOD), [field.name for field in fields(TrainingConfig)], as_declared) == []
    assert answers(partial(parameter_groups, model), ["weight_decay"]) == []
    good = {"lr": 0.1, "weight_decay": 0.0}
    assert answers(partial(build_optimizer, model, **good), good) == []


def test_numbers_of_numpy_and_torch_in_settings():
    found = replace(GOOD, steps=np.int64(1), lr=np.float64(0.01), seed=torch.tensor(0))
    assert found == GOOD and json.dumps(asdict(found)) == json.dumps(asdict(GOOD))
    found = BackboneConfig(np.int64(7), "gru", torch.tensor(WIDTH), 1, 12, {"hidden": np.int64(4)})
    assert json.dumps(asdict(found)) == json.dumps(asdict(replace(CONFIG, mixer_args={"hidden": 4})))


def test_train_is_asked_in_numbers(model):
    call = partial(train, model, [build_task("copy", alphabet=5)], GOOD, device=torch.device("cpu"))
    assert answers(call, ["checkpoint_seconds"]) == []
    assert answers(partial(call, deadline=1e30), ["deadline"]) == []
    assert answers(lambda config: train(model, [], config, device=torch.device("cpu")), ["config"]) == []


def drawn(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5


def coefficients(log_alpha, log_gamma, beta, h, mu, **tensors):
    return tensors | {"coefficients": ops.hamiltonian.leapfrog(log_alpha, log_gamma, beta, h, mu)}


# What a form takes beside the number of tokens that it takes at once.
TENSORS = {
    "hamiltonian": coefficients(**ops.hamiltonian.random_inputs(1, 5, 2, 4, 4)),
    "selective_scan": dict(x=drawn(1, 5, 3), dt=drawn(1, 5, 3), a=-drawn(3, 2).abs(), b=drawn(1, 5, 2)),
    "ssd": dict(x=drawn(1, 5, 2, 3), dt=drawn(1, 5, 2).abs(), a=-drawn(2).abs(), b=drawn(1, 5, 2)),
    **{
        name: getattr(ops, name).random_inputs(1, 5, 2, 4, 4)
        for name in ("delta_rule", "momentum_delta", "nonlinear", "oscillator", "retention")
    },
    "holographic": ops.holographic.random_inputs(1, 5, 2, 4, 4) | {"binding": "unitary"},
}
TENSORS["selective_scan"]["c"] = TENSORS["ssd"]["c"] = drawn(1, 5, 2)
TENSORS["selective_scan"]["dt"].abs_()
AT_ONCE = {"chunk_size", "segment"}
FORMS = {
    name: form
    for op in ops.__all__
    for name, form in vars(getattr(ops, op)).items()
    if isfunction(form) and AT_ONCE & set(signature(form).parameters) and not name.startswith(("triton", "_"))
}


@pytest.mark.parametrize("name", FORMS)
def test_ops(name):
    """How many tokens are taken at once, by the forms that run anywhere."""
    (size,) = AT_ONCE & set(signature(FORMS[name]).parameters)
    op = name.split("_", 1)[1]
    form = partial(FORMS[name], **TENSORS[op])
    if op == "nonlinear":
        form = partial(ops.nonlinear.call, FORMS[name], TENSORS[op])
    form(**{size: 2})
    assert answers(form, [size]) == []


def test_the_choice_of_a_form():
    assert answers(lambda op: choose(op), ["op"]) == []
    assert answers(partial(choose, "attention"), ["backend"]) == []
    assert answers(multi_scale, ["num_heads"]) == []


EXPERIMENT = Experiment("counting", "Which counts?", criterion=("accuracy", "max"))
WORDS = {
    Experiment: EXPERIMENT,
    Study: Study("counting", "Which counts?", (EXPERIMENT,)),
    Protocol: Protocol(lambda profile: []),
    Claim: Claim("It counts", "counting", lambda results: ("confirmed", "")),
    Figure: Figure("counting", lambda results: None, "Counting"),
    TableOf: TableOf("counting", lambda results: None),
    Comparison: DEFAULT,
}


@pytest.mark.parametrize("kind", WORDS)
def test_studies(kind):
    as_declared(WORDS[kind])
    assert answers(partial(replace, WORDS[kind]), [field.name for field in fields(kind)], as_declared) == []


def test_selections(tmp_path):
    store = Store(tmp_path)
    for lr in (0.1, 0.2):
        rows = [{"metric": "accuracy", "value": lr, "n": 9, "split": split} for split in ("validation", "test")]
        store.write(run(rows, lr=lr))
    results = store.load("smoke", "copy")
    assert answers(partial(results.metric, "accuracy"), ["split", "lr", "mixer", "unheard_of"]) == []
    assert answers(results.where, ["lr", "seed", "mixer", "spec", "unheard_of"]) == []
    assert answers(lambda metric: results.metric(metric), ["metric"]) == []
    assert answers(partial(results.best_lr, **{"metric": "accuracy"}), ["metric", "mode", "by"]) == []


def test_statistics():
    good = {"accuracy": 0.5, "n": 9, "confidence": 0.95}
    assert answers(partial(wilson_interval, **good), good) == []
    good = {"values": [0.5, 0.6], "confidence": 0.95}
    assert answers(partial(seed_interval, **good), good) == []


# Classes that others build, of arguments that were checked, and what holds results of a run.
PARTS = {
    "HyenaFilter", "RotaryAttention", "SoftNorm", "HeadNorm", "ChannelDecay", "SwiGLU", "Trace", "Network",
    "Rotation", "Nonlinear", "Stepped", "Lanes", "Windows", "Corpus", "Documents", "Tokens", "BPE",
    "CarriedState", "Muon", "MuonAdamW", "History", "ProcessGroup", "Reporter", "Tracker", "Trainer",
    "Progress", "Paused", "Router", "Lift",
    *(kind.__name__ for kind in (*FAMILY.values(), *GATES.values(), *ADDRESSES.values())),
}  # fmt: skip


def asked(package):
    """The names of public classes whose constructor takes a number or a word, but for tuples, which hold what
    was made, and what transformers asks for, which has tests of its own."""
    names = [found.name for found in walk_packages(package.__path__, f"{package.__name__}.")]
    for module in (import_module(name) for name in names if not name.startswith("hmlcore.models.hf")):
        for name, kind in vars(module).items():
            public = isclass(kind) and kind.__module__ == module.__name__ and name[0] != "_"
            if public and not isabstract(kind) and not issubclass(kind, tuple | BaseException):
                hints = [str(p.annotation) for p in signature(kind).parameters.values()]
                if any(re.search(r"\b(int|float|str|bool)\b", hint) and "Tensor" not in hint for hint in hints):
                    yield name


def test_every_class_is_asked():
    thrown = {cls.__name__ for cls in (*MIXERS.values(), *TASKS.values(), *WORDS)}
    thrown |= {"BackboneConfig", "Classifier", "Sampling", "TrainingConfig"}
    thrown |= {"SparseConfig", "MemorizingConfig", "RecurrentMemoryConfig"}
    found = {name for package in (layers, models, tasks, training, kit) for name in asked(package)}
    assert found - PARTS == thrown
