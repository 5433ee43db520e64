"""Every size, number and name that a measure is asked for, given what means nothing."""

import inspect
from functools import partial
from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch
from bad_values import answers

from hmlcore import evaluation
from hmlcore.evaluation import (
    conservation,
    gradients,
    labels,
    long_text,
    lyapunov,
    memories,
    metrics,
    op_candidates,
    op_timing,
    physics,
    planted_recall,
    probes,
    snapping,
    speed,
    state_motion,
    states,
    strided,
    token_map,
)
from hmlcore.layers import HML, build_mixer
from hmlcore.models import Backbone, BackboneConfig, Classifier
from hmlcore.tasks import build_task
from hmlcore.tasks.bpe import ByteTokenizer
from hmlcore.tasks.planted import Planted

CPU = torch.device("cpu")
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6]])
X = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))
SIZES = dict(n=2, sequences=2, seed=0)


def backbone(mixer="gru", vocab=20, **arguments):
    torch.manual_seed(0)
    return Backbone(BackboneConfig(vocab, mixer, 8, 1, 8, arguments))


LEAPFROG = token_map.token_map("leapfrog", eta=0.1, gamma=1.0)
MODEL, MOVING = backbone(), backbone("hml", dynamics="leapfrog")
COPY, REVIEWS = build_task("copy"), build_task("imdb", corpus="made_up", held_out=10)
PLANTED, FOLLOWER = Planted(facts=4, distance=300, vocab=128), Backbone(BackboneConfig(128, "gru", 8, 1, 8))
READER = Classifier(BackboneConfig(256, "gru", 8, 1, 8), 2)
HEAD = HML(8, 1, dynamics="leapfrog")
SCORED = dict(split="test", examples=2, batch_size=1)
# Measure → what it is asked, by name.
MEASURES = {
    conservation.reversal_errors: (dict(maps=LEAPFROG), dict(steps=[1, 2], d=1, **SIZES)),
    conservation.energies: (dict(maps=LEAPFROG), dict(strength=0.1, tokens=2, changing=True, **SIZES)),
    conservation.shadow_energies: (dict(maps=LEAPFROG), dict(eta=0.1, mixed=0.0, tokens=2, **SIZES)),
    conservation.gradient_by_lag: (dict(maps=LEAPFROG), dict(lags=[0, 2], **SIZES)),
    planted_recall.recall: (dict(model=FOLLOWER, task=PLANTED), dict(split="test", rows=1, stretch=16)),
    planted_recall.controls: (dict(task=PLANTED), dict(split="test", rows=1)),
    gradients.directions: ({}, dict(width=3, count=1, seed=0)),
    gradients.input_gradients: (dict(model=MODEL, tokens=TOKENS), dict(count=1, seed=0, chunk=2)),
    gradients.gradient_by_lag: (dict(model=MODEL, tokens=TOKENS), dict(lags=[1], count=1, seed=0, chunk=2)),
    gradients.state_gradient_by_lag: (dict(model=MODEL, tokens=TOKENS, targets=TOKENS), dict(lags=[1])),
    gradients.log_slope: ({}, dict(lags=[1, 2, 4], values=[1.0, 0.5, 0.2])),
    gradients.early_late_ratio: ({}, dict(lags=[1, 2], values=[1.0, 0.5])),
    labels.evaluate_labels: (dict(model=READER, task=REVIEWS, device=CPU), SCORED),
    long_text.position_edges: ({}, dict(length=100)),
    long_text.context_rows: (
        dict(model=backbone(vocab=256), tokenizer=ByteTokenizer(), texts={"a": TOKENS[0]}),
        dict(windows=[(2, 1)]),
    ),
    long_text.sample_row: (
        dict(model=backbone(vocab=256), tokenizer=ByteTokenizer(), sampling=long_text.Sampling()),
        dict(prompt="a", tokens=1),
    ),
    lyapunov.lyapunov_exponents: (dict(maps=LEAPFROG), dict(tokens=4, settle=0, **SIZES)),
    lyapunov.mean_square_exponents: (dict(maps=LEAPFROG), dict(n=2)),
    metrics.evaluate: (dict(model=backbone(vocab=10), task=COPY, device=CPU), SCORED),
    physics.phase_portrait: (dict(model=MOVING, tokens=TOKENS[0]), dict(layer=0)),
    physics.set_gates: (dict(layer=HEAD), dict(beta=0.5, gamma=0.5, theta=0.1)),
    physics.orbit: (dict(layer=HEAD, x=X[0]), dict(token=1)),
    probes.linear_probe: (
        dict(model=MODEL),
        dict(lags=[1], alphabet=2, sequences=8, warmup=1, batch=8, chunk=4, seed=0),
    ),
    probes.noise_robustness: (
        dict(model=backbone(vocab=10), task=COPY),
        dict(levels=[0.1], examples=2, batch_size=1, seed=0),
    ),
    snapping.choose_lattices: (
        dict(model=backbone("hml", rotors=2), loss=lambda: 0.0),
        dict(lattices=[60]),
    ),
    speed.train_pass: (dict(mixer=build_mixer("gru", 8), x=X), dict(precision="fp32")),
    speed.decode_pass: (dict(mixer=build_mixer("gru", 8), x=X), dict(steps=1, precision="fp32")),
    speed.in_turns: (dict(passes={"a": lambda: None}, device=CPU), dict(repeats=1, seconds=1.0, least=1)),
    speed.copy_bandwidth: (dict(device=CPU), dict(repeats=1)),
    speed.matmul_rate: (dict(device=CPU), dict(precision="fp32", repeats=1)),
    state_motion.spectral_radius_proxy: (
        dict(model=MODEL, tokens=TOKENS),
        dict(lag=2, count=1, every=2, seed=0),
    ),
    state_motion.energy_drift: (dict(model=MOVING, tokens=TOKENS), dict(blank=0, count=1, layer=0)),
    states.state_rows: (dict(model=MODEL, tokens=TOKENS[0, :2], names=["a", "b"]), dict(components=2)),
    strided.strided_nats: (dict(model=MODEL, tokens=TOKENS[0]), dict(context=2, stride=1)),
    token_map.token_map: ({}, dict(dynamics="delta", eta=0.1, alpha=1.0)),
    token_map.random_keys: ({}, dict(count=1, **SIZES)),
    token_map.random_state: (dict(maps=LEAPFROG), dict(d=1, **SIZES)),
}
# They take what other measures give, or come from a spec that was checked.
INNER = {
    memories.states_at, speed.path_text, speed.decode_path, op_timing.leaves, op_timing.state_after,
    op_timing.decode_pass, op_timing.warm_decoding, op_candidates.candidate_named,
}  # fmt: skip


def test_ops_to_be_timed():
    assert answers(lambda candidate: op_candidates.candidate_named(candidate), ["candidate"]) == []


def measures():
    """The public functions of the package that are asked for a number or a name."""
    modules = [import_module(f"hmlcore.evaluation.{m.name}") for m in iter_modules(evaluation.__path__)]
    return {
        function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
        if any(_asks(p.annotation) for p in inspect.signature(function).parameters.values())
    }


def _asks(annotation):
    given = str(annotation)
    asked = any(word in given for word in ("int", "float", "str", "bool"))
    return asked and "hmlcore" not in given and "Tensor" not in given


def test_every_measure_is_asked():
    assert measures() == (MEASURES.keys() | INNER)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda f: f"{f.__module__.split('.')[-1]}.{f.__name__}")
def test_measures(measure):
    given, asked = MEASURES[measure]
    call = partial(measure, **given, **asked)
    call()
    assert answers(call, asked, lambda made: made() if inspect.isfunction(made) else None) == []
