"""What training minimises, for tasks that score tokens and for tasks that label sequences."""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.models import Backbone, Classifier, map_state
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
        model = cast(Backbone, model)
        hidden, after = model.hidden(batch.inputs, state)
        scored = batch.targets != IGNORE
        logits, wanted = model.logits(hidden[scored]), batch.targets[scored]
    right = (logits.detach().argmax(-1) == wanted).float().sum()
    return Sums(F.cross_entropy(logits.float(), wanted, reduction="sum"), right, after)


class Objective(nn.Module):
    """:func:`scored_sums` of a model as a module, which can be wrapped; the state keeps no gradient."""

    def __init__(self, model: Backbone | Classifier):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch | Continued | Labelled, state: list | None = None) -> Sums:
        sums = scored_sums(self.model, batch, state)
        return sums._replace(state=map_state(Tensor.detach, sums.state))


def scored(batch: Batch | Continued | Labelled) -> int:
    """How much of a batch is scored."""
    return len(batch.labels) if isinstance(batch, Labelled) else int((batch.targets != IGNORE).sum())


def on_device(batch: Batch | Continued | Labelled, device: torch.device) -> Batch | Continued | Labelled:
    """The batch there, without columns that are padding in every row."""
    if isinstance(batch, Labelled):
        batch = batch.trimmed()
    return type(batch)(*(x.to(device) for x in batch))
