"""Attention: rotary positions, the softmax written out, and the form that runs."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.attention import attention, naive_attention, rotate, sdpa_attention


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_rope_turns_each_pair_by_its_angle():
    """d = 4: pairs (x₀, x₂) and (x₁, x₃), turned by position and by position/100."""
    x = torch.tensor([1.0, 0.0, 0.0, 2.0], dtype=torch.float64).view(1, 1, 1, 4)
    found = rotate(x, torch.tensor([3])).flatten().tolist()
    wanted = [math.cos(3), -2 * math.sin(0.03), math.sin(3), 2 * math.cos(0.03)]
    assert found == pytest.approx(wanted, rel=1e-12)


def test_rope_scores_depend_on_the_distance_only():
    q, k = normal(1, 1, 2, 8), normal(1, 1, 2, 8, seed=1)

    def score(i, j):
        return (rotate(q, torch.tensor([i])) * rotate(k, torch.tensor([j]))).sum(-1)

    for shift in (0, 7, 1000):
        torch.testing.assert_close(score(12 + shift, 5 + shift), score(12, 5), rtol=1e-9, atol=1e-12)
    assert (score(12, 5) - score(12, 6)).abs().min() > 1e-3


def test_rope_keeps_lengths_and_leaves_the_first_position():
    x = normal(2, 5, 2, 6)
    turned = rotate(x, torch.arange(5))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_rope_tells_far_neighbours_apart_in_bf16():
    x = torch.ones(1, 2, 1, 8, dtype=torch.bfloat16)
    near, next_one = rotate(x, torch.tensor([4096, 4097]))[0]
    assert near.dtype == torch.bfloat16 and not torch.equal(near, next_one)


def by_hand(q, k, v):
    """Loops over heads and positions: query i is position S − T + i and sees up to itself."""
    out = torch.empty_like(q)
    for b, i, h in torch.cartesian_prod(*(torch.arange(q.shape[n]) for n in range(3))).tolist():
        seen = k.shape[1] - q.shape[1] + i + 1
        weight = (k[b, :seen, h] @ q[b, i, h] / q.shape[-1] ** 0.5).exp()
        out[b, i, h] = weight @ v[b, :seen, h] / weight.sum()
    return out


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (7, 7), (1, 9), (4, 9)])
@pytest.mark.parametrize("form", [naive_attention, sdpa_attention, attention])
def test_every_form_is_causal_softmax(form, queries, keys):
    q, k, v = (normal(2, t, 3, 4, seed=s).requires_grad_() for s, t in enumerate((queries, keys, keys)))
    wanted, found = by_hand(q, k, v), form(q, k, v)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    weight = normal(*found.shape, seed=9)
    got, want = (torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (found, wanted))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", [naive_attention, sdpa_attention])
def test_wrong_shapes_are_refused(form):
    x = normal(2, 4, 3, 6)
    for arguments, message in [
        ((x[0], x, x), r"q must be \[B, T, H, d\].*\(4, 3, 6\)"),
        ((x[:, :0], x, x), "q must be .*T > 0"),
        ((x, x, x[..., :5]), r"v must have k's shape \(2, 4, 3, 6\), got \(2, 4, 3, 5\)"),
        ((x, x[:, :2], x[:, :2]), "S at least q's T"),
        ((x, x[:, :, :2], x[:, :, :2]), r"k must be \[B, S, H, d\]"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            form(*arguments)
