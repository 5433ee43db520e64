"""The lattices with the least loss are chosen, rotor by rotor, and the model is left with them."""

import itertools

import pytest
import torch

from hmlcore.evaluation.snapping import choose_lattices, rotor_layers
from hmlcore.models import Backbone, BackboneConfig


def make(**arguments):
    return Backbone(BackboneConfig(4, "hml", 8, 2, 8, {"num_heads": 2, **arguments}))


def chosen(wanted, weight=(1, 1, 1, 1)):
    """What is chosen where every rotor costs its weight unless it is at its wanted lattice."""
    model = make(rotors=2)

    def lattices():
        return torch.cat([layer.rotation.lattice for layer in rotor_layers(model)]).tolist()

    def loss():
        return sum(w for own, best, w in zip(lattices(), wanted, weight, strict=True) if own != best)

    found = choose_lattices(model, (60, 84), loss)
    assert found == lattices()
    return found


@pytest.mark.parametrize("wanted", list(itertools.product((0, 60, 84), repeat=4)))
def test_each_rotor_gets_the_lattice_that_is_best_for_it(wanted):
    assert chosen(wanted) == list(wanted)


def test_ties_go_to_less_rounding():
    assert chosen((60, 84, 60, 84), (0, 0, 0, 0)) == [0, 0, 0, 0]


def test_what_is_good_only_together_is_found():
    """Two rotors that answer by their difference: one alone on a lattice is worse than none."""
    model = make(rotors=1)
    pair = rotor_layers(model)

    def loss():
        a, b = (int(layer.rotation.lattice) for layer in pair)
        return {(0, 0): 2, (60, 60): 1}.get((a, b), 3)

    assert choose_lattices(model, (60, 84), loss) == [60, 60]


def test_without_rotors_nothing_is_tried():
    assert choose_lattices(make(rotation_heads=1), (60,), lambda: 1 / 0) == []
