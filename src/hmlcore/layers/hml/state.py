"""What an HML layer carries from call to call: the memory, and what else its options ask for."""

from typing import Any, NamedTuple

from torch import Tensor


class HMLState(NamedTuple):
    """S = (Q, P) [B, H, p, N, D] in fp32, and what the short convolution of m corrections looks back at, inputs
    [B, conv_size − 1, H(N + m(N + D))]."""

    memory: Tensor
    conv: Tensor


class RotatingState(NamedTuple):
    """An HML state with R phases; the memory of heads that turn with them is in the rotating frame."""

    memory: Tensor
    conv: Tensor
    phase: Tensor  # [B, R] in fp32, in turns, within half a turn of zero


class KickState(NamedTuple):
    """An HML state that knows where its chunk began."""

    memory: Tensor
    conv: Tensor
    clock: Tensor  # [B]: tokens of the chunk that is under way, in the memory's dtype


class RotatingKickState(NamedTuple):
    """An HML state that knows where its chunk began, with R phases."""

    memory: Tensor
    conv: Tensor
    clock: Tensor
    phase: Tensor


_STATES = (HMLState, RotatingState, KickState, RotatingKickState)
State = HMLState | RotatingState | KickState | RotatingKickState
_KINDS = {kind._fields: kind for kind in _STATES}


def make_state(parts: dict[str, Tensor]) -> State:
    """The state that has these parts, in their order."""
    return _KINDS[tuple(parts)](**parts)


def phase_of(state: Any) -> Tensor:
    """The phases of a state that has them, as `check_state` has seen."""
    return state.phase
