"""RetNet: the paper's layer in complex numbers, its fading and turning state, its refusals."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.layers.retnet import RetNet

WIDTH, HEADS, N, D = 12, 3, 8, 10


def make(**arguments):
    torch.manual_seed(3)
    layer = RetNet(WIDTH, HEADS, N, **{"expand_v": D / N} | arguments).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return layer


def by_the_paper(layer, x):
    """(Q e^{inθ})(K e^{imθ})† ∘ D over all pairs of tokens, channels (j, j + N/2) one complex number."""
    batch, length, _ = x.shape
    taps = layer.conv.shape[1]
    past = F.pad(x @ layer.in_proj.weight.T, (0, 0, taps - 1, 0))
    mixed = sum(layer.conv[:, i] * past[:, i : i + length] for i in range(taps))
    q, k, v = mixed.split((HEADS * N, HEADS * N, HEADS * D), -1)
    q, k = (torch.complex(*y.view(batch, length, HEADS, N).chunk(2, -1)) for y in (q, k))
    theta = 10_000 ** -torch.linspace(0, 1, N // 2, dtype=torch.float64)
    turn = torch.polar(torch.ones(length, 1, N // 2).double(), torch.arange(length)[:, None, None] * theta)
    score = torch.einsum("bthn,bshn->bhts", q * turn, (k * turn).conj()).real / N**0.5
    age = torch.arange(length)[:, None] - torch.arange(length)
    gamma = 1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64))
    decay = (gamma[:, None, None] ** age.clamp(min=0)).tril()
    o = torch.einsum("bhts,bshd->bthd", score * decay, v.view(batch, length, HEADS, D))
    o = (o - o.mean(-1, keepdim=True)) / (o.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
    o = o.flatten(-2) * layer.norm.weight + layer.norm.bias
    gate = x @ layer.out_gate.weight.T
    return (gate * torch.sigmoid(gate) * o) @ layer.out_proj.weight.T


@pytest.mark.parametrize("conv_size", [1, 4])
def test_the_layer_is_the_papers(conv_size):
    layer, x = make(conv_size=conv_size), normal(2, 75, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], by_the_paper(layer, x), rtol=1e-9, atol=1e-11)


def test_two_channels_turn_by_one_angle():
    """N = 2: one pair, θ = 1; a key one token old is seen turned by −1."""
    layer = RetNet(4, 2, 2)
    turned = layer._turn(torch.tensor([[1.0], [0.0]]).expand(1, 2, 2, 1), -1)
    wanted = torch.tensor([0.5403023, -0.8414710])
    torch.testing.assert_close(turned[0, 0, :, 0], wanted)


def test_the_state_fades_and_turns_in_silence():
    """After n empty tokens ‖S_i‖ is γ_i^n of what it was, and the state knows no position."""
    layer = make()
    _, state = layer(normal(1, 9, WIDTH, dtype=torch.float64))
    quiet = torch.zeros(1, 40, WIDTH, dtype=torch.float64)
    _, state = layer(quiet[:, :3], state)  # the convolution forgets the last tokens
    _, later = layer(quiet, state)
    lengths = [s.memory.flatten(2).norm(dim=-1)[0] for s in (state, later)]
    gamma = 1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64))
    torch.testing.assert_close(lengths[1] / lengths[0], gamma**40, rtol=1e-10, atol=0)
    assert not torch.allclose(later.memory[0, 0] / lengths[1][0], state.memory[0, 0] / lengths[0][0], rtol=0.1)


def test_far_along_the_text_single_precision_is_still_that():
    """One pass with angles up to 3000 rad, and chunks that never leave the first 100, agree in fp32."""
    layer, x = make().float(), normal(1, 3000, WIDTH)
    whole, _ = layer(x)
    state, pieces = layer.init_state(1), []
    for part in x.split(100, 1):
        y, state = layer(part, state)
        pieces.append(y)
    exact, _ = make()(x.double())
    for y in (whole, torch.cat(pieces, 1)):
        assert (y - exact).norm() < 1e-4 * exact.norm()


def test_the_default_keeps_the_floats_of_hml():
    ours, hml = RetNet(32, 4), HML(32, 4, dynamics="leapfrog")
    assert ours.init_state(1).memory.numel() == hml.init_state(1).memory.numel() == 2 * 4 * 8 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_dim": 5}, "xPos needs an even head dimension, got 5"),
        ({"num_heads": 5}, "num_heads = 5 does not divide d_model = 12"),
        ({"head_dim": 0}, "head_dim must be at least 1, got 0"),
        ({"expand_v": 0}, "expand_v = 0 times head_dim = 4 must be a whole number of at least 1"),
        ({"expand_v": 1.3}, "expand_v = 1.3 times head_dim = 4 must be a whole number"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        RetNet(**{"d_model": WIDTH, "num_heads": HEADS} | arguments)
