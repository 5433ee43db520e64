"""How a step stretches the state: its eigenvalues, and what of a gradient survives many steps.

With its gates as they are, a token maps the state by A = G ⊗ I − (e cᵀ) ⊗ (k kᵀ), on each value channel alike.
Along the N − 1 directions across k it acts as G, along k, of unit length, as G − e cᵀ: two p × p matrices have
all eigenvalues of A.
"""

import torch
from torch import Tensor

from hmlcore.explorers.steps import Steps


def eigenvalues(steps: Steps) -> tuple[Tensor, Tensor]:
    """Of every step, across its key and along it: [B, T, H, p] twice, complex."""
    e, c = steps.push, steps.reach.to(steps.push.dtype)
    across = steps.move.to(e.dtype)
    return torch.linalg.eigvals(across), torch.linalg.eigvals(across - e[..., None] * c[..., None, :])


def gain_by_lag(steps: Steps) -> Tensor:
    """‖∂S_T/∂S_{T−L}‖ / √(pN) for L = 0 … T: [B, T + 1, H], T the last token.

    That is the root mean square over states of unit size of what L steps make of them, gates held fixed; as
    of a gradient that runs backward through them. It is 1 at L = 0.
    """
    e, k = steps.push, steps.key.to(steps.push.dtype)
    c, move = (x.to(e.dtype) for x in (steps.reach, steps.move))
    batch, length, heads, size = k.shape
    rows = e.shape[-1]
    # J [B, H, i, p, n]: the i-th row of ∂S_T/∂S_{T−L}; another step backward multiplies from the right.
    jacobian = torch.eye(rows * size, dtype=e.dtype).view(1, 1, -1, rows, size).repeat(batch, heads, 1, 1, 1)
    gains = [torch.ones(batch, heads, dtype=steps.key.dtype)]
    for t in reversed(range(length)):
        along = torch.einsum("bhipn,bhp,bhn->bhi", jacobian, e[:, t], k[:, t])
        jacobian = torch.einsum("bhipn,bhpq->bhiqn", jacobian, move[:, t])
        jacobian = jacobian - torch.einsum("bhi,bhq,bhn->bhiqn", along, c[:, t], k[:, t])
        size_now = torch.linalg.vector_norm(jacobian.flatten(2), dim=-1)
        gains.append(size_now / (rows * size) ** 0.5)
    return torch.stack(gains, 1)
