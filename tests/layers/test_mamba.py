"""Mamba against the published layer with the same weights, and its published starting point."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from hmlcore.errors import HmlcoreError
from hmlcore.layers.base import MemoryState
from hmlcore.layers.mamba import Mamba

WIDTH = 12
# Ours by the name of theirs.
NAMES = {
    "in_proj.weight": "in_proj.weight", "conv1d.weight": "conv", "conv1d.bias": "conv_bias",
    "x_proj.weight": "x_proj.weight", "dt_proj.weight": "dt_weight", "dt_proj.bias": "dt_bias",
    "A_log": "log_a", "D": "skip", "out_proj.weight": "out_proj.weight",
}  # fmt: skip


@pytest.fixture(
    params=[{}, {"d_state": 5, "expand": 3, "dt_rank": 4, "conv_size": 3}], ids=["default", "other"]
)
def pair(request):
    """Our layer and theirs, with the same stirred weights."""
    torch.manual_seed(0)
    ours = Mamba(WIDTH, **request.param)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.1 * torch.randn_like(p))
    theirs = MambaMixer(
        MambaConfig(
            hidden_size=WIDTH, state_size=ours.d_state, expand=ours.inner // WIDTH, num_hidden_layers=1,
            conv_kernel=ours.conv.shape[1], time_step_rank=ours.dt_rank,
        ), 0,
    )  # fmt: skip
    found = dict(ours.named_parameters())
    assert set(NAMES.values()) == set(found) and set(NAMES) == {n for n, _ in theirs.named_parameters()}
    theirs.load_state_dict({n: found[o].view_as(theirs.state_dict()[n]) for n, o in NAMES.items()})
    return ours, theirs


def test_it_is_the_published_layer(pair):
    ours, theirs = pair
    x = normal(2, 37, WIDTH).requires_grad_()
    y, z = ours(x)[0], theirs(x)
    weight = normal(*y.shape, seed=5)
    mine = torch.autograd.grad(
        (y * weight).sum(), [x, *(dict(ours.named_parameters())[o] for o in NAMES.values())]
    )
    wanted = torch.autograd.grad((z * weight).sum(), [x, *(dict(theirs.named_parameters())[n] for n in NAMES)])
    assert (y - z).norm() < 2e-6 * z.norm()
    for a, b in zip(mine, wanted, strict=True):
        assert (a - b.view_as(a)).norm() < 2e-6 * b.norm()


def test_the_published_starting_point():
    torch.manual_seed(1)
    layer = Mamba(320)
    assert layer.log_a.shape == (640, 16) and layer.dt_rank == 20 and layer.conv.shape == (640, 4)
    torch.testing.assert_close(layer.log_a.exp(), torch.arange(1.0, 17).expand(640, 16))
    assert torch.equal(layer.skip, torch.ones(640))
    dt = F.softplus(layer.dt_bias).log10()
    assert -3.001 < dt.min() < -2.97 and -1.03 < dt.max() < -0.999
    assert abs(dt.mean() + 2) < 0.08  # log-uniform: half of them below .01
    assert 0.95 * 20**-0.5 < layer.dt_weight.abs().max() <= 20**-0.5
    assert Mamba(17).dt_rank == 2


def test_the_starting_point_survives_a_model():
    """A model draws its linear maps anew; what sets Δ must not be among them."""
    assert {n for n, m in Mamba(WIDTH).named_modules() if isinstance(m, torch.nn.Linear)} == {
        "in_proj", "x_proj", "out_proj"
    }  # fmt: skip


def test_the_memory_stays_wide_in_narrow_arithmetic():
    torch.manual_seed(0)
    layer, x = Mamba(WIDTH), normal(1, 60, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
        _, after = layer.step(x[:, 0], state)
    assert state.memory.dtype == after.memory.dtype == torch.float32
    assert layer.bfloat16().init_state(1).memory.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 1, got 0"),
        ({"expand": 0}, "expand must be at least 1, got 0"),
        ({"dt_rank": 0}, "dt_rank must be at least 1, got 0"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        Mamba(WIDTH, **arguments)


def test_a_memory_of_another_layer_is_refused():
    state = Mamba(WIDTH, d_state=8).init_state(2)
    with pytest.raises(HmlcoreError, match=r"initial_state must have shape \(2, 24, 16\), got \(2, 24, 8\)"):
        Mamba(WIDTH)(normal(2, 3, WIDTH), MemoryState(*state))
