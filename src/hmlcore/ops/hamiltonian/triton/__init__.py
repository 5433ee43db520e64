"""The chunkwise form as Triton kernels, forward and backward; importing this package does not need Triton.

``forward.py``, ``backward.py`` and ``gates.py`` are the kernels, ``tables.py`` what they share. Between
autograd and the kernels stands one operator of torch, as in ``chunk.py`` one folder up, whose hand-written
backward says the same in torch. State, solve and coefficients are fp32; matrices are multiplied in bf16 where
r, k and v are bf16, and otherwise in fp32 (three TF32 products each).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import extras
from hmlcore.ops.hamiltonian import library
from hmlcore.ops.hamiltonian.check import check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.precision import without_autocast

CHUNK_SIZES = (16, 32, 64)
LARGEST = 128  # key and value dimensions: a head's state passes through one program's registers
# The bytes are what a program of the largest sizes needs, and an A100 or H100 has.
obstacle = extras.triton_on_cuda(shared_memory=163 * 1024)

__all__ = ["CHUNK_SIZES", "LARGEST", "obstacle", "triton_hamiltonian", "unfit"]


def _forward(
    r: Tensor, k: Tensor, v: Tensor, state: Tensor, x: Coefficients, size: int, keep: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """r, k, v of one dtype, state and coefficients in fp32, all contiguous → o like v, the last state, and
    what the gradient needs."""
    from hmlcore.ops.hamiltonian.triton.forward import forward

    o, last, kept = forward(r, k, v, state, x, _sizes(k, v.shape[-1], x.rows, size))
    if keep and x.rows == 1:
        kept.phi[..., 1:].zero_()  # not written, not read; but what an operator returns must repeat itself
    return o, last, list(kept) if keep else []


def _backward(
    operands: Sequence[Tensor], x: Coefficients, kept: Sequence[Tensor], d_o: Tensor, d_state: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Coefficients]:
    """The gradients of r, k, v, the first state and the coefficients."""
    from hmlcore.ops.hamiltonian.triton.backward import backward
    from hmlcore.ops.hamiltonian.triton.forward import Kept

    r, k = operands
    sizes = _sizes(k, d_o.shape[-1], x.rows, size)
    return backward(r, k, x, Kept(*kept), d_o.contiguous(), d_state.contiguous(), sizes)


def _kept(v: Tensor, state: Tensor, x: Coefficients, size: int) -> tuple[Tensor, ...]:
    """Tensors like those of ``forward.Kept``."""
    (batch, length, _, _), (_, heads, rows, n, d) = v.shape, state.shape
    heads, chunks = batch * heads, -(-length // size)
    return (
        v.new_empty(heads, chunks, size, size),
        state.new_empty(heads, chunks, 3, rows, size),
        state.new_empty(heads, chunks, 3),
        v.new_empty(heads, chunks, rows, n, d),
        v.new_empty(v.shape),
    )


_memory = library.register("hamiltonian_kernels", _forward, _backward, _kept, operands=2)


def unfit(r: Tensor, k: Tensor, v: Tensor, *rest: Tensor | None) -> str | None:
    """Why the kernels cannot take these tensors, or None."""
    for name, x in (("keys", k), ("values", v)):
        if x.shape[-1] > LARGEST:
            return f"it takes {name} of at most {LARGEST} channels, given {x.shape[-1]}"
    return extras.no_kernel(r, k, v, *rest)


@without_autocast
@library.packs
def triton_hamiltonian(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The Hamiltonian memory by kernels; arguments as ``chunk_hamiltonian``, `chunk_size` 16, 32 or 64.

    Returns: o [B, T, H, D] in the dtype of `v`; the final state [B, H, p, N, D] in fp32, or None.
    Raises: HmlcoreError naming the argument that does not fit, float64 and more than 128 channels included.
    """
    require(
        chunk_size is None or chunk_size in CHUNK_SIZES,
        f"chunk_size must be one of {CHUNK_SIZES} for the kernels, got {chunk_size}",
    )
    state = check_inputs(r, k, v, coefficients, initial_state)
    problem = unfit(r, k, v, *coefficients, initial_state)
    require(problem is None, f"the kernels cannot run: {problem}")
    operands = [x.contiguous() for x in extras.operands(r, k, v)]
    if operands[0].dtype != torch.bfloat16:
        operands = [x.float() for x in operands]
    size = chunk_size or min(64, max(16, extras.power_of_two(k.shape[1])))
    o, last = _memory(
        *operands, state.contiguous(), coefficients.map(lambda x: x.float().contiguous()), size
    )  # fmt: skip
    return o.to(v.dtype), last if output_final_state else None


def _sizes(k: Tensor, d: int, rows: int, size: int):
    from hmlcore.ops.hamiltonian.triton.forward import Sizes

    heads, n = k.shape[2:]
    padded_n, padded_d = (max(16, extras.power_of_two(x)) for x in (n, d))
    if k.dtype == torch.bfloat16:
        columns, precision = 32, "bf16"
    else:  # three products for one take three times the registers
        columns, precision = 32 if padded_n < LARGEST else 16, "tf32x3"
    return Sizes(heads, n, d, rows, size, padded_n, min(columns, padded_d), precision)
