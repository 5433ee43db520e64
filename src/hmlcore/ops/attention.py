"""Causal softmax attention with rotary positions, over a cache of earlier keys and values."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.finite import confined
from hmlcore.ops.once import once
from hmlcore.ops.self_check import form_error, normals


def rotate(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """RoPE: pair (x_i, x_{i+d/2}) turned by the angle position · base^(−2i/d).

    Args: x [B, T, H, d], d even; positions [T]. Source: Su et al., RoFormer (arXiv 2104.09864).
    """
    half = x.shape[-1] // 2
    # Angles in fp32 at least: bf16 cannot tell position 256 from 257.
    wide = torch.promote_types(x.dtype, torch.float32)
    frequency = base ** (-torch.arange(half, device=x.device, dtype=wide) / half)
    angle = (positions.to(wide)[:, None] * frequency)[:, None, :]  # [T, 1, d/2]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def _visible(queries: int, keys: int, device: torch.device) -> Tensor:
    """[queries, keys] mask: query i is the (keys − queries + i)-th position and sees up to itself."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def check_shapes(q: Tensor, k: Tensor, v: Tensor, keys: str = "[B, S, H, d] with S at least q's T") -> None:
    """Refuse shapes that do not fit; `keys` says what k must be."""
    require(q.ndim == 4 and q.shape[1] > 0, f"q must be [B, T, H, d] with T > 0, got {tuple(q.shape)}")
    require(k.shape == v.shape, f"v must have k's shape {tuple(k.shape)}, got {tuple(v.shape)}")
    require(
        k.ndim == 4 and k.shape[0] == q.shape[0] and k.shape[2:] == q.shape[2:] and k.shape[1] >= q.shape[1],
        f"k must be {keys}; q is {tuple(q.shape)}, k {tuple(k.shape)}",
    )


def naive_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(QKᵀ/√d + causal mask)V, written out.

    Args: q [B, T, H, d], the last T of the S positions; k, v [B, S, H, d]. Returns: [B, T, H, d].
    """
    check_shapes(q, k, v)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~_visible(q.shape[2], k.shape[2], q.device), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2)


def sdpa_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same through ``scaled_dot_product_attention``; arguments as :func:`naive_attention`."""
    check_shapes(q, k, v)
    whole = q.shape[1] == k.shape[1]  # is_causal aligns the first positions, so only then
    mask = None if whole else _visible(q.shape[1], k.shape[1], q.device)
    # Laid out otherwise, torch would fall back to a form that stores all T·S scores.
    q, k, v = (x.contiguous().transpose(1, 2) for x in once("sdpa_attention", "naive_attention", q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=whole).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The op through whichever form suits the device; arguments as :func:`naive_attention`."""
    form = backend.choose("attention", q.device).form
    return confined(lambda x: (form.function(q, **x), None), q, {"k": k, "v": v})[0]


def _self_check(form, naive, device) -> float:
    shapes = [[(2, t, 2, 8) for t in (queries, 13, 13)] for queries in (13, 5)]
    return max(form_error(form, naive, normals(device, *three)) for three in shapes)


backend.register(
    "attention",
    [
        backend.Form("sdpa", sdpa_attention, backend.anywhere, "torch's scaled_dot_product_attention"),
        backend.Form("naive", naive_attention, backend.anywhere, "the softmax written out, the law"),
    ],
    _self_check,
)
