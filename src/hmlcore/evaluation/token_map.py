r"""What one token does to a matrix memory, as a linear map that can be iterated, inverted and averaged.

With constant gates and a unit key k, every dynamics of the matrix memory moves its p rows by

    S ← A S + e ⊗ k vᵀ,   A = G ⊗ (I − kkᵀ) + M ⊗ kkᵀ,   M = G − e cᵀ

in the notation of ``ops/hamiltonian/README.md``: G acts on what the key does not address, M along it. The
oscillator's one row is complex. If v_t = k_tᵀS* for one S*, then S − S* obeys the map with v = 0: what grows
there is the memory's own error, not its content.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_choice, check_int, check_list, check_number, check_seed
from hmlcore.errors import HmlcoreError, require
from hmlcore.ops import hamiltonian as stepped
from hmlcore.ops.oscillator import write_strength

KNOBS = {
    "leapfrog": ("eta", "gamma"),
    "euler": ("eta", "gamma"),
    "delta": ("eta",),
    "oscillator": ("rho", "theta"),
}
"""The dynamics of the matrix memory, and what each depends on besides the forgetting α."""


_ALLOWED = {
    "eta": (0.0, 100.0),
    "gamma": (0.0, 1.0),
    "rho": (0.0, 1.0),
    "theta": (-torch.pi, torch.pi),
    "alpha": (0.0, 1.0),
}


@dataclass(frozen=True)
class TokenMap:
    """M maps at once, over the same keys.

    Attributes:
        still: G [M, p, p]. along: the same on the key's own direction, [M, p, p]. write: e [M, p].
    """

    still: Tensor
    along: Tensor
    write: Tensor

    @property
    def rows(self) -> int:
        """p, of phase space: 2 for a pair (Q, P), 1 for one row, complex for the oscillator."""
        return self.still.shape[-1]

    def to(self, dtype: torch.dtype) -> "TokenMap":
        """The same in another precision; complex where it is complex."""
        dtype = dtype.to_complex() if self.still.is_complex() else dtype
        return TokenMap(self.still.to(dtype), self.along.to(dtype), self.write.to(dtype))

    def inverse(self) -> "TokenMap":
        """The map that undoes this one; `write` is kept, see :meth:`undo`.

        Raises: HmlcoreError where a token erases (γ, α or 1 − β is 0).
        """
        smallest = min(float(torch.linalg.svdvals(m).min()) for m in (self.still, self.along))
        require(smallest > 0, "a map that erases (gamma, alpha, rho or 1 - eta is 0) cannot be undone")
        return TokenMap(torch.linalg.inv(self.still), torch.linalg.inv(self.along), self.write)

    def step(self, k: Tensor, state: Tensor, v: Tensor | None = None) -> Tensor:
        """One token. k [B, N], state [M, p, B, N, D], v [B, D] or None for zero → the new state."""
        moved = self._applied(k, state)
        return moved if v is None else moved + self._written(k, v)

    def undo(self, k: Tensor, state: Tensor, v: Tensor | None = None) -> Tensor:
        """What :meth:`inverse` does to the state after a token, to return the state before it."""
        return self._applied(k, state if v is None else state - self._written(k, v))

    def _applied(self, k: Tensor, state: Tensor) -> Tensor:
        k = k.to(state.dtype)[..., None]
        seen = (k * state).sum(-2)
        change = ((self.along - self.still) @ seen.flatten(2)).view_as(seen)
        moved = (self.still @ state.flatten(2)).view_as(state)
        return moved.add_(k * change[..., None, :])

    def _written(self, k: Tensor, v: Tensor) -> Tensor:
        k, v = k.to(self.write.dtype), v.to(self.write.dtype)
        return torch.einsum("mp,bn,bd->mpbnd", self.write, k, v)


def token_map(dynamics: str, alpha: float | Tensor = 1.0, **knobs: float | Tensor) -> TokenMap:
    """The maps of `dynamics` for gates of one shape [M] (or numbers), in float64; h = 1.

    Only η = βh² matters besides γ: h scales momentum. For the delta rule η is β.

    Args:
        dynamics: a name in :data:`KNOBS`.
        alpha: forgetting, 0 to 1.
        knobs: exactly those of :data:`KNOBS`: eta ≥ 0 (write strength), gamma (friction coefficient, 1 keeps
            all momentum), rho and theta (what is addressed turns by ρe^{iθ}).
    Raises: HmlcoreError for an unknown dynamics, other knobs, or a value outside its range.
    """
    wanted = KNOBS[check_choice("dynamics", dynamics, KNOBS)]
    require(
        set(knobs) == set(wanted), f"{dynamics} takes {', '.join(wanted)}, got {', '.join(knobs) or 'none'}"
    )
    values = torch.broadcast_tensors(*(_gate(name, x) for name, x in {"alpha": alpha, **knobs}.items()))
    gates: dict[str, Tensor] = dict(zip(("alpha", *knobs), values, strict=True))
    for name, x in gates.items():
        low, high = _ALLOWED[name]
        outside = x[~((x >= low) & (x <= high))]  # NaN is outside too
        if len(outside):
            raise HmlcoreError(f"{name} must be between {low:.3g} and {high:.3g}, got {float(outside[0]):g}")
    alpha = gates["alpha"]
    if dynamics == "oscillator":
        e = write_strength(gates["rho"].log(), gates["theta"])[:, None]
        still = alpha.to(e.dtype)[:, None, None]
        return TokenMap(still, still * (1 - e[..., None]), e)
    one = torch.ones_like(alpha)
    if dynamics == "delta":
        c = stepped.delta(alpha.log(), gates["eta"])
        still = alpha[:, None, None]
    else:
        step = getattr(stepped, dynamics)
        c = step(alpha.log(), gates["gamma"].log(), gates["eta"], one, torch.zeros_like(one))
        rows = (torch.stack((one, c.drift), -1), torch.stack((0 * one, gates["gamma"]), -1))
        still = alpha[:, None, None] * torch.stack(rows, -2)
    return TokenMap(still, still - c.e[..., :, None] * c.c[..., None, :], c.e)


def _gate(name: str, x: float | Sequence[float] | Tensor) -> Tensor:
    """One number or one a map, as [M]."""
    if not isinstance(x, Tensor):
        x = check_list(name, x, check_number) if isinstance(x, list | tuple) else check_number(name, x)
    return torch.atleast_1d(torch.as_tensor(x, dtype=torch.float64))


def random_keys(count: int, sequences: int, n: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit keys, uniform over the sphere: [count, sequences, n]; drawn in float64 whatever `dtype`."""
    count, sequences, n = check_int("count", count), check_int("sequences", sequences), check_int("n", n)
    g = torch.Generator().manual_seed(check_seed("seed", seed))
    return F.normalize(torch.randn(count, sequences, n, generator=g, dtype=torch.float64), dim=-1).to(dtype)


def random_state(maps: TokenMap, sequences: int, n: int, d: int, seed: int) -> Tensor:
    """States of norm 1 to start from, the same for every map: [M, p, sequences, n, d] in the maps' dtype."""
    sequences, n, d = check_int("sequences", sequences), check_int("n", n), check_int("d", d)
    g = torch.Generator().manual_seed(check_seed("seed", seed))
    wide = torch.complex128 if maps.still.is_complex() else torch.float64
    state = torch.randn(maps.rows, sequences, n, d, generator=g, dtype=wide)
    state = state / norms(state[None])[0, :, None, None]
    return state.to(maps.still.dtype).expand(len(maps.still), *state.shape).clone()


def norms(state: Tensor) -> Tensor:
    """‖S‖ of every sequence: [M, p, B, N, D] → [M, B], real."""
    return state.transpose(1, 2).flatten(2).norm(dim=2)
