"""Sliding-window attention: a token sees itself and the window − 1 tokens before it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.attention import check_shapes, rotate
from hmlcore.ops.finite import confined
from hmlcore.ops.once import once
from hmlcore.ops.self_check import form_error, normals

# Queries that are handled together; a shorter window would make blocks too small to be worth a product.
_BLOCK = 64
# Marks are floats of the state; a small change of one, as of any of them, must not bring a key into being.
_MARK = 0.5


def _check(q: Tensor, k: Tensor, v: Tensor, present: Tensor) -> int:
    """The window that the shapes stand for."""
    check_shapes(q, k, v, "[B, T + window − 1, H, d]")
    require(
        present.shape == k.shape[:2],
        f"present must be k's [B, T + window − 1] = {tuple(k.shape[:2])}, got {tuple(present.shape)}",
    )
    return k.shape[1] - q.shape[1] + 1


def _band(queries: int, window: int, device: torch.device) -> Tensor:
    """[queries, queries + window − 1]: query i sees keys i … i + window − 1, the last of which is its own."""
    ahead = torch.arange(queries + window - 1, device=device) - torch.arange(queries, device=device)[:, None]
    return (ahead >= 0) & (ahead < window)


def naive_window_attention(q: Tensor, k: Tensor, v: Tensor, present: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)V with rotary positions, over the window of each token, with the whole mask.

        y_t = Σ_{s = t − window + 1}^{t} softmax_s(⟨R_t q_t, R_s k_s⟩ / √d) v_s,     absent s left out

    Args: q [B, T, H, d], not rotated; k, v [B, window − 1 + T, H, d], those of the window − 1 tokens before
        and of the T; present [B, window − 1 + T], 1 where there was a token, else 0. Returns: [B, T, H, d].
    Source: Beltagy et al., Longformer (arXiv 2004.05150).
    """
    window = _check(q, k, v, present)
    present = present > _MARK
    places = torch.arange(k.shape[1], device=q.device)
    q, k = rotate(q, places[window - 1 :]), rotate(k, places)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    seen = _band(q.shape[2], window, q.device) & present[:, None, None, :]
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~seen, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2)


def blocked_window_attention(q: Tensor, k: Tensor, v: Tensor, present: Tensor) -> Tensor:
    """The same in blocks of queries, each with the keys in its reach: O(T · window) work and memory.

    Rotary positions count from the beginning of a block, which changes no difference of two and keeps them
    small however long the text is. Arguments as :func:`naive_window_attention`.
    """
    window, (batch, length, heads, dim) = _check(q, k, v, present), q.shape
    block = min(max(window, _BLOCK), length)
    blocks = -(-length // block)
    rest = blocks * block - length
    reach = block + window - 1
    # What fills the last block counts as present: no row is without a key, and no real query looks ahead.
    q, k, v = (F.pad(x, (0, 0, 0, 0, 0, rest)) for x in (q, k, v))
    seen = F.pad(present, (0, rest), value=1) > _MARK
    q = q.reshape(batch * blocks, block, heads, dim)
    k, v = (x.unfold(1, reach, block).permute(0, 1, 4, 2, 3).flatten(0, 1) for x in (k, v))
    mask = seen.unfold(1, reach, block).flatten(0, 1)[:, None, None] & _band(block, window, q.device)
    places = torch.arange(reach, device=q.device)
    q, k = rotate(q, places[window - 1 :]), rotate(k, places)
    q, k, v = once("blocked_window_attention", "naive_window_attention", q, k, v)
    q, k, v = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    return y.reshape(batch, blocks * block, heads, dim)[:, :length]


def window_attention(q: Tensor, k: Tensor, v: Tensor, present: Tensor) -> Tensor:
    """The op through whichever form suits the device; arguments as :func:`naive_window_attention`."""
    form = backend.choose("window_attention", q.device).form
    window = k.shape[1] - q.shape[1] + 1

    def run(x: dict) -> tuple[Tensor, None]:
        return form.function(q, **x, present=present), None

    return confined(run, q, {"k": k, "v": v}, window=window)[0]


def _self_check(form, naive, device) -> float:
    worst = 0.0
    for length, window in ((13, 5), (150, 9)):
        seen = length + window - 1
        present = torch.ones(2, seen, device=device)
        present[1, : window // 2] = 0
        tensors = normals(device, *((2, t, 2, 8) for t in (length, seen, seen)))
        worst = max(worst, form_error(form, naive, tensors, lambda f, *qkv, p=present: f(*qkv, p)))
    return worst


backend.register(
    "window_attention",
    [
        backend.Form("blocked", blocked_window_attention, backend.anywhere, "blocks of queries, any device"),
        backend.Form("naive", naive_window_attention, backend.anywhere, "the whole mask, the law"),
    ],
    _self_check,
)
