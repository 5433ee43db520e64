"""The norms of a read, and the skip."""

import math

import pytest
import torch
from mixer_cases import normal

from hmlcore.layers import build_mixer
from hmlcore.layers.read_out import SoftNorm

MATCHED = [("hml", {"dynamics": "delta"}), ("gated_deltanet", {"gate_init": "slow", "expand_v": 1})]


def test_a_soft_norm_leaves_small_reads_small_and_makes_unit_size_of_large_ones():
    norm, o = SoftNorm(2, 64), normal(5, 2, 64)
    rms = lambda y: y.square().mean(-1).sqrt()  # noqa: E731
    torch.testing.assert_close(rms(norm(1e-3 * o)), 1e-3 * rms(o), rtol=1e-5, atol=0)
    torch.testing.assert_close(rms(norm(1e3 * o)), torch.ones(5, 2), rtol=1e-5, atol=0)
    with torch.no_grad():
        norm.amplitude.zero_()
    torch.testing.assert_close(norm(o), torch.nn.functional.rms_norm(o, (64,), eps=0.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "arguments"), MATCHED)
def test_a_skip_passes_values_by_the_memory(name, arguments):
    """With D = 0 it is the layer without; the difference is W_o(D ∘ v ⊙ SiLU(W_g x)), linear in D."""
    torch.manual_seed(0)
    layer, x = build_mixer(name, 16, skip=True, **arguments).double(), normal(2, 9, 16, dtype=torch.float64)
    with_it = layer(x)[0]
    v = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)[2]
    with torch.no_grad():
        layer.skip.zero_()
    added = layer.out_proj(v.flatten(-2) * torch.nn.functional.silu(layer.out_gate(x)))
    torch.testing.assert_close(with_it, layer(x)[0] + added)
    plain = build_mixer(name, 16, **arguments).double()
    plain.load_state_dict({k: w for k, w in layer.state_dict().items() if k != "skip"})
    assert torch.equal(plain(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("norm", "corrections", "decay"),
    [*((norm, 1, "head") for norm in ("head", "soft", "none")), ("head", 3, "head"), ("head", 2, "channel")],
)
def test_delta_dynamics_are_gated_deltanet_with_the_same_read_out(norm, corrections, decay):
    """Same weights, same output: what is left between the two families is the start and the layout."""
    torch.manual_seed(0)
    same = {"num_heads": 4, "skip": True, "norm": norm, "corrections": corrections, "decay": decay}
    ours = build_mixer("hml", 16, dynamics="delta", **same).double()
    theirs = build_mixer("gated_deltanet", 16, expand_v=1, gate_init="slow", **same)
    theirs, weights = theirs.double(), ours.state_dict()
    if decay == "channel":
        torch.nn.init.normal_(ours.decay.up)
    for name in ("gate_proj.weight", "gate_proj.bias"):  # β, α, further β; α, β, further β
        beta, alpha, *more = weights[name].chunk(1 + corrections)
        weights[name] = torch.cat((alpha, beta, *more))
    weights["log_a"] = weights["log_a"] + math.log(0.05)
    theirs.load_state_dict(weights)
    x = normal(2, 40, 16, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-9, atol=1e-11)
