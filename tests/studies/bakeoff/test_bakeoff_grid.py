"""The bake-off's grid: every variant of its own, at equal bytes; and what came of it in the package."""

import inspect
from collections import defaultdict

import pytest
import torch

from hmlcore import paths
from hmlcore.layers import build_mixer
from hmlcore.layers.hml import FAMILY, HML
from hmlcore.results import Store
from hmlcore.studies import folder_of, get_experiment
from hmlcore.studies.bakeoff.claims import winner
from hmlcore.studies.bakeoff.grid import VARIANTS, grid, variant_arguments
from hmlcore.studies.kit.comparison import read_rates, task_from
from hmlcore.studies.kit.study import PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_the_bakeoff_has_equal_bytes_of_memory_and_every_variant_its_own_dynamics(profile):
    floats, built = defaultdict(set), {}
    for s in grid(profile):
        if s["seed"] or (s["task"], s["variant"]) in built:
            continue
        with torch.device("meta"):
            mixer = build_mixer("hml", s["model"]["d_model"], **s["model"]["mixer_args"])
        built[s["task"], s["variant"]] = mixer
        floats[s["task"]].add(mixer.init_state(1).memory.numel())
        turning = mixer.turning
        assert (turning * 4 == mixer.num_heads or mixer.num_heads == 2) or not turning
        assert bool(turning) == ("rotation" in s["variant"])
        assert s["variant"].startswith(mixer.dynamics)
    assert len(floats) == 5 and all(len(found) == 1 for found in floats.values())
    assert len({str(variant_arguments(v, 4, 8)) for v in VARIANTS}) == len(VARIANTS) == 9


def test_the_bakeoff_tests_beyond_the_lengths_of_training_where_it_says_so():
    for s in grid("laptop"):
        trained = max(task_from(t).length for t in s["train"])
        tested = max(task_from(e).length for e in s["evaluate"] if e["split"] == "test")
        assert (tested >= 4 * trained) == (s["task"] in ("needle", "modular sums", "text"))


def test_every_variant_was_tuned_on_every_task():
    (cases,) = read_rates(folder_of("bakeoff"))["laptop"].values()
    tasks = {s["task"] for s in grid("laptop")}
    assert cases.keys() == {f"{task}, {variant}" for task in tasks for variant in VARIANTS} and len(cases) == 45
    assert all(rates.keys() == {"hml"} for rates in cases.values())


def test_the_winner_is_what_its_dynamics_are_when_nobody_asks():
    """The second bake-off decides what the layer is; of an oscillator this one decided the angles."""
    best = winner(get_experiment("bakeoff").load(Store(paths.root() / "results"), "laptop"))
    wanted = {"rotation_heads": 0, "theta": "head"} | VARIANTS[best]
    given = inspect.signature(HML).parameters | inspect.signature(FAMILY[wanted.pop("dynamics")]).parameters
    assert not wanted["rotation_heads"], "a share of the heads, to be compared with their number"
    assert {name: given[name].default for name in wanted} == wanted
