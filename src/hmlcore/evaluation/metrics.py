"""What a trained model scores on a task: token accuracy, exact sequences, bits per byte."""

import itertools
import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_choice, check_int
from hmlcore.errors import require
from hmlcore.evaluation.labels import LabelScores, evaluate_labels
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import IGNORE, SPLITS, LabelledTask, Task


@dataclass
class Scores:
    """Sums over scored positions, from which every metric follows.

    Attributes:
        tokens, sequences: how many were scored.
        correct: tokens whose most likely answer is right; near: right or the neighbouring token, for answers
            that are numbers; exact: sequences with every token right.
        nats: negative log-likelihood summed over tokens.
        nats_at, tokens_at: the same by position [T].
    """

    tokens: int
    sequences: int
    correct: int
    near: int
    exact: int
    nats: float
    nats_at: Tensor
    tokens_at: Tensor

    @property
    def accuracy(self) -> float:
        """Fraction of scored tokens answered right."""
        return self.correct / self.tokens

    @property
    def accuracy_within_one(self) -> float:
        """Fraction of scored tokens answered with an error of at most one."""
        return self.near / self.tokens

    @property
    def exact_accuracy(self) -> float:
        """Fraction of sequences with every scored token right."""
        return self.exact / self.sequences

    @property
    def bits_per_token(self) -> float:
        """Mean negative log₂-likelihood; bits per byte where tokens are bytes."""
        return self.nats / self.tokens / math.log(2)

    def bits_by_position(self, bins: int) -> list[tuple[int, int, float, int]]:
        """(first position, last position + 1, bits per token, tokens) of `bins` equal stretches."""
        bins = check_int("bins", bins)
        edges = torch.linspace(0, len(self.nats_at), bins + 1).round().int().tolist()
        parts = []
        for a, b in itertools.pairwise(edges):
            n = int(self.tokens_at[a:b].sum())
            if n:
                parts.append((a, b, float(self.nats_at[a:b].sum()) / n / math.log(2), n))
        return parts


# Positions whose logits are held at once: bounds memory for large vocabularies and long sequences.
_HEAD_ROWS = 8192
# Tokens that a bounded memory reads at once; longer sequences go on from its state, in constant memory.
STRETCH = 4096


@torch.no_grad()
def evaluate(
    model: Backbone | Classifier, task: Task, split: str, examples: int, batch_size: int, device: torch.device
) -> Scores | LabelScores:
    """Score `examples` examples of `task`'s split, the same ones for every model.

    A memory of bounded state reads :data:`STRETCH` tokens after another and passes its state on; one that keeps
    everything reads the whole sequence.

    Returns: :class:`LabelScores` for a task with labels, else :class:`Scores`.

    Raises: HmlcoreError where examples or batch_size is below 1.
    """
    check_choice("split", split, SPLITS)
    examples = check_int("examples", examples)
    batch_size = min(check_int("batch_size", batch_size), examples)
    require(examples % batch_size == 0, f"batch_size = {batch_size} must divide examples = {examples}")
    if isinstance(task, LabelledTask):
        return evaluate_labels(cast(Classifier, model), task, split, examples, batch_size, device)
    model = cast(Backbone, model)
    was_training = model.training
    model.eval()
    nats_at, tokens_at = (torch.zeros(task.length, dtype=torch.float64) for _ in range(2))
    bounded = model.state_size(2 * task.length) == model.state_size(task.length)
    stretch = STRETCH if bounded else task.length
    correct = near = exact = 0
    for index in range(examples // batch_size):
        inputs, targets = (x.to(device) for x in task.batch(split, index, batch_size, seed=0))
        hit, state = torch.ones(len(inputs), dtype=torch.bool), None
        for start in range(0, task.length, stretch):
            here = slice(start, start + stretch)
            hidden, state = model.hidden(inputs[:, here], state)
            scored = targets[:, here] != IGNORE
            if not scored.any():
                continue
            loss, error = _answers(model, hidden[scored], targets[:, here][scored])
            scored = scored.cpu()
            nats_at[here] += _placed(loss, scored, 0.0).sum(0)
            tokens_at[here] += scored.sum(0)
            correct += int((error == 0).sum())
            near += int((error <= 1).sum())
            hit &= (_placed(error, scored, 0) == 0).all(1)
        exact += int(hit.sum())
    model.train(was_training)
    return Scores(
        int(tokens_at.sum()), examples, correct, near, exact, float(nats_at.sum()), nats_at, tokens_at
    )  # fmt: skip


def _answers(model: Backbone, hidden: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy [n] in nats, and how far the most likely token is from the one that is wanted [n]."""
    losses, errors = [], []
    for rows, targets in zip(hidden.split(_HEAD_ROWS), wanted.split(_HEAD_ROWS), strict=True):
        logits = model.logits(rows).float()
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
        errors.append((logits.argmax(-1) - targets).abs())
    return torch.cat(losses).double().cpu(), torch.cat(errors).cpu()


def _placed(values: Tensor, where: Tensor, rest: float) -> Tensor:
    """[B, T] with `values` [n] where `where` holds and `rest` elsewhere."""
    return torch.full(where.shape, rest, dtype=values.dtype).masked_scatter(where, values)
