"""Sliding-window attention: the definition by loops, the form that runs, its reach and its cost."""

import functools

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.attention import naive_attention, rotate
from hmlcore.ops.window_attention import blocked_window_attention, naive_window_attention, window_attention


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawn(length, window, dtype=torch.float64):
    reach = length + window - 1
    q, k, v = (
        normal(2, length, 2, 6, dtype=dtype),
        normal(2, reach, 2, 6, seed=1, dtype=dtype),
        normal(2, reach, 2, 6, seed=2, dtype=dtype),
    )
    present = torch.ones(2, reach, dtype=dtype)
    present[1, : (window - 1) // 2] = 0
    return q, k, v, present


@functools.cache
def by_hand(length, window):
    """Loops; a key is turned by minus its distance to the query instead of both by their places."""
    q, k, v, present = drawn(length, window)
    out = torch.empty_like(q)
    for b, i, h in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:3])).tolist():
        seen = torch.tensor([j for j in range(i, i + window) if present[b, j] > 0])
        near = rotate(k[b, seen, h][None, :, None], seen - (i + window - 1)).flatten(0, 2)
        weight = (near @ q[b, i, h] / q.shape[-1] ** 0.5).exp()
        out[b, i, h] = weight @ v[b, seen, h] / weight.sum()
    return out


FORMS = [naive_window_attention, blocked_window_attention, window_attention]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("length", "window"), [(1, 1), (5, 1), (1, 4), (3, 9), (11, 4), (70, 3), (130, 70)])
def test_every_form_is_the_definition(form, length, window):
    torch.testing.assert_close(form(*drawn(length, window)), by_hand(length, window), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("length", "window"), [(5, 1), (11, 4), (70, 3), (130, 70), (200, 64)])
def test_gradients_agree_and_are_finite(length, window):
    found = []
    for form in (naive_window_attention, blocked_window_attention):
        *tensors, present = drawn(length, window)
        tensors = [x.requires_grad_() for x in tensors]
        found.append(torch.autograd.grad(form(*tensors, present).sin().sum(), tensors))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
        assert one.isfinite().all()
    assert all(x.abs().max() > 0 for x in found[0][-1 if window == 1 else 0 :])


def test_tensors_may_lie_in_memory_as_they_like():
    *tensors, present = drawn(2 * 64, 5)
    scattered = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in tensors]
    assert not scattered[0].is_contiguous()
    found = blocked_window_attention(*scattered, present)
    torch.testing.assert_close(found, naive_window_attention(*tensors, present))


@pytest.mark.parametrize("form", FORMS)
def test_a_mark_moved_a_little_is_the_same_mark(form):
    """The state's gradient is compared with differences, which move every float of it."""
    q, k, v, present = drawn(11, 5)
    wanted = form(q, k, v, present)
    for shift in (1e-3, -1e-3):
        assert torch.equal(form(q, k, v, present + shift), wanted)
    assert not torch.equal(form(q, k, v, torch.ones_like(present)), wanted)


def test_a_window_as_long_as_the_text_is_attention():
    q, k, v = (normal(2, 9, 2, 6, seed=s) for s in range(3))
    before = torch.zeros(2, 8, 2, 6, dtype=torch.float64)
    present = torch.cat((torch.zeros(2, 8), torch.ones(2, 9)), 1)
    found = blocked_window_attention(q, torch.cat((before, k), 1), torch.cat((before, v), 1), present)
    places = torch.arange(9)
    torch.testing.assert_close(found, naive_attention(rotate(q, places), rotate(k, places), v))


def test_memory_grows_with_the_window_and_not_with_the_square():
    """The longest tensor that the blocked form makes, from what it hands to the product."""
    seen = []
    product = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, attn_mask):
        seen.append(attn_mask.numel())
        return product(q, k, v, attn_mask=attn_mask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
        for length in (1024, 4096):
            blocked_window_attention(*drawn(length, 16, torch.float32))
    assert seen[1] == 4 * seen[0] and seen[1] <= 2 * 4096 * (64 + 15)


def test_refusals():
    q, k, v, present = drawn(5, 3)
    with pytest.raises(HmlcoreError, match=r"q must be \[B, T, H, d\] with T > 0, got \(2, 0, 2, 6\)"):
        window_attention(q[:, :0], k, v, present)
    with pytest.raises(HmlcoreError, match=r"v must have k's shape \(2, 7, 2, 6\), got \(2, 6, 2, 6\)"):
        window_attention(q, k, v[:, 1:], present)
    with pytest.raises(
        HmlcoreError, match=r"k must be \[B, T \+ window − 1, H, d\]; q is .*, k \(2, 4, 2, 6\)"
    ):
        window_attention(q, k[:, :4], v[:, :4], present[:, :4])
    with pytest.raises(HmlcoreError, match=r"present must be k's .* = \(2, 7\), got \(2, 6\)"):
        window_attention(q, k, v, present[:, 1:])
