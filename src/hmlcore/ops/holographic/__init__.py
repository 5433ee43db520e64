"""Bindings superposed in slots of fixed size: a linear memory whose address is multiplication by a key."""

import torch
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.finite import Ended, confined
from hmlcore.ops.holographic.binding import (
    BINDINGS,
    bind,
    check_channels,
    check_unit,
    keys_of_phases,
    keys_of_signs,
    one_of,
    unbind,
)
from hmlcore.ops.holographic.chunk import chunk_holographic
from hmlcore.ops.holographic.naive import holographic_step, naive_holographic
from hmlcore.ops.matrix_memory import memory_error
from hmlcore.ops.self_check import seeded

__all__ = [
    "BINDINGS", "bind", "check_channels", "check_unit", "chunk_holographic", "holographic", "holographic_step",
    "keys_of_phases", "keys_of_signs", "naive_holographic", "one_of", "random_inputs", "random_keys", "unbind",
]  # fmt: skip


def holographic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    write: Tensor,
    read: Tensor,
    log_alpha: Tensor | None = None,
    *,
    binding: str,
    **options,
) -> tuple[Tensor, Ended]:
    """The op through whichever form suits the tensors' device; arguments as ``naive_holographic``.

    Raises: HmlcoreError also for keys that are not of modulus 1, where they are looked at.
    """
    form = backend.choose("holographic", v.device).form
    if k.shape == q.shape == v.shape:
        for name, key in (("q", q), ("k", k)):
            check_unit(name, binding, key)

    def run(x: dict) -> tuple[Tensor, Tensor | None]:
        given = q, x["k"], x["v"], x["write"], read, x["log_alpha"]
        return form.function(*given, binding=binding, **options)

    tokens = {"k": k, "v": v, "write": write, "log_alpha": log_alpha}
    return confined(run, q, tokens, options.get("cu_seqlens"))


def random_keys(binding: str, normal: Tensor) -> Tensor:
    """Random keys of modulus 1 from normal numbers [..., D]: signs, or phases all around the circle."""
    if binding == "bipolar":
        return torch.where(normal < 0, -1.0, 1.0).to(normal.dtype)
    even, odd = normal.unflatten(-1, (-1, 2)).unbind(-1)
    return keys_of_phases(binding, torch.atan2(odd, even))


@seeded
def random_inputs(normal, batch: int, length: int, heads: int, slots: int, d: int) -> dict[str, Tensor]:
    """Unitary keys, normal values, weights of slots and decays from .5 to nearly 1, by argument name."""
    token = (batch, length, heads)
    return {
        "q": random_keys("unitary", normal(*token, d)),
        "k": random_keys("unitary", normal(*token, d)),
        "v": normal(*token, d),
        "write": normal(*token, slots).softmax(-1),
        "read": normal(*token, slots).softmax(-1),
        "log_alpha": -normal(*token, slots).abs() * 0.3,
        "initial_state": normal(batch, heads, slots, d),
    }


def _self_check(form, naive, device) -> float:
    def by(function):
        return lambda *tensors, **options: function(*tensors, binding="unitary", **options)

    return memory_error(by(form), by(naive), random_inputs(2, 37, 2, 3, 8, device=device))


backend.register(
    "holographic",
    [
        backend.Form("chunk", chunk_holographic, backend.anywhere, "chunkwise-parallel torch, any device"),
        backend.Form("naive", naive_holographic, backend.anywhere, "one token at a time, the law"),
    ],
    _self_check,
)
