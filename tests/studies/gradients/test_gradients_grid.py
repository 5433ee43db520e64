"""The gradients' grid: every mixer, and HML with each kind of damping, at the rates of the controlled tasks."""

import pytest

from hmlcore.studies import folder_of
from hmlcore.studies.gradients.grid import VARIANTS, grid
from hmlcore.studies.kit.comparison import read_rates
from hmlcore.studies.kit.study import ALL_MIXERS, PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_every_mixer_and_every_damping_is_there(profile):
    found = {(s["variant"], s["mixer"]) for s in grid(profile)}
    assert found == {(mixer, mixer) for mixer in ALL_MIXERS} | {(variant, "hml") for variant in VARIANTS}


def test_each_has_the_rate_that_was_chosen_for_it_on_copy():
    chosen = read_rates(folder_of("synthetic_gradient"))["laptop"]["synthetic_gradient"]["copy"]
    assert chosen.keys() == set(ALL_MIXERS)
    for spec in grid("laptop"):
        assert spec["lr"] == chosen[spec["mixer"]], spec["variant"]
