"""Honest recall: what one who knows is given, what controls have for nothing, and the source's metric."""

import numpy as np
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.planted_recall import controls, recall
from hmlcore.models import Backbone, BackboneConfig, SparseConfig
from hmlcore.tasks.base import IGNORE
from hmlcore.tasks.planted import Planted

TASK = Planted(facts=4, distance=300, vocab=128)


class Knowing(Backbone):
    """Says what the stream will say: all right, or all wrong by one."""

    def __init__(self, off=0):
        super().__init__(BackboneConfig(TASK.vocab, "gru", 8, 1, 8))
        self.off, self.row = off, TASK.questions("test", 0)

    def hidden(self, tokens, state=None, cu_seqlens=None):
        at = 0 if state is None else int(state[-1])
        wanted = torch.from_numpy(self.row.targets[:, at : at + tokens.shape[1]])
        return (wanted.clamp_min(0) + self.off)[..., None].float(), [torch.tensor(at + tokens.shape[1])]

    def logits(self, hidden):
        return torch.nn.functional.one_hot(hidden[..., 0].long() % TASK.vocab, TASK.vocab).float()


@pytest.mark.parametrize("stretch", [64, 4096])
def test_who_knows_is_right_and_who_is_off_by_one_is_wrong(stretch):
    for off in (0, 1):
        found = recall(Knowing(off), TASK, "test", 1, stretch)
        assert {k: v.tolist() for k, v in found.hits.items()} == {k: [off == 0] * 4 for k in TASK.kinds}
        assert found.gated == found.written == 0


def test_all_of_an_answer_must_be_right():
    model = Knowing()
    at = model.row.at[0][model.row.kind[0] == TASK.kinds.index("uuid")]
    model.row.targets[0, at[0] + 7] = (model.row.targets[0, at[0] + 7] + 1) % TASK.vocab
    found = recall(model, TASK, "test", 1)
    assert found.hits["uuid"].tolist() == [False, True, True, True]


def test_rows_from_another_first():
    """The row that is known is found where it lies, and no other is."""
    model = Knowing()
    model.row = TASK.questions("test", 2)
    assert all(recall(model, TASK, "test", 1, first=2).hits[kind].all() for kind in TASK.kinds)
    assert not recall(model, TASK, "test", 1).hits["uuid"].any()
    apart = [controls(TASK, "test", 1, first)["unigram"] for first in range(3)]
    whole = controls(TASK, "test", 3)["unigram"]
    assert whole == pytest.approx({kind: np.mean([one[kind] for one in apart]) for kind in TASK.kinds})
    for asked in (recall, controls):
        with pytest.raises(HmlcoreError, match="first must be at least 0, got -1"):
            asked(*([model] if asked is recall else []), TASK, "test", 1, first=-1)


def test_controls():
    found = controls(TASK, "test", 3)
    assert all(value == 1 for value in found["oracle"].values())
    assert all(value == 0 for value in found["echo"].values())
    assert found["chance"]["rare"] == 1 / 16 and found["chance"]["uuid"] == 16.0**-8
    assert all(found["unigram"][k] >= 1 / 4 for k in ("rare", "uuid"))  # the best of four, in hindsight


def test_the_sources_metric_is_near_trivial():
    """An untrained model that writes at random finds nearly all if asked by the answer itself, else nothing."""
    torch.manual_seed(0)
    model = SparseConfig(
        TASK.vocab, d_model=16, layers=1, d_ff=16, mixer_args={"window": 64, "num_heads": 2}, chunk=64,
        buckets=64, ways=16, slot_dim=8, gate="random", density=0.5, merge=1.0,
    ).build()  # fmt: skip
    task = Planted(kinds=("rare", "common"), facts=16, distance=1500, vocab=TASK.vocab)
    found = recall(model, task, "test", 2)
    honest, legacy = (np.concatenate(list(x.values())).mean() for x in (found.hits, found.legacy))
    assert legacy > 0.85 and honest < 0.1
    assert 0.4 < found.gated < 0.6 and 0.3 < found.written <= found.gated
    assert (task.questions("test", 0).answer[0, :, 1:] == IGNORE).all()
