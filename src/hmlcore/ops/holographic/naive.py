"""The law: bindings superposed in slots, one token at a time; correct in float64."""

import functools

import torch
from torch import Tensor

from hmlcore.checks import check_choice
from hmlcore.errors import require
from hmlcore.ops.holographic.binding import BINDINGS, bind, check_channels, unbind
from hmlcore.ops.matrix_memory import each_sequence, fade, over_time
from hmlcore.ops.precision import without_autocast


def check_holographic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    write: Tensor,
    read: Tensor,
    log_alpha: Tensor | None,
    binding: str,
    initial_state: Tensor | None,
) -> Tensor:
    """The refusals of every form; the state to start from, [B, H, S, D], fp32 at least.

    Raises: HmlcoreError naming the argument and what it should have been.
    """
    check_choice("binding", binding, BINDINGS)
    require(v.ndim == 4, f"v must be [B, T, H, D], got shape {tuple(v.shape)}")
    batch, length, heads, channels = v.shape
    require(length > 0, "v has T = 0 tokens; at least one is needed")
    check_channels("the channels D of v", binding, channels)
    for name, x in (("q", q), ("k", k)):
        require(x.shape == v.shape, f"{name} must have v's shape {tuple(v.shape)}, got {tuple(x.shape)}")
    require(
        write.ndim == 4 and write.shape[:3] == v.shape[:3],
        f"write must be [B, T, H, S] with [B, T, H] = {tuple(v.shape[:3])}, got {tuple(write.shape)}",
    )
    gates = {"read": read, "log_alpha": log_alpha}
    for name, x in gates.items():
        fits = x is None or x.shape == write.shape
        require(fits, f"{name} must have write's shape {tuple(write.shape)}, got {tuple(_shape(x))}")
    tensors = {"q": q, "k": k, "v": v, "write": write, **gates}
    wanted = (batch, heads, write.shape[-1], channels)
    if initial_state is not None:
        found = tuple(initial_state.shape)
        require(found == wanted, f"initial_state must have shape {wanted}, got {found}")
        tensors["initial_state"] = initial_state
    present = {name: x for name, x in tensors.items() if x is not None}
    for name, x in present.items():
        require(x.device == v.device, f"{name} is on {x.device} but v is on {v.device}")
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in present.values()), torch.float32)
    return v.new_zeros(wanted, dtype=dtype) if initial_state is None else initial_state.to(dtype)


def _shape(x: Tensor | None) -> tuple[int, ...]:
    return () if x is None else x.shape


@without_autocast
def holographic_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    write: Tensor,
    read: Tensor,
    log_alpha: Tensor | None,
    state: Tensor,
    binding: str,
) -> tuple[Tensor, Tensor]:
    """One token: M_s ← α_s M_s + w_s bind(k, v); o = unbind(q, Σ_s ω_s M_s).

    Args: q, k, v [B, H, D]; write w, read ω, log_alpha [B, H, S], the last None for α = 1; state M
        [B, H, S, D].
    Returns: o [B, H, D] and the new state.
    """
    kept = state if log_alpha is None else fade(log_alpha, state)
    state = kept + write[..., None] * bind(binding, k, v)[..., None, :]
    return unbind(binding, q, torch.einsum("bhs,bhsd->bhd", read, state)), state


@without_autocast
@each_sequence
def naive_holographic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    write: Tensor,
    read: Tensor,
    log_alpha: Tensor | None = None,
    *,
    binding: str,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`holographic_step` over a sequence.

    Args:
        q, k, v: [B, T, H, D]; keys of modulus 1 for unbinding to be the inverse of binding.
        write, read: w, ω [B, T, H, S]: how much of the token goes into each slot, and of each slot is read.
        log_alpha: [B, T, H, S], log of what each slot keeps; None keeps all.
        binding: "unitary", "bipolar" or "convolution"; see :mod:`hmlcore.ops.holographic.binding`.
        initial_state: [B, H, S, D], zeros if None ([sequences, H, S, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape, device or value does not fit.
    """
    state = check_holographic(q, k, v, write, read, log_alpha, binding, initial_state)

    def step(*now: Tensor | None) -> tuple[Tensor, Tensor]:
        return holographic_step(*now, binding=binding)

    o, state = over_time(step, (q, k, v, write, read, log_alpha), state)
    return o.to(v.dtype), state if output_final_state else None
