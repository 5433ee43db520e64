"""Every argument of everything public, given what means nothing: used, or refused in one line that names it."""

import numpy as np
import pytest
import torch
from bad_values import answers

from hmlcore.layers import MIXERS, build_mixer
from hmlcore.layers.hml import FAMILY

WIDTH = 8
MIXERS_AND_DYNAMICS = {
    **{name: (name, {}) for name in MIXERS},
    **{f"hml-{dynamics}": ("hml", {"dynamics": dynamics}) for dynamics in FAMILY},
    "linoss-im": ("linoss", {"dynamics": "im"}),
    "hml-rotors": ("hml", {"rotors": 2}),
}


def read(mixer):
    x = torch.randn(1, 3, mixer.d_model, generator=torch.Generator().manual_seed(0))
    assert mixer(x)[0].isfinite().all()


@pytest.mark.parametrize("case", MIXERS_AND_DYNAMICS)
def test_mixers(case):
    name, given = MIXERS_AND_DYNAMICS[case]
    arguments = MIXERS[name].arguments(**given)

    def build(**bad):
        return build_mixer(name, **{"d_model": WIDTH, **given, **bad})

    read(build())
    assert answers(build, ["d_model", *arguments], read) == []


def test_the_registry_of_mixers():
    assert answers(lambda mixer: build_mixer(mixer, WIDTH), ["mixer"]) == []


@pytest.mark.parametrize("scalar", [np.int64, torch.tensor])
def test_sizes_of_numpy_and_torch_are_sizes(scalar):
    """What is kept of them is a plain number, which a spec and a saved model can hold."""
    for name, mixer in MIXERS.items():
        plain = {"conv_size": 2, **({"num_heads": 2} if "num_heads" in mixer.arguments() else {})}
        torch.manual_seed(0)
        wanted = build_mixer(name, WIDTH, **plain)
        torch.manual_seed(0)
        found = build_mixer(name, scalar(WIDTH), **{key: scalar(value) for key, value in plain.items()})
        assert found.state_dict().keys() == wanted.state_dict().keys()
        assert all(torch.equal(x, wanted.state_dict()[key]) for key, x in found.state_dict().items())
        numbers = {key: type(value) for key, value in vars(wanted).items() if isinstance(value, int | float)}
        assert numbers == {key: type(vars(found)[key]) for key in numbers}
