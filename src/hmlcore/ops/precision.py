"""Recurrences keep their own precision: what autocast must not touch."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def without_autocast(function: Callable) -> Callable:
    """`function` of tensors on one device, in the dtypes it is given.

    Autocast would round the state to bf16 at every matrix product, and α ≈ .999 to 1 with it.
    """

    @functools.wraps(function)
    def exact(*args, **kwargs):
        device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        with torch.autocast(device.type, enabled=False):
            return function(*args, **kwargs)

    return exact
