"""Mamba-2 against the published layer with the same weights, and its published starting point."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from hmlcore.errors import HmlcoreError
from hmlcore.layers.mamba2 import Mamba2

WIDTH = 12
# Ours by the name of theirs.
NAMES = {
    "in_proj.weight": "in_proj.weight", "conv1d.weight": "conv", "conv1d.bias": "conv_bias",
    "dt_bias": "dt_bias", "A_log": "log_a", "D": "skip", "norm.weight": "norm.weight",
    "out_proj.weight": "out_proj.weight",
}  # fmt: skip


@pytest.fixture(
    params=[{}, {"d_state": 5, "head_dim": 6, "conv_size": 3}, {"d_state": 7, "head_dim": 9, "expand": 3}],
    ids=["default", "heads", "wide"],
)
def pair(request):
    """Our layer and theirs, with the same stirred weights."""
    torch.manual_seed(0)
    ours = Mamba2(WIDTH, **request.param)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.1 * torch.randn_like(p))
    theirs = Mamba2Mixer(
        Mamba2Config(
            hidden_size=WIDTH, state_size=ours.d_state, expand=ours.inner // WIDTH, num_hidden_layers=1,
            conv_kernel=ours.conv.shape[1], num_heads=ours.num_heads, head_dim=ours.head_dim, n_groups=1,
            chunk_size=16,
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
    layer = Mamba2(256, head_dim=1)
    assert layer.num_heads == 512 and layer.d_state == 128
    decay = layer.log_a.exp()
    assert 1 <= decay.min() < 1.2 and 15.8 < decay.max() <= 16 and abs(decay.mean() - 8.5) < 0.6
    dt = F.softplus(layer.dt_bias).log10()
    assert -3.001 < dt.min() < -2.97 and -1.03 < dt.max() < -0.999 and abs(dt.mean() + 2) < 0.08
    assert torch.equal(layer.skip, torch.ones(512)) and torch.equal(layer.norm.weight, torch.ones(512))


@pytest.mark.parametrize(("width", "head"), [(64, 64), (48, 32), (16, 32), (6, 4), (256, 64)])
def test_heads_are_as_published_where_they_fit(width, head):
    layer = Mamba2(width)
    assert layer.head_dim == head and layer.num_heads * head == 2 * width


def test_the_memory_stays_wide_in_narrow_arithmetic():
    torch.manual_seed(0)
    layer, x = Mamba2(WIDTH, d_state=6), normal(1, 60, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
        _, after = layer.step(x[:, 0], state)
    assert state.memory.dtype == after.memory.dtype == torch.float32
    assert layer.bfloat16().init_state(1).memory.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 1, got 0"),
        ({"head_dim": 5}, "head_dim must divide expand · d_model = 24, got 5"),
        ({"head_dim": 0}, "head_dim must be at least 1, got 0"),
        ({"expand": 0}, "expand must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        Mamba2(WIDTH, **arguments)
