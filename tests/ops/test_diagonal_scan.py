"""Linear recurrences: the loop against closed forms, the parallel scan against the loop."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.diagonal_scan import (
    block_scan,
    diagonal_scan,
    naive_block_scan,
    naive_diagonal_scan,
    scan_block_scan,
    scan_diagonal_scan,
)
from hmlcore.ops.diagonal_scan.scan import scan, scan_backward

LENGTHS = pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 17, 36, 61])
DIAGONAL = pytest.mark.parametrize("form", [naive_diagonal_scan, scan_diagonal_scan, diagonal_scan])
BLOCK = pytest.mark.parametrize("form", [naive_block_scan, scan_block_scan, block_scan])


def draw(*shape, seed=0, dtype=torch.float64, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, generator=g, dtype=dtype)).requires_grad_()


def with_gradients(form, *tensors):
    h = form(*tensors)
    real = torch.view_as_real(h) if h.is_complex() else h
    weight = torch.randn(real.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return h, *torch.autograd.grad((weight * real).sum(), tensors)


def same(found, wanted, tolerance=1e-12):
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).norm() <= tolerance * b.norm().clamp_min(1e-30)


def test_the_loop_is_the_geometric_series():
    a, b = torch.full((1, 20, 1), 0.5).double(), torch.ones(1, 20, 1).double()
    h = naive_diagonal_scan(a, b, torch.full((1, 1), 4.0).double())
    t = torch.arange(1, 21).double()
    torch.testing.assert_close(h[0, :, 0], 4 * 0.5**t + 2 * (1 - 0.5**t), rtol=1e-14, atol=0)


def test_the_loop_over_blocks_is_the_power_of_the_block():
    m, start = draw(1, 1, 3, 3).detach() / 2, draw(1, 3, seed=1).detach()
    h = naive_block_scan(m, torch.zeros(1, 9, 3).double(), start)
    wanted = torch.linalg.matrix_power(m[0, 0], 9) @ start[0]
    torch.testing.assert_close(h[0, -1], wanted, rtol=1e-12, atol=0)


@LENGTHS
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("varies", [(2, None, 3), (2, 1, 3), (1, None, 1), (1, 1, 3)], ids=str)
def test_the_scan_is_the_loop(length, dtype, varies):
    """With a that varies along all dimensions, or not in time, batch or channel."""
    a = draw(*(length if s is None else s for s in varies), dtype=dtype, scale=0.6)
    b, state = draw(2, length, 3, seed=1, dtype=dtype), draw(2, 3, seed=2, dtype=dtype)
    wanted = with_gradients(naive_diagonal_scan, a, b, state)
    same(with_gradients(scan_diagonal_scan, a, b, state), wanted)
    same(with_gradients(scan_diagonal_scan, a, b), with_gradients(naive_diagonal_scan, a, b))


@LENGTHS
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("varies", [(2, None, 4), (1, 1, 4), (1, None, 1)], ids=str)
def test_the_block_scan_is_the_loop(length, dtype, rows, varies):
    lead = [length if s is None else s for s in varies]
    m = draw(*lead, rows, rows, dtype=dtype, scale=0.6 / rows**0.5)
    b = draw(2, length, 4, rows, seed=1, dtype=dtype)
    state = draw(2, 4, rows, seed=2, dtype=dtype)
    same(with_gradients(scan_block_scan, m, b, state), with_gradients(naive_block_scan, m, b, state))


@pytest.mark.parametrize("length", [1, 2, 7])
def test_gradients_are_those_of_finite_differences(length):
    a, b, state = draw(1, length, 2), draw(1, length, 2, seed=1), draw(1, 2, seed=2)
    assert torch.autograd.gradcheck(scan_diagonal_scan, (a, b, state))
    a, b = draw(1, 1, 2, dtype=torch.complex128), draw(1, length, 2, seed=1, dtype=torch.complex128)
    assert torch.autograd.gradcheck(scan_diagonal_scan, (a, b))
    m, b, state = draw(1, length, 1, 2, 2), draw(1, length, 1, 2, seed=1), draw(1, 1, 2, seed=2)
    assert torch.autograd.gradcheck(scan_block_scan, (m, b, state))


@DIAGONAL
def test_two_halves_are_the_whole(form):
    a, b = draw(2, 21, 3, scale=0.6), draw(2, 21, 3, seed=1)
    first = form(a[:, :8], b[:, :8])
    second = form(a[:, 8:], b[:, 8:], first[:, -1])
    same([torch.cat((first, second), 1)], [form(a, b)])


@BLOCK
def test_two_halves_of_blocks_are_the_whole(form):
    m, b = draw(2, 21, 3, 2, 2, scale=0.4), draw(2, 21, 3, 2, seed=1)
    first = form(m[:, :8], b[:, :8])
    second = form(m[:, 8:], b[:, 8:], first[:, -1])
    same([torch.cat((first, second), 1)], [form(m, b)])


@DIAGONAL
@pytest.mark.parametrize("t", [0, 9, 24])
def test_the_past_does_not_feel_the_future(form, t):
    a, b = draw(1, 25, 3).detach(), draw(1, 25, 3, seed=1).detach()
    h = form(a, b)
    a, b = a.clone(), b.clone()
    a[:, t] += 1
    b[:, t] += 1
    assert torch.equal(form(a, b)[:, :t], h[:, :t])
    assert not torch.equal(form(a, b)[:, t], h[:, t])


@DIAGONAL
def test_forgetting_everything_is_exact(form):
    """Quotients of cumulative products would divide by zero here."""
    a, b = draw(1, 30, 2).detach(), draw(1, 30, 2, seed=1).detach()
    a[:, 10], a[:, 17] = 0, 1e-300
    h = form(a, b)
    assert torch.equal(h[:, 10], b[:, 10])
    same([h], [naive_diagonal_scan(a, b)])


def test_neither_input_is_changed():
    a, b = draw(2, 9, 3).detach(), draw(2, 9, 3, seed=1).detach()
    kept = a.clone(), b.clone()
    scan_diagonal_scan(a, b)
    scan_block_scan(a[..., None, None], b[..., None])
    assert torch.equal(a, kept[0]) and torch.equal(b, kept[1])


@DIAGONAL
def test_narrow_numbers_are_widened(form):
    a, b = (draw(2, 40, 3, seed=s).detach().sigmoid() for s in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        h = form(a.bfloat16(), b.bfloat16())
    assert h.dtype == torch.float32
    assert (h - form(a, b)).norm() < 0.01 * h.norm()
    assert form(a.float(), b.float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("form", "shapes", "message"),
    [
        (diagonal_scan, [(2, 3), (2, 4)], r"a must have shape \(2, 4\), or 1 .*, got \(2, 3\)"),
        (diagonal_scan, [(2, 4, 3), (2, 0, 3)], r"b must be \[B, T, ...\] with T > 0, got \(2, 0, 3\)"),
        (diagonal_scan, [(4, 3), (2, 4, 3)], r"a must have shape \(2, 4, 3\), .*got \(4, 3\)"),
        (diagonal_scan, [(2, 4, 3), (2, 4, 3), (2, 4, 3)], r"initial_state must .* \(2, 3\), got \(2, 4, 3\)"),
        (block_scan, [(2, 4, 2, 1), (2, 4, 2)], r"m must have shape \(2, 4, 2, 2\), .*got \(2, 4, 2, 1\)"),
        (block_scan, [(2, 4, 2, 2), (2, 4, 2), (2, 3)], r"initial_state must .* \(2, 2\), got \(2, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(form, shapes, message):
    with pytest.raises(HmlcoreError, match=message):
        form(*(torch.zeros(s) for s in shapes))


@pytest.mark.parametrize("r", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_scan_is_an_operator_that_torch_accepts(r, dtype):
    """Its schema, the shapes that a compiler is told, and its gradient; m does not vary along T."""
    g = torch.Generator().manual_seed(0)

    def parts(count, *shape):
        return [torch.randn(shape, generator=g, dtype=dtype).requires_grad_() for _ in range(count)]

    m, b, state = parts(r * r, 2, 1, 3), parts(r, 2, 7, 3), parts(r, 2, 3)
    torch.library.opcheck(scan, (m, b, state))
    with torch.no_grad():
        h = scan(m, b, state)
        args = (m, h, state, [x.cos() for x in h])
        torch.library.opcheck(scan_backward, args)
