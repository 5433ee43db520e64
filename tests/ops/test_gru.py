"""The gated recurrent unit against torch's module and against the equations."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.gru import gru, naive_gru, torch_gru

FORMS = pytest.mark.parametrize("form", [naive_gru, torch_gru, gru])


@pytest.fixture
def unit():
    torch.manual_seed(0)
    return torch.nn.GRU(5, 7, batch_first=True, dtype=torch.float64)


def weights_of(unit):
    return unit.weight_ih_l0, unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_unit_by_hand():
    """M = E = 1, every weight 1 and bias 0 but c = .5, x = 1, s = 2."""
    one = torch.ones(3, 1, dtype=torch.float64)
    b, c = torch.zeros(3).double(), torch.tensor([0, 0, 0.5]).double()
    y, last = naive_gru(torch.ones(1, 1, 1).double(), (one, one, b, c), torch.full((1, 1), 2.0).double())
    gate = torch.sigmoid(torch.tensor(3.0).double())
    wanted = (1 - gate) * torch.tanh(1 + gate * 2.5) + gate * 2
    assert float(y) == float(last) == pytest.approx(float(wanted), rel=1e-14)


@FORMS
@pytest.mark.parametrize("length", [1, 11])
@pytest.mark.parametrize("started", [False, True])
def test_every_form_is_torchs_unit(form, unit, length, started):
    x = normal(3, length, 5).requires_grad_()
    state = normal(3, 7, seed=2).requires_grad_() if started else None
    leaves = [x, *unit.parameters(), *([state] if started else [])]
    results = []
    for y, last in (unit(x, None if state is None else state[None]), form(x, weights_of(unit), state)):
        last = last.view(3, 7)
        loss = (y * normal(*y.shape, seed=3)).sum() + last.sin().sum()
        results.append((y, last, *torch.autograd.grad(loss, leaves)))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@FORMS
def test_two_halves_are_the_whole(form, unit):
    x, w = normal(2, 9, 5), weights_of(unit)
    whole, last = form(x, w)
    first, middle = form(x[:, :4], w)
    second, end = form(x[:, 4:], w, middle)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end, last, rtol=1e-12, atol=1e-12)


@FORMS
def test_wrong_shapes_are_refused(form, unit):
    w = weights_of(unit)
    for x, state, message in [
        (normal(2, 3, 4), None, r"x must be \[B, T, 5\] with T > 0, got \(2, 3, 4\)"),
        (normal(2, 0, 5), None, r"x must be .*got \(2, 0, 5\)"),
        (normal(2, 3, 5), normal(2, 8), r"state must have shape \(2, 7\), got \(2, 8\)"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(x, w, state)
