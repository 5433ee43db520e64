"""Sequence labels: padding must not matter."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.models import BackboneConfig, Classifier


@pytest.fixture(params=sorted(MIXERS))
def model(request):
    torch.manual_seed(0)
    return Classifier(BackboneConfig(9, request.param, d_model=16, layers=1, d_ff=16), classes=3)


def test_padding_changes_nothing(model):
    short, long = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6, 7, 8]])
    alone = torch.cat((model(short), model(long)))
    for pad in (0, 8):
        together = torch.full((2, 7), pad)
        together[0, :3], together[1, :5] = short[0], long[0]
        found = model(together, torch.tensor([3, 5]))
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model(together), alone, rtol=1e-2)


def test_logits_are_the_head_of_the_mean(model):
    x = torch.tensor([[1, 2, 3, 4]])
    hidden, _ = model.backbone.hidden(x)
    wanted = hidden[:, :2].mean(1) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x, torch.tensor([2])), wanted)


def test_bad_lengths_and_classes_are_refused(model):
    x = torch.ones(2, 4, dtype=torch.int64)
    for lengths in ([0, 4], [1, 5], [1, 2, 3]):
        with pytest.raises(HmlcoreError, match=r"lengths must be \[B\] within 1 … 4, got shape"):
            model(x, torch.tensor(lengths))
    with pytest.raises(HmlcoreError, match="classes must be at least 2, got 1"):
        Classifier(model.backbone.config, 1)
