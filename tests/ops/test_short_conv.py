"""The short causal convolution against its sum and against hand-computed numbers."""

from itertools import pairwise

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops import shifted_conv
from hmlcore.ops.short_conv import conv1d_short_conv, naive_short_conv, shifted_short_conv, short_conv

FORMS = pytest.mark.parametrize("form", [naive_short_conv, conv1d_short_conv, shifted_short_conv, short_conv])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@FORMS
def test_by_hand(form):
    """Taps (1, 10, 100), the last on the present: y₀ = 100·1, y₁ = 200 + 10, y₂ = 300 + 20 + 1."""
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
    weight = torch.tensor([[1.0, 10.0, 100.0]])
    y, state = form(x, weight)
    assert y.flatten().tolist() == [100, 210, 321]
    assert state.flatten().tolist() == [2, 3]
    y, _ = form(x[:, :1], weight, torch.tensor([7.0, 8.0]).view(1, 2, 1))
    assert y.item() == 7 + 80 + 100


@FORMS
@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_every_form_is_the_sum(form, taps, length):
    inputs = [normal(2, length, 3), normal(3, taps, seed=1), normal(2, taps - 1, 3, seed=2)]
    inputs = [x.requires_grad_() for x in inputs]
    results = []
    for function in (naive_short_conv, form):
        y, state = function(*inputs)
        loss = (y * normal(*y.shape, seed=3)).sum() + state.sin().sum()
        results.append((y, state, *torch.autograd.grad(loss, inputs, allow_unused=True)))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@FORMS
def test_any_cut_is_the_whole(form):
    x, weight = normal(2, 11, 3), normal(3, 4, seed=1)
    whole, last = form(x, weight)
    pieces, state = [], None
    for part in x.split([1, 2, 5, 3], dim=1):
        y, state = form(part, weight, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    assert torch.equal(state, last)


@FORMS
def test_wrong_shapes_are_refused(form):
    x, weight = normal(2, 5, 3), normal(3, 4)
    for arguments, message in [
        ((x[0], weight), r"x must be \[B, T, E\].*\(5, 3\)"),
        ((x[:, :0], weight), "x must be .*T > 0"),
        ((x, weight[:2]), r"weight must be \[E, K\] with E = 3, got \(2, 4\)"),
        ((x, weight, normal(2, 4, 3)), r"state must have shape \(2, 3, 3\), got \(2, 4, 3\)"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(*arguments)


BOUNDS = [0, 1, 3, 9]


@FORMS
@pytest.mark.parametrize("taps", [1, 2, 4])
def test_packed_sequences_are_separate_sequences(form, taps):
    inputs = [normal(1, 9, 3), normal(3, taps, seed=1), normal(3, taps - 1, 3, seed=2)]
    inputs = [x.requires_grad_() for x in inputs]

    def separate(x, weight, state):
        pieces = [
            naive_short_conv(x[:, a:b], weight, state[i : i + 1]) for i, (a, b) in enumerate(pairwise(BOUNDS))
        ]
        outputs, states = zip(*pieces, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)

    results = []
    for function in (separate, lambda *given: form(*given, torch.tensor(BOUNDS))):
        y, state = function(*inputs)
        loss = (y * normal(*y.shape, seed=3)).sum() + state.sin().sum()
        results.append((y, state, *torch.autograd.grad(loss, inputs, allow_unused=True)))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    y, state = form(*inputs[:2], cu_seqlens=BOUNDS)
    wanted, _ = form(*inputs[:2], torch.zeros(3, taps - 1, 3, dtype=torch.float64), BOUNDS)
    assert torch.equal(y, wanted) and state.shape == (3, taps - 1, 3)


@FORMS
def test_packing_that_does_not_fit_is_refused(form):
    x, weight = normal(1, 9, 3), normal(3, 4)
    for state, bounds, message in [
        (None, [0, 8], r"cu_seqlens must rise from 0 to 9, got \[0, 8\]"),
        (normal(2, 3, 3), BOUNDS, r"state must have shape \(3, 3, 3\), got \(2, 3, 3\)"),
        (normal(3, 3, 3).to("meta"), BOUNDS, "state is on meta but x is on cpu"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(x, weight, state, bounds)


@pytest.mark.parametrize("block", [1, 9, 27, 2**18])
def test_blocks_of_any_size_are_the_whole(block, monkeypatch):
    """And so is the gradient of a gradient, which goes through the convolution of torch."""
    monkeypatch.setattr(shifted_conv, "BLOCK", block)
    inputs = [normal(2, 11, 3), normal(3, 4, seed=1), normal(2, 3, 3, seed=2)]
    inputs = [x.requires_grad_() for x in inputs]
    results = []
    for form in (naive_short_conv, shifted_short_conv):
        y, _ = form(*inputs)
        grads = torch.autograd.grad(y.sin().sum(), inputs, retain_graph=True)
        first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.cos().sum() for g in first), inputs)
        results.append((*grads, *first, *second))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_shifted_sums_are_for_what_they_do_not_round():
    x, weight = normal(1, 5, 3), normal(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert short_conv(x.float(), weight.float())[0].dtype == torch.bfloat16
    assert short_conv(x.half(), weight.half())[0].dtype == torch.float16
