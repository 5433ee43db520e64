"""The gates of an HML layer before its dynamics: what it forgets, and what each correction has of its own."""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from hmlcore.layers.corrections import at_step, interleave
from hmlcore.layers.hml.check import check_gates

if TYPE_CHECKING:
    from hmlcore.layers.hml.layer import HML


def token_gates(layer: "HML", x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """log α [B, T·m, H], or [B, T·m, H, N] by channel, and the gates before their nonlinearities.

    log α = −a softplus(w_α·x + b) with a = .05 e^A; 0 in the heads that turn. Of the m corrections of a token
    each has its own β [B, T·m, H], and the first forgets; other gates are [B, T, H].
    Args: x [B, T, d_model], in fp32 at least.
    """
    weight, bias = (p.to(x.dtype) for p in (layer.gate_proj.weight, layer.gate_proj.bias))
    gates = F.linear(x, weight, bias).unflatten(-1, (-1, layer.num_heads))
    check_gates(gates, layer.gate_starts)
    raw = dict(zip(layer.gate_starts, gates.unbind(-2), strict=True))
    rate, alpha = 0.05 * layer.log_a.to(x.dtype).exp(), raw["alpha"]
    if layer.decay is not None:
        rate, alpha = rate[:, None], layer.decay(x, alpha)
        check_gates(alpha[..., None, :], ["alpha"])
    log_alpha = -rate * F.softplus(alpha)
    if layer.turning:
        keep = layer.num_heads - layer.turning
        log_alpha = F.pad(log_alpha[:, :, :keep], (0, 0) * (log_alpha.ndim - 3) + (0, layer.turning))
    raw["beta"] = interleave([raw[name] for name in raw if name.startswith("beta")])
    return at_step(log_alpha, 0, layer.corrections), raw
