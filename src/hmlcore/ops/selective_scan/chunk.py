r"""The chunked forms: C tokens at a time, only the states between chunks kept for the backward pass.

S6 decays every entry of its state at its own rate, so inside a chunk it is a scan over [B, C, E, N]
tensors. They are made, used and dropped chunk by chunk, again in the backward pass: all T of them
would take N times the memory of the inputs. With d_t = ∂L/∂h_t = C_t ∂L/∂y_t and λ the gradient that
reaches the state before token t, λ_t = exp(Δ_t A) ∘ (d_t + λ_{t+1}), g_t = d_t + λ_{t+1}:

    ∂L/∂(Δ_t A) = λ_t ∘ h_{t−1},   ∂L/∂(Δ_t x_t) = B_tᵀ g_t,   ∂L/∂B_t = Σ_e Δ_t x_t g_t

SSD has one decay a head: with L_ts = exp Σ_{s<j≤t} Δ_j A inside a chunk it is matrix products,

    Y = (L ∘ C Bᵀ) X + L_{·0} C Sᵀ,   S′ = L_{C0} S + Σ_s L_{Cs} x_s B_sᵀ,   X = Δx.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_int, check_optional
from hmlcore.ops.diagonal_scan.scan import sweep_
from hmlcore.ops.matrix_memory import decay_matrix
from hmlcore.ops.once import only_once
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.selective_scan.naive import check_selective, check_ssd


def _chunk_states(dt: Tensor, a: Tensor, x: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Decays and states [B, C, E, N] of one chunk; x already times dt."""
    decay = (dt[..., None] * a).exp_()
    h = x[..., None] * b[:, :, None]
    h[:, 0].addcmul_(decay[:, 0], state)
    sweep_([decay], [h])
    return decay, h


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, a, b, c, state, size):
        outputs, starts, first = [], [], state
        for x_c, dt_c, b_c, c_c in zip(*(y.split(size, 1) for y in (dt * x, dt, b, c)), strict=True):
            starts.append(state)
            _, h = _chunk_states(dt_c, a, x_c, b_c, state)
            outputs.append((h @ c_c[..., None]).squeeze(-1))
            state = h[:, -1].clone()
        ctx.size = size
        ctx.save_for_backward(x, dt, a, b, c, first, torch.stack(starts))
        return torch.cat(outputs, 1), state

    @staticmethod
    @only_once("chunk_selective_scan", "naive_selective_scan")
    def backward(ctx, dy, dstate):
        x, dt, a, b, c, _, starts = ctx.saved_tensors
        da, pieces = torch.zeros_like(a), []
        parts = zip(*(y.split(ctx.size, 1) for y in (dt * x, dt, b, c, dy)), starts, strict=True)
        for x_c, dt_c, b_c, c_c, dy_c, start in reversed(list(parts)):
            decay, h = _chunk_states(dt_c, a, x_c, b_c, start)
            d = dy_c[..., None] * c_c[:, :, None]
            d[:, -1] += dstate
            back = decay.mul_(d)
            sweep_([(dt_c[..., None] * a).exp_()], [back], reverse=True)
            g = d
            g[:, :-1] += back[:, 1:]
            dstate = back[:, 0].clone()
            of_c, of_b = (dy_c[:, :, None] @ h).squeeze(2), (x_c[:, :, None] @ g).squeeze(2)
            back[:, 1:] *= h[:, :-1]
            back[:, 0] *= start
            da += (back * dt_c[..., None]).sum((0, 1))
            pieces.append(((g @ b_c[..., None]).squeeze(-1), (back * a).sum(-1), of_b, of_c))
        of_x, of_dt, of_b, of_c = (torch.cat(piece[::-1], 1) for piece in zip(*pieces, strict=True))
        return of_x * dt, of_dt + of_x * x, da, of_b, of_c, dstate, None


@without_autocast
def chunk_selective_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    initial_state: Tensor | None = None,
    chunk_size: int = 32,
) -> tuple[Tensor, Tensor]:
    """:func:`naive_selective_scan`, `chunk_size` tokens at a time; the other arguments as there."""
    chunk_size = check_int("chunk_size", chunk_size)
    y, state = _SelectiveScan.apply(*check_selective(x, dt, a, b, c, initial_state), chunk_size)
    return y.to(x.dtype), state


@without_autocast
def chunk_ssd(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    initial_state: Tensor | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`naive_ssd`, `chunk_size` tokens at a time; the other arguments as there.

    None: as many tokens as the state has columns, within 16 and 64. The C×C matrices are element-wise
    work that grows with C, passing the state on shrinks with it.
    """
    chunk_size = check_optional("chunk_size", chunk_size, check_int)
    out_dtype = x.dtype
    x, dt, a, b, c, s = check_ssd(x, dt, a, b, c, initial_state)
    length = x.shape[1]
    size = min(chunk_size or min(64, max(16, b.shape[-1])), length)

    def split(y: Tensor) -> Tensor:
        """[B, T, ...] to [B, chunks, C, ...]; padding has Δ = 0, which neither decays nor writes."""
        return F.pad(y, (0, 0) * (y.ndim - 2) + (0, -length % size)).unflatten(1, (-1, size))

    def of_heads(y: Tensor) -> Tensor:
        """[B, n, C, (H,) N] to [B, n, 1 or H, C, N]."""
        return y[:, :, None] if y.ndim == 4 else y.movedim(3, 2)

    x, dt = split(x * dt[..., None]).movedim(3, 2), split(dt)  # x [B, n, H, C, P]
    b, c = of_heads(split(b)), of_heads(split(c))
    decay = decay_matrix((dt * a).movedim(3, 2))  # [B, n, H, C+1, C+1]
    inside = (decay[..., 1:, 1:] * (c @ b.mT)) @ x
    # Bring every write to the chunk's end, add it up, and hand the states from chunk to chunk.
    written = (x * decay[..., -1, 1:, None]).mT @ b  # [B, n, H, P, N]
    starts = []
    for last, new in zip(decay[..., -1, 0].unbind(1), written.unbind(1), strict=True):
        starts.append(s)
        s = last[..., None, None] * s + new
    carried = c @ torch.stack(starts, 1).mT * decay[..., 1:, :1]
    y = (inside + carried).movedim(2, 3).flatten(1, 2)[:, :length]
    return y.to(out_dtype), s
