"""What every token did to a memory, as numbers: the one form in which explorers take a trace.

    z = cᵀ(kᵀS) − v,   S ← (G ⊗ I) S − e ⊗ k zᵀ,   o = fᵀ(rᵀS)

for each head, with p rows; e is complex where pairs of value channels turn, as in `book/notation`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.layers import HML, GatedDeltaNet
from hmlcore.layers.base import Mixer
from hmlcore.layers.hml.dynamics.leapfrog import Stepped
from hmlcore.layers.trace import Trace, recording
from hmlcore.models import Backbone
from hmlcore.ops.oscillator.naive import write_parts

LINEAR = ("oscillator", "delta", "leapfrog", "euler")
"""Dynamics of HML that are linear in the state with one correction a token."""


class Steps(NamedTuple):
    """One layer over a sequence, all [B, T, H, ...].

    Attributes:
        key, query [N], value [D]; value at rest.
        move: G [p, p]; reach: c [p]; push: e [p], complex; read: f [p].
        alpha, beta: gates. turned: the phase Φ in radians that the head has turned by; 0 where it does not.
        state: S [p, N, D], at rest. output: o [D], at rest.
    """

    key: Tensor
    query: Tensor
    value: Tensor
    move: Tensor
    reach: Tensor
    push: Tensor
    read: Tensor
    alpha: Tensor
    beta: Tensor
    turned: Tensor
    state: Tensor
    output: Tensor


def steps_of(layer: Mixer, trace: Trace) -> Steps:
    """The steps of one traced layer.

    Raises: HmlcoreError for a layer whose memory is not linear with one correction and one decay a head.
    """
    if not isinstance(layer, HML | GatedDeltaNet):
        raise HmlcoreError(f"no explorer knows the memory of {type(layer).__name__}")
    require(layer.corrections == 1, f"explorers take corrections = 1, got {layer.corrections}")
    require(layer.decay is None, "explorers take decay = 'head', got 'channel'")
    dynamics = layer.dynamics if isinstance(layer, HML) else "delta"
    require(dynamics in LINEAR, f"explorers take dynamics {', '.join(LINEAR)}, got {dynamics!r}")
    alpha, beta = trace["alpha"], trace["beta"]
    if isinstance(layer, HML) and isinstance(layer.rule, Stepped):
        move, reach, push, read = _of_pair(layer.rule, trace)
    else:
        move, reach = alpha[..., None, None], alpha[..., None]
        read, push = torch.ones_like(reach), beta[..., None].to(_complex(beta))
        if dynamics == "oscillator":
            push = torch.complex(*write_parts(torch.log1p(-beta), trace["theta"]))[..., None]
    state = trace["state"]
    turned = torch.zeros_like(alpha)
    if isinstance(layer, HML) and layer.turning:
        turned[..., -layer.turning :] = trace["phase"][..., : layer.turning]
    return Steps(
        trace["key"], trace["query"], trace["value"], move, reach, push, read, alpha, beta, turned, state,
        trace["read"],
    )  # fmt: skip


def trace_model(model: Backbone, tokens: Tensor) -> list[Steps]:
    """The steps of every block of `model` on tokens [B, T].  Raises: as :func:`steps_of`."""
    with recording(model) as traces, torch.no_grad():
        model(tokens)
    return [
        steps_of(block.mixer, traces[f"blocks.{i}.mixer"]) for i, block in enumerate(model.blocks)
    ]  # fmt: skip


def _of_pair(rule: Stepped, trace: Trace) -> tuple[Tensor, ...]:
    """G, c, e and f of a pair of rows, from the layer's own coefficients."""
    alpha, gamma, beta = trace["alpha"], trace["gamma"], trace["beta"]
    h, mu = rule.log_h.to(beta.dtype).exp(), rule.mu.to(beta.dtype)
    c = rule.step(alpha.log(), gamma.log(), beta, h, mu)
    require(rule.injection == "momentum", f"explorers take injection = 'momentum', got {rule.injection!r}")
    assert c.drift is not None  # as of two rows
    zero = torch.zeros_like(alpha)
    rows = torch.stack((alpha, alpha * c.drift), -1), torch.stack((zero, alpha * gamma), -1)
    return torch.stack(rows, -2), c.c, c.e.to(_complex(beta)), c.f


def _complex(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.complex64)
