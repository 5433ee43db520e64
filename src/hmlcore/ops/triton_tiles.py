"""What kernels share: products of matrices, and tiles of a matrix that are masked where it ends.

Importing this module imports Triton, which a machine without an NVIDIA GPU need not have.
"""

import contextlib

import torch
import triton
import triton.language as tl
from torch import Tensor


def on_device(x: Tensor):
    """Kernels are launched on the current device: make it that of `x`."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


@triton.jit
def dot(a, b, PRECISION: tl.constexpr):
    """a @ b summed in fp32: operands in bf16, or fp32 in the named input precision."""
    if PRECISION == "bf16":
        product = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    else:
        product = tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision=PRECISION)
    return product


@triton.jit
def tile(pointer, row_stride, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Addresses [ROWS, COLUMNS] from `pointer`, and which of them are inside `rows` × `columns`."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    return pointer + i * row_stride + j, (i < rows) & (j < columns)


@triton.jit
def load_tile(pointer, row_stride, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """[ROWS, COLUMNS] from `pointer`, zeros outside `rows` × `columns`."""
    at, inside = tile(pointer, row_stride, rows, columns, ROWS, COLUMNS)
    return tl.load(at, mask=inside, other=0.0)


@triton.jit
def store_tile(pointer, x, row_stride, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """What of `x` [ROWS, COLUMNS] is inside `rows` × `columns`, in the pointer's dtype."""
    at, inside = tile(pointer, row_stride, rows, columns, ROWS, COLUMNS)
    tl.store(at, x.to(pointer.dtype.element_ty), mask=inside)
