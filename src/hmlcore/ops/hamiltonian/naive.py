"""The law: the Hamiltonian memory one token at a time, as the equation reads; correct in float64."""

import itertools

import torch
from torch import Tensor

from hmlcore.ops.hamiltonian.check import check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.packing import check_cu_seqlens
from hmlcore.ops.precision import without_autocast


@without_autocast
def hamiltonian_step(
    r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token: predict, correct, read.

        z = cᵀ(kᵀS) − v;   S ← (G ⊗ I)S − e ⊗ k zᵀ;   o = fᵀ(rᵀS)

    Args:
        r, k: query and key [B, H, N];  v: value [B, H, D].
        coefficients: of one token, without the time dimension ([B, H] and [B, H, p]).
        state: S = (Q, P) stacked, [B, H, p, N, D].
    Returns: o [B, H, D] and the new state [B, H, p, N, D].
    """
    log_alpha, log_gamma, drift, c, e, f = coefficients
    z = torch.einsum("bhp,bhn,bhpnd->bhd", c, k, state) - v
    moved = log_alpha.exp()[..., None, None, None] * state
    if coefficients.rows == 2:
        assert drift is not None and log_gamma is not None
        q, p = moved.unbind(2)
        moved = torch.stack((q + drift[..., None, None] * p, log_gamma.exp()[..., None, None] * p), 2)
    state = moved - torch.einsum("bhp,bhn,bhd->bhpnd", e, k, z)
    return torch.einsum("bhp,bhn,bhpnd->bhd", f, r, state), state


def naive_hamiltonian(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """:func:`hamiltonian_step` over a sequence; what every faster form is judged against.

    Args:
        r, k: [B, T, H, N];  v: [B, T, H, D];  coefficients over [B, T, H].
        initial_state: [B, H, p, N, D], zeros if None ([S, H, p, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape, device or value does not fit.
    """
    if cu_seqlens is not None:
        bounds = check_cu_seqlens(cu_seqlens, *k.shape[:2])
        check_inputs(r, k, v, coefficients, initial_state, len(bounds) - 1)
        outputs, states = [], []
        for i, (a, b) in enumerate(itertools.pairwise(bounds)):
            start = None if initial_state is None else initial_state[i : i + 1]
            piece = coefficients.map(lambda x, a=a, b=b: x[:, a:b])
            o, s = naive_hamiltonian(r[:, a:b], k[:, a:b], v[:, a:b], piece, start, True)
            outputs.append(o)
            states.append(s)
        return torch.cat(outputs, 1), torch.cat(states) if output_final_state else None

    state = check_inputs(r, k, v, coefficients, initial_state)
    out_dtype = v.dtype
    r, k, v = (x.to(state.dtype) for x in (r, k, v))
    coefficients = coefficients.map(lambda x: x.to(state.dtype))
    outputs = []
    for t in range(k.shape[1]):
        now = coefficients.map(lambda x, t=t: x[:, t])
        o, state = hamiltonian_step(r[:, t], k[:, t], v[:, t], now, state)
        outputs.append(o)
    return torch.stack(outputs, 1).to(out_dtype), state if output_final_state else None
