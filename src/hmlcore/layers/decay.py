"""A decay for each channel of the key, not one a head: what Kimi Delta Attention adds to the delta rule."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECAYS = ("head", "channel")


class ChannelDecay(nn.Module):
    r"""What decays of N channels begin with, from what a head's begins with: a [B, T, H] → [B, T, H, N],

        a_n + (W_↑ W_↓ x)_n + b_n,      log α_n = −A softplus(of it),      S ← diag(α) S

    with W_↓ [N, d_model] and W_↑ [H·N, N], which cost (d_model + H·N + H)·N parameters with b. W_↑ = b = 0 at
    the start, where channels decay as their head does: what the option adds is not another start.

    Source: Kimi Delta Attention (arXiv 2510.26692), which has no a, and starts with b spread as Mamba's steps.
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int):
        super().__init__()
        # Not linear maps of the module kind, whose start a model draws anew.
        self.down = nn.Parameter(d_model**-0.5 * torch.randn(head_dim, d_model))
        self.up = nn.Parameter(torch.zeros(num_heads * head_dim, head_dim))
        self.bias = nn.Parameter(torch.zeros(num_heads * head_dim))

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """From x [B, T, d_model] and a [B, T, H], in the dtype of a, fp32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            down, up, bias = (p.to(a.dtype) for p in (self.down, self.up, self.bias))
            low = F.linear(x.to(a.dtype), down)
            return a[..., None] + F.linear(low, up, bias).unflatten(-1, (a.shape[-1], -1))
