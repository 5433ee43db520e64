"""The read of a memory of slots: a softmax over the few nearest slots of some buckets, and over nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.self_check import form_error, normals
from hmlcore.ops.sparse_write.slots import gather_buckets


def _check(query: Tensor, buckets: Tensor, keys: Tensor, top: int) -> None:
    b, _, w, d = keys.shape
    require(
        query.ndim == 3 and query.shape[0] == b and query.shape[2] == d,
        f"query must be [B, T, d] = [{b}, T, {d}], got {tuple(query.shape)}",
    )
    require(
        buckets.ndim == 3 and buckets.shape[:2] == query.shape[:2],
        f"buckets must be [B, T, lanes] of {tuple(query.shape[:2])}, got {tuple(buckets.shape)}",
    )
    seen = buckets.shape[2] * w
    require(1 <= top <= seen, f"top must be at least 1 and at most the {seen} slots that are seen, got {top}")


def naive_sparse_read(
    query: Tensor, buckets: Tensor, keys: Tensor, values: Tensor, occupied: Tensor, nothing: Tensor, top: int,
    tau: float = 0.1,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Σ_i w_i v_i over the `top` nearest slots of a token's buckets, with nothing as one more choice:

        w = softmax([⟨q, k_1⟩, …, ⟨q, k_top⟩, nothing] / τ),  and what falls to nothing adds nothing

    Args: query [B, T, d] and keys [B, N, W, d] of length 1; values [B, N, W, e]; buckets [B, T, L], of which
        one named twice counts once; occupied [B, N, W]; nothing, a cosine: less is worth less than no answer.
        Slots may be stored in another dtype than the query has.
    Returns: [B, T, e], and [B, T], the weight of all slots together.
    """
    _check(query, buckets, keys, top)
    visible = torch.zeros(*query.shape[:2], keys.shape[1], dtype=torch.bool, device=keys.device)
    visible = visible.scatter(2, buckets, True)[..., None] & occupied[:, None]
    scores = (
        torch.einsum("btd,bnwd->btnw", query, keys.to(query.dtype)).masked_fill(~visible, -torch.inf).flatten(2)
    )
    least = scores.topk(min(top, scores.shape[2]), dim=-1)[0][..., -1:]
    scores = scores.masked_fill(scores < least, -torch.inf)
    weight = torch.cat((scores, nothing.expand_as(scores[..., :1])), -1).div(tau).softmax(-1)[..., :-1]
    return weight @ values.flatten(1, 2).to(weight.dtype), weight.sum(-1)


def gather_sparse_read(
    query: Tensor, buckets: Tensor, keys: Tensor, values: Tensor, occupied: Tensor, nothing: Tensor, top: int,
    tau: float = 0.1,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same, of the slots in a token's own buckets only: O(T · L · W · d) work."""
    _check(query, buckets, keys, top)
    again = (buckets[..., None] == buckets[..., None, :]).tril(-1).any(-1)
    seen = gather_buckets(occupied[..., None], buckets)[..., 0]
    seen = seen & ~again.repeat_interleave(keys.shape[2], -1)
    near = gather_buckets(keys, buckets).to(query.dtype)
    scores = torch.einsum("btd,btsd->bts", query, near).masked_fill(~seen, -torch.inf)
    best, which = scores.topk(top, dim=-1)
    weight = torch.cat((best, nothing.expand_as(best[..., :1])), -1).div(tau).softmax(-1)[..., :-1]
    ways = keys.shape[2]
    slot = buckets.gather(2, which // ways) * ways + which % ways
    stream = torch.arange(len(keys), device=keys.device)[:, None, None]
    read = torch.einsum("btk,btke->bte", weight, values.flatten(1, 2)[stream, slot].to(weight.dtype))
    return read, weight.sum(-1)


def sparse_read(
    query: Tensor, buckets: Tensor, keys: Tensor, values: Tensor, occupied: Tensor, nothing: Tensor, top: int,
    tau: float = 0.1,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The op through whichever form suits the device; arguments as :func:`naive_sparse_read`."""
    form = backend.choose("sparse_read", keys.device).form
    return form.function(query, buckets, keys, values, occupied, nothing, top, tau)


def _self_check(form, naive, device) -> float:
    query, keys, values, nothing = normals(device, (2, 7, 8), (2, 3, 4, 8), (2, 3, 4, 5), ())
    g = torch.Generator().manual_seed(1)
    buckets = torch.randint(3, (2, 7, 2), generator=g).to(device)
    occupied = (torch.rand(2, 3, 4, generator=g) < 0.7).to(device)

    def call(function, q, k, v, level):
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return function(q, buckets, k, v, occupied, level, 3)

    return form_error(form, naive, (query, keys, values, nothing), call)


backend.register(
    "sparse_read",
    [
        backend.Form("gather", gather_sparse_read, backend.anywhere, "the slots of a token's buckets only"),
        backend.Form("naive", naive_sparse_read, backend.anywhere, "all slots and a mask, the law"),
    ],
    _self_check,
)
