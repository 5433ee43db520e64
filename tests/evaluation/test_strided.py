"""Strided evaluation: every token once, with exactly the context that was promised."""

import pytest
import torch
import torch.nn.functional as F

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation import strided
from hmlcore.evaluation.strided import strided_nats
from hmlcore.models import Backbone, BackboneConfig


def small(mixer, **mixer_args):
    torch.manual_seed(0)
    return Backbone(BackboneConfig(11, mixer, 16, 2, 16, mixer_args)).eval()


def in_view(position, context, stride):
    """By the definition: tokens before the target `position` (from 0) that the window which scores it holds."""
    if position < context:
        return position + 1
    windows_after = -(-(position + 1 - context) // stride)
    return position + 1 - windows_after * stride


@torch.no_grad()
def one_by_one(model, tokens, context, stride):
    """The definition, a forward pass for every token."""
    paid = []
    for position in range(len(tokens) - 1):
        begin = position + 1 - in_view(position, context, stride)
        logits, _ = model(tokens[None, begin : position + 1])
        paid.append(F.cross_entropy(logits[0, -1:], tokens[position + 1 : position + 2]))
    return torch.stack(paid).double()


CASES = [(8, 8), (8, 4), (8, 1), (8, 3), (5, 5), (64, 16), (36, 36), (37, 5), (100, 50), (1, 1)]


@pytest.mark.parametrize("mixer", ["attention", "gru", "hml"])
@pytest.mark.parametrize(("context", "stride"), CASES)
def test_every_token_once_with_the_context_promised(mixer, context, stride, monkeypatch):
    monkeypatch.setattr(strided, "_AT_ONCE", 24)  # several batches of windows
    monkeypatch.setattr(strided, "_ROWS", 7)
    monkeypatch.setattr(strided, "STRETCH", 6)
    tokens = torch.randint(11, (38,), generator=torch.Generator().manual_seed(1))
    model = small(mixer)
    found = strided_nats(model, tokens, context, stride)
    torch.testing.assert_close(found, one_by_one(model, tokens, context, stride), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(("context", "stride"), [(8, 8), (8, 3), (37, 5)])
def test_the_context_lies_within_its_bounds(context, stride):
    views = [in_view(position, context, stride) for position in range(60)]
    assert views[:context] == list(range(1, context + 1))
    assert all(context - stride + 1 <= view <= context for view in views[context:])
    assert len(set(views[context:])) == stride


def test_a_context_as_long_as_the_text_reads_it_whole():
    tokens = torch.randint(11, (30,))
    model = small("gru")
    with torch.no_grad():
        whole = F.cross_entropy(model(tokens[None, :-1])[0][0], tokens[1:], reduction="none").double()
    torch.testing.assert_close(strided_nats(model, tokens, 29, 29), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(strided_nats(model, tokens, 10_000, 77), whole, atol=1e-5, rtol=1e-5)
    assert not model.training


def test_refusals():
    model, tokens = small("gru"), torch.zeros(9, dtype=torch.long)
    with pytest.raises(HmlcoreError, match="stride must lie within 1 … context = 4, got 5"):
        strided_nats(model, tokens, 4, 5)
    with pytest.raises(HmlcoreError, match="stride must be at least 1, got 0"):
        strided_nats(model, tokens, 4, 0)
    with pytest.raises(HmlcoreError, match="context must be at least 1, got 0"):
        strided_nats(model, tokens, 0, 1)
    with pytest.raises(HmlcoreError, match=r"tokens must be \[N \+ 1\], got shape \(1,\)"):
        strided_nats(model, tokens[:1], 4, 1)
