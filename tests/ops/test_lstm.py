"""Long short-term memory against torch's module and against the equations."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.lstm import lstm, naive_lstm, torch_lstm

FORMS = pytest.mark.parametrize("form", [naive_lstm, torch_lstm, lstm])


@pytest.fixture
def unit():
    torch.manual_seed(0)
    return torch.nn.LSTM(5, 7, batch_first=True, dtype=torch.float64)


def weights_of(unit):
    return unit.weight_ih_l0, unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_unit_by_hand():
    """M = E = 1, W = (1, 2, 3, 4), U = 1, b = 0, c = (0, .5, 0, 0), x = 1, s = .25, m = 2."""
    w = torch.tensor([[1.0], [2], [3], [4]]).double()
    u, b, c = torch.ones(4, 1).double(), torch.zeros(4).double(), torch.tensor([0, 0.5, 0, 0]).double()
    start = torch.full((1, 1), 0.25).double(), torch.full((1, 1), 2.0).double()
    y, (shown, kept) = naive_lstm(torch.ones(1, 1, 1).double(), (w, u, b, c), start)

    def sigmoid(z):
        return 1 / (1 + math.exp(-z))

    cell = sigmoid(2.75) * 2 + sigmoid(1.25) * math.tanh(3.25)
    assert float(kept) == pytest.approx(cell, rel=1e-14)
    assert float(y) == float(shown) == pytest.approx(sigmoid(4.25) * math.tanh(cell), rel=1e-14)


@FORMS
@pytest.mark.parametrize("length", [1, 11])
@pytest.mark.parametrize("started", [False, True])
def test_every_form_is_torchs_unit(form, unit, length, started):
    x = normal(3, length, 5).requires_grad_()
    state = tuple(normal(3, 7, seed=s).requires_grad_() for s in (2, 4)) if started else None
    leaves = [x, *unit.parameters(), *(state or ())]
    theirs = unit(x, None if state is None else tuple(s[None] for s in state))
    results = []
    for y, last in (theirs, form(x, weights_of(unit), state)):
        last = [s.view(3, 7) for s in last]
        loss = (y * normal(*y.shape, seed=3)).sum() + sum(s.sin().sum() for s in last)
        results.append((y, *last, *torch.autograd.grad(loss, leaves)))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@FORMS
def test_two_halves_are_the_whole(form, unit):
    x, w = normal(2, 9, 5), weights_of(unit)
    whole, last = form(x, w)
    first, middle = form(x[:, :4], w)
    second, end = form(x[:, 4:], w, middle)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-12, atol=1e-12)
    for a, b in zip(end, last, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@FORMS
def test_wrong_shapes_are_refused(form, unit):
    w = weights_of(unit)
    for x, state, message in [
        (normal(2, 3, 4), None, r"x must be \[B, T, 5\] with T > 0, got \(2, 3, 4\)"),
        (normal(2, 0, 5), None, r"x must be .*got \(2, 0, 5\)"),
        (normal(2, 3, 5), (normal(2, 8), normal(2, 7)), r"state must have shape \(2, 7\), got \(2, 8\)"),
        (normal(2, 3, 5), (normal(2, 7), normal(3, 7)), r"cell must have shape \(2, 7\), got \(3, 7\)"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(x, w, state)
