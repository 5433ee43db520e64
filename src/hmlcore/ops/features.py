"""Queries, keys and values of a matrix memory: SiLU of convolved channels, of which the first have unit length.

As torch records it, that takes two dozen passes over memory, most of them backward: a quotient and a norm have
several each, and a split is a concatenation. On a CPU it is one operation with a third of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops.precision import SHORTEST, normalize


def features(mixed: Tensor, queries: int, keys: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """q [B, T, queries, size] and k [B, T, keys, size] of unit length, and v [B, T, the rest]: of SiLU(mixed).

    As often differentiable as asked. Args: mixed [B, T, E], of which the channels of q come first, then of k.
    """
    recorded = (
        mixed.device.type != "cpu"
        or mixed.dtype.itemsize < 4  # whose lengths are wanted in fp32
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    )
    return (recorded_features if recorded else _Features.apply)(mixed, queries, keys, size)


def recorded_features(mixed: Tensor, queries: int, keys: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same as torch records it."""
    units = (queries + keys) * size
    of_units, v = F.silu(mixed).split((units, mixed.shape[-1] - units), -1)
    q, k = normalize(of_units.unflatten(-1, (-1, size))).split((queries, keys), 2)
    return q, k, v


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mixed: Tensor, queries: int, keys: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        first, second = queries * size, keys * size
        of_q, of_k, of_v = mixed.split((first, second, mixed.shape[-1] - first - second), -1)
        (q, q_lengths), (k, k_lengths) = (_unit(F.silu(x).unflatten(-1, (-1, size))) for x in (of_q, of_k))
        ctx.save_for_backward(mixed, q, q_lengths, k, k_lengths)
        return q, k, F.silu(of_v)

    @staticmethod
    def backward(ctx, d_q: Tensor, d_k: Tensor, d_v: Tensor) -> tuple[Tensor | None, ...]:
        mixed, q, q_lengths, k, k_lengths = ctx.saved_tensors
        (queries, size), keys = q.shape[-2:], k.shape[-2]
        if torch.is_grad_enabled():  # of a gradient that is differentiated itself
            found = recorded_features(mixed, queries, keys, size)
            return *torch.autograd.grad(found, mixed, (d_q, d_k, d_v), create_graph=True), None, None, None
        d_mixed, places = torch.empty_like(mixed), (queries * size, keys * size, d_v.shape[-1])
        grads = _unit_gradient(q, q_lengths, d_q), _unit_gradient(k, k_lengths, d_k), d_v
        for grad, x, d_x in zip(grads, mixed.split(places, -1), d_mixed.split(places, -1), strict=True):
            torch.ops.aten.silu_backward.grad_input(grad, x, grad_input=d_x)
        return d_mixed, None, None, None


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / max(‖x‖, SHORTEST), in the place of x, and ‖x‖."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x.div_(length.clamp(min=SHORTEST)), length


def _unit_gradient(y: Tensor, length: Tensor, d_y: Tensor) -> Tensor:
    """x̄ = (ȳ − y(y·ȳ)) / ‖x‖ of :func:`_unit`, heads joined."""
    inner = (y * d_y).sum(-1, keepdim=True).masked_fill_(length < SHORTEST, 0)
    return torch.addcmul(d_y, y, inner, value=-1).div_(length.clamp(min=SHORTEST)).flatten(-2)
