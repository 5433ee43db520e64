"""Linear oscillators that a small network kicks once in a chunk of tokens: scans, and few sequential steps."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.layers.hml.dynamics.network import Network
from hmlcore.layers.hml.dynamics.nonlinear import Nonlinear
from hmlcore.layers.hml.dynamics.quad import QuadCoefficients
from hmlcore.ops import nonlinear as ops
from hmlcore.ops.diagonal_scan import block_scan
from hmlcore.ops.packing import at_ends, repack, unpack
from hmlcore.ops.precision import without_autocast


class KickCoefficients(NamedTuple):
    """A token's linear motion, the network, and how many tokens its chunk had before it, [B, T]."""

    quad: QuadCoefficients
    net: ops.Net
    clock: Tensor | None = None

    def map(self, function) -> "KickCoefficients":
        """The same with `function` applied to what every token has its own of."""
        clock = None if self.clock is None else function(self.clock)
        return KickCoefficients(self.quad.map(function), self.net, clock)


class Kick(Nonlinear):
    r"""The linear oscillators of ``quad``, which the network kicks before every `every`-th token, the first
    among them:

        P ← P − Wᵀ(out ∘ sech²(WQ + b))

    Between kicks the motion is one exact scan, for all chunks at once, so that only T/every kicks are
    sequential. Chunks are counted from the first token, in the state, however the sequence is cut.
    The force of a kick is bounded, and the motion between kicks stable for every Δ.

    Args: every, tokens of a chunk, at least 1.
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int, *, every: int = 16):
        super().__init__(d_model, num_heads, head_dim)
        self.every = check_int("every", every)
        self.net = Network(num_heads, head_dim)

    def multiply_adds(self):
        return self.net.multiply_adds(self.head_dim) / self.every

    def extra_state(self, batch):
        return {"clock": (batch,)}

    def coefficients(self, x, log_alpha, raw):
        quad, gates = super().coefficients(x, log_alpha, raw)
        return KickCoefficients(quad, self.net.tensors(x.dtype)), gates

    def enter(self, c, state, bounds=None):
        """With each token's place in its chunk, which `state` began."""
        length, clock = c.quad.beta.shape[1], state.clock
        places = torch.arange(length, device=clock.device, dtype=clock.dtype)
        if bounds is None:
            places = clock[:, None] + places
        else:
            spans = enumerate(itertools.pairwise(bounds))
            places = torch.cat([clock[i] + places[: b - a] for i, (a, b) in spans])[None]
        return c._replace(clock=places.remainder(self.every))

    def leave(self, c, bounds=None):
        return {"clock": (at_ends(c.clock, bounds) + 1).remainder(self.every)}

    @without_autocast
    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        lengths = [k.shape[1]] * len(k)
        if cu_seqlens is not None:
            lengths = [b - a for a, b in itertools.pairwise(cu_seqlens)]
            r, k, v = (unpack(x, cu_seqlens) for x in (r, k, v))
            c = c.map(lambda x: unpack(x, cu_seqlens))
        o, memory = self._padded(r, k, v, c, memory, lengths)
        return o if cu_seqlens is None else repack(o, cu_seqlens), memory.contiguous()

    def _padded(self, r, k, v, c, memory, lengths: list[int]) -> tuple[Tensor, Tensor]:
        """:meth:`scan` of sequences of these lengths, padded at the end; memories are those at each one's."""
        out_dtype, length = v.dtype, k.shape[1]
        start = c.clock[:, 0].long()
        lay = self._layout(start, lengths, length)
        m, beta, mu, r, k, v = (lay(x.to(memory.dtype)) for x in (*c.quad, r, k, v))
        there = lay(torch.ones_like(c.clock))
        # A place before the first token or after the last moves nothing; k and v are zero there.
        identity = torch.eye(2, dtype=m.dtype, device=m.device)
        m = torch.where(there[..., None, None, None, None] > 0, m, identity)
        chunk = (-1, self.every)
        force = (beta[..., None] * k)[..., None] * v[..., None, :]
        force = torch.stack((torch.zeros_like(force), force), -1)
        blocks = m.unflatten(1, chunk).flatten(0, 1)[:, :, :, :, None]
        own = block_scan(blocks, force.unflatten(1, chunk).flatten(0, 1))
        # What a chunk does to its first state: the columns of its products, the same for all D.
        columns = identity.expand(len(blocks), *blocks.shape[2:4], 2, 2)
        none = blocks.new_zeros(1, 1, 1, 1, 1, 1).expand(*blocks.shape[:4], 2, 2)
        moved = block_scan(blocks, none, columns)
        chunks = m.shape[1] // self.every
        own, moved = (x.unflatten(0, (len(r), chunks)) for x in (own, moved))

        read = torch.stack((r, r * mu), -1).unflatten(1, chunk)
        folded = torch.einsum("bgthnp,bgthncp->bgthnc", read, moved)
        o = torch.einsum("bgthnp,bgthndp->bgthd", read, own)
        kicked = there.unflatten(1, chunk).amax(2)  # a chunk without a token is not one
        kicked[:, 0] *= start == 0
        outputs = []
        for i in range(own.shape[1]):
            q, p = memory.unbind(2)
            memory = torch.stack((q, p - kicked[:, i, None, None, None] * ops.net_force(q, c.net)), 2)
            outputs.append(torch.einsum("bthnc,bhcnd->bthd", folded[:, i], memory))
            memory = torch.einsum("bhncp,bhcnd->bhpnd", moved[:, i, -1], memory)
            memory = memory + own[:, i, -1].movedim(-1, 2)
        o = (o + torch.stack(outputs, 1)).flatten(1, 2)
        tokens = start[:, None] + torch.arange(length, device=o.device)
        return o[torch.arange(len(o), device=o.device)[:, None], tokens].to(out_dtype), memory

    def _layout(self, start: Tensor, lengths: list[int], length: int):
        """A function that lays [B, length, ...] out over whole chunks, from place `start` [B] of the first on,
        zeros elsewhere."""
        batch = torch.arange(len(start), device=start.device)[:, None]
        total = -(-(length + self.every - 1) // self.every) * self.every
        source = torch.arange(total, device=start.device) - start[:, None]
        inside = (source >= 0) & (source < torch.tensor(lengths, device=start.device)[:, None])
        source = source.clamp(0, length - 1)

        def lay(x: Tensor) -> Tensor:
            return x[batch, source] * inside.to(x.dtype).view(*inside.shape, *(1,) * (x.ndim - 2))

        return lay

    @without_autocast
    def advance(self, r, k, v, c, memory):
        q, p = memory.unbind(2)
        due = (c.clock == 0).to(p.dtype)[:, None, None, None]
        memory = torch.stack((q, p - due * ops.net_force(q, c.net)), 2)
        return super().advance(r, k, v, c.quad, memory)

    def potential(self, q):
        return super().potential(q) + self.net.energy(q)
