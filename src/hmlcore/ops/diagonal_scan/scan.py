r"""Linear recurrences in about 2√T steps on whole tensors, with a backward pass that is the same scan.

The T steps of h_t = b_t + M_t h_{t−1} are laid out as G groups of J, G ≈ J ≈ √T:

    in all groups at once, J steps:   h ← b + M h,  P ← M P     from h = 0, P = I
    group by group, G steps:          h ← h + P · (last state of the group before)

O(T) work, and only products and sums of the inputs: never a quotient of cumulative products.

For a loss with ∂L/∂h_t = d_t, what reaches h_{t−1} through step t is λ_t = M_tᴴ(d_t + λ_{t+1}), the
same recurrence backwards. Then ∂L/∂b_t = g_t = d_t + λ_{t+1}, ∂L/∂M_t = g_t h_{t−1}ᴴ, ∂L/∂h_0 = λ_1.
Source of the parallel form: Martin and Cundy (arXiv 1709.04057).
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops.diagonal_scan.naive import check_scan
from hmlcore.ops.once import refusal
from hmlcore.ops.precision import without_autocast

# An r×r block is r² tensors in row order, a vector r tensors, each [B, T, ...]: element-wise work on
# whole tensors is far cheaper than batches of tiny matrix products.
Components = Sequence[Tensor]


def _add_product_(y: Components, m: Components, x: Components) -> None:
    """y ← y + Mx."""
    for i, out in enumerate(y):
        for j, z in enumerate(x):
            out.addcmul_(m[i * len(x) + j], z)


def _at(x: Components, *index) -> list[Tensor]:
    return [y[(slice(None), *index)] for y in x]


def sweep_(m: Components, h: Components, reverse: bool = False) -> None:
    """h_t ← h_t + M_t h_{t−1} in place, in order of time; in reverse, h_t ← h_t + M_t h_{t+1}.

    Args: m, h over [B, T, ...], h contiguous; m may have 1 where it does not vary, T included.
    """
    length, r = h[0].shape[1], len(h)
    root = math.isqrt(length - 1) + 1
    size = next((d for d in range(root, 2 * root) if length % d == 0), root)
    groups = -(-length // size)
    padding = groups * size - length
    if padding:
        padded = [_pad(x, padding) for x in h]
        sweep_([x if x.shape[1] == 1 else _pad(x, padding) for x in m], padded, reverse)
        for x, y in zip(h, padded, strict=True):
            x.copy_(y[:, :length])
        return
    m = [
        x[:, None].expand(-1, 1, size, *x.shape[2:]) if x.shape[1] == 1 else x.unflatten(1, (-1, size))
        for x in m
    ]
    h = [x.view(x.shape[0], groups, size, *x.shape[2:]) for x in h]
    direction = -1 if reverse else 1
    steps, all_groups = list(range(size))[::direction], list(range(groups))[::direction]
    power = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in m]
    for x, y in zip(power, m, strict=True):
        x[:, :, steps[0]] = y[:, :, steps[0]]
    columns = [power[j::r] for j in range(r)]
    for before, now in itertools.pairwise(steps):
        here = _at(m, slice(None), now)
        for column in (h, *columns):
            _add_product_(_at(column, slice(None), now), here, _at(column, slice(None), before))
    power = [x.expand(-1, groups, *x.shape[2:]) for x in power]
    end = slice(steps[-1], steps[-1] + 1)
    for before, now in itertools.pairwise(all_groups):
        _add_product_(_at(h, now), _at(power, now), _at(h, before, end))


def _pad(x: Tensor, after: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, after))


def _like(tensors: Components) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in tensors]


# An operator, so that a compiler of graphs (``torch.compile``) takes it as one step: its 2√T steps would
# be thousands of nodes.
@torch.library.custom_op("hmlcore::scan", mutates_args=())
def scan(m: Sequence[Tensor], b: Sequence[Tensor], state: Sequence[Tensor]) -> list[Tensor]:
    """h_1 … h_T from the r² components of M, the r of b and the r of h_0; differentiable once."""
    h = [x.clone(memory_format=torch.contiguous_format) for x in b]
    _add_product_(_at(h, 0), _at(m, 0), state)
    sweep_(m, h)
    return h


@scan.register_fake
def _(m, b, state):
    return _like(b)


@torch.library.custom_op("hmlcore::scan_backward", mutates_args=())
def scan_backward(
    m: Sequence[Tensor], h: Sequence[Tensor], state: Sequence[Tensor], d: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of M, b and h_0, component by component, from those of h."""
    r = len(h)
    # Conjugates are formed: a compiled graph runs operators where torch's lazy ones pass for the number itself.
    adjoint = [torch.conj_physical(m[j * r + i]) for i in range(r) for j in range(r)]
    back = [torch.zeros_like(x) for x in h]
    _add_product_(back, adjoint, d)
    sweep_(adjoint, back, reverse=True)
    g = [x.clone(memory_format=torch.contiguous_format) for x in d]
    for x, y in zip(g, back, strict=True):
        x[:, :-1] += y[:, 1:]
    before = [torch.conj_physical(torch.cat((s[:, None], x[:, :-1]), 1)) for s, x in zip(state, h, strict=True)]
    of_m = [(g[i] * before[j]).sum_to_size(m[i * r + j].shape) for i in range(r) for j in range(r)]
    return [*of_m, *g, *(x.contiguous() for x in _at(back, 0))]


@scan_backward.register_fake
def _(m, h, state, d):
    return [*_like(m), *_like(h), *_like(state)]


def _keep(ctx, inputs, output):
    m, _, state = inputs
    ctx.r = len(state)
    ctx.save_for_backward(*m, *output, *state)


def _gradient(ctx, d):
    r, saved = ctx.r, ctx.saved_tensors
    m, h, state = saved[: r * r], saved[r * r : -r], saved[-r:]
    grads = scan_backward(m, h, state, d)
    return grads[: r * r], grads[r * r : -r], grads[-r:]


scan.register_autograd(_gradient, setup_context=_keep)
scan_backward.register_autograd(refusal("scan", "naive_block_scan"))


@without_autocast
def scan_block_scan(m: Tensor, b: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """:func:`naive_block_scan` on whole tensors; the same arguments."""
    m, b, state = check_scan(m, b, initial_state)
    parts = ([x.contiguous() for x in y.unbind(-1)] for y in (m.flatten(-2), b, state))
    return torch.stack(scan(*parts), -1)
