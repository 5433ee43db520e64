"""The sliding window as a layer: attention within reach, nothing beyond it, at any distance from the start."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import Attention, WindowAttention


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_with_room_for_everything_it_is_attention():
    torch.manual_seed(0)
    whole, window = Attention(16, 2).double(), WindowAttention(16, 2, window=40).double()
    window.load_state_dict(whole.state_dict())
    x = normal(2, 40, 16)
    torch.testing.assert_close(window(x)[0], whole(x)[0], rtol=1e-9, atol=1e-11)
    longer = normal(2, 41, 16)
    assert (window(longer)[0] - whole(longer)[0])[:, 40].abs().max() > 1e-6


def test_it_forgets_all_at_once():
    """A token reaches the outputs of itself and of window − 1 after it, and as far again as the taps of the
    convolution reach."""
    torch.manual_seed(0)
    layer = WindowAttention(16, 2, window=5, conv_size=3).double()
    x = normal(1, 30, 16)
    changed = x.clone()
    changed[:, 10] += 1
    moved = (layer(changed)[0] - layer(x)[0]).abs().amax((0, 2))
    assert (moved > 1e-9).nonzero().flatten().tolist() == list(range(10, 17))


def test_places_far_from_the_start_are_like_any_other():
    """In fp32: what it says of the same last tokens depends neither on how many came before nor on how often
    the state was handed on."""
    torch.manual_seed(0)
    layer = WindowAttention(16, 2, window=6, conv_size=2)
    last = normal(1, 12, 16, dtype=torch.float32)
    alone, _ = layer(last)
    with torch.no_grad():
        state = None
        for seed in range(4):
            _, state = layer(normal(1, 50_000, 16, seed=seed, dtype=torch.float32), state)
        after, _ = layer(last, state)
        together, _ = layer(torch.cat((normal(1, 50_000, 16, dtype=torch.float32), last), 1))
    # Beyond the reach of the window and of the taps of the first token only itself counts.
    for found in (after, together[:, -12:]):
        torch.testing.assert_close(found[:, 7:], alone[:, 7:], rtol=1e-5, atol=1e-6)


def test_the_state_does_not_grow():
    layer = WindowAttention(16, 2, window=5)
    sizes = set()
    state = layer.init_state(3)
    for length in (1, 3, 40):
        _, state = layer(normal(3, length, 16, dtype=torch.float32), state)
        sizes.add(sum(x[0].numel() for x in state))
        assert all(len(x) == 3 for x in state)
    assert sizes == {layer.state_size(1)} == {4 * (2 * 16 + 1) + 3 * 48}
    assert state.present.tolist() == [[1.0] * 4] * 3


def test_flops_by_hand():
    """Tokens of a sequence of 4 see 1, 2, 3, 3 with a window of 3: 9 / 4 on average."""
    layer = WindowAttention(16, 2, window=3, conv_size=1)
    projections = 16 * 48 + 16 * 16 + 48
    assert layer.flops_per_token(4) == 2 * (projections + 2 * 16 * 9 / 4)
    assert layer.flops_per_token(1) == 2 * (projections + 2 * 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"num_heads": 3}, "num_heads = 3 does not divide d_model = 16"),
        ({"num_heads": 16}, "RoPE needs an even head dimension, got 1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(HmlcoreError, match=f"^{message}"):
        WindowAttention(16, **arguments)
