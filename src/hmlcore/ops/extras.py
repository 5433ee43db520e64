"""Kernels of optional packages (``pip install hmlcore[gpu]``): where they run, and what they take."""

import functools
import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.backend import Form, Obstacle
from hmlcore.ops.packing import check_cu_seqlens

# Triton multiplies fp32 matrices in TF32: ten bits of each factor, summed in fp32.
TF32_TOLERANCE = 1e-2


@functools.cache
def _import_problem(module: str, package: str) -> str | None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.split(".")[0]:
            return f"{package} is not installed (pip install hmlcore[gpu])"
        return f"{package} lacks {error.name}"
    except Exception as error:  # a wheel for another CUDA or another torch
        return f"{package} cannot be imported ({type(error).__name__}: {str(error)[:120]})"
    return None


def imports_on_cuda(module: str, package: str) -> Obstacle:
    """The obstacle of a form that needs a CUDA device and `module` of the distribution `package`."""

    def obstacle(device: torch.device) -> str | None:
        return _import_problem(module, package) if device.type == "cuda" else "it needs a CUDA device"

    return obstacle


def fla_form(function: Callable, module: str, unfit: Callable | None = None) -> Form:
    """The form of an op that calls kernels of `module` of flash-linear-attention."""
    return Form(
        "fla", function, imports_on_cuda(module, "flash-linear-attention"),
        "flash-linear-attention's Triton kernel", True, TF32_TOLERANCE, unfit or no_kernel,
    )  # fmt: skip


def triton_on_cuda(shared_memory: int) -> Obstacle:
    """The obstacle of Triton kernels whose programs take `shared_memory` bytes of it."""
    needed = imports_on_cuda("triton", "triton")

    def obstacle(device: torch.device) -> str | None:
        if problem := needed(device):
            return problem
        found = getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 0)
        if found < shared_memory:
            return f"it needs {shared_memory} bytes of shared memory a block, the device has {found}"
        return None

    return obstacle


def power_of_two(n: int) -> int:
    """The least that is not below n: what Triton's tensors measure."""
    return 1 << (int(n) - 1).bit_length()


def no_kernel(*given: Tensor | None) -> str | None:
    """Why kernels that keep fp32 sums cannot take the tensors `given`, the first of them over a batch of
    sequences: one is float64, or there is no sequence."""
    if given[0] is not None and not len(given[0]):
        return "it takes at least one sequence, given a batch of 0"
    wide = any(x is not None and x.dtype == torch.float64 for x in given)
    return "it computes in fp32 at most, given float64" if wide else None


def operands(*tensors: Tensor) -> list[Tensor]:
    """`tensors` in the widest dtype among them, since a kernel multiplies like with like.

    Raises: HmlcoreError where that is float64.
    """
    problem = no_kernel(*tensors)
    require(problem is None, f"a kernel cannot run: {problem}")
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in tensors))
    return [x.to(dtype) for x in tensors]


def packing(cu_seqlens: Tensor | None, k: Tensor) -> tuple[int | None, dict[str, Tensor]]:
    """How many sequences are packed in k [1, T, ...], and the argument that says so to a kernel.

    (None, {}) without `cu_seqlens`. Raises: HmlcoreError where the bounds do not fit.
    """
    if cu_seqlens is None:
        return None, {}
    require(k.ndim == 4, f"k must be [B, T, H, N], got shape {tuple(k.shape)}")
    bounds = check_cu_seqlens(cu_seqlens, *k.shape[:2])
    return len(bounds) - 1, {"cu_seqlens": torch.tensor(bounds, dtype=torch.long, device=k.device)}
