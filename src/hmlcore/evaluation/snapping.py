"""Which lattice of turns each rotor of a trained model is snapped to: a choice on validation data."""

import itertools
from collections.abc import Callable, Iterable, Sequence

from torch import nn

from hmlcore.checks import check_int, check_tuple
from hmlcore.layers import HML


def rotor_layers(model: nn.Module) -> list[HML]:
    """The layers of `model` that have rotors."""
    return [m for m in model.modules() if isinstance(m, HML) and m.rotor_proj is not None]


def choose_lattices(model: nn.Module, lattices: Iterable[int], loss: Callable[[], float]) -> list[int]:
    """Snap each rotor of `model` to that of `lattices`, or to none (0), which lowers the loss most.

    First all alike, since rotors may answer together; then one rotor after another, until none improves. Only
    what is strictly better is taken, so that ties go to less rounding.

    Args: loss, of the model as it is, on validation data longer than those of training: what a learned turn
        misses adds up over the sequence, so that it shows there.
    Returns: the lattice of every rotor, layer after layer; the model is left with them.
    Raises: HmlcoreError for a lattice below 1.
    """
    lattices, layers = check_tuple("lattices", lattices, check_int), rotor_layers(model)
    counts = [len(layer.get_buffer("rotation.lattice")) for layer in layers]

    def snapped(chosen: Sequence[int]) -> float:
        parts = iter(chosen)
        for layer, count in zip(layers, counts, strict=True):
            layer.snap([next(parts) for _ in range(count)])
        return loss()

    total = sum(counts)
    if not total:
        return []
    alike = {(lattice,) * total: snapped((lattice,) * total) for lattice in (0, *lattices)}
    best = min(alike, key=alike.__getitem__)
    least, improves = alike[best], True
    while improves:
        improves = False
        for rotor, lattice in itertools.product(range(total), (0, *lattices)):
            tried = (*best[:rotor], lattice, *best[rotor + 1 :])
            if tried != best and (found := snapped(tried)) < least:
                best, least, improves = tried, found, True
    snapped(best)
    return list(best)
