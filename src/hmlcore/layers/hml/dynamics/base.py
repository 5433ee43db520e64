"""What every member of the family answers, and what those share whose potential is the token's association."""

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.checks import check_optional, check_positive
from hmlcore.ops import hamiltonian as ops

Named = dict[str, Tensor]


class Dynamics(nn.Module, ABC):
    """One way to move the memories S [B, H, p, N, D] of H heads, D = N, by a token.

    It names the gates that it asks for, turns them into coefficients over [B, T, ...], which have a method
    ``map`` over what every token has its own of, and runs those over a sequence or for one token. It owns
    what it learns beside the gates. Its options are the keyword arguments of its constructor.
    """

    rows: ClassVar[int] = 2  # p
    pairs: ClassVar[bool] = False  # value channels come in pairs, so D must be even
    corrects: ClassVar[bool] = False  # a step is one correction of one row, and a token may make several
    turns_with_values: ClassVar[bool] = True  # a phase on value pairs commutes with a step
    # Scalars a head and token, in the order of the layer's `gate_proj`, with the biases they start from.
    gates: ClassVar[dict[str, float]]

    def __init__(self, d_model: int, num_heads: int, head_dim: int):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, head_dim

    @classmethod
    def options(cls) -> list[str]:
        """Names of the options."""
        parameters = inspect.signature(cls).parameters.values()
        return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

    @abstractmethod
    def coefficients(self, x: Tensor, log_alpha: Tensor, raw: Named) -> tuple[NamedTuple, Named]:
        """Coefficients and named gates from x [B, T, d_model] and the gates before their nonlinearity,
        all in fp32 at least. With m corrections a token the gates are over [B, T·m, H]."""

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

    def extra_state(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Parts of the state of `batch` sequences beside memory and convolution, and their shapes."""
        return {}

    def enter(self, c: Any, state: Any, bounds: list[int] | None = None) -> Any:
        """The coefficients `c` of a sequence that goes on from `state`, or of several packed at `bounds`."""
        return c

    def leave(self, c: Any, bounds: list[int] | None = None) -> Named:
        """What :meth:`extra_state` names, after the last token of each sequence; `c` as entered."""
        return {}

    def multiply_adds(self) -> float:
        """Of a token, beyond what p rows of memory cost all."""
        return 0.0

    def error(self, k: Tensor, v: Tensor, c: Any, memory: Tensor) -> Tensor:
        """What `k` recalls, less `v`: [B, H, D], before the token is written."""
        return torch.einsum("bhn,bhnd->bhd", k, memory[:, :, 0]) - v

    def energies(self, k: Tensor, v: Tensor, gates: Named, path: Tensor) -> Named:
        """The energies of the path [B, T, H, p, N, D]: ½β‖kᵀQ − v‖², and ½‖P‖² with two rows."""
        after = torch.einsum("bthn,bthnd->bthd", k, path[:, :, :, 0]) - v
        energies = {"potential": 0.5 * gates["beta"] * after.square().sum(-1)}
        if self.rows == 2:
            energies["kinetic"] = 0.5 * path[:, :, :, 1].square().sum((-2, -1))
        return energies


class Addressed(Dynamics):
    """The potential ½β‖kᵀQ − vᵀ‖² of the token's association, moved by the Hamiltonian op."""

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        return ops.hamiltonian(r, k, v, c, initial_state=memory, output_final_state=True, cu_seqlens=cu_seqlens)

    def advance(self, r, k, v, c, memory):
        return ops.hamiltonian_step(r, k, v, c, memory)

    def error(self, k, v, c, memory):
        return torch.einsum("bhp,bhn,bhpnd->bhd", c.c, k, memory) - v


def check_damping(damping: float | None) -> float | None:
    """A damping is None or in (0, 1]."""
    return check_optional("damping", damping, check_positive, 1)


def damped(damping: float | None, log_alpha: Tensor, log_kept: Tensor) -> tuple[Tensor, Tensor]:
    """log α and the log of what a step keeps, γ or ρ: as tokens choose, or 0 and `damping` for every token."""
    if damping is None:
        return log_alpha, log_kept
    return torch.zeros_like(log_alpha), torch.full_like(log_kept, math.log(damping))
