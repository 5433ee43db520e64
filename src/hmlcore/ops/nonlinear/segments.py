r"""The law token by token on whole tensors, with a backward pass that stores one state in `segment` tokens.

Backwards, the states of a segment come again from its first one by the step itself. With ``reversible`` they
come from its last one by inverting the step,

    P ← (P − k vᵀ)/α,  Q ← Q/α;   P ← P + F(Q),  Q ← Q − drift ∘ P,  P ← P + F(Q),

except where the segment forgets so much that the division would multiply the rounding of what is left. Then
all that is linear in a cotangent is formed for the whole segment at once; sequential are only the states and
the cotangents. `README.md` beside this file derives both, and has what they cost and lose.
Memory O(T/segment + segment) states, where recording every step would keep several for each token.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.ops.matrix_memory import each_sequence
from hmlcore.ops.nonlinear.naive import Net, check_nonlinear
from hmlcore.ops.nonlinear.potentials import LogCosh, Network
from hmlcore.ops.once import only_once
from hmlcore.ops.precision import without_autocast

SEGMENT = 32
KEPT = 1 / 64  # a segment is inverted where it leaves every head at least this of its first state


class Tokens(NamedTuple):
    """A token's part of the step, time first: [T, H, N or 1, B, 1], v [T, H, 1, B, D]."""

    r: Tensor  # what reads Q
    r_p: Tensor  # what reads P: r ∘ μ
    k: Tensor  # times β
    v: Tensor
    alpha: Tensor
    drift: Tensor
    pull: Tensor
    push: Tensor | None

    def part(self, start: int, stop: int) -> "Tokens":
        """Tokens start … stop − 1."""
        found: list[Any] = [None if x is None else x[start:stop] for x in self]
        return Tokens(*found)

    def each(self) -> list[tuple]:
        """k, v, α, drift, pull and push of every token."""
        push = [None] * len(self.k) if self.push is None else self.push.unbind(0)
        return list(zip(*(x.unbind(0) for x in self[2:-1]), push, strict=True))


def split_segments(length: int, size: int) -> list[tuple[int, int]]:
    """The bounds of segments of `size` tokens and a last one of what is left."""
    return [(a, min(a + size, length)) for a in range(0, length, size)]


def are_steady(alpha: Tensor, size: int) -> list[bool]:
    """Which segments every head leaves with at least KEPT of what it had; alpha over [T, ...]."""
    return (products(alpha, size).flatten(1).amin(1) >= KEPT).tolist()


def products(alpha: Tensor, size: int) -> Tensor:
    """Π α over each segment, [segments, ...]."""
    return torch.stack([alpha[a:b].prod(0) for a, b in split_segments(len(alpha), size)])


def walk_(path: Tensor, x: Tokens, potential) -> None:
    """States after each token, path[1:], from the one before the first, path[0]: [S + 1, 2, H, N, B, D]."""
    middle = torch.empty_like(path[0])
    q_mid, p_mid = middle
    before, after = path[:-1].unbind(0), path[1:].unbind(0)
    for s, out, (k, v, alpha, drift, pull, push) in zip(before, after, x.each(), strict=True):
        q, p = s.unbind(0)
        p_mid.copy_(p)
        potential.kick_(p_mid, q, pull, push, -1)
        torch.addcmul(q, p_mid, drift, out=q_mid)
        potential.kick_(p_mid, q_mid, pull, push, -1)
        torch.mul(middle, alpha, out=out)
        out[1].addcmul_(k, v)


def walk_back_(path: Tensor, x: Tokens, potential) -> None:
    """The inverse of :func:`walk_`: path[:-1] from path[-1]."""
    before, after = path[:-1].unbind(0), path[1:].unbind(0)
    middle = torch.empty_like(path[0])
    q_mid, p_mid = middle
    for s, out, token in zip(reversed(before), reversed(after), reversed(x.each()), strict=True):
        k, v, alpha, drift, pull, push = token
        middle.copy_(out)
        p_mid.addcmul_(k, v, value=-1)
        middle.div_(alpha)
        q, p = s.unbind(0)
        potential.kick_(p_mid, q_mid, pull, push, 1)
        torch.addcmul(q_mid, p_mid, drift, value=-1, out=q)
        p.copy_(p_mid)
        potential.kick_(p, q, pull, push, 1)


def adjoint_(d_path: Tensor, d_mid: Tensor, d_o: Tensor, x: Tokens, bends: tuple, potential) -> None:
    """The cotangents of the states, from d_path[-1] of the last back to d_path[0].

    d_path[t + 1] gains what token t's output sees of its state; d_mid[t] becomes the cotangent of (Q after
    the drift, P before it).
    """
    slopes = zip(*(bend.unbind(0) for bend in bends), strict=True)
    rows = zip(x.r.unbind(0), x.r_p.unbind(0), d_o.unbind(0), x.each(), slopes, strict=True)
    states = zip(d_path[:-1].unbind(0), d_mid.unbind(0), d_path[1:].unbind(0), strict=True)
    moved = torch.empty_like(d_path[0])
    for (before, mid, after), row in zip(reversed(list(states)), reversed(list(rows)), strict=True):
        r, r_p, d, (_, _, alpha, drift, pull, _), (slope, slope_mid) = row
        (d_q, d_p), (q_mid, p_mid) = after.unbind(0), mid.unbind(0)
        d_q.addcmul_(r, d)
        d_p.addcmul_(r_p, d)
        torch.mul(after, alpha, out=moved)
        potential.pull_back_(moved[0], moved[1], slope_mid, pull)
        q_mid.copy_(moved[0])
        torch.addcmul(moved[1], q_mid, drift, out=p_mid)
        before.copy_(mid)
        potential.pull_back_(before[0], p_mid, slope, pull)


def segment_gradients(path: Tensor, d_o: Tensor, d_end: Tensor, x: Tokens, potential):
    """Of one segment, with path [S + 1, 2, H, N, B, D] its states, d_o [S, H, 1, B, D] and d_end of the last.

    Returns: the cotangent of the first state, those of the tokens, and those of the network.
    """
    (q, p), (q_end, p_end) = path[:-1].unbind(1), path[1:].unbind(1)
    held = potential.bend(q, x.pull, x.push)
    p_mid = p - potential.force(q, held, x.pull, x.push)
    q_mid = torch.addcmul(q, p_mid, x.drift)
    held_mid = potential.bend(q_mid, x.pull, x.push)
    p_moved = p_mid - potential.force(q_mid, held_mid, x.pull, x.push)
    d_path, d_mid = torch.empty_like(path), torch.empty_like(path[1:])
    d_path[-1] = d_end
    adjoint_(d_path, d_mid, d_o, x, (held[0], held_mid[0]), potential)

    d_q, d_p = d_path[1:].unbind(1)
    d_q_mid, d_p_mid = d_mid.unbind(1)
    d_p_moved = x.alpha * d_p
    d_pull, d_push, d_net = potential.gradients(d_p_mid, q, held, x.push)
    again = potential.gradients(d_p_moved, q_mid, held_mid, x.push)
    d_tokens = Tokens(
        r=_sum(d_o * q_end, -1),
        r_p=_sum(d_o * p_end, -1),
        k=_sum(d_p * x.v, -1),
        v=_sum(d_p * x.k, -3),
        alpha=_sum(d_q * q_mid + d_p * p_moved, (-3, -1)),
        drift=_sum(d_q_mid * p_mid, -1),
        pull=d_pull + again[0],
        push=None if d_push is None else d_push + again[1],
    )
    return d_path[0], d_tokens, tuple(a + b for a, b in zip(d_net, again[2], strict=True))


def _sum(x: Tensor, dims) -> Tensor:
    return x.sum(dims, keepdim=True)


class _Segments(torch.autograd.Function):
    """State [2, H, N, B, D], tokens, and the three tensors of a network or none → o [T, H, 1, B, D], state."""

    @staticmethod
    def forward(ctx, size, reversible, state, *tensors):
        x, potential = _parts(tensors)
        bounds = split_segments(len(x.k), size)
        starts = state.new_empty(len(bounds) + 1, *state.shape)
        starts[0] = state
        path = state.new_empty(min(size, len(x.k)) + 1, *state.shape)
        outputs = []
        for i, (a, b) in enumerate(bounds):
            part, states = x.part(a, b), path[: b - a + 1]
            states[0] = starts[i]
            walk_(states, part, potential)
            starts[i + 1] = states[-1]
            read = part.r * states[1:, 0]
            outputs.append(_sum(read.addcmul_(part.r_p, states[1:, 1]), -3))
        ctx.size = size
        ctx.invert = are_steady(x.alpha, size) if reversible else [False] * len(bounds)
        ctx.save_for_backward(state, starts, *tensors)
        return torch.cat(outputs), starts[-1].clone()

    @staticmethod
    @only_once("segment_nonlinear", "naive_nonlinear")
    def backward(ctx, d_outputs, d_state):
        _, starts, *tensors = ctx.saved_tensors
        x, potential = _parts(tensors)
        bounds = split_segments(len(x.k), ctx.size)
        path = starts.new_empty(min(ctx.size, len(x.k)) + 1, *starts.shape[1:])
        d_tokens, d_net = [], None
        for i, (a, b) in reversed(list(enumerate(bounds))):
            part, states = x.part(a, b), path[: b - a + 1]
            if ctx.invert[i]:
                states[-1] = starts[i + 1]
                walk_back_(states, part, potential)
                states[0] = starts[i]
            else:
                states[0] = starts[i]
                walk_(states, part, potential)
            d_state, d_part, d = segment_gradients(states, d_outputs[a:b], d_state, part, potential)
            d_tokens.append(d_part)
            d_net = d if d_net is None else tuple(u + w for u, w in zip(d_net, d, strict=True))
        joined = (None if parts[0] is None else torch.cat(parts[::-1]) for parts in zip(*d_tokens, strict=True))
        return None, None, d_state, *joined, *(d_net or (None,) * (len(tensors) - len(Tokens._fields)))


def _parts(tensors) -> tuple[Tokens, LogCosh | Network]:
    count = len(Tokens._fields)
    net = tensors[count:]
    return Tokens(*tensors[:count]), Network(Net(*net)) if net else LogCosh()


@without_autocast
@each_sequence
def segment_nonlinear(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    drift: Tensor,
    pull: Tensor,
    mu: Tensor,
    push: Tensor | None = None,
    net: Net | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    segment: int = SEGMENT,
    reversible: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The law with the backward pass above: a checkpoint every `segment` tokens, and between them the steps
    again or, if `reversible`, their inverses. The other arguments as ``naive_nonlinear``; differentiable
    once."""
    segment = check_int("segment", segment)
    state = check_nonlinear(r, k, v, log_alpha, beta, drift, pull, mu, push, net, initial_state)

    def time_first(x: Tensor) -> Tensor:
        """[B, T, H, N] to [T, H, N, B, 1], [B, T, H] to [T, H, 1, B, 1]."""
        x = x.to(state.dtype)
        return (x[..., None] if x.ndim == 3 else x).permute(1, 2, 3, 0)[..., None].contiguous()

    wide_r = r.to(state.dtype)
    tokens = Tokens(
        time_first(r),
        time_first(wide_r * mu.to(state.dtype)),
        time_first(beta.to(state.dtype)[..., None] * k),
        v.to(state.dtype).permute(1, 2, 0, 3)[:, :, None].contiguous(),
        time_first(log_alpha.to(state.dtype).exp()),
        time_first(drift),
        time_first(pull),
        None if push is None else time_first(push),
    )
    weights = () if net is None else (x.to(state.dtype) for x in net)
    start = state.permute(2, 1, 3, 0, 4).contiguous()
    o, end = _Segments.apply(segment, reversible, start, *tokens, *weights)
    end = end.permute(3, 1, 0, 2, 4).contiguous() if output_final_state else None
    return o.squeeze(2).permute(2, 0, 1, 3).to(v.dtype), end
