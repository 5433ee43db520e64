"""The long convolution: a sum over the whole past, by definition and by Fourier transform."""

import numpy as np
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.long_conv import _fast_length, fft_long_conv, long_conv, naive_long_conv

FORMS = pytest.mark.parametrize("form", [naive_long_conv, fft_long_conv, long_conv])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@FORMS
@pytest.mark.parametrize(("earlier", "length"), [(0, 1), (0, 2), (0, 29), (5, 1), (5, 24), (64, 64)])
def test_every_form_is_the_convolution(form, earlier, length):
    """Against numpy's, outputs; and the loop's gradients."""
    x, w, s = normal(2, length, 3), normal(earlier + length + 2, 3, seed=1), normal(2, earlier, 3, seed=2)
    leaves = [t.requires_grad_() for t in (x, w, s)]
    y, state = form(*leaves)
    inputs = torch.cat((s, x), 1).detach()
    total = earlier + length
    for b in range(2):
        for e in range(3):
            wanted = np.convolve(inputs[b, :, e], w.detach()[:total, e])[earlier:total]
            np.testing.assert_allclose(y.detach()[b, :, e], wanted, rtol=0, atol=1e-12)
    assert torch.equal(state, inputs)
    results = []
    for out, end in ((y, state), naive_long_conv(*leaves)):
        loss = (out * normal(*out.shape, seed=3)).sum() + end.sin().sum()
        results.append(torch.autograd.grad(loss, leaves))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


@FORMS
def test_any_chunking_is_the_whole(form):
    x, w = normal(2, 23, 3), normal(23, 3, seed=1)
    whole, last = form(x, w)
    pieces, state = [], None
    for part in x.split([1, 4, 17, 1], 1):
        y, state = form(part, w, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-13)
    assert torch.equal(state, last)


def test_the_sum_is_causal_and_the_transform_causal_to_rounding():
    x, w = normal(1, 50, 3), normal(50, 3, seed=1)
    for form, leak in ((naive_long_conv, 0), (fft_long_conv, 1e-11)):
        y = form(x, w)[0]
        for t in (0, 20, 49):
            changed = x.clone()
            changed[:, t] += 1000
            difference = (form(changed, w)[0] - y).abs()
            assert t == 0 or difference[:, :t].max() <= leak
            assert difference[:, t:].amax((0, 2)).min() > 1


def test_single_precision():
    x, w = normal(2, 1000, 4), normal(1000, 4, seed=1)
    exact = naive_long_conv(x, w)[0]
    y, state = fft_long_conv(x.float(), w.float())
    assert y.dtype == state.dtype == torch.float32
    assert (y - exact).norm() < 1e-6 * exact.norm()
    with torch.autocast("cpu", torch.bfloat16):
        y, state = long_conv(x.bfloat16(), w.float())
    assert y.dtype == torch.bfloat16 and state.dtype == torch.float32
    assert (y - exact).norm() < 0.01 * exact.norm()


def test_transform_lengths_are_fast_and_long_enough():
    good = sorted(m * 2**k for m in (1, 3, 5, 15) for k in range(13))
    for n in range(1, 4096):
        assert _fast_length(n) == next(g for g in good if g >= n)


@FORMS
def test_wrong_shapes_are_refused(form):
    x, w = normal(2, 4, 3), normal(6, 3)
    for arguments, message in [
        ((x[0], w), r"x must be \[B, T, E\] with T > 0, got \(4, 3\)"),
        ((x[:, :0], w), r"x must be .*got \(2, 0, 3\)"),
        ((x, w[:3]), r"weight must be \[L, 3\] with L at least S \+ T = 4, got \(3, 3\)"),
        ((x, w[:, :2]), r"weight must be \[L, 3\].*got \(6, 2\)"),
        ((x, w, x), r"weight must be .* S \+ T = 8, got \(6, 3\)"),
        ((x, w, x[:1]), r"state must be \[B, S, E\] with B, E = \(2, 3\), got \(1, 4, 3\)"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(*arguments)
