"""What is used of causal-conv1d, which only machines with a GPU have."""

from torch import Tensor


def causal_conv1d_fn(x: Tensor, weight: Tensor) -> Tensor: ...
