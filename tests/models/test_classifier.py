"""Sequence labels: padding must not matter."""

import itertools

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.models import BackboneConfig, Classifier

# Each mixer one way or both ways, and the last of them either.
WAYS = [*zip(sorted(MIXERS), itertools.cycle((False, True)), strict=False), (max(MIXERS), False)]


@pytest.fixture(params=WAYS)
def model(request):
    torch.manual_seed(0)
    name, both = request.param
    return Classifier(BackboneConfig(9, name, d_model=16, layers=2, d_ff=16), 3, bidirectional=both)


def test_padding_changes_nothing(model):
    short, long = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6, 7, 8]])
    alone = torch.cat((model(short), model(long)))
    for pad in (0, 8):
        together = torch.full((2, 7), pad)
        together[0, :3], together[1, :5] = short[0], long[0]
        found = model(together, torch.tensor([3, 5]))
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model(together), alone, rtol=1e-2)


def hidden_states(model, x):
    """The final hidden states of whole rows; every second block of a bidirectional model sees them mirrored."""
    x = model.backbone.embedding(x)
    for number, block in enumerate(model.backbone.blocks):
        mirrored = model.bidirectional and number % 2 == 1
        x = block(x.flip(1))[0].flip(1) if mirrored else block(x)[0]
    return model.backbone.norm(x)


def test_the_future_reaches_every_position_only_if_bidirectional(model):
    x = torch.tensor([[1, 2, 3, 4, 5, 6]])
    other = torch.tensor([[1, 2, 3, 4, 5, 7]])
    first = [hidden_states(model, row)[0, 0] for row in (x, other)]
    difference = float((first[0] - first[1]).abs().max())
    assert difference > 1e-3 if model.bidirectional else difference < 1e-5  # Hyena's FFT rounds


def test_order_matters(model):
    """A mean over positions must not hide which way a sequence runs."""
    x = torch.tensor([[1, 2, 3, 4, 5, 6]])
    assert not torch.allclose(model(x), model(x.flip(1)), rtol=1e-3)


def test_both_directions_cost_the_same():
    config = BackboneConfig(9, "hml", d_model=16, layers=2, d_ff=16)
    one, two = (Classifier(config, 3, bidirectional=both) for both in (False, True))
    for cost in (lambda m: m.parameter_count, lambda m: m.state_size(9), lambda m: m.flops_per_token(9)):
        assert cost(one) == cost(two) > 0


def test_logits_are_the_head_of_the_mean(model):
    model, x = model.double(), torch.tensor([[1, 2, 3, 4]])
    hidden = hidden_states(model, x[:, :2])
    wanted = hidden.mean(1) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x, torch.tensor([2])), wanted)


def test_a_batch_of_none_is_a_batch(model):
    none = torch.zeros(0, 4, dtype=torch.int64)
    for lengths in (None, none[:, 0]):
        model(none, lengths).sum().backward()
        assert model(none, lengths).shape == (0, 3)
    assert all(p.grad is None or p.grad.count_nonzero() == 0 for p in model.parameters())


def test_bad_lengths_and_classes_are_refused(model):
    x = torch.ones(2, 4, dtype=torch.int64)
    for lengths in ([0, 4], [1, 5], [1, 2, 3]):
        with pytest.raises(HmlcoreError, match=r"lengths must be \[B\] within 1 … 4, got shape"):
            model(x, torch.tensor(lengths))
    with pytest.raises(HmlcoreError, match="classes must be at least 2, got 1"):
        Classifier(model.backbone.config, 1)
    with pytest.raises(HmlcoreError, match="bidirectional classifier needs at least 2 layers, got 1"):
        Classifier(BackboneConfig(9, "gru", layers=1), 3, bidirectional=True)
