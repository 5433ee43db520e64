"""The memory of a backbone's last block: slots that are read by every token and written by few."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.models.sparse.addresses import build_address
from hmlcore.models.sparse.config import SparseConfig
from hmlcore.models.sparse.controller import Control, held
from hmlcore.models.sparse.gates import Evidence, Stats, build_gate, followed
from hmlcore.ops.hashing import uniform_of
from hmlcore.ops.precision import normalize
from hmlcore.ops.sparse_read import sparse_read
from hmlcore.ops.sparse_write import Fate, Offers, Slots, gather_buckets, sparse_write

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Seen(NamedTuple):
    """What the memory sees of the tokens of a chunk."""

    hidden: Tensor  # [B, U, d_model]
    keys: Tensor  # [B, U, d], of length 1: the cue for whatever comes next
    buckets: Tensor  # [B, U, write lanes]
    read: Tensor  # [B, U, d]


class Cues(NamedTuple):
    """Of each token the token before it: what it would be looked for by."""

    keys: Tensor
    buckets: Tensor
    read: Tensor
    ids: Tensor


class Written(NamedTuple):
    """The memory after a chunk, and why each token is in it or not: [B, U], fates [B, lanes · U]."""

    slots: Slots
    stats: Stats
    control: Control
    score: Tensor
    open: Tensor
    fate: Fate


class SlotMemory(nn.Module):
    """A key is W_k RMSNorm(x) of a token, of length 1; its value W_v RMSNorm(x) of the next, at unit RMS; a
    read adds W_o Σ w_i v_i to the stream, and W_o = 0 at the start.

    The values are normalised and not what is read: a norm on the read would make an empty one as loud as any.
    """

    def __init__(self, config: SparseConfig):
        super().__init__()
        self.config = config
        self.norm = nn.RMSNorm(config.d_model, eps=1e-5)
        self.to_key = nn.Linear(config.d_model, config.slot_dim, bias=False)
        self.to_value = nn.Linear(config.d_model, config.slot_dim, bias=False)
        self.out_proj = nn.Linear(config.slot_dim, config.d_model, bias=False)
        self.nothing = nn.Parameter(torch.tensor(0.5))
        self.address = build_address(config.address, config.buckets, config.slot_dim, **config.address_args)
        self.gate = build_gate(config.gate, config.vocab_size, config.d_model, **config.gate_args)
        require(
            config.density is None or self.gate.holds,
            f"density must be None for gate {config.gate!r}, which writes everything, got {config.density}",
        )
        seen = self.address.read_lanes * config.ways
        require(
            config.top <= seen, f"top must be at most the {seen} slots that a token reads, got {config.top}"
        )
        for linear in (self.to_key, self.to_value):
            nn.init.normal_(linear.weight, std=config.d_model**-0.5)
        nn.init.zeros_(self.out_proj.weight)

    def read(self, x: Tensor, ids: Tensor, slots: Slots) -> Seen:
        """What slots of earlier chunks say to tokens x [B, U, d_model]."""
        hidden = self.norm(x)
        keys = normalize(self.to_key(hidden))
        buckets = self.address.read(keys, ids)
        read, _ = sparse_read(
            keys, buckets, slots.keys, slots.values, slots.time >= 0,
            self.nothing.to(keys.dtype), self.config.top, self.config.tau,
        )  # fmt: skip
        return Seen(hidden, keys, self.address.write(keys, ids), read)

    def write(
        self, seen: Seen, cues: Cues, ids: Tensor, position: Tensor, surprise: tuple[Tensor | None, Tensor],
        slots: Slots, stats: Stats, control: Control,
    ) -> Written:  # fmt: skip
        """One write of a chunk. Args: ids, position [B, U]; surprise, without the memory and with it."""
        values = F.rms_norm(self.to_value(seen.hidden), (self.config.slot_dim,), eps=1e-5)
        if self.address.one_of:
            cues = cues._replace(buckets=self._chosen(cues, slots))
        evidence = self._evidence(seen, cues, values, ids, position, surprise, slots)
        with torch.no_grad():
            stats = followed(stats, self.gate.quantity(evidence), self.gate.stratum(evidence))
        score = self.gate.score(evidence, stats)
        passed, control = self._passed(score, control)
        passed = passed & (position > 0)  # nothing stood before the first token
        if self.gate.learned:
            chance = torch.sigmoid(score - control.theta[:, None]).to(values.dtype)
            values = values * (1 + chance - chance.detach())[..., None]
        made, fate = self._offer(values, cues, ids, position, score.detach(), passed, slots, control)
        if self.training:
            self.address.learn(cues.keys.flatten(0, 1))
        return Written(made, stats, control, score.detach(), passed, fate)

    @torch.no_grad()
    def _chosen(self, cues: Cues, slots: Slots) -> Tensor:
        """Of the buckets of each cue the one that holds it, else the one with more empty slots: [B, U, 1]."""
        lanes = cues.buckets.long()
        near = gather_buckets(slots.keys, lanes).to(cues.keys.dtype)
        there = gather_buckets((slots.time >= 0)[..., None], lanes)[..., 0]
        cosine = torch.einsum("bud,busd->bus", cues.keys, near).masked_fill(~there, -1.0)
        ways = self.config.ways
        holds = (cosine.unflatten(-1, (-1, ways)).amax(-1) > self.config.merge).long()
        room = (~there).unflatten(-1, (-1, ways)).sum(-1)
        best = (holds * (ways + 1) + room).argmax(-1, keepdim=True)
        return cues.buckets.gather(-1, best)

    def _offer(self, values, cues: Cues, ids, position, score, passed, slots, control) -> tuple[Slots, Fate]:
        """Offer the tokens to the buckets of every lane."""
        lanes = self.address.copies

        def each(x: Tensor) -> Tensor:
            return x.repeat(1, lanes, *([1] * (x.ndim - 2)))

        lane = torch.arange(lanes, device=ids.device).repeat_interleave(ids.shape[1])
        margin = ((score - control.theta[:, None]) / control.slope[:, None].clamp_min(1e-6)).clamp_min(0)
        offers = Offers(
            keys=each(cues.keys), values=each(values), bucket=cues.buckets.long().mT.flatten(1),
            open=each(passed), priority=each(margin / (1 + margin)), time=each(position) * lanes + lane,
            ids=each(ids),
        )  # fmt: skip
        return sparse_write(slots, offers, self.worth(slots, position[:, -1]), self.config.merge)

    def worth(self, slots: Slots, now: Tensor) -> Tensor:
        """What each slot is worth keeping; `now` [B], the last position that was read.

        By value, the priority of its token, in 0 … 1, + e^{−age / h} + half its novelty, with h the tokens
        that it takes to write as many slots as there are, one copy each.
        """
        c, time = self.config, slots.time.clamp_min(0).float()
        if c.evict == "oldest":
            return time
        if c.evict == "random":
            number = torch.arange(time.shape[1:].numel(), device=time.device).view(time.shape[1:])
            return uniform_of(c.seed, (now // c.chunk)[:, None, None], number)
        age = now.float()[:, None, None] - time / self.address.copies
        horizon = c.buckets * c.ways / (c.density or 1.0)
        return slots.priority.float() + (-age / horizon).exp() + 0.5 * slots.novelty.float()

    def _passed(self, score: Tensor, control: Control) -> tuple[Tensor, Control]:
        if self.config.density is not None:
            return held(score, self.config.density, control)
        fixed = torch.full_like(control.theta, self.gate.threshold)
        return score > fixed[:, None], Control(fixed, torch.ones_like(fixed), torch.ones_like(fixed))

    @torch.no_grad()
    def _evidence(self, seen, cues, values, ids, position, surprise, slots) -> Evidence:
        """What is known of each token; the hidden state alone keeps its gradient."""
        first = cues.buckets[..., :1].long()
        near = gather_buckets(slots.keys, first).to(cues.keys.dtype)
        there = gather_buckets((slots.time >= 0)[..., None], first)[..., 0]
        cosine = torch.einsum("bud,buwd->buw", cues.keys, near).masked_fill(~there, -1.0).amax(-1)
        values, read = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (values, cues.read))
        residual = (values - read).square().sum(-1) / values.square().sum(-1).clamp_min(1e-6)
        alone, after = surprise
        return Evidence(
            ids, cues.ids, position, seen.hidden, alone, after, cosine, residual.float(), self.config.seed
        )

    def contrast(self, cues: Cues, ids: Tensor, slots: Slots) -> Tensor:
        """InfoNCE of cues against all slots: −log of the weight of those that hold the id that came next.

        Mean over the tokens of which some slot holds the id; 0 where none does.
        """
        scores = torch.einsum("bud,bsd->bus", cues.keys, slots.keys.flatten(1, 2).to(cues.keys.dtype))
        scores = (scores.float() / self.config.tau).masked_fill(
            (slots.time < 0).flatten(1)[:, None], -torch.inf
        )
        right = slots.ids.flatten(1)[:, None] == ids[..., None]
        some = right.any(-1)
        if not some.any():
            return scores.new_zeros(())
        hit = scores.masked_fill(~right, -torch.inf)[some].logsumexp(-1)
        return (scores[some].logsumexp(-1) - hit).mean()
