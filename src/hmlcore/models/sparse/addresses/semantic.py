"""By direction of the key: cues that mean the same fall together, if keys have learned that they do."""

import torch
from torch import Tensor

from hmlcore.models.sparse.addresses.base import Address, check_codebook
from hmlcore.ops.precision import normalize


class Semantic(Address):
    """bucket = argmax_n ⟨c_n, k⟩ over N fixed random directions; the contrast of keys (InfoNCE) trains them."""

    name = "semantic"
    codes: Tensor

    def __init__(self, buckets: int, d: int):
        super().__init__(buckets, d)
        self.register_buffer("codes", normalize(torch.randn(buckets, d)))

    def set_codebook(self, codes: Tensor) -> None:
        """Take other directions [N, d]. Raises: HmlcoreError for another size."""
        self.codes.copy_(normalize(check_codebook(codes, self.buckets, self.d)))

    def nearest(self, keys: Tensor, count: int) -> Tensor:
        """The `count` codes nearest to each key, the nearest first."""
        scores = keys.detach().to(self.codes.dtype) @ self.codes.T
        return scores.topk(count, dim=-1)[1]

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        return self.nearest(keys, 1)
