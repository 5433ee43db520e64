"""By learned centroids (V68): a codebook that follows the keys it is given, as in VQ-VAE."""

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_number
from hmlcore.errors import require
from hmlcore.models.sparse.addresses.semantic import Semantic
from hmlcore.ops.precision import normalize


class Centroids(Semantic):
    """Writes to the nearest centroid and reads from the `top` nearest.

    In training a centroid is the running mean, at `decay` a batch, of the keys that are nearest to it; one that
    nobody has come to for long takes the place of the key that is worst served. Outside training it stands.
    Source: van den Oord et al. (arXiv 1711.00937), appendix A.1.
    """

    name = "centroids"
    mass: Tensor
    sums: Tensor

    def __init__(self, buckets: int, d: int, top: int = 2, decay: float = 0.99):
        super().__init__(buckets, d)
        self.read_lanes = check_int("top", top)
        require(self.read_lanes <= buckets, f"top must be at most the {buckets} buckets, got {top}")
        self.decay = check_number("decay", decay, 0, 1)
        self.register_buffer("mass", torch.ones(buckets))
        self.register_buffer("sums", self.codes.clone())

    def set_codebook(self, codes: Tensor) -> None:
        super().set_codebook(codes)
        self.mass.fill_(1)
        self.sums.copy_(self.codes)

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        return self.nearest(keys, self.read_lanes)

    @torch.no_grad()
    def learn(self, keys: Tensor) -> None:
        keys = keys.detach().to(self.codes.dtype)
        best, own = (keys @ self.codes.T).max(-1)
        count = torch.zeros_like(self.mass).index_add_(0, own, torch.ones_like(own, dtype=self.mass.dtype))
        # Out of place: what an earlier call has been differentiated through stays as it was.
        self.mass = self.decay * self.mass + (1 - self.decay) * count
        self.sums = self.decay * self.sums + (1 - self.decay) * torch.zeros_like(self.sums).index_add_(
            0, own, keys
        )
        dead = (self.mass < 0.05).nonzero()[:, 0][: len(keys)]
        if len(dead):
            worst = keys[best.argsort(stable=True)[: len(dead)]]
            self.mass[dead], self.sums[dead] = 1.0, worst
        self.codes = normalize(self.sums)
