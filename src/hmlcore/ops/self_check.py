"""What the ops' self-checks share: seeded inputs, and a form compared with the law on them."""

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hmlcore.ops.backend import relative_error


def normals(device: torch.device, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Normal numbers in fp32 of these shapes, the same at every call."""
    g = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=g).to(device) for shape in shapes]


def seeded(draw: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """`draw(normal, *sizes)`, which gives tensors by name, as a function of sizes, dtype, device and seed.

    ``normal(*shape)`` draws in float64, and only the result is cast: a seed means the same in every dtype.
    """

    @functools.wraps(draw)
    def inputs(*sizes: int, dtype=torch.float32, device="cpu", seed: int = 0) -> dict[str, Tensor]:
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        return {name: x.to(device, dtype) for name, x in draw(normal, *sizes).items()}

    return inputs


def form_error(
    form: Callable,
    naive: Callable,
    inputs: Iterable[Tensor],
    call: Callable | None = None,
    gradients: bool = True,
) -> float:
    """Largest relative error of `form` against `naive`: of every output, and of every input's gradient.

    Args: call(function, *inputs) gives a tensor or a tuple of them, ``function(*inputs)`` if None; gradients,
        False for a form that has none.
    """
    results, inputs = [], list(inputs)
    for function in (form, naive):
        leaves = [x.detach().clone().requires_grad_(gradients) for x in inputs]
        found = function(*leaves) if call is None else call(function, *leaves)
        outputs = [found] if isinstance(found, Tensor) else list(found)
        loss = functools.reduce(torch.add, (y.sin().sum() for y in outputs))
        results.append([*outputs, *(torch.autograd.grad(loss, leaves) if gradients else ())])
    return max(relative_error(a, b) for a, b in zip(*results, strict=True))
