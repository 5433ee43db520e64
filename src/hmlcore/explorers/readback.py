"""What of every past token can be read now: exact, because these memories are linear in what was written.

What token s wrote is e_s ⊗ k_s v_sᵀ. Later tokens map it on as they map the state, so at time t it is
a_{t,s} ⊗ v_s with

    a_{s,s} = e_s ⊗ k_s,   a ← G_t a − e_t ⊗ k_t c_tᵀ(k_tᵀ a),

and a read returns o_t = Σ_{s≤t} w_{t,s} v_s, w_{t,s} = f_tᵀ(r_tᵀ a_{t,s}), a complex number on pairs of value
channels. Taking v_s away changes o_t by w_{t,s} v_s and by nothing else.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.explorers.steps import Steps
from hmlcore.ops.oscillator import multiply_pairs


class ReadBack(NamedTuple):
    """[B, T, S, H], S = T past tokens, 0 for those to come.

    Attributes:
        weights: w_{t,s}, complex: what t's own query gets of token s.
        held: |fᵀ(k_sᵀ a_{t,s})|: how strongly token s can still be read at its own key.
    """

    weights: Tensor
    held: Tensor


def read_back(steps: Steps) -> ReadBack:
    """Both maps of a layer's steps, in O(T²) time and memory."""
    k, r = (x.to(steps.push.dtype) for x in (steps.key, steps.query))
    e, c, f, move = (x.to(steps.push.dtype) for x in (steps.push, steps.reach, steps.read, steps.move))
    length = k.shape[1]
    weights = torch.zeros(*k.shape[:2], length, k.shape[2], dtype=e.dtype)
    held = torch.zeros(weights.shape, dtype=steps.key.dtype)
    a = torch.zeros(k.shape[0], length, *k.shape[2:3], e.shape[-1], k.shape[-1], dtype=e.dtype)
    for t in range(length):
        found = torch.einsum("bhp,bhn,bshpn->bsh", c[:, t], k[:, t], a)
        a = torch.einsum("bhpq,bshqn->bshpn", move[:, t], a)
        a = a - torch.einsum("bhp,bhn,bsh->bshpn", e[:, t], k[:, t], found)
        a[:, t] = torch.einsum("bhp,bhn->bhpn", e[:, t], k[:, t])
        weights[:, t] = torch.einsum("bhp,bhn,bshpn->bsh", f[:, t], r[:, t], a)
        held[:, t] = torch.einsum("bhp,bshn,bshpn->bsh", f[:, t], k, a).abs()
    turn = steps.turned[:, :, None] - steps.turned[:, None]
    return ReadBack(weights * torch.polar(torch.ones_like(turn), turn), held)


def returned(weights: Tensor, value: Tensor) -> Tensor:
    """w_{t,s} v_s [B, T, S, H, D]: what of every past token a read returns; their sum over S is o."""
    value = value[:, None]
    if not weights.imag.any():  # any number of channels
        return weights.real[..., None] * value
    return multiply_pairs(weights.real, weights.imag, value.expand(*weights.shape, -1))


def shares(steps: Steps, maps: ReadBack) -> Tensor:
    """Each token's share in what a layer reads at t, over its heads: Σ_h⟨w v, o⟩ / Σ_h‖o‖², [B, T, S].

    Shares of one read add up to 1; below 0 a token works against what is read.
    """
    parts = returned(maps.weights, steps.value)
    inner = torch.einsum("btshd,bthd->bts", parts, steps.output)
    return inner / steps.output.square().sum((-2, -1))[..., None]


def losses(steps: Steps, maps: ReadBack) -> tuple[Tensor, Tensor]:
    """What step t took of every earlier token's `held`: by forgetting, and by writing over it, [B, T, S, H].

    The first is (1 − α)·held before; the second all else, negative where a step makes a token clearer.
    """
    before = torch.cat((torch.zeros_like(maps.held[:, :1]), maps.held[:, :-1]), 1)
    past = torch.ones(maps.held.shape[1:3]).tril(-1).to(before)[..., None]
    alpha = steps.alpha[:, :, None]
    return (1 - alpha) * before * past, (alpha * before - maps.held) * past
