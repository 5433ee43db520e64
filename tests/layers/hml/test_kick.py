"""Kicks come once in a chunk of tokens, counted in the state, however a sequence is cut."""

import pytest
import torch
from hml_cases import HEADS, WIDTH, double, make

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, HMLState
from hmlcore.layers.hml import KickState


@pytest.mark.parametrize("every", [1, 3, 16])
@pytest.mark.parametrize("length", [1, 2, 16, 17, 40])
def test_chunks_of_any_length_are_single_tokens(every, length):
    layer, x = make("kick", every=every), double(2, length, WIDTH)
    y, end = layer(x)
    state, outputs = layer.init_state(2, dtype=x.dtype), []
    for t in range(length):
        o, state = layer.step(x[:, t], state)
        outputs.append(o)
        assert state.clock.tolist() == [(t + 1) % every] * 2
    torch.testing.assert_close(torch.stack(outputs, 1), y, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory, end.memory, rtol=1e-10, atol=1e-12)
    assert torch.equal(state.clock, end.clock)


def test_sequences_of_a_batch_may_stand_at_different_places():
    layer, x = make("kick"), double(2, 25, WIDTH)
    one, other = layer(double(1, 5, WIDTH, seed=7))[1], layer(double(1, 14, WIDTH, seed=8))[1]
    both = KickState(*(torch.cat(pair) for pair in zip(one, other, strict=True)))
    y, end = layer(x, both)
    for i, state in enumerate((one, other)):
        alone, last = layer(x[i : i + 1], state)
        torch.testing.assert_close(y[i : i + 1], alone, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(end.memory[i : i + 1], last.memory, rtol=1e-11, atol=1e-12)
    assert end.clock.tolist() == [(5 + 25) % 16, (14 + 25) % 16]


def test_a_kick_needs_its_clock():
    layer = make("kick")
    plain = make("sep").init_state(2, dtype=torch.float64)
    with pytest.raises(HmlcoreError, match=r"state\.clock"):
        layer(double(2, 3, WIDTH), HMLState(*plain))


@pytest.mark.parametrize("every", [0, -1, 2.0])
def test_chunks_of_no_token_are_refused(every):
    with pytest.raises(HmlcoreError, match=f"every must be .*at least 1, got {every}"):
        HML(WIDTH, HEADS, dynamics="kick", every=every)
