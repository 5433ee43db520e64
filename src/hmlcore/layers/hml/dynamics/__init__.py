"""What a token does to the memory of a head: the members of the family, one module a kind."""

from hmlcore.checks import check_choice
from hmlcore.layers.hml.dynamics.base import Dynamics
from hmlcore.layers.hml.dynamics.delta import Delta
from hmlcore.layers.hml.dynamics.kick import Kick
from hmlcore.layers.hml.dynamics.leapfrog import Euler, Leapfrog
from hmlcore.layers.hml.dynamics.nonlinear import Mlp, Sep
from hmlcore.layers.hml.dynamics.oscillator import Oscillator
from hmlcore.layers.hml.dynamics.quad import Quad

FAMILY: dict[str, type[Dynamics]] = {
    "leapfrog": Leapfrog,
    "euler": Euler,
    "delta": Delta,
    "oscillator": Oscillator,
    "quad": Quad,
    "sep": Sep,
    "mlp": Mlp,
    "kick": Kick,
}


def dynamics_class(name: str) -> type[Dynamics]:
    """The member of the family called `name`; an unknown name is refused with the list of known ones."""
    return FAMILY[check_choice("dynamics", name, FAMILY)]
