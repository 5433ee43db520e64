"""What training minimises, for tasks that score tokens and for tasks that label sequences."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import IGNORE, Batch, Continued, Labelled


class Sums(NamedTuple):
    """Of one batch: negative log-likelihood summed over what is scored, how much of it is answered right,
    and the state after it (of a language model; else empty)."""

    nats: Tensor
    right: Tensor
    state: list


def scored_sums(
    model: Backbone | Classifier, batch: Batch | Continued | Labelled, state: list | None = None
) -> Sums:
    """Score one batch from `state` (None: an empty memory).

    Marked positions are scored, or one label a sequence. A language model's head is applied to the scored
    positions and to no others.
    """
    if isinstance(batch, Labelled):
        logits, wanted, after = model(batch.inputs, batch.lengths), batch.labels, []
    else:
        hidden, after = model.hidden(batch.inputs, state)
        scored = batch.targets != IGNORE
        logits, wanted = model.logits(hidden[scored]), batch.targets[scored]
    right = (logits.detach().argmax(-1) == wanted).float().sum()
    return Sums(F.cross_entropy(logits.float(), wanted, reduction="sum"), right, after)


def scored(batch: Batch | Continued | Labelled) -> int:
    """How much of a batch is scored."""
    return len(batch.labels) if isinstance(batch, Labelled) else int((batch.targets != IGNORE).sum())


def scored_loss(
    model: Backbone | Classifier, batch: Batch | Continued | Labelled, state: list | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross entropy (nats) and accuracy over what is scored."""
    sums, count = scored_sums(model, batch, state), scored(batch)
    return sums.nats / count, sums.right / count


def on_device(batch: Batch | Continued | Labelled, device: torch.device) -> Batch | Continued | Labelled:
    """The batch there, without columns that are padding in every row."""
    if isinstance(batch, Labelled):
        batch = batch.trimmed()
    return type(batch)(*(x.to(device) for x in batch))
