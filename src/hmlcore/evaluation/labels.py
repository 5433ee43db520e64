"""What a trained classifier scores: the confusion matrix, from which accuracy and macro-F1 follow."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmlcore.checks import check_choice, check_int
from hmlcore.models import Classifier
from hmlcore.tasks import SPLITS, LabelledTask


@dataclass
class LabelScores:
    """confusion [classes, classes]: how many examples of each label (rows) got each answer (columns)."""

    confusion: Tensor

    @property
    def sequences(self) -> int:
        """Examples scored."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of examples answered right."""
        return float(self.confusion.trace()) / self.sequences

    @property
    def macro_f1(self) -> float:
        """Mean over labels of F1 = 2·right / (asked + answered); labels neither asked nor answered left out."""
        asked_and_answered = (self.confusion.sum(0) + self.confusion.sum(1)).double()
        there = asked_and_answered > 0
        return float((2 * self.confusion.diagonal()[there] / asked_and_answered[there]).mean())

    @property
    def majority(self) -> float:
        """Fraction of the examples that have the most frequent label: what a constant answer can score."""
        return float(self.confusion.sum(1).max()) / self.sequences


@torch.no_grad()
def evaluate_labels(
    model: Classifier, task: LabelledTask, split: str, examples: int, batch_size: int, device: torch.device
) -> LabelScores:
    """Score `examples` examples of `task`'s split, the same ones for every model."""
    check_choice("split", split, SPLITS)
    examples, batch_size = check_int("examples", examples), check_int("batch_size", batch_size)
    was_training = model.training
    model.eval()
    confusion = torch.zeros(task.classes, task.classes, dtype=torch.int64)
    for index in range(examples // batch_size):
        inputs, lengths, labels = task.batch(split, index, batch_size, seed=0).trimmed()
        answers = model(inputs.to(device), lengths.to(device)).argmax(-1).cpu()
        confusion.index_put_((labels, answers), torch.ones_like(labels), accumulate=True)
    model.train(was_training)
    return LabelScores(confusion)
