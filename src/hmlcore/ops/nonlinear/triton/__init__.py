"""The law as two sequential Triton kernels, forward and backward; importing this package needs no Triton.

``step.py`` is what the kernels share. The state stays in registers, and the backward kernel inverts the step
from checkpoint to checkpoint. All arithmetic is fp32 (a network's products are three TF32 products each).
"""

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.ops import extras
from hmlcore.ops.matrix_memory import each_sequence
from hmlcore.ops.nonlinear.naive import Net, check_nonlinear
from hmlcore.ops.nonlinear.segments import KEPT, SEGMENT, products
from hmlcore.ops.once import only_once
from hmlcore.ops.precision import without_autocast

LARGEST = 128  # key channels, without a network
LARGEST_NET = 64  # key channels and hidden units, with one: W and its gradient pass through registers
COLUMNS = 16  # of a program: as few as a product of matrices takes
obstacle = extras.triton_on_cuda(shared_memory=80 * 1024)  # of a program with the largest network

__all__ = ["LARGEST", "LARGEST_NET", "obstacle", "triton_nonlinear", "unfit"]


class _Kernels(torch.autograd.Function):
    """State [B, H, 2, N, D] and operands, fp32 and contiguous → o [B, T, H, D] and the last state."""

    @staticmethod
    def forward(ctx, sizes, state, *operands):
        from hmlcore.ops.nonlinear.triton.forward import Operands, forward

        o, final, starts = forward(Operands(*operands), state, sizes)
        ctx.sizes = sizes
        ctx.save_for_backward(state, starts, final, *operands)
        return o, final

    @staticmethod
    @only_once("triton_nonlinear", "naive_nonlinear")
    def backward(ctx, d_o, d_final):
        from hmlcore.ops.nonlinear.triton.backward import backward
        from hmlcore.ops.nonlinear.triton.forward import Operands

        _, starts, final, *operands = ctx.saved_tensors
        x, sizes = Operands(*operands), ctx.sizes
        kept = products(x.alpha.transpose(0, 1), sizes.S)  # [segments, B, H]
        steady = (kept >= KEPT).permute(1, 2, 0).flatten(0, 1)
        grads, d_state = backward(x, starts, final, steady, d_o.contiguous(), d_final.contiguous(), sizes)
        return None, d_state, *(grads if sizes.NET else (*grads[:7], *(None,) * 4))


def unfit(r: Tensor, k: Tensor, v: Tensor, net: Net | None, *rest: Tensor | None) -> str | None:
    """Why the kernels cannot take these tensors, or None."""
    largest = LARGEST if net is None else LARGEST_NET
    if k.shape[-1] > largest:
        return f"it takes keys of at most {largest} channels, given {k.shape[-1]}"
    if net is not None and net.weight.shape[1] > largest:
        return f"it takes networks of at most {largest} hidden units, given {net.weight.shape[1]}"
    return extras.no_kernel(r, k, v, *(net or ()), *rest)


@without_autocast
@each_sequence
def triton_nonlinear(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    drift: Tensor,
    pull: Tensor,
    mu: Tensor,
    push: Tensor | None = None,
    net: Net | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    segment: int = SEGMENT,
) -> tuple[Tensor, Tensor | None]:
    """The nonlinear oscillators by kernels; arguments as ``naive_nonlinear``, a checkpoint every `segment`
    tokens.

    Raises: HmlcoreError naming the argument that does not fit, float64 and too many channels included.
    """
    segment = check_int("segment", segment)
    state = check_nonlinear(r, k, v, log_alpha, beta, drift, pull, mu, push, net, initial_state)
    problem = unfit(r, k, v, net, log_alpha, beta, drift, pull, mu, push, initial_state)
    require(problem is None, f"the kernels cannot run: {problem}")
    r, k, mu = r.float(), k.float(), mu.float()
    alpha = log_alpha.float().exp()
    tokens = r, r * mu, beta.float()[..., None] * k, v.float(), alpha, drift.float(), pull.float()
    # Where there is no network, the kernels are handed tensors that they do not read.
    network = (alpha,) * 4 if net is None or push is None else (push.float(), *(x.float() for x in net))
    operands = (x.contiguous() for x in (*tokens, *network))
    hidden = 0 if net is None else net.weight.shape[1]
    o, final = _Kernels.apply(_sizes(k, v, hidden, segment), state.contiguous(), *operands)
    return o.to(v.dtype), final if output_final_state else None


def _sizes(k: Tensor, v: Tensor, hidden: int, segment: int):
    from hmlcore.ops.nonlinear.triton.forward import Sizes

    heads, n = k.shape[2:]
    padded, units = (max(16, extras.power_of_two(x)) for x in (n, max(hidden, 1)))
    return Sizes(heads, n, v.shape[-1], hidden, segment, padded, units, COLUMNS, hidden > 0, "tf32x3")
