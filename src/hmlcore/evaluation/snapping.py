"""Which lattice of turns a trained model's rotors are snapped to: a choice on validation data."""

from collections.abc import Callable, Iterable

from torch import nn

from hmlcore.checks import check_int, check_tuple
from hmlcore.layers import HML


def rotor_layers(model: nn.Module) -> list[HML]:
    """The layers of `model` that have rotors."""
    return [m for m in model.modules() if isinstance(m, HML) and m.rotor_proj is not None]


def choose_lattice(model: nn.Module, lattices: Iterable[int], loss: Callable[[], float]) -> int:
    """Snap all rotors of `model` to the one of `lattices` with the least loss; to none, if none is better.

    Args: loss, of the model as it is, on validation data longer than those of training: what a learned turn
        misses adds up over the sequence, so that it shows there.
    Returns: the lattice, 0 where nothing is rounded; the model is left with it.
    Raises: HmlcoreError for a lattice below 1.
    """
    lattices, layers = check_tuple("lattices", lattices, check_int), rotor_layers(model)
    if not layers:
        return 0

    def snapped(lattice: int) -> float:
        for layer in layers:
            layer.snap(lattice or None)
        return loss()

    losses = {lattice: snapped(lattice) for lattice in (0, *lattices)}
    best = min(losses, key=losses.get)  # the first of equals: none, then as they are listed
    for layer in layers:
        layer.snap(best or None)
    return best
