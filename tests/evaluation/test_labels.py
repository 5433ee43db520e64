"""Scores of classifiers against numbers worked out by hand."""

import pytest
import torch

from hmlcore.evaluation.labels import LabelScores
from hmlcore.evaluation.metrics import evaluate
from hmlcore.models import BackboneConfig, Classifier
from hmlcore.tasks import build_task

TASK = build_task("listops", max_length=12, max_args=3, training_examples=40, held_out=24)


def test_scores_by_hand():
    """Label 0 asked 4 times, 3 right; 1 asked twice, 1 right; 2 asked never, answered once; 3 not at all."""
    scores = LabelScores(torch.tensor([[3, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert scores.sequences == 6
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.majority == pytest.approx(4 / 6)
    assert scores.macro_f1 == pytest.approx((2 * 3 / (4 + 4) + 2 * 1 / (2 + 1) + 0) / 3)


def test_every_example_is_scored_once_whatever_the_batch():
    torch.manual_seed(0)
    model = Classifier(BackboneConfig(TASK.vocab_size, "gru", 16, 1, 16), TASK.classes).train()
    batch = TASK.batch("test", 0, 24, 0)
    wanted = torch.zeros(10, 10, dtype=torch.int64)
    for row, length, label in zip(*batch, strict=True):
        wanted[label, int(model(row[None, :length]).argmax())] += 1
    for size in (24, 6, 1):
        scores = evaluate(model, TASK, "test", 24, size, torch.device("cpu"))
        assert torch.equal(scores.confusion, wanted)
    assert model.training
    assert scores.majority == pytest.approx(int(batch.labels.bincount().max()) / 24)
