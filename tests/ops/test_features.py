"""Features of a matrix memory: the operation for a CPU is what torch records, and so are its gradients."""

import pytest
import torch

from hmlcore.ops.features import features, recorded_features

COUNTS = (2, 3, 4)  # queries, keys and their channels
CHANNELS = 5 * 4 + 6


def mixed(dtype=torch.float64):
    x = torch.randn(2, 7, CHANNELS, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x[0, 1, 4:8] = 0  # a query without a direction
    x[0, 2, :4] = 1e-13  # and one that is divided by more than its length
    return x.requires_grad_()


def derivatives(form, x):
    """Outputs, gradients, and gradients of those, which are NaN where there is no direction."""
    found = form(x, *COUNTS)
    (first,) = torch.autograd.grad(sum(y.sin().sum() for y in found), x, create_graph=True)
    (second,) = torch.autograd.grad(first[1].cos().sum(), x)
    (once,) = torch.autograd.grad(sum(y.sin().sum() for y in form(x, *COUNTS)), x)
    return *found, first, second, once


def test_the_operation_is_what_torch_records():
    x = mixed()
    found, wanted = (derivatives(form, x) for form in (features, recorded_features))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)
    q, k, v = features(x, *COUNTS)
    assert (q.shape, k.shape, v.shape) == ((2, 7, 2, 4), (2, 7, 3, 4), (2, 7, 6))


def test_strides_do_not_matter():
    x = mixed().detach().mT.contiguous().mT.requires_grad_()
    assert not x.is_contiguous()
    for a, b in zip(derivatives(features, x), derivatives(recorded_features, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("unused", [0, 1, 2])
def test_an_output_may_go_unused(unused):
    x = mixed()
    found, wanted = (
        torch.autograd.grad(sum(y.sum() for i, y in enumerate(form(x, *COUNTS)) if i != unused), x)[0]
        for form in (features, recorded_features)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_what_is_narrow_or_transformed_is_left_to_torch():
    x = mixed(torch.bfloat16)
    for a, b in zip(features(x, *COUNTS), recorded_features(x, *COUNTS), strict=True):
        assert a.dtype == torch.bfloat16 and torch.equal(a, b)
    wide = mixed().detach()[1]
    rows = torch.func.vmap(lambda row: features(row[None, None], *COUNTS)[2][0, 0])(wide)
    torch.testing.assert_close(rows, features(wide[None], *COUNTS)[2][0])
