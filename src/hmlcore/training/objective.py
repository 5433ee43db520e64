"""What training minimises, for tasks that score tokens and for tasks that label sequences."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import IGNORE, Batch, Labelled


def scored_loss(
    model: Backbone | Classifier, batch: Batch | Labelled, state: list | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross entropy (nats) and accuracy over what is scored: marked positions, or one label a sequence.

    A language model's head is applied to the scored positions and to no others.
    """
    if isinstance(batch, Labelled):
        logits, wanted = model(batch.inputs, batch.lengths), batch.labels
    else:
        hidden, _ = model.hidden(batch.inputs, state)
        scored = batch.targets != IGNORE
        logits, wanted = model.logits(hidden[scored]), batch.targets[scored]
    return F.cross_entropy(logits.float(), wanted), (logits.detach().argmax(-1) == wanted).float().mean()


def on_device(batch: Batch | Labelled, device: torch.device) -> Batch | Labelled:
    """The batch there, without columns that are padding in every row."""
    if isinstance(batch, Labelled):
        batch = batch.trimmed()
    return type(batch)(*(x.to(device) for x in batch))
