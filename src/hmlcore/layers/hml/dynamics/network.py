"""A small network for the potential of a head."""

import torch
from torch import Tensor, nn

from hmlcore.ops.nonlinear import Net

LOUDNESS = 0.1  # of the network at the start, beside wells of stiffness 1


class Network(nn.Module):
    """outᵀtanh(Wq + b) of a column q [N], W [M, N] with M = N hidden units, for each head."""

    no_decay = ("weight", "bias", "out")

    def __init__(self, heads: int, n: int):
        super().__init__()
        self.weight = nn.Parameter(n**-0.5 * torch.randn(heads, n, n))
        self.bias = nn.Parameter(torch.zeros(heads, n))
        self.out = nn.Parameter(LOUDNESS * n**-0.5 * torch.randn(heads, n))

    def tensors(self, dtype: torch.dtype) -> Net:
        """The networks as the ops take them."""
        return Net(self.weight.to(dtype), self.bias.to(dtype), self.out.to(dtype))

    def energy(self, q: Tensor) -> Tensor:
        """Of the D columns of every head together, [..., H], at q [..., H, N, D]."""
        net = self.tensors(q.dtype)
        hidden = (net.weight @ q + net.bias[..., None]).tanh()
        return (net.out[..., None] * hidden).sum((-2, -1))

    def multiply_adds(self, d: int) -> int:
        """Of one force on D columns: W and its transpose."""
        return 2 * self.weight.numel() * d
