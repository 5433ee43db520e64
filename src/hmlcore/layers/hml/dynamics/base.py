"""What a token does to the memory of an HML head, for every member of the family.

A :class:`Dynamics` names the gates that it asks for, turns them into coefficients over [B, T, ...], and
runs those over a sequence or for one token. It keeps nothing: parameters belong to the layer.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.ops import hamiltonian as stepped

Named = dict[str, Tensor]


class Dynamics(ABC):
    """One way to move a memory S [B, H, p, N, D]; coefficients have a method ``map`` over their tensors."""

    rows: ClassVar[int] = 2  # p
    pairs: ClassVar[bool] = False  # value channels come in pairs, so D must be even
    # Scalars a head and token, in the order of `gate_proj`, with the biases they start from.
    gates: ClassVar[dict[str, float]]

    def add_parameters(self, layer: nn.Module) -> None:  # noqa: B027  not all learn more
        """Give `layer` what the dynamics learn beside the gates."""

    @abstractmethod
    def coefficients(
        self, layer: nn.Module, x: Tensor, log_alpha: Tensor, raw: Named
    ) -> tuple[NamedTuple, Named]:
        """Coefficients and named gates from x [B, T, d_model] and the gates before their nonlinearity,
        all in fp32 at least."""

    @abstractmethod
    def scan(
        self, r: Tensor, k: Tensor, v: Tensor, c: Any, memory: Tensor, cu_seqlens: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """A sequence: o [B, T, H, D] and the last memory.

        With `cu_seqlens`, already checked, S sequences are packed along T (then B = 1): memories are
        [S, H, p, N, D], and no sequence sees another.
        """

    @abstractmethod
    def advance(self, r: Tensor, k: Tensor, v: Tensor, c: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One token, without the time dimension: o [B, H, D] and the memory."""

    def error(self, k: Tensor, v: Tensor, c: Any, memory: Tensor) -> Tensor:
        """What `k` recalls, less `v`: [B, H, D], before the token is written."""
        return torch.einsum("bhn,bhnd->bhd", k, memory[:, :, 0]) - v

    def energies(self, layer: nn.Module, k: Tensor, v: Tensor, gates: Named, path: Tensor) -> Named:
        """The energies of the path [B, T, H, p, N, D]: ½β‖kᵀQ − v‖², and ½‖P‖² with two rows."""
        after = torch.einsum("bthn,bthnd->bthd", k, path[:, :, :, 0]) - v
        energies = {"potential": 0.5 * gates["beta"] * after.square().sum(-1)}
        if self.rows == 2:
            energies["kinetic"] = 0.5 * path[:, :, :, 1].square().sum((-2, -1))
        return energies


class Addressed(Dynamics):
    """The potential ½β‖kᵀQ − vᵀ‖² of the token's association, moved by the Hamiltonian op."""

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        return stepped.hamiltonian(
            r, k, v, c, initial_state=memory, output_final_state=True, cu_seqlens=cu_seqlens
        )

    def advance(self, r, k, v, c, memory):
        return stepped.hamiltonian_step(r, k, v, c, memory)

    def error(self, k, v, c, memory):
        return torch.einsum("bhp,bhn,bhpnd->bhd", c.c, k, memory) - v
