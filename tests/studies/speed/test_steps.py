"""Training steps side by side: models of one size, and a ratio to each layout of gated DeltaNet."""

import pytest
import torch

from hmlcore.models import Backbone
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.speed import steps


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_compared_is_equally_large_and_remembers_as_much(profile):
    with torch.device("meta"):
        models = [Backbone(config) for config in steps.models(profile).values()]
    counts = [model.parameter_count for model in models]
    assert max(counts) <= (1.05 if profile == "smoke" else 1.01) * min(counts)
    memories = {model.init_state(1)[0].memory.numel() for model in models}
    assert len(memories) == 1
    if profile == "laptop":
        assert counts[0] == pytest.approx(1.147e6, rel=0.01)


def test_a_reader_sees_the_ratio_to_both_layouts():
    title, head, *lines = steps.step_table("smoke", torch.device("cpu")).splitlines()
    assert "64 tokens" in title and "published" in head and "as HML" in head
    rows = {line[2:30].strip(): [float(x) for x in line[30:].split()] for line in lines}
    assert list(rows) == list(steps.models("smoke"))
    for ms, *ratios in rows.values():
        layouts = (rows[name][0] for name in rows if name.startswith("gated_deltanet"))
        assert ratios == pytest.approx([ms / other for other in layouts], abs=0.1, rel=0.1)
