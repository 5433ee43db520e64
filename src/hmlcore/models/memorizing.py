"""Memorizing Transformer: the last block also attends to the nearest of the keys that its window has passed."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor, nn

from hmlcore.checks import check_fields, check_instance, check_int
from hmlcore.errors import require
from hmlcore.layers.window_attention import WindowAttention
from hmlcore.models.backbone import BackboneConfig
from hmlcore.models.chunked import Chunked
from hmlcore.ops.packing import own
from hmlcore.ops.precision import normalize

_SHARPNESS = 10.0  # of cosines, at the start


@dataclass(frozen=True)
class MemorizingConfig(BackboneConfig):
    """A :class:`~hmlcore.models.BackboneConfig` around window attention, and the memory of its last block.

    Attributes:
        chunk: tokens U after which what was read enters the memory.
        capacity: how many tokens it holds; the oldest go.
        top: how many of them a head attends to.
    Raises: HmlcoreError for a value out of its range, another mixer, `top` beyond `capacity`.
    """

    mixer: str = "window_attention"
    chunk: int = 64
    capacity: int = 1024
    top: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, chunk=(check_int,), capacity=(check_int,), top=(check_int,))
        require(self.mixer == "window_attention", f"mixer must be 'window_attention', got {self.mixer!r}")
        require(
            self.top <= self.capacity,
            f"top must be at most the {self.capacity} tokens of the memory, got {self.top}",
        )

    def build(self) -> "Memorizing":
        return Memorizing(self)


class MemorizingState(NamedTuple):
    """What the memory holds, the oldest first, and the chunk under way."""

    keys: Tensor  # [B, capacity, H, d], of length 1
    values: Tensor  # [B, capacity, H, d]
    present: Tensor  # [B, capacity], 1 where a token stands
    tokens: Tensor  # [B, U] int32
    filled: Tensor  # [B] int32


class Memorizing(Chunked):
    """A backbone of window attention whose last block reads a memory of keys and values beside its window:

        y = W_o(g ⊙ Σ_{i ∈ kNN(q)} softmax_i(s⟨q, k_i⟩) v_i + (1 − g) ⊙ window(q, k, v)),   g = σ(b), one a head

    s and b learned; in the first term q and k are of length 1 and not rotated, and g = 0 while nothing is
    remembered. The nearest keys are found exactly, by scipy's KD-tree; no gradient
    flows into what is remembered. Source: Wu et al. (arXiv 2203.08913).
    """

    def __init__(self, config: MemorizingConfig):
        check_instance("config", config, MemorizingConfig)
        super().__init__(config)
        mixer = self._mixer
        self.gate = nn.Parameter(torch.zeros(mixer.num_heads))
        self.log_sharpness = nn.Parameter(torch.full((mixer.num_heads,), _SHARPNESS).log())

    @property
    def _mixer(self) -> WindowAttention:
        return cast(WindowAttention, self.blocks[-1].mixer)

    def _chunk(self, ids: Tensor, blocks: list, memory: MemorizingState, count: int, whole: int):
        x, states = self.embedding(ids), []
        for block, before in zip(self.blocks[:-1], blocks[:-1], strict=True):
            x, after = block(x, before)
            states.append(after)
        last, mixer = self.blocks[-1], self._mixer
        near, (q, k, v), after = mixer.attended(last.mixer_norm(x), blocks[-1])
        k = normalize(k)
        far = self._remembered(normalize(q), memory)
        share = torch.sigmoid(self.gate)[:, None] * (memory.present.sum(1) > 0)[:, None, None, None]
        x = x + mixer.out_proj((share * far + (1 - share) * near).flatten(2))
        hidden = self.norm(x + last.mlp(last.mlp_norm(x)))
        if count < ids.shape[1]:
            return hidden, None, None
        keys, values, present = (
            own(torch.cat((old, new.detach().to(old.dtype)), 1)[:, -self.config.capacity :])
            for old, new in zip(memory[:3], (k, v, torch.ones_like(ids)), strict=True)
        )
        return hidden, [*states, after], memory._replace(keys=keys, values=values, present=present)

    def _remembered(self, q: Tensor, memory: MemorizingState) -> Tensor:
        """What the nearest keys say to q [B, U, H, d]; 0 where there is none."""
        which = nearest(q, memory.keys, memory.present, self.config.top)
        found, places = which >= 0, which.clamp_min(0)
        stream, head = (torch.arange(n, device=q.device) for n in (len(q), q.shape[2]))
        at = stream[:, None, None, None], places, head[:, None]
        scores = torch.einsum("buhd,buhkd->buhk", q, memory.keys[at].to(q.dtype))
        scores = (scores * self.log_sharpness.exp()[:, None]).masked_fill(~found, -1e4)
        weight = scores.softmax(-1) * found
        return torch.einsum("buhk,buhkd->buhd", weight, memory.values[at].to(q.dtype))

    def init_state(self, batch: int) -> list:
        batch, c, mixer, weight = check_int("batch", batch, 0), self.config, self._mixer, self.embedding.weight
        numbers = {"device": weight.device, "dtype": weight.dtype}
        whole = {"device": weight.device, "dtype": torch.int32}
        shape = (batch, c.capacity, mixer.num_heads, mixer.head_dim)
        memory = MemorizingState(
            torch.zeros(shape, **numbers), torch.zeros(shape, **numbers), torch.zeros(shape[:2], **numbers),
            torch.zeros(batch, c.chunk, **whole), torch.zeros(batch, **whole),
        )  # fmt: skip
        return [*super().init_state(batch), memory]

    def state_size(self, length: int) -> int:
        return super().state_size(length) + sum(x.numel() for x in self.init_state(1)[-1])

    def flops_per_token(self, length: int) -> float:
        """As if every key of the memory were looked at, which a tree does not."""
        c = self.config
        return super().flops_per_token(length) + 2 * c.d_model * (c.capacity + 2 * c.top)


def nearest(queries: Tensor, keys: Tensor, present: Tensor, top: int) -> Tensor:
    """Places of the `top` keys nearest to each query of its head, nearest first; −1 where there are fewer.

    Args: queries [B, U, H, d], keys [B, M, H, d], of length 1, so that near is a large cosine; present [B, M].
    Returns: [B, U, H, top].
    """
    found = np.full((*queries.shape[:3], top), -1, dtype=np.int64)
    # A tree takes no NaN, which stays in what is read of its place.
    asked, stored = (x.detach().float().nan_to_num().cpu().numpy() for x in (queries, keys))
    for b, there in enumerate((present > 0).cpu().numpy()):
        places = there.nonzero()[0]
        if not len(places):
            continue
        for h in range(keys.shape[2]):
            tree = KDTree(stored[b, places, h], leafsize=64, balanced_tree=False)
            _, which = tree.query(asked[b, :, h], k=[*range(1, top + 1)])  # pyright: ignore[reportArgumentType] # ranks, scipy says
            found[b, :, h] = np.append(places, -1)[which]  # the tree says len(places) for none
    return torch.from_numpy(found).to(queries.device)
