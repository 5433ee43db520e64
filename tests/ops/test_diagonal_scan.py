"""Linear recurrences: the loop against closed forms, the parallel scan against the loop."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.diagonal_scan import block_scan, naive_block_scan, scan_block_scan
from hmlcore.ops.diagonal_scan.scan import scan, scan_backward

every_form = pytest.mark.parametrize("form", [naive_block_scan, scan_block_scan, block_scan])


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
    m, b = torch.full((1, 20, 1, 1), 0.5).double(), torch.ones(1, 20, 1).double()
    h = naive_block_scan(m, b, torch.full((1, 1), 4.0).double())
    t = torch.arange(1, 21).double()
    torch.testing.assert_close(h[0, :, 0], 4 * 0.5**t + 2 * (1 - 0.5**t), rtol=1e-14, atol=0)


def test_the_loop_is_the_power_of_the_block():
    m, start = draw(1, 1, 3, 3).detach() / 2, draw(1, 3, seed=1).detach()
    h = naive_block_scan(m, torch.zeros(1, 9, 3).double(), start)
    wanted = torch.linalg.matrix_power(m[0, 0], 9) @ start[0]
    torch.testing.assert_close(h[0, -1], wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 17, 36, 61])
@pytest.mark.parametrize(
    ("rows", "varies", "dtype"),
    [
        (1, (2, None, 4), torch.float64),
        (1, (1, 1, 4), torch.complex128),
        (2, (2, None, 4), torch.complex128),
        (2, (2, 1, 4), torch.float64),
        (2, (1, None, 1), torch.float64),
        (3, (1, None, 1), torch.complex128),
        (3, (1, 1, 4), torch.float64),
    ],
    ids=str,
)
def test_the_scan_is_the_loop(length, rows, varies, dtype):
    """With an M that varies along all dimensions, or not in time, batch or channel."""
    m = draw(*(length if s is None else s for s in varies), rows, rows, dtype=dtype, scale=0.6 / rows**0.5)
    b = draw(2, length, 4, rows, seed=1, dtype=dtype)
    state = draw(2, 4, rows, seed=2, dtype=dtype)
    same(with_gradients(scan_block_scan, m, b, state), with_gradients(naive_block_scan, m, b, state))
    same(with_gradients(scan_block_scan, m, b), with_gradients(naive_block_scan, m, b))


@pytest.mark.parametrize("length", [1, 2, 7])
def test_gradients_are_those_of_finite_differences(length):
    m, b, state = draw(1, length, 1, 2, 2), draw(1, length, 1, 2, seed=1), draw(1, 1, 2, seed=2)
    assert torch.autograd.gradcheck(scan_block_scan, (m, b, state))
    m, b = draw(1, 1, 1, 1, dtype=torch.complex128), draw(1, length, 1, seed=1, dtype=torch.complex128)
    assert torch.autograd.gradcheck(scan_block_scan, (m, b))


@every_form
def test_two_halves_are_the_whole(form):
    m, b = draw(2, 21, 3, 2, 2, scale=0.4), draw(2, 21, 3, 2, seed=1)
    first = form(m[:, :8], b[:, :8])
    second = form(m[:, 8:], b[:, 8:], first[:, -1])
    same([torch.cat((first, second), 1)], [form(m, b)])


@every_form
@pytest.mark.parametrize("t", [0, 9, 24])
def test_the_past_does_not_feel_the_future(form, t):
    m, b = draw(1, 25, 3, 2, 2).detach(), draw(1, 25, 3, 2, seed=1).detach()
    h = form(m, b)
    m, b = m.clone(), b.clone()
    m[:, t] += 1
    b[:, t] += 1
    assert torch.equal(form(m, b)[:, :t], h[:, :t])
    assert not torch.equal(form(m, b)[:, t], h[:, t])


@every_form
def test_forgetting_everything_is_exact(form):
    """Quotients of cumulative products would divide by zero here."""
    m, b = draw(1, 30, 2, 1, 1).detach(), draw(1, 30, 2, 1, seed=1).detach()
    m[:, 10], m[:, 17] = 0, 1e-300
    h = form(m, b)
    assert torch.equal(h[:, 10], b[:, 10])
    same([h], [naive_block_scan(m, b)])


def test_neither_input_is_changed():
    m, b = draw(2, 9, 3, 2, 2).detach(), draw(2, 9, 3, 2, seed=1).detach()
    kept = m.clone(), b.clone()
    scan_block_scan(m, b)
    assert torch.equal(m, kept[0]) and torch.equal(b, kept[1])


@every_form
def test_narrow_numbers_are_widened(form):
    m, b = (draw(2, 40, 3, *rows, seed=s).detach().sigmoid() / 2 for s, rows in ((0, (2, 2)), (1, (2,))))
    with torch.autocast("cpu", torch.bfloat16):
        h = form(m.bfloat16(), b.bfloat16())
    assert h.dtype == torch.float32
    assert (h - form(m, b)).norm() < 0.01 * h.norm()
    assert form(m.float(), b.float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 4, 1, 1), (2, 0, 1)], r"b must be \[B, T, ..., r\] with T > 0, got \(2, 0, 1\)"),
        ([(2, 4), (2, 4)], r"b must be \[B, T, ..., r\] with T > 0, got \(2, 4\)"),
        ([(3, 2, 2), (2, 4, 2)], r"m must have shape \(2, 4, 2, 2\), or 1 .*, got \(3, 2, 2\)"),
        ([(2, 3, 2, 2), (2, 4, 2)], r"m must have shape \(2, 4, 2, 2\), or 1 .*, got \(2, 3, 2, 2\)"),
        ([(2, 4, 2, 1), (2, 4, 2)], r"m must have shape \(2, 4, 2, 2\), .*got \(2, 4, 2, 1\)"),
        ([(2, 4, 2, 2), (2, 4, 2), (2, 3)], r"initial_state must .* \(2, 2\), got \(2, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(shapes, message):
    with pytest.raises(HmlcoreError, match=message):
        block_scan(*(torch.zeros(s) for s in shapes))


@pytest.mark.parametrize(("r", "dtype"), [(1, torch.float32), (2, torch.complex64)])
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
