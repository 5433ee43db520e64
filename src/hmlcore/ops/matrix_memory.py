"""What the ops that remember with matrices share: refusals, packed sequences, decays."""

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.packing import check_cu_seqlens
from hmlcore.ops.self_check import form_error


def check_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: dict[str, Tensor],
    initial_state: Tensor | None,
    *,
    rows: tuple[int, ...] = (),
    sequences: int | None = None,
    channels: tuple[str, ...] = (),
) -> Tensor:
    """Check shapes and devices; return the state to start from.

    Args:
        q, k: [B, T, H, N];  v: [B, T, H, D];  gates: name → [B, T, H].
        initial_state: [B, H, *rows, N, D] or None.
        sequences: how many are packed along T; as many as the batch holds if None.
        channels: names of gates that may be [B, T, H, N].
    Returns: `initial_state` or zeros, in fp32 (float64 where an argument is).
    Raises: HmlcoreError naming the argument and what it should have been.
    """
    require(k.ndim == 4, f"k must be [B, T, H, N], got shape {tuple(k.shape)}")
    batch, length, heads, n = k.shape
    require(length > 0, "k has T = 0 tokens; at least one is needed")
    require(q.shape == k.shape, f"q must have k's shape {tuple(k.shape)}, got {tuple(q.shape)}")
    require(
        v.ndim == 4 and v.shape[:3] == k.shape[:3],
        f"v must be [B, T, H, D] with [B, T, H] = {tuple(k.shape[:3])}, got {tuple(v.shape)}",
    )
    for name, gate in gates.items():
        fits = gate.shape == k.shape[:3] or (name in channels and gate.shape == k.shape)
        several = f", or with N = {n}" if name in channels else ""
        require(fits, f"{name} must be [B, T, H] = {tuple(k.shape[:3])}{several}, got {tuple(gate.shape)}")
    tensors = {"q": q, "k": k, "v": v, **gates}
    wanted = (sequences or batch, heads, *rows, n, v.shape[-1])
    if initial_state is not None:
        require(
            tuple(initial_state.shape) == wanted,
            f"initial_state must have shape {wanted}, got {tuple(initial_state.shape)}",
        )
        tensors["initial_state"] = initial_state
    for name, x in tensors.items():
        require(x.device == k.device, f"{name} is on {x.device} but k is on {k.device}")
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in tensors.values()), torch.float32)
    return v.new_zeros(wanted, dtype=dtype) if initial_state is None else initial_state.to(dtype)


def each_sequence(form: Callable) -> Callable:
    """Give `form` the argument ``cu_seqlens``: it runs on each packed sequence by itself.

    `form(q, k, v, *gates, initial_state=None, output_final_state=False, **options)`; what has three
    dimensions or more lies over [B, T]. With ``cu_seqlens`` (then B = 1) states are [S, ...].
    """

    @functools.wraps(form)
    def packed(q, k, v, *gates, initial_state=None, output_final_state=False, cu_seqlens=None, **options):
        if cu_seqlens is None:
            return form(
                q, k, v, *gates,
                initial_state=initial_state, output_final_state=output_final_state, **options,
            )  # fmt: skip
        require(k.ndim == 4, f"k must be [B, T, H, N], got shape {tuple(k.shape)}")
        bounds = check_cu_seqlens(cu_seqlens, *k.shape[:2])
        count = len(bounds) - 1
        held = count if initial_state is None else len(initial_state)
        require(held == count, f"initial_state must hold {count} sequences, got {held}")
        results = []
        for i, (a, b) in enumerate(itertools.pairwise(bounds)):
            part = (x[:, a:b] if isinstance(x, Tensor) and x.ndim >= 3 else x for x in (q, k, v, *gates))
            start = None if initial_state is None else initial_state[i : i + 1]
            results.append(form(*part, initial_state=start, output_final_state=True, **options))
        outputs, states = zip(*results, strict=True)
        return torch.cat(outputs, 1), torch.cat(states) if output_final_state else None

    return packed


def over_time(step: Callable, tensors: Sequence[Tensor | None], state: Tensor) -> tuple[Tensor, Tensor]:
    """`step(*now, state)` → o, state, token by token over tensors [B, T, ...] or None, in the state's dtype.

    Returns: o [B, T, ...] and the last state.
    """
    inputs = [None if x is None else x.to(state.dtype) for x in tensors]
    assert inputs[0] is not None  # what is there, the first of every op's
    outputs = []
    for t in range(inputs[0].shape[1]):
        o, state = step(*(None if x is None else x[:, t] for x in inputs), state)
        outputs.append(o)
    return torch.stack(outputs, 1), state


def fade(log_alpha: Tensor, state: Tensor) -> Tensor:
    """αS for S [B, H, N, D] and log α [B, H], or diag(α)S for log α [B, H, N]."""
    alpha = log_alpha.exp()[..., None]
    return (alpha if alpha.ndim == state.ndim else alpha[..., None]) * state


def decay_matrix(log_g: Tensor) -> Tensor:
    """exp(Σ_{j=s+1..t} log g_j) for 0 ≤ s ≤ t ≤ C, zero above the diagonal: [..., C] → [..., C+1, C+1].

    Sums of the masked terms themselves, not differences of prefix sums, which lose digits when g is small.
    """
    size = log_g.shape[-1]
    lower = torch.ones(size, size + 1, dtype=torch.bool, device=log_g.device).tril()
    terms = log_g[..., None].expand(*log_g.shape, size + 1).masked_fill(~lower, 0)
    sums = F.pad(terms.cumsum(-2), (0, 0, 1, 0))
    return sums.exp() * torch.ones_like(sums).tril()


def split_chunks(x: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """[B, T, H, ...] to [B, H, chunks, size, ...] in `dtype`, zeros after the last token."""
    x = x.to(dtype).transpose(1, 2)
    return F.pad(x, (0, 0) * (x.ndim - 3) + (0, -x.shape[2] % size)).unflatten(2, (-1, size))


def join_chunks(x: Tensor, length: int) -> Tensor:
    """The inverse of :func:`split_chunks`: [B, H, chunks, size, ...] to [B, `length`, H, ...]."""
    return x.flatten(2, 3)[:, :, :length].transpose(1, 2)


def memory_error(form: Callable, naive: Callable, inputs: dict[str, Tensor]) -> float:
    """:func:`form_error` of outputs and final state; `inputs` by argument name, ``initial_state`` the last."""

    def call(function, *tensors):
        *given, state = tensors
        return function(*given, initial_state=state, output_final_state=True)

    return form_error(form, naive, inputs.values(), call)
