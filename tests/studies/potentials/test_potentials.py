"""The rules of nonlinear potentials, driven to each verdict; their grid, table and figure."""

import pytest
from made_up_claims import decided, made_up

from hmlcore.studies import protocol
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.potentials import DYNAMICS
from hmlcore.studies.potentials.claims import (
    addressed_wells_recall_more,
    learned_recalls_more,
    no_fixed_well_counts,
)


def wells(tmp_path, **scores):
    """Dynamics → accuracy on recall and on sums at 128 symbols, .4 where not named."""
    train = {
        "recall": [{"task": "mqar", "pairs": 8}],
        "sums modulo 3": [{"task": "word_problem", "length": 32}],
    }
    runs = [
        (
            "hml",
            {"variant": name, "task": task, "train": train[task]},
            [{"value": scores.get(name, 0.4), "length": length, "pairs": 8} for length in (32, 128)],
        )
        for name in DYNAMICS
        for task in train
    ]
    return made_up(tmp_path, "potentials", runs)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"leapfrog": 0.6, "oscillator": 0.7}, CONFIRMED),
        ({"leapfrog": 0.43, "oscillator": 0.7}, UNDECIDED),
        ({"oscillator": 0.7}, REFUTED),
        ({"leapfrog": 0.6, "oscillator": 0.7, "mlp": 0.65}, REFUTED),
    ],
)
def test_addressed_wells(tmp_path, scores, verdict):
    assert decided(addressed_wells_recall_more, wells(tmp_path, **scores))[0] == verdict


@pytest.mark.parametrize(
    ("mlp", "verdict"), [(0.43, CONFIRMED), (0.41, UNDECIDED), (0.4, REFUTED), (0.3, REFUTED)]
)
def test_a_learned_well(tmp_path, mlp, verdict):
    assert decided(learned_recalls_more, wells(tmp_path, mlp=mlp))[0] == verdict


@pytest.mark.parametrize(("kick", "verdict"), [(0.4, CONFIRMED), (0.6, UNDECIDED), (0.95, REFUTED)])
def test_no_fixed_well(tmp_path, kick, verdict):
    assert decided(no_fixed_well_counts, wells(tmp_path, kick=kick, oscillator=1.0))[0] == verdict


@pytest.mark.parametrize("profile", PROFILES)
def test_equal_floats_of_memory_and_parameters(profile):
    """p·H·N² floats: the one complex row has twice the heads of two rows."""
    specs = protocol("potentials").grid(profile)
    floats = set()
    for spec in specs:
        given = spec["model"]["mixer_args"]
        rows = 1 if given["dynamics"] == "oscillator" else 2
        floats.add(rows * given["num_heads"] * given["head_dim"] ** 2)
    assert len(floats) == 1
    for task in ("recall", "sums modulo 3"):
        assert len({s["model"]["target_parameters"] for s in specs if s["task"] == task}) == 1
