"""The law: the addressed oscillator one token at a time; correct in float64."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.finite import check_finite
from hmlcore.ops.hamiltonian.check import check_log_gates
from hmlcore.ops.matrix_memory import check_memory, each_sequence, fade, over_time
from hmlcore.ops.precision import without_autocast


def as_complex(x: Tensor) -> Tensor:
    """Pairs of neighbouring channels (q, p) as q + ip: [..., D] to [..., D/2]."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())


def as_real(x: Tensor) -> Tensor:
    """The inverse of :func:`as_complex`."""
    return torch.view_as_real(x).flatten(-2)


def write_parts(log_rho: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Re e and Im e of e = 1 − ρe^{iθ}, to full relative precision where ρe^{iθ} is near 1."""
    real = 2 * (theta / 2).sin().square() - log_rho.expm1() * theta.cos()
    return real, -log_rho.exp() * theta.sin()


def write_strength(log_rho: Tensor, theta: Tensor) -> Tensor:
    """:func:`write_parts` as one complex number, e."""
    return torch.complex(*write_parts(log_rho, theta))


def multiply_pairs(real: Tensor, imag: Tensor, x: Tensor) -> Tensor:
    """(real + i·imag)(q + ip) for each pair of neighbouring channels (q, p) of x [..., D]; the factors [...].

    In real numbers: a compiled graph has no complex ones.
    """
    (q, p), real, imag = x.unflatten(-1, (-1, 2)).unbind(-1), real[..., None], imag[..., None]
    return torch.stack((real * q - imag * p, imag * q + real * p), -1).flatten(-2)


def check_oscillator(q, k, v, log_alpha, log_rho, theta, initial_state) -> Tensor:
    """The refusals of every form; returns the state to start from, [B, H, N, D]."""
    gates = {"log_alpha": log_alpha, "log_rho": log_rho, "theta": theta}
    state = check_memory(q, k, v, gates, initial_state, channels=("log_alpha",))
    require(
        v.shape[-1] % 2 == 0,
        f"v must have an even number D of channels, two to an oscillator, got D = {v.shape[-1]}",
    )
    check_log_gates(log_alpha=log_alpha, log_rho=log_rho)
    check_finite(theta=theta)
    return state


@without_autocast
def oscillator_step(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, log_rho: Tensor, theta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token: forget, turn what the key addresses about v, read.

        S ← αS;   S ← S − (1 − ρe^{iθ}) k(kᵀS − vᵀ);   o = Sᵀq          (v, S, o complex)

    Args:
        q, k: [B, H, N];  v: [B, H, D], D/2 complex numbers as pairs of channels;
        log_alpha, log_rho, theta: [B, H]; log_alpha also [B, H, N], then S ← diag(α)S.
        state: S [B, H, N, D], packed as v.
    Returns: o [B, H, D] and the new state.
    """
    state = fade(log_alpha, state)
    z = torch.einsum("bhn,bhnd->bhd", k, state) - v
    written = multiply_pairs(*write_parts(log_rho, theta), z)
    state = state - torch.einsum("bhn,bhd->bhnd", k, written)
    return torch.einsum("bhn,bhnd->bhd", q, state), state


@without_autocast
@each_sequence
def naive_oscillator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    log_rho: Tensor,
    theta: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`oscillator_step` over a sequence.

    Args:
        q, k: [B, T, H, N], keys of length 1 (others change what is addressed by ‖k‖²(1 − ρe^{iθ}));
        v: [B, T, H, D] with D even, (q, p) in neighbouring channels.
        log_alpha, log_rho ≤ 0 (−inf: a gate that is shut) and theta: [B, T, H];
            log_alpha may be [B, T, H, N], a decay for each channel of the key.
        initial_state: [B, H, N, D], zeros if None ([S, H, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape, device or value does not fit.
    """
    state = check_oscillator(q, k, v, log_alpha, log_rho, theta, initial_state)
    o, state = over_time(oscillator_step, (q, k, v, log_alpha, log_rho, theta), state)
    return o.to(v.dtype), state if output_final_state else None
