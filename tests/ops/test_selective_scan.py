"""S6 and SSD: the loops against the published code, the chunked forms against the loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from transformers.models.mamba.modeling_mamba import mamba_selective_scan
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

from hmlcore.errors import HmlcoreError
from hmlcore.ops.selective_scan import (
    chunk_selective_scan,
    chunk_ssd,
    naive_selective_scan,
    naive_ssd,
    selective_scan,
    ssd,
)

S6 = pytest.mark.parametrize("form", [naive_selective_scan, chunk_selective_scan, selective_scan])
SSD = pytest.mark.parametrize("form", [naive_ssd, chunk_ssd, ssd])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def s6_inputs(length, dtype=torch.float64, batch=2, width=3, n=4):
    """x, Δ, A, B, C and the initial state: decays per step from 1 − 1e-3 to e^−20."""
    tensors = (
        normal(batch, length, width), F.softplus(3 * normal(batch, length, width, seed=1) - 1),
        -torch.exp(normal(width, n, seed=2)), normal(batch, length, n, seed=3),
        normal(batch, length, n, seed=4), normal(batch, width, n, seed=5),
    )  # fmt: skip
    return [x.to(dtype).requires_grad_() for x in tensors]


def ssd_inputs(length, dtype=torch.float64, batch=2, heads=3, size=5, n=4):
    tensors = (
        normal(batch, length, heads, size), F.softplus(3 * normal(batch, length, heads, seed=1) - 1),
        -torch.exp(normal(heads, seed=2)), normal(batch, length, n, seed=3),
        normal(batch, length, n, seed=4), normal(batch, heads, size, n, seed=5),
    )  # fmt: skip
    return [x.to(dtype).requires_grad_() for x in tensors]


def of_heads(inputs):
    """B and C of each head its own, [B, T, H, N]."""
    x, dt, a, b, c, start = inputs
    b, c = (normal(*x.shape[:3], y.shape[-1], seed=i).to(y.dtype) for i, y in ((9, b), (10, c)))
    return [x, dt, a, b.requires_grad_(), c.requires_grad_(), start]


def with_gradients(form, tensors, **options):
    y, state = form(*tensors, **options)
    loss = (y * normal(*y.shape, seed=7)).sum() + (state * normal(*state.shape, seed=8)).sum()
    return y, state, *torch.autograd.grad(loss, tensors)


def same(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert (a - b).norm() <= tolerance * b.norm()


def test_one_channel_by_hand():
    """A = −ln 2, Δ = 1: the state halves; x = 1, B = 3, C = 2, h_0 = 8: h = 4 + 3, then 3.5 + 3."""
    one = torch.ones(1, 2, 1).double()
    a = torch.full((1, 1), -math.log(2)).double()
    y, h = naive_selective_scan(one, one, a, 3 * one, 2 * one, torch.full((1, 1, 1), 8.0).double())
    torch.testing.assert_close(y.flatten(), torch.tensor([14.0, 13.0]).double())
    torch.testing.assert_close(h.flatten(), torch.tensor([6.5]).double())
    y, s = naive_ssd(one[..., None], one, a[0], 3 * one, 2 * one, torch.full((1, 1, 1, 1), 8.0).double())
    torch.testing.assert_close(y.flatten(), torch.tensor([14.0, 13.0]).double())
    torch.testing.assert_close(s.flatten(), torch.tensor([6.5]).double())


@S6
def test_s6_is_the_published_scan(form):
    x, dt, a, b, c, _ = s6_inputs(23, torch.float32)
    leaves = [x, dt, a, b, c]
    y, state = form(*leaves)
    theirs, last = mamba_selective_scan(x.mT, dt.mT, a, b.mT, c.mT, return_last_state=True)
    results = []
    for out, end in ((y, state), (theirs.mT, last)):
        loss = (out * normal(*y.shape, seed=7).float()).sum() + end.sin().sum()
        results.append((out, end, *torch.autograd.grad(loss, leaves)))
    same(*results, tolerance=1e-6)


@SSD
def test_ssd_is_the_published_scan(form):
    x, dt, a, b, c, start = leaves = ssd_inputs(23, torch.float32)
    y, state = form(*leaves)
    theirs, last = mamba2_chunk_scan(
        x, dt, a, b[:, :, None], c[:, :, None], chunk_size=8, initial_states=start, return_final_states=True
    )
    results = []
    for out, end in ((y, state), (theirs, last)):
        loss = (out * normal(*y.shape, seed=7).float()).sum() + end.sin().sum()
        results.append((out, end, *torch.autograd.grad(loss, leaves)))
    same(*results, tolerance=1e-6)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 37])
@pytest.mark.parametrize("chunk", [1, 2, 7, 16, 64])
def test_chunks_are_the_loop(length, chunk):
    for inputs, naive, form in (
        (s6_inputs(length), naive_selective_scan, chunk_selective_scan),
        (ssd_inputs(length), naive_ssd, chunk_ssd),
        (of_heads(ssd_inputs(length)), naive_ssd, chunk_ssd),
    ):
        same(with_gradients(form, inputs, chunk_size=chunk), with_gradients(naive, inputs), 1e-12)


@SSD
def test_heads_with_vectors_of_their_own_are_ops_of_their_own(form):
    x, dt, a, b, c, start = of_heads(ssd_inputs(37))
    y, state = form(x, dt, a, b, c, start)
    for h in range(3):
        one = [t[:, :, h : h + 1] for t in (x, dt)]
        alone = naive_ssd(*one, a[h : h + 1], b[:, :, h], c[:, :, h], start[:, h : h + 1])
        same([y[:, :, h : h + 1], state[:, h : h + 1]], alone, 1e-13)


def test_gradients_are_those_of_finite_differences():
    inputs = s6_inputs(5, batch=1, width=2, n=2)
    assert torch.autograd.gradcheck(lambda *z: chunk_selective_scan(*z, chunk_size=3), inputs)
    inputs = ssd_inputs(5, batch=1, heads=1, size=2, n=2)
    assert torch.autograd.gradcheck(lambda *z: chunk_ssd(*z, chunk_size=3), inputs)


@pytest.mark.parametrize("drawn", [s6_inputs, ssd_inputs])
def test_single_precision_over_a_long_sequence(drawn):
    naive, form = {
        s6_inputs: (naive_selective_scan, chunk_selective_scan), ssd_inputs: (naive_ssd, chunk_ssd)
    }[drawn]  # fmt: skip
    exact, narrow = drawn(1000, batch=1), drawn(1000, torch.float32, batch=1)
    found = with_gradients(form, narrow)
    same([x.double() for x in found], with_gradients(naive, exact), 2e-6)


def test_two_halves_are_the_whole():
    for inputs, forms in (
        (s6_inputs(21), (naive_selective_scan, chunk_selective_scan)), (ssd_inputs(21), (naive_ssd, chunk_ssd))
    ):  # fmt: skip
        x, dt, a, b, c, start = inputs
        for form in forms:
            whole, last = form(*inputs)
            first, middle = form(x[:, :8], dt[:, :8], a, b[:, :8], c[:, :8], start)
            second, end = form(x[:, 8:], dt[:, 8:], a, b[:, 8:], c[:, 8:], middle)
            same([torch.cat((first, second), 1), end], [whole, last], 1e-13)


def test_a_step_of_size_zero_leaves_the_state_alone():
    for inputs, forms in (
        (s6_inputs(6), (naive_selective_scan, chunk_selective_scan)), (ssd_inputs(6), (naive_ssd, chunk_ssd))
    ):  # fmt: skip
        x, dt, a, b, c, start = inputs
        for form in forms:
            assert torch.equal(form(x, torch.zeros_like(dt), a, b, c, start)[1], start)


def test_the_states_of_all_tokens_are_never_kept():
    """What makes long sequences fit: between chunks one state is kept, not one a token."""
    inputs = s6_inputs(256, torch.float32, batch=1, width=8, n=16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        chunk_selective_scan(*inputs)
    assert sum(kept) < 256 * 8 * 16 / 2


@pytest.mark.parametrize("drawn", [s6_inputs, ssd_inputs])
def test_states_stay_wide_in_narrow_arithmetic(drawn):
    form = {s6_inputs: selective_scan, ssd_inputs: ssd}[drawn]
    exact = form(*drawn(200))[1]
    with torch.autocast("cpu", torch.bfloat16):
        y, state = form(*(x.float() for x in drawn(200)))
    assert y.dtype == state.dtype == torch.float32
    assert (state - exact).norm() < 1e-5 * exact.norm()
    y, state = form(*(x.bfloat16() for x in drawn(200)))
    assert y.dtype == torch.bfloat16 and state.dtype == torch.float32


@pytest.mark.parametrize(
    ("form", "drawn", "which", "shape", "message"),
    [
        (selective_scan, s6_inputs, 0, (2, 7), r"x must be \[B, T, E\] with T > 0, got \(2, 7\)"),
        (selective_scan, s6_inputs, 0, (2, 0, 3), r"x must be .*got \(2, 0, 3\)"),
        (selective_scan, s6_inputs, 1, (2, 7, 1), r"dt must have shape \(2, 7, 3\), got \(2, 7, 1\)"),
        (selective_scan, s6_inputs, 2, (4, 4), r"a must be \[3, N\], got \(4, 4\)"),
        (selective_scan, s6_inputs, 3, (2, 7, 5), r"b must have shape \(2, 7, 4\), got \(2, 7, 5\)"),
        (selective_scan, s6_inputs, 5, (2, 4, 3), r"initial_state must .* \(2, 3, 4\), got \(2, 4, 3\)"),
        (ssd, ssd_inputs, 0, (2, 7, 3), r"x must be \[B, T, H, P\] with T > 0, got \(2, 7, 3\)"),
        (ssd, ssd_inputs, 2, (1,), r"a must have shape \(3,\), got \(1,\)"),
        (ssd, ssd_inputs, 3, (2, 7), r"b must be \[B, T, N\] or \[B, T, H, N\], got \(2, 7\)"),
        (ssd, ssd_inputs, 3, (2, 7, 1, 4), r"b must have shape \(2, 7, 3, 4\), got \(2, 7, 1, 4\)"),
        (ssd, ssd_inputs, 4, (2, 6, 4), r"c must have shape \(2, 7, 4\), got \(2, 6, 4\)"),
        (ssd, ssd_inputs, 5, (2, 3, 4, 5), r"initial_state must have shape \(2, 3, 5, 4\), got \(2, 3, 4, 5\)"),
    ],
)
def test_wrong_shapes_are_refused(form, drawn, which, shape, message):
    inputs = drawn(7)
    inputs[which] = torch.zeros(shape)
    with pytest.raises(HmlcoreError, match=message):
        form(*inputs)


def test_a_chunk_has_a_token_at_least():
    with pytest.raises(HmlcoreError, match="chunk_size must be at least 1, got 0"):
        chunk_selective_scan(*s6_inputs(3), chunk_size=0)
    with pytest.raises(HmlcoreError, match="chunk_size must be at least 1, got -1"):
        chunk_ssd(*ssd_inputs(3), chunk_size=-1)
