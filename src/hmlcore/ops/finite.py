"""Numbers that are not finite: they stay in their own sequence, from their token on.

A loop over tokens keeps that by itself. What treats many tokens at once does not: in a masked product 0 · NaN
is NaN, and a transform or a solver mixes its rows. Such an op is given zeros in the place of tokens that are
not finite, and what comes from them on is marked. On a CPU a sum tells that there are none; elsewhere a look at
it would wait for the device, or break a compiled graph in two, so there the marks are always made.

``HMLCORE_CHECK_GATES=1`` refuses gates that are not finite instead, on every device.
"""

import functools
import itertools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import HmlcoreError
from hmlcore.ops.packing import at_ends, check_cu_seqlens

Tokens = dict[str, Any]
"""[B, T, ...] by name, or None; logarithms of gates, which may be −inf, begin with "log_"."""

Ended = Tensor | Any
"""The last state, or None where it was not asked for: who asked for it has it, and need not look."""


def asked() -> bool:
    """Whether gates that are not finite are to be refused."""
    return os.environ.get("HMLCORE_CHECK_GATES", "") == "1"


def visible(x: Tensor) -> bool:
    """Whether the values of `x` are looked at."""
    # A compiled graph and a transformed function have no values.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return x.device.type == "cpu" or (x.device.type != "meta" and asked())


def check_finite(**tensors: Tensor | None) -> None:
    """Refuse NaN and infinity, where asked."""
    for name, x in tensors.items() if asked() else ():
        if x is not None and visible(x) and not (found := x.detach().isfinite()).all():
            raise HmlcoreError(f"{name} must be finite, got {float(x.detach()[~found][0]):g}")


def bad_tokens(tokens: Tokens) -> Tensor | None:
    """[B, T]: where one of `tokens` is not finite; None where all are seen to be."""
    present = {name: x.detach() for name, x in tokens.items() if x is not None}
    looked = all(map(visible, present.values()))
    if looked and all(math.isfinite(x.sum()) for x in present.values()):
        return None
    sums = []
    for name, x in present.items():
        x = x.exp() if name.startswith("log_") else x
        sums.append(x.sum(tuple(range(2, x.ndim)), dtype=torch.promote_types(x.dtype, torch.float32)))
    bad = ~functools.reduce(torch.add, sums).isfinite()
    return None if looked and not bad.any() else bad


def cleaned(x: Tensor, bad: Tensor) -> Tensor:
    """x [B, T, ...] with zeros for the tokens that are `bad`: inert in every op."""
    return x.masked_fill(_over(bad, x), 0)


def marks(bad: Tensor, bounds: list[int] | None = None, window: int | None = None) -> Tensor:
    """[B, T] in fp32: NaN for a token that sees a bad one, else 0.

    It sees all up to itself, of its own sequence where several are packed at `bounds`, or the last `window`.
    """
    if bounds is not None:
        spans = itertools.pairwise(bounds)
        return torch.cat([marks(bad[:, a:b], None, window) for a, b in spans], 1)
    count = bad.cumsum(1)
    if window is not None:
        count = count - F.pad(count, (window, 0))[:, : count.shape[1]]
    return torch.zeros(bad.shape, device=bad.device).masked_fill(count > 0, torch.nan)


def marked(x: Tensor, mark: Tensor) -> Tensor:
    """x [B, T, ...], or a state [B, ...], with NaN where `mark` over its first dimensions has it."""
    return x + _over(mark, x).to(x.dtype)


def confined(
    run: Callable[[Tokens], tuple[Tensor, Tensor | None]],
    reader: Tensor,
    tokens: Tokens,
    cu_seqlens: Tensor | Sequence[int] | None = None,
    window: int | None = None,
) -> tuple[Tensor, Ended]:
    """`run(tokens)` → o [B, T, ...], state: what is not finite in `tokens` reaches no output before it and no
    other sequence, and stays in the state.

    Args: reader [B, T, ...], with which each token reads, and only itself; tokens, all that others see of one,
        over T or more, of which those of `reader` are the last; cu_seqlens, bounds of packed sequences; window,
        how many tokens one sees, all before it if None.
    """
    alone = reader.shape[1] == 1  # and so no output comes before another token
    bad = None if alone or asked() else bad_tokens(tokens)
    if bad is None:
        return run(tokens)
    o, state = run({name: None if x is None else cleaned(x, bad) for name, x in tokens.items()})
    bounds = None if cu_seqlens is None else check_cu_seqlens(cu_seqlens, *bad.shape)
    mark = marks(bad, bounds, window)
    o = marked(o, mark[:, mark.shape[1] - o.shape[1] :])
    return o, None if state is None else marked(state, at_ends(mark, bounds))


def _over(x: Tensor, like: Tensor) -> Tensor:
    """x [...] as [..., 1, 1, ...] with the dimensions of `like`."""
    return x.view(*x.shape, *(1,) * (like.ndim - x.ndim))
