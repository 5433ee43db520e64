r"""The one complex step of the chunkwise oscillator, as an operator between real tensors.

    Y = diag(e)X,   (I + L diag(e)) X = B = [K | V],      L and K real, L strictly lower triangular

A compiler of graphs (``torch.compile``) takes an operator as it is and sees real numbers only; it has no
code for complex ones. With Ȳ the gradient of Y, as torch has it (∂/∂Re + i∂/∂Im), and * the conjugate:

    B̄ = (I + L diag(e))⁻ᴴ diag(e*)Ȳ,   Ū = −B̄ Xᴴ,   L̄ = tril(Re(Ū diag(e*)), −1),   V̄ = B̄_V,   K̄ = Re B̄_K,
    ē_s = Σ_t L_ts Ū_ts + Σ_m X*_sm Ȳ_sm.
"""

import torch
from torch import Tensor

from hmlcore.ops.once import refusal


def _complex(x: Tensor, dim: int) -> Tensor:
    """Real parts and imaginary parts, one half of `dim` each, as complex numbers."""
    return torch.complex(*x.chunk(2, dim))


def _real(x: Tensor, dim: int) -> Tensor:
    """The inverse of :func:`_complex`."""
    return torch.cat((x.real, x.imag), dim)


@torch.library.custom_op("hmlcore::oscillator_solve", mutates_args=())
def oscillator_solve(
    lower: Tensor, real: Tensor, imag: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Y and X, differentiable once through Y.

    Args:
        lower: L [..., C, C], zero on and above the diagonal;  real, imag: of e, [..., C];  keys: K [..., C, N];
        values: V [..., C, D], the D/2 real parts first. All of one real dtype.
    Returns: Y's columns of K [..., 2C, N], real parts first; those of V [..., C, D], laid out as `values`;
        X [..., C, N + D/2, 2], for the gradient.
    """
    e = torch.complex(real, imag)
    right = torch.cat((keys.to(e.dtype), _complex(values, -1)), -1)
    x = torch.linalg.solve_triangular(lower * e[..., None, :], right, upper=False, unitriangular=True)
    of_keys, of_values = (e[..., None] * x).split((keys.shape[-1], values.shape[-1] // 2), -1)
    return _real(of_keys, -2), _real(of_values, -1), torch.view_as_real(x).contiguous()


@oscillator_solve.register_fake
def _(lower, real, imag, keys, values):
    *lead, size, n = keys.shape
    columns = n + values.shape[-1] // 2
    shapes = (*lead, 2 * size, n), values.shape, (*lead, size, columns, 2)
    return tuple(keys.new_empty(shape) for shape in shapes)


@torch.library.custom_op("hmlcore::oscillator_solve_backward", mutates_args=())
def oscillator_solve_backward(
    lower: Tensor, real: Tensor, imag: Tensor, x: Tensor, d_keys: Tensor, d_values: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of :func:`oscillator_solve`'s arguments, from those of Y."""
    e, x = torch.complex(real, imag), torch.view_as_complex(x)
    d_y = torch.cat((_complex(d_keys, -2), _complex(d_values, -1)), -1)
    # Conjugates are formed: a compiled graph runs operators where torch's lazy ones pass for the number itself.
    e_bar, x_bar = torch.conj_physical(e), torch.conj_physical(x)
    back = (lower * e_bar[..., None, :]).mT
    d_right = torch.linalg.solve_triangular(back, e_bar[..., None] * d_y, upper=True, unitriangular=True)
    d_system = (d_right @ x_bar.mT).neg_()
    d_e = (lower * d_system).sum(-2) + (x_bar * d_y).sum(-1)
    d_lower = (d_system.real * real[..., None, :] + d_system.imag * imag[..., None, :]).tril_(-1)
    of_keys, of_values = d_right.split((d_keys.shape[-1], d_values.shape[-1] // 2), -1)
    # Copies: `contiguous` of an empty tensor is the tensor, and an operator's outputs must not be parts of one.
    of_parts = (x.clone(memory_format=torch.contiguous_format) for x in (d_e.real, d_e.imag, of_keys.real))
    return d_lower, *of_parts, _real(of_values, -1)


@oscillator_solve_backward.register_fake
def _(lower, real, imag, x, d_keys, d_values):
    of_keys = d_keys.new_empty((*d_values.shape[:-1], d_keys.shape[-1]))
    return *(y.new_empty(y.shape) for y in (lower, real, imag)), of_keys, d_values.new_empty(d_values.shape)


def _keep(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:3], output[2])


def _gradient(ctx, d_keys, d_values, _):
    return oscillator_solve_backward(*ctx.saved_tensors, d_keys.contiguous(), d_values.contiguous())


oscillator_solve.register_autograd(_gradient, setup_context=_keep)
oscillator_solve_backward.register_autograd(refusal("oscillator_solve", "naive_oscillator"))
