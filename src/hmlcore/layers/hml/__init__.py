"""The Hamiltonian Memory Layer: the layer, what a token does to its memory, and what it records and refuses."""

from hmlcore.layers.hml.dynamics import FAMILY
from hmlcore.layers.hml.layer import HML
from hmlcore.layers.hml.state import HMLState, KickState, RotatingState

__all__ = ["FAMILY", "HML", "HMLState", "KickState", "RotatingState"]
