"""The memory as operators of torch: one for its forward pass and one for its gradient, for every parallel form.

torch.compile takes an operator as one node and asks only for its shapes, so that what is inside (loops over
chunks, kernels, looks at values) breaks no graph. A form gives three functions:

    forward(r, k, v, state, x, size, keep) → o, last state, what the gradient reads beside its operands
    backward(operands, x, kept, d_o, d_state, size) → gradients of r, k, v, state; of the coefficients
    kept(v, state, x, size) → empty tensors like those that forward keeps

with r, k [B, T, H, N], v [B, T, H, D], state [B, H, p, N, D], and `size` tokens a chunk. What they return
is contiguous and new, as an operator's outputs must be.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hmlcore.ops.hamiltonian.check import check_coefficients, check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.once import refusal
from hmlcore.ops.packing import check_cu_seqlens, repack, unpack
from hmlcore.ops.precision import without_autocast

Operator = Callable[[Tensor, Tensor, Tensor, Tensor, Coefficients, int], tuple[Tensor, Tensor]]


def register(name: str, forward: Callable, backward: Callable, kept: Callable, operands: int = 3) -> Operator:
    """Register `hmlcore::name` and `hmlcore::name_backward`; return the op as a function
    (r, k, v, state, coefficients, size) → o, last state.

    Args: operands, how many of r, k, v `backward` reads: no others are kept alive for it.
    """
    run = _register_forward(name, forward, kept)
    _register_gradient(name, run, backward, operands)

    def op(r, k, v, state, x, size):
        gates = x.present
        keep = torch.is_grad_enabled() and any(y.requires_grad for y in (r, k, v, state, *gates))
        # A graph that is being compiled has no values to look at; the operator sees them when it runs.
        o, last, _ = run(r, k, v, state, gates, size, keep, torch.compiler.is_compiling())
        return o, last

    return op


def _register_forward(name: str, forward: Callable, kept: Callable):
    @torch.library.custom_op(f"hmlcore::{name}", mutates_args=())
    def run(
        r: Tensor, k: Tensor, v: Tensor, state: Tensor, gates: Sequence[Tensor],
        size: int, keep: bool, check: bool,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:  # fmt: skip
        x = Coefficients.of(gates)
        if check:
            check_coefficients(x)
        if not k.numel():  # no sequences
            return v.new_empty(v.shape), state.clone(), list(kept(v, state, x, size)) if keep else []
        return forward(r, k, v, state, x, size, keep)

    @run.register_fake
    def _(r, k, v, state, gates, size, keep, check):
        o, last = v.new_empty(v.shape), state.new_empty(state.shape)
        return o, last, list(kept(v, state, Coefficients.of(gates), size)) if keep else []

    return run


def _register_gradient(name: str, run, backward: Callable, operands: int) -> None:
    """The operator of the gradient, and how autograd calls it."""

    def like(held, gates, d_o, d_state) -> list[Tensor]:
        # v may not be among `held`: its gradient is like that of o.
        return [x.new_empty(x.shape) for x in (*held[:2], d_o, d_state, *gates)]

    exact_backward = without_autocast(backward)  # the gradient may be asked for under autocast too

    @torch.library.custom_op(f"hmlcore::{name}_backward", mutates_args=())
    def run_back(
        held: Sequence[Tensor], gates: Sequence[Tensor], kept: Sequence[Tensor],
        d_o: Tensor, d_state: Tensor, size: int,
    ) -> list[Tensor]:  # fmt: skip
        if not d_o.numel():
            return like(held, gates, d_o, d_state)
        *grads, of_gates = exact_backward(held, Coefficients.of(gates), kept, d_o, d_state, size)
        return [*grads, *of_gates.present]

    @run_back.register_fake
    def _(held, gates, kept, d_o, d_state, size):
        return like(held, gates, d_o, d_state)

    def hold(ctx, inputs, output):
        r, k, v, _, gates, size, *_ = inputs
        o, last, kept = output
        ctx.set_materialize_grads(False)
        ctx.size, ctx.count, ctx.like = size, len(gates), (o.shape, o.dtype, last.shape, last.dtype)
        ctx.save_for_backward(*(r, k, v)[:operands], *gates, *kept)

    def differentiate(ctx, d_o, d_last, _):
        saved, end = list(ctx.saved_tensors), operands + ctx.count
        o_shape, o_dtype, shape, dtype = ctx.like
        k = saved[1]
        d_o = k.new_zeros(o_shape, dtype=o_dtype) if d_o is None else d_o
        d_last = k.new_zeros(shape, dtype=dtype) if d_last is None else d_last
        grads = run_back(saved[:operands], saved[operands:end], saved[end:], d_o, d_last, ctx.size)
        return *grads[:4], grads[4:], None, None, None

    run.register_autograd(differentiate, setup_context=hold)
    run_back.register_autograd(refusal(name, "naive_hamiltonian"))


def packs(form: Callable) -> Callable:
    """Give `form` the argument ``cu_seqlens``: packed sequences become a batch that is padded with zeros, which
    are inert."""

    @functools.wraps(form)
    def packed(
        r, k, v, coefficients, initial_state=None, output_final_state=False, cu_seqlens=None, **options
    ):  # fmt: skip
        if cu_seqlens is None:
            return form(r, k, v, coefficients, initial_state, output_final_state, **options)
        bounds = check_cu_seqlens(cu_seqlens, *k.shape[:2])
        check_inputs(r, k, v, coefficients, initial_state, len(bounds) - 1)
        r, k, v = (unpack(x, bounds) for x in (r, k, v))
        coefficients = coefficients.map(lambda x: unpack(x, bounds))
        o, state = form(r, k, v, coefficients, initial_state, output_final_state, **options)
        return repack(o, bounds), state

    return packed
