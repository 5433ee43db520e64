"""Strided evaluation: what a language model pays for each token of a text, given so much context.

Windows of `context` tokens start every `stride` tokens, each with an empty memory. The first scores all that
it can, each other one only its last `stride` tokens, so that every token of the text but the first is scored
once, and all after the first window with between context − stride + 1 and context tokens in view. A stride as
long as the context cuts the text into blocks; a context as long as the text reads it whole.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.evaluation.metrics import STRETCH
from hmlcore.models import Backbone

# Tokens read at once in windows that are shorter.
_AT_ONCE = 8192
_ROWS = 4096  # positions whose logits are held at once


@torch.no_grad()
def strided_nats(model: Backbone, tokens: Tensor, context: int, stride: int) -> Tensor:
    """−ln p of each token after the first: tokens [N + 1] → [N], float64.

    A bounded memory reads long windows :data:`~hmlcore.evaluation.metrics.STRETCH` tokens after another and
    passes its state on, so its memory stays constant; one that keeps everything reads a window whole.

    Raises: HmlcoreError for fewer than two tokens, context below 1, and a stride outside 1 … context.
    """
    require(tokens.ndim == 1 and len(tokens) >= 2, f"tokens must be [N + 1], got shape {tuple(tokens.shape)}")
    context, stride = check_int("context", context), check_int("stride", stride)
    require(stride <= context, f"stride must lie within 1 … context = {context}, got {stride}")
    inputs, targets = tokens[:-1], tokens[1:]
    length = len(inputs)
    context = min(context, length)
    stride = min(stride, context)
    was_training = model.training
    model.eval()
    # All windows of full length together, then the one that the end of the text cuts short.
    whole = (length - context) // stride + 1
    starts = torch.arange(whole) * stride
    paid = torch.full((length,), torch.nan, dtype=torch.float64)
    for some in starts.split(max(1, _AT_ONCE // context)):
        at = some[:, None] + torch.arange(context)
        nats = _nats(model, inputs[at], targets[at])
        for start, row in zip(some.tolist(), nats, strict=True):
            first = 0 if start == 0 else context - stride
            paid[start + first : start + context] = row[first:]
    done = int(starts[-1]) + context
    if done < length:
        start = int(starts[-1]) + stride
        paid[done:] = _nats(model, inputs[None, start:], targets[None, start:])[0, done - start :]
    model.train(was_training)
    return paid


def _nats(model: Backbone, inputs: Tensor, targets: Tensor) -> Tensor:
    """[B, T] → −ln p [B, T], from an empty memory."""
    device = model.embedding.weight.device
    bounded = model.state_size(2 * inputs.shape[1]) == model.state_size(inputs.shape[1])
    stretch = STRETCH if bounded else inputs.shape[1]
    state, parts = None, []
    for part, wanted in zip(inputs.split(stretch, 1), targets.split(stretch, 1), strict=True):
        hidden, state = model.hidden(part.to(device), state)
        parts.append(torch.cat(list(_heads(model, hidden, wanted.to(device)))).view(part.shape))
    return torch.cat(parts, 1)


def _heads(model: Backbone, hidden: Tensor, wanted: Tensor) -> Iterator[Tensor]:
    """The head on a few thousand positions at a time, whatever the vocabulary: −ln p, flat."""
    for rows, ids in zip(hidden.flatten(0, 1).split(_ROWS), wanted.flatten().split(_ROWS), strict=True):
        yield F.cross_entropy(model.logits(rows).float(), ids, reduction="none").double().cpu()
