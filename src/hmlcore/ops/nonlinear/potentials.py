r"""The two potentials as the segment form needs them: kicks in place, and their derivatives.

The state has the head first and the batch beside the columns, q [..., H, N, B, D], so that a head's network
is one matrix product. For a cotangent y of the force F(q), V″ being symmetric,

    log cosh    F = pull ∘ tanh q                       q̄ = pull ∘ sech²q ∘ y
    network     F = pull ∘ q + push·Wᵀ(out ∘ s)         q̄ = pull ∘ y + Wᵀ(E ∘ Wy),  E = −2 push·out ∘ h ∘ s

with h = tanh(Wq + b), s = 1 − h². `bend` is what that needs of q; `gradients` gives the rest.
"""

import torch
from torch import Tensor

from hmlcore.ops.nonlinear.naive import Net


def _columns(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix of each head [H, I, J] times x [..., H, J, B, D]."""
    return (matrix @ x.flatten(-2)).unflatten(-1, x.shape[-2:])


class LogCosh:
    """V = Σ log cosh q."""

    def kick_(self, p: Tensor, q: Tensor, pull: Tensor, push: Tensor | None, sign: int) -> None:
        """p ← p + sign·F(q)."""
        p.addcmul_(q.tanh(), pull, value=sign)

    def bend(self, q: Tensor, pull: Tensor, push: Tensor | None) -> tuple[Tensor, Tensor]:
        """The slope of the force at q, and tanh q."""
        t = q.tanh()
        return torch.addcmul(pull.expand_as(t), pull * t, t, value=-1), t

    def force(self, q: Tensor, held: tuple, pull: Tensor, push: Tensor | None) -> Tensor:
        """F(q) from what `bend` gave, over many tokens."""
        return pull * held[1]

    def pull_back_(self, d_q: Tensor, y: Tensor, slope: Tensor, pull: Tensor) -> None:
        """d_q ← d_q − F′(q)y, for one token."""
        d_q.addcmul_(slope, y, value=-1)

    def gradients(self, y: Tensor, q: Tensor, held: tuple, push: Tensor | None) -> tuple:
        """Of −F(q)·y for pull, push and the network."""
        return -(y * held[1]).sum(-1, keepdim=True), None, ()


class Network:
    """V = ½‖q‖² + outᵀtanh(Wq + b), `pull` and `push` being the weights of the two."""

    def __init__(self, net: Net):
        self.weight, self.transposed = net.weight, net.weight.mT.contiguous()
        self.bias, self.out = net.bias[..., None, None], net.out[..., None, None]
        self.flat_bias, self.flat_out = net.bias[..., None], net.out[..., None]

    def kick_(self, p, q, pull, push, sign):
        h = torch.baddbmm(self.flat_bias, self.weight, q.flatten(-2)).tanh_()
        u = torch.addcmul(self.flat_out, h.square_(), self.flat_out, value=-1)
        p.addcmul_(q, pull, value=sign)
        p.addcmul_(torch.bmm(self.transposed, u).view_as(q), push, value=sign)

    def bend(self, q, pull, push):
        h = (_columns(self.weight, q) + self.bias).tanh_()
        s = 1 - h * h
        return -2 * push * self.out * h * s, s

    def force(self, q, held, pull, push):
        return pull * q + push * _columns(self.transposed, self.out * held[1])

    def pull_back_(self, d_q, y, slope, pull):
        d_q.addcmul_(pull, y, value=-1)
        bent = torch.bmm(self.weight, y.flatten(-2)).mul_(slope.flatten(-2))
        d_q.sub_(torch.bmm(self.transposed, bent).view_as(d_q))

    def gradients(self, y, q, held, push):
        slope, s = held
        seen = _columns(self.weight, y)  # Wy
        u = self.out * s
        d_push = -(seen * u).sum((-3, -1), keepdim=True)
        d_hidden = slope * seen
        d_weight = torch.einsum("shmbd,shnbd->hmn", push * u, y) + torch.einsum("shmbd,shnbd->hmn", d_hidden, q)
        d_net = -d_weight, -d_hidden.sum((0, -2, -1)), -(push * seen * s).sum((0, -2, -1))
        return -(y * q).sum(-1, keepdim=True), d_push, d_net
