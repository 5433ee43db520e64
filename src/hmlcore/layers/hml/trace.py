"""What a phase portrait of an HML layer needs: its sequence walked again, one token at a time."""

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hmlcore.ops.turns import rotate, rotate_last

if TYPE_CHECKING:
    from hmlcore.layers.hml.layer import HML


def record(
    layer: "HML",
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients,
    gates: dict[str, Tensor],
    memory: Tensor,
    phase: Tensor | None,
    bounds: list[int] | None = None,
) -> None:
    """Add to ``layer.trace``, all over [B, T, H, ...]: the gates, `key`, `query`, `value`, the prediction
    `error` z, the `read` o, the energies of the dynamics and the state (Q, P).

    v and memory come in the frame of rotating heads; what is recorded is at rest, with `phase` [B, T, R],
    given in turns, in radians beside the gates. Packed sequences are recorded one after the other. Where a
    token makes m corrections, all that comes is over [B, T·m, ...]; what each has its own of, `key`, `value`,
    `error`, `beta` and `potential`, is recorded as [B, T, m, H, ...], and all else once a token.
    """
    if bounds is not None:
        for i, (a, b) in enumerate(itertools.pairwise(bounds)):
            part = [y[:, a:b] for y in (r, k, v)]
            now = coefficients.map(lambda c, a=a, b=b: c[:, a:b])
            named = {name: gate[:, a:b] for name, gate in gates.items()}
            turns = None if phase is None else phase[:, a:b]
            record(layer, *part, coefficients=now, gates=named, memory=memory[i : i + 1], phase=turns)
        return
    assert layer.trace is not None  # or there would be nothing to record for
    states, reads, errors = [], [], []
    memory = memory.float() if memory.dtype.itemsize < 4 else memory
    r, k, v = (y.to(memory.dtype) for y in (r, k, v))
    for t in range(k.shape[1]):
        now = coefficients.map(lambda c, t=t: c[:, t])
        errors.append(layer.rule.error(k[:, t], v[:, t], now, memory))
        o, memory = layer.rule.advance(r[:, t], k[:, t], v[:, t], now, memory)
        states.append(memory)
        reads.append(o)
    path, read, error = (torch.stack(y, 1) for y in (states, reads, errors))  # path [B, T, H, p, N, D]
    if phase is not None and layer.turning:
        turns = phase[..., : layer.turning]
        v, read, error = (rotate_last(y, turns) for y in (v, read, error))
        first = path.shape[2] - layer.turning
        turning = rotate(path[:, :, first:], turns[..., None, None])
        path = torch.cat((path[:, :, :first], turning), 2)
    if phase is not None:
        gates = gates | {"phase": 2 * torch.pi * phase}
    energies = layer.rule.energies(k, v, gates, path)
    found = dict(key=k, query=r, value=v, error=error, read=read, state=path, **gates, **energies)
    count = layer.corrections
    layer.trace.add(**{name: of_tokens(name, x, count) for name, x in found.items()})


def of_tokens(name: str, x: Tensor, count: int) -> Tensor:
    """The record x [B, T·m, ...] called `name`, by tokens of m = `count` corrections."""
    if count == 1:
        return x
    x = x.unflatten(1, (-1, count))
    if name in ("key", "value", "error", "beta", "potential"):
        return x
    return x[:, :, 0 if name == "alpha" else -1]  # a token forgets in the first, and is over after the last
