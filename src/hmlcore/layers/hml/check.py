"""What an HML layer refuses before work starts: operands, states and gates that do not fit."""

from collections.abc import Iterable

import torch
from torch import Tensor

from hmlcore.checks import check_choice, check_int, check_optional, check_positive
from hmlcore.errors import require
from hmlcore.layers.decay import DECAYS
from hmlcore.layers.hml.state import State
from hmlcore.ops.finite import asked, check_finite

# Their scales are a list, which is made even where tensors are only planned.
_MOST_ROTORS = 2**16
MEANING = {"phase": " (a phase for each rotor or rotating head)"}


def check_rotation_heads(count: int, dynamics: str, kind: type, num_heads: int, head_dim: int) -> int:
    """Refuse more rotating heads than heads, forces that do not turn along, and channels without a partner."""
    count = check_int("rotation_heads", count, 0)
    require(count <= num_heads, f"rotation_heads must be between 0 and num_heads = {num_heads}, got {count}")
    require(
        not count or kind.turns_with_values,
        f"rotation_heads must be 0 with dynamics={dynamics!r}, whose forces are not linear, got {count}",
    )
    require(
        head_dim % 2 == 0 or not (count or kind.pairs),
        f"head_dim must be even to hold pairs of value channels, got {head_dim}",
    )
    return count


def check_corrections(count: int, dynamics: str, kind: type) -> int:
    """Refuse several corrections of a state with two rows, whose step of time they would be besides."""
    count = check_int("corrections", count)
    require(
        count == 1 or kind.corrects,
        f"corrections must be 1 with dynamics={dynamics!r}, which is no correction of one row, got {count}",
    )
    return count


def check_decay(decay: str, dynamics: str, kind: type, damping: float | None) -> bool:
    """Whether decay is by channel; refused of dynamics of two rows, and where nothing decays."""
    by_channel = check_choice("decay", decay, DECAYS) == "channel"
    require(
        not by_channel or kind.corrects,
        f"decay must be 'head' with dynamics={dynamics!r}, which is no correction of one row, got {decay!r}",
    )
    require(
        not by_channel or damping is None,
        f"decay must be 'head' with a fixed damping, beside which nothing decays, got {decay!r}",
    )
    return by_channel


def check_rotors(count: int, start: float | None, rotation_heads: int) -> tuple[int, float | None]:
    """Refuse fewer rotors than turn heads, and a start where there is none."""
    count = check_int("rotors", count, 0, _MOST_ROTORS)
    require(
        count == 0 or count >= rotation_heads,
        f"rotors must be 0 or at least rotation_heads = {rotation_heads}, got {count}",
    )
    start = check_optional("rotor_start", start, check_positive, 1)
    require(start is None or count > 0, f"rotor_start needs rotors, got {start} with rotors = 0")
    return count, start


def check_operand(x: Tensor, weight: Tensor) -> None:
    """Refuse x that is not of the weights' device and dtype; autocast may bring fp32 and narrower together."""
    require(x.device == weight.device, f"x is on {x.device} but the layer is on {weight.device}")
    mixed = torch.is_autocast_enabled(x.device.type) and torch.float64 not in (x.dtype, weight.dtype)
    require(
        x.dtype == weight.dtype or (mixed and x.is_floating_point()),
        f"x must have the dtype of the layer's weights, {weight.dtype}, got {x.dtype}",
    )


def check_state(state: State, wanted: dict[str, tuple[int, ...]], x: Tensor) -> Tensor:
    """Refuse a state of another layer, of another number of sequences, or of another device than x.

    Args: wanted, part of the state → its shape.
    Returns: the memory in fp32, or wider if it is.
    Raises: HmlcoreError naming the part, its shape and what the shape must be.
    """
    for name, shape in wanted.items():
        part = getattr(state, name, None)
        found = None if part is None else tuple(part.shape)
        require(found == shape, f"state.{name} must have shape {shape}{MEANING.get(name, '')}, got {found}")
        assert part is not None  # it has a shape
        require(part.is_floating_point(), f"state.{name} must be of floating point, got {part.dtype}")
        require(part.device == x.device, f"state.{name} is on {part.device} but x is on {x.device}")
    require(
        "phase" in wanted or getattr(state, "phase", None) is None,
        "state.phase is given, but the layer has no rotors or rotation_heads and keeps none",
    )
    return state.memory.to(torch.promote_types(state.memory.dtype, torch.float32))


def check_gates(gates: Tensor, names: Iterable[str]) -> None:
    """Refuse gates [..., G, H], before their nonlinearities, that are not finite: a sigmoid would hide an
    infinity. Only with ``HMLCORE_CHECK_GATES=1``: else they go their way (`ops/finite.py`)."""
    if asked():
        for name, x in zip(names, gates.unbind(-2), strict=True):
            check_finite(**{f"gate {name} (of x, before its nonlinearity)": x})
