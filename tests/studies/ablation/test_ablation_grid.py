"""The ablations' grid: the base and each of its factors, penalties on energy where there are blanks."""

import pytest

from hmlcore.studies.ablation.grid import FACTORS, grid
from hmlcore.studies.kit.study import PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_every_factor_is_changed_on_every_task(profile):
    found = {task: {s["variant"] for s in grid(profile) if s["task"] == task} for task in ("copy", "overwrite")}
    assert found["copy"] == set(FACTORS)
    assert found["overwrite"] == {v for v, (factor, _) in FACTORS.items() if factor != "A4"}
    for spec in grid(profile):
        assert ("energy_penalty" in spec) == (FACTORS[spec["variant"]][0] == "A4")
