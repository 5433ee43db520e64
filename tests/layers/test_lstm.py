"""The LSTM mixer against torch's modules."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers.lstm import LSTM, LSTMState


@pytest.mark.parametrize("hidden", [None, 5])
def test_it_is_torchs_unit_between_a_convolution_and_a_map(hidden):
    torch.manual_seed(0)
    layer = LSTM(6, hidden).double()
    x = normal(2, 17, 6, dtype=torch.float64)
    mixed = F.conv1d(F.pad(x.mT, (3, 0)), layer.conv[:, None], groups=6).mT
    unit = torch.nn.LSTM(6, hidden or 6, batch_first=True, dtype=torch.float64)
    unit.load_state_dict(layer.unit.state_dict())
    y, (shown, kept) = unit(F.silu(mixed))
    found, state = layer(x)
    torch.testing.assert_close(found, y @ layer.out_proj.weight.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.hidden, shown[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.cell, kept[0], rtol=1e-12, atol=1e-12)
    assert layer.state_size(99) == 2 * (hidden or 6) + 3 * 6


def test_bad_arguments_are_refused():
    for arguments, message in [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            LSTM(6, **arguments)


def test_a_state_of_another_layer_is_refused():
    state = LSTM(6, 4).init_state(2)
    with pytest.raises(HmlcoreError, match=r"state must have shape \(2, 6\), got \(2, 4\)"):
        LSTM(6)(normal(2, 3, 6), LSTMState(*state))


def test_a_forget_bias_opens_the_forget_gate_and_nothing_else():
    torch.manual_seed(0)
    plain = LSTM(6).unit.bias_ih_l0
    torch.manual_seed(0)
    open_gate = LSTM(6, forget_bias=1.0).unit.bias_ih_l0
    difference = (open_gate - plain).view(4, 6)
    assert torch.equal(difference.abs() > 0.5, torch.tensor([[False], [True], [False], [False]]).expand(4, 6))
    torch.testing.assert_close(difference[1], torch.ones(6))
