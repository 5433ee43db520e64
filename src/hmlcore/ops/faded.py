r"""What the chunkwise one-row memories by channel share: products of keys and queries that fade in between.

A chunk of C tokens that starts at S₀ reads S₀ and its own writes through

    A(t, s) = Π_{j=s+1..t} α_j,     (x ∘ A(t, 0))ᵀ S₀,     Σ_n x_tn k_sn A_n(t, s)  for s ≤ t,

with one α for each channel of a key, so that A does not come out of the sum. It is put together from what
lies on either side of a middle m: A(t, s) = A(t, m) A(m, s). Every factor is a product of numbers
in [0, 1]: nothing is divided, so nothing overflows however fast it fades, and what underflows is nothing.
Halving a chunk again and again, each pair of tokens has a middle, and each half is a product of matrices:
log₂ C of them, as in the two-level chunks of gated linear attention (Yang et al., arXiv 2312.06635), which
Kimi Delta Attention (arXiv 2510.26692) takes over, but without a level that is done element by element.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Faded(NamedTuple):
    """Over [B, H, chunks, ...], from keys k and queries q."""

    kk: Tensor  # [C, C]: k_t·A(t, s)k_s, s < t, zero elsewhere
    qk: Tensor  # [C, C]: q_t·A(t, s)k_s, s ≤ t, zero elsewhere
    first_k: Tensor  # [C, N]: A(t, 0)k_t, what an error sees of S₀
    first_q: Tensor  # [C, N]: A(t, 0)q_t, what a read sees of it
    last_k: Tensor  # [N, C]: A(C, s)k_s, where a write stands in the chunk's last state
    keep: Tensor  # A(C, 0), [1, 1] or [N, 1]


def by_channel(q: Tensor, k: Tensor, log_alpha: Tensor) -> Faded:
    """With log α [B, H, chunks, C, N]; C is a power of two.

    Blocks of one token become blocks of C, two neighbours at a time. Of a block are kept A(t, start) and
    A(end, s), and its products of rows and keys; of two, those between them are formed at the border.
    """
    rows, alpha = torch.stack((k, q)), log_alpha.exp()
    since, until = alpha[..., None, :], torch.ones_like(alpha)[..., None, :]  # [..., blocks, size, N]
    pairs = (rows * k).sum(-1)[..., None, None]  # [2, ..., blocks, size, size]
    for size in (2**i for i in range(k.shape[-2].bit_length() - 1)):
        (old, new), (gone, left) = (x.unflatten(-3, (-1, 2)).unbind(-3) for x in (since, until))
        later = rows.unflatten(-2, (-1, 2, size))[..., 1, :, :] * new
        earlier = k.unflatten(-2, (-1, 2, size))[..., 0, :, :] * gone
        top, bottom = pairs.unflatten(-3, (-1, 2)).unbind(-3)
        below = torch.cat((later @ earlier.mT, bottom), -1)
        pairs = torch.cat((F.pad(top, (0, size)), below), -2)
        since = torch.cat((old, old[..., -1:, :] * new), -2)
        until = torch.cat((gone * new[..., -1:, :], left), -2)
    (kk, qk), since, until = pairs.squeeze(-3), since.squeeze(-3), until.squeeze(-3)
    return Faded(kk.tril(-1), qk, since * k, since * q, (until * k).mT, since[..., -1, :, None])
