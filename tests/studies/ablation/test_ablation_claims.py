"""The rules of the ablations, driven to each verdict."""

import pytest
from made_up_claims import decided, made_up

from hmlcore.studies.ablation.claims import chosen_damping, integrator_is_free, penalty_does_not_help
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED


def ablations(tmp_path, **changes):
    """Variant → accuracy on copy and overwrite, .5 for those not named."""
    names = ("base", "undamped", "fixed damping", "into both", "Euler", "energy .001", "energy .01")
    runs = [
        ("hml", {"variant": name, "task": task}, [{"value": changes.get(name, 0.5)}])
        for name in names
        for task in ("copy", "overwrite")
        if task == "copy" or not name.startswith("energy")
    ]
    return made_up(tmp_path, "synthetic_ablation", runs)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"undamped": 0.4, "fixed damping": 0.4}, CONFIRMED),
        ({"undamped": 0.4}, UNDECIDED),
        ({"undamped": 0.4, "fixed damping": 0.6}, REFUTED),
    ],
)
def test_damping(tmp_path, changes, verdict):
    assert decided(chosen_damping, ablations(tmp_path, **changes))[0] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.49, CONFIRMED), (0.46, UNDECIDED), (0.6, REFUTED)])
@pytest.mark.parametrize("variant", ["Euler", "into both"])
def test_integrator_and_injection(tmp_path, variant, value, verdict):
    assert decided(integrator_is_free, ablations(tmp_path, **{variant: value}))[0] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.3, CONFIRMED), (0.54, UNDECIDED), (0.6, REFUTED)])
def test_the_better_penalty_counts(tmp_path, value, verdict):
    found = ablations(tmp_path, **{"energy .001": value, "energy .01": 0.1})
    assert decided(penalty_does_not_help, found)[0] == verdict
