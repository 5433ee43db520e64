"""The lattice with the least loss is chosen, and the model is left with it."""

import pytest

from hmlcore.evaluation.snapping import choose_lattice, rotor_layers
from hmlcore.models import Backbone, BackboneConfig


@pytest.mark.parametrize(
    ("losses", "best"), [({0: 3, 60: 2, 84: 1}, 84), ({0: 1, 60: 1, 84: 2}, 0), ({0: 3, 60: 2, 84: 2}, 60)]
)
def test_the_least_loss_decides_and_ties_go_to_less_rounding(losses, best):
    model = Backbone(BackboneConfig(4, "hml", 8, 2, 8, {"num_heads": 2, "rotors": 2}))
    layers = rotor_layers(model)
    assert len(layers) == 2
    lattice = lambda: {int(layer.rotation.lattice) for layer in layers}  # noqa: E731

    def loss():
        (own,) = lattice()
        return losses[own]

    assert choose_lattice(model, (60, 84), loss) == best and lattice() == {best}


def test_without_rotors_nothing_is_tried():
    model = Backbone(BackboneConfig(4, "hml", 8, 1, 8, {"num_heads": 2, "rotation_heads": 1}))
    assert choose_lattice(model, (60,), lambda: 1 / 0) == 0
