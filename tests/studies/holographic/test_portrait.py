"""What is looked into: slots in use, a trace token by token, and a state that is stored in fewer bits."""

import pytest
import torch

from hmlcore.evaluation.metrics import evaluate
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.studies.holographic.portrait import STORED, read_as_stored, slots_in_use, trace
from hmlcore.tasks import build_task

TASK = build_task("mqar", length=8, pairs=2, vocab=10)
GIVEN = {"holographic": {"dim": 8, "slots": 4}, "holographic_legacy": {"dim": 8, "slots": 4}}


def model(mixer):
    torch.manual_seed(1)
    return Backbone(BackboneConfig(10, mixer, d_model=8, layers=2, mixer_args=GIVEN[mixer])).eval()


def test_slots_in_use_counts_contents_and_not_norms():
    assert slots_in_use(torch.eye(4, 9)) == pytest.approx(4)
    assert slots_in_use(torch.ones(4, 9)) == pytest.approx(1)  # as large, and all the same
    assert slots_in_use(torch.eye(4, 9) * torch.tensor([1.0, 1, 0, 0])[:, None]) == pytest.approx(2)
    assert slots_in_use(torch.zeros(4, 9)) == 0


@pytest.mark.parametrize("mixer", GIVEN)
def test_a_trace_has_every_slot_of_every_block_and_answers_where_they_are_asked_for(mixer):
    rows = trace(model(mixer), TASK)
    assert len(rows) == 8 * 2 * 4
    asked = {row["t"] for row in rows if row["right"] == row["right"]}
    assert asked == set((TASK.batch("test", 0, 1, 0).targets[0] >= 0).nonzero().flatten().tolist())
    assert all(0 < row["right"] + row["wrong"] < 1 for row in rows if row["t"] in asked)
    assert all(0 < row["keep"] <= 1 and 0 <= row["write"] <= 1 for row in rows)
    assert {0.0} < {row["write"] for row in rows} or mixer == "holographic_legacy"  # one slot takes a token


def test_a_state_as_it_is_reads_as_the_model_does_and_fewer_bits_differently():
    own = model("holographic")
    rows = {row["stored"]: row for row in read_as_stored(own, TASK, 256)}
    assert tuple(rows) == STORED
    assert rows["fp32"]["value"] == pytest.approx(
        evaluate(own, TASK, "test", 256, 32, torch.device("cpu")).accuracy, abs=1e-12
    )
    assert {row["n"] for row in rows.values()} == {512}
    assert rows["signs"]["value"] != rows["fp32"]["value"]
