"""Recurrences keep their own precision: what neither autocast nor a narrow dtype must touch."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
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


SHORTEST = 1e-12  # what a vector is divided by at least


def normalize(x: Tensor) -> Tensor:
    """x / max(‖x‖, SHORTEST) along the last dimension, in x's dtype but computed in fp32 at least.

    In fp16 that bound is 0, and a vector of zeros over its length no number.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.normalize(x.to(wide), dim=-1, eps=SHORTEST).to(x.dtype)
