"""Which parameters decay, and how the rate moves."""

import copy
import io
import itertools
import math

import pytest
import torch
from easy import make_model
from mixer_cases import CASES, make

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.layers.base import decaying
from hmlcore.training.optim import (
    MUON_RATE,
    build_optimizer,
    hidden_matrices,
    learning_rate,
    parameter_groups,
    set_rate,
)

# Of each mixer at width 16, the numbers that decay.
DECAYING = {
    "hml": 1600, "attention": 1216, "window_attention": 1216, "gru": 1856, "lstm": 2368, "mamba": 2752,
    "mamba2": 6800, "hyena": 1216, "retnet": 2304, "gated_deltanet": 2432, "momentum_deltanet": 1728,
    "linoss": 4672, "hml-leapfrog": 1664, "hml-euler": 1664, "hml-delta": 1600, "hml-oscillator": 1600,
    "hml-quad": 1664, "hml-sep": 1664, "hml-mlp": 1664, "hml-kick": 1664, "hml-leapfrog-rotating": 1664,
    "hml-euler-rotating": 1664, "hml-delta-rotating": 1600, "hml-oscillator-rotating": 1600,
    "hml-quad-rotating": 1664, "hml-oscillator-head": 1600, "hml-oscillator-token": 1600, "hml-wide": 1752,
    "hml-rotors": 1696, "hml-kick-rotors": 1728, "mamba2-rotation": 2016,
    "hml-delta-corrections": 2304, "hml-oscillator-corrections": 3072, "gated_deltanet-corrections": 3456,
    "hml-delta-channel": 1728, "hml-oscillator-channel": 2432, "gated_deltanet-channel": 2560,
    "gated_deltanet-negative": 3456,
    "holographic": 1248, "holographic_legacy": 4096, "holographic-slots": 2160, "holographic-signs": 1344,
    "attention-two-heads": 1072, "gru-small": 427,
}  # fmt: skip


def assigned(model):
    with torch.device("meta"):
        empty = copy.deepcopy(model)
    empty.load_state_dict({n: x.clone() for n, x in model.state_dict().items()}, assign=True)
    return empty


def loaded(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


REPLACED = {
    "itself": lambda model: model,
    "deepcopy": copy.deepcopy,
    "to_empty": lambda model: model.to("meta").to_empty(device="cpu"),
    "assign": assigned,
    "load": loaded,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "compile": torch.compile,
    "Sequential": torch.nn.Sequential,
}


@pytest.mark.parametrize("how", REPLACED)
def test_what_decays_survives_every_replacement_of_a_parameter(how):
    assert DECAYING.keys() == CASES.keys()
    for case, count in DECAYING.items():
        model = REPLACED[how](make(case))
        decay, keep = parameter_groups(model, 0.3)
        assert (case, sum(p.numel() for p in decay["params"])) == (case, count)
        assert len(decay["params"]) + len(keep["params"]) == len(list(model.parameters()))


def test_a_module_spares_the_modules_and_shared_parameters_it_names():
    model = torch.nn.ModuleDict({"map": torch.nn.Linear(2, 2), "own": torch.nn.Linear(2, 2)})
    model.alias = model["own"]
    assert decaying(model) == ["map.weight", "own.weight"]
    model.no_decay = ("alias",)
    assert decaying(model) == ["map.weight"]


def test_only_matrices_decay_and_what_moves_the_memory_does_not():
    model = make_model("hml", mixer_args={"num_heads": 2, "dynamics": "oscillator"})
    decay, keep = parameter_groups(model, 0.3)
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.3, 0.0)
    names = {id(p): n for n, p in model.named_parameters()}
    spared = {names[id(p)] for p in keep["params"]}
    assert spared == {
        "norm.weight", "blocks.0.mixer_norm.weight", "blocks.0.mlp_norm.weight", "blocks.0.mixer.norm.weight",
        "blocks.0.mixer.gate_proj.bias", "blocks.0.mixer.log_a", "blocks.0.mixer.rule.theta",
    }  # fmt: skip
    assert len(decay["params"]) + len(keep["params"]) == len(names)


def test_decay_pulls_matrices_and_leaves_vectors():
    model = torch.nn.Linear(2, 2)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = build_optimizer(model, lr=0.1, weight_decay=0.5, kind="adamw")
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(model.weight, before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, before["bias"])


def test_the_optimiser_is_adamw_as_stated():
    optimizer = build_optimizer(torch.nn.Linear(1, 1), 0.1, 0.2, "adamw")
    assert isinstance(optimizer, torch.optim.AdamW)
    assert all(
        g["betas"] == (0.9, 0.95) and g["eps"] == 1e-8 and g["lr"] == 0.1 for g in optimizer.param_groups
    )


def test_muon_takes_the_matrices_between_hidden_states():
    """Not the embedding, taps, gates, vectors, or what moves the memory; each parameter has one part."""
    model = make_model("hml", mixer_args={"rotors": 2})
    optimizer = build_optimizer(model, 0.01, 0.1)
    adamw, muon = optimizer.parts
    names = {id(p): n for n, p in model.named_parameters()}
    taken = [names[id(p)] for group in muon.param_groups for p in group["params"]]
    mixer, mlp = "blocks.0.mixer.", "blocks.0.mlp."
    assert taken == hidden_matrices(model) == [
        mixer + "in_proj.weight", mixer + "out_gate.weight", mixer + "out_proj.weight", mlp + "up.weight",
        mlp + "down.weight",
    ]  # fmt: skip
    rest = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert sorted(taken + rest) == sorted(names.values())
    decay = adamw.param_groups[0]
    assert (decay["weight_decay"], muon.param_groups[0]["weight_decay"]) == (0.1, 0.1)
    assert {names[id(p)] for p in decay["params"]} == {
        "embedding.weight", mixer + "conv", mixer + "gate_proj.weight", mixer + "rotor_proj.weight",
    }  # fmt: skip


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_has_hidden_matrices_and_keeps_its_gates_from_muon(mixer):
    model = make_model(mixer, d_model=16, mixer_args={})
    hidden = set(hidden_matrices(model))
    assert {"blocks.0.mlp.up.weight", "blocks.0.mixer.out_proj.weight"} <= hidden <= set(decaying(model))
    assert not any("conv" in name or "gate_proj" in name or "embedding" in name for name in hidden)


def test_a_step_of_muon_is_the_nearest_orthogonal_matrix():
    """From zero weights, W = −η √(rows/columns) UVᵀ; the rest takes the step of AdamW alone."""
    model, alone = (make_model("hml") for _ in range(2))
    alone.load_state_dict(model.state_dict())
    both, adamw = build_optimizer(model, 0.01, 0.0), build_optimizer(alone, 0.01, 0.0, "adamw")
    generator = torch.Generator().manual_seed(0)
    for p, q in zip(model.parameters(), alone.parameters(), strict=True):
        p.grad = torch.randn(p.shape, generator=generator)
        q.grad = p.grad.clone()
    up = model.blocks[0].mlp.up.weight
    before, (u, _, vh) = up.detach().clone(), torch.linalg.svd(up.grad, full_matrices=False)
    for optimizer in (both, adamw):
        set_rate(optimizer, 0.005)
        optimizer.step()
    rows, columns = up.shape
    moved = (before - up.detach()) / (MUON_RATE * 0.005 * math.sqrt(rows / columns))
    sizes = torch.linalg.svdvals(moved)
    assert rows > columns and sizes.min() > 0.6 and sizes.max() < 1.3  # five steps bring no more than that
    assert float((moved * (u @ vh)).sum() / (moved.norm() * (u @ vh).norm())) > 0.98
    for (name, p), q in zip(model.named_parameters(), alone.parameters(), strict=True):
        assert (name in hidden_matrices(model)) or torch.equal(p, q)
    assert both.state.keys() == set(model.parameters())


def test_the_rate_warms_up_and_falls_along_a_cosine():
    """Peak 2, 4 warm-up steps of 12: 2·(step + 1)/4, then 0.2 + 1.8·(1 + cos(π·k/8))/2 at step 4 + k."""
    found = [learning_rate(step, 12, 2.0, 4) for step in range(12)]
    assert found[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert found[8] == pytest.approx(0.2 + 0.9)
    assert found[6] == pytest.approx(0.2 + 0.9 * (1 + math.sqrt(0.5)))
    assert found[11] == pytest.approx(0.2 + 0.9 * (1 + math.cos(math.pi * 7 / 8)))
    assert all(a >= b for a, b in itertools.pairwise(found[4:]))


def test_the_rate_without_warm_up_starts_at_its_peak():
    assert learning_rate(0, 10, 3.0, 0) == 3.0
    assert learning_rate(0, 1, 3.0, 0) == 3.0
    assert learning_rate(5, 5, 1.0, 5, floor=0.3) == 1.0  # nothing left for the cosine


def test_bad_settings_are_refused():
    model = torch.nn.Linear(1, 1)
    with pytest.raises(HmlcoreError, match="lr must be above 0 and finite, got 0"):
        build_optimizer(model, 0, 0.1)
    with pytest.raises(HmlcoreError, match="unknown optimizer 'sgd'; known: adamw, muon"):
        build_optimizer(model, 0.1, 0.1, "sgd")
    with pytest.raises(HmlcoreError, match="weight_decay must be at least 0 and finite, got -1"):
        build_optimizer(model, 0.1, -1)
