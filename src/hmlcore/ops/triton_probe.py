"""The smallest Triton kernel, for `hml doctor`: does a kernel compile and run here?

Importing this module imports Triton, which a machine without an NVIDIA GPU need not have.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _multiply_add(x, y, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    tl.store(out + at, tl.load(x + at, mask=inside) * 2.0 + tl.load(y + at, mask=inside), mask=inside)


def multiply_add(x: Tensor, y: Tensor) -> Tensor:
    """2x + y elementwise for two contiguous tensors of one shape, by a kernel compiled on first use."""
    out = torch.empty_like(x)
    _multiply_add[(triton.cdiv(x.numel(), 128),)](x, y, out, x.numel(), BLOCK=128)
    return out
