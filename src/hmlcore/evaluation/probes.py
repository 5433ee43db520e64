"""What a memory holds on to: a linear map that reads its state, and answers under noise."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int, check_list, check_number, check_seed
from hmlcore.errors import require
from hmlcore.evaluation.memories import grows, memories
from hmlcore.evaluation.metrics import evaluate
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Task

PENALTIES = tuple(10.0**k for k in range(-8, 5))
"""Ridge penalties tried, relative to the number of training sequences."""

WIDTH = 512
"""Features of a probe at most; larger memories are projected on so many random directions."""

_GROWS = "the state grows: its cache holds the token itself"


class Readout(NamedTuple):
    """Accuracy of a ridge classifier on held-out sequences, how many they are, and the penalty chosen."""

    accuracy: float
    n: int
    penalty: float


@torch.no_grad()
def linear_probe(
    model: Backbone,
    lags: Iterable[int] = (256, 1024, 4096, 16384),
    *,
    alphabet: int = 8,
    sequences: int = 1024,
    warmup: int = 64,
    batch: int = 64,
    chunk: int = 1024,
    seed: int = 0,
) -> list[dict]:
    """Whether a linear map reads from the last block's memory which symbol came `lag` tokens ago.

    A sequence is `warmup` fillers, one of the `alphabet` symbols, and fillers again. Symbols are the tokens
    0 … alphabet − 1 and fillers, uniform and independent, all others, which is how the model can know what
    is worth keeping. The memory is read after each lag in one pass, without the short convolution's window,
    and :func:`ridge_readout` trained on half of the sequences.

    Args: lags, at least 1. batch, sequences at a time; chunk, tokens at a time: neither changes the result.
    Returns: rows with metric, lag, value (accuracy on a quarter of the sequences), n, chance, penalty, features
        and note. A state that grows is not probed: value None and the note says why, as
        where a state has overflowed.
    Raises: HmlcoreError where the vocabulary has no filler, or sizes are too small.
    """
    lags, vocab = sorted(check_list("lags", lags, check_int)), model.config.vocab_size
    alphabet = check_int("alphabet", alphabet, 0)
    require(
        2 <= alphabet < vocab, f"alphabet must be between 2 and vocab_size − 1 = {vocab - 1}, got {alphabet}"
    )
    sequences, warmup = check_int("sequences", sequences, 8), check_int("warmup", warmup, 0)
    batch, chunk, seed = check_int("batch", batch), check_int("chunk", chunk), check_seed("seed", seed)
    chance = 1 / alphabet
    if grows(model.blocks[-1].mixer):
        return [_probe_row(lag, None, 0, chance, None, 0, _GROWS) for lag in lags]
    was_training = model.training
    model.eval()
    symbols = torch.arange(sequences) % alphabet  # every part has as many of each as it can
    symbols = symbols[torch.randperm(sequences, generator=torch.Generator().manual_seed(seed))]
    read = []
    for first in range(0, sequences, batch):
        rows = range(first, min(first + batch, sequences))
        tokens = torch.stack([_fillers(alphabet, vocab, warmup + 1 + lags[-1], seed, row) for row in rows])
        tokens[:, warmup] = symbols[first : first + batch]
        read.append(_memories_at(model, tokens, warmup + 1, lags, chunk))
    model.train(was_training)
    rows = []
    for lag, features in zip(lags, zip(*read, strict=True), strict=True):
        features = torch.cat(features)
        if not bool(features.isfinite().all()):
            rows.append(_probe_row(lag, None, 0, chance, None, features.shape[1], "the state overflowed"))
            continue
        found = ridge_readout(features, symbols)
        rows.append(_probe_row(lag, found.accuracy, found.n, chance, found.penalty, features.shape[1], None))
    return rows


def ridge_readout(features: Tensor, labels: Tensor) -> Readout:
    """A linear classifier by ridge regression on one-hot labels: W = (XᵀX + λnI)⁻¹XᵀY, the largest entry wins.

    Features are standardised; the first half trains, the next quarter chooses λ of :data:`PENALTIES` by its
    mean squared error (of few sequences smoother than accuracy), the last quarter is scored. All in fp64, so
    what fp32 features hold is read even where it is small beside the rest.

    Args: features [S, F]. labels [S], classes from 0 on.
    """
    require(
        features.ndim == 2 and len(features) >= 8 and labels.shape == features.shape[:1],
        f"features must be [S, F] with S of at least 8, labels [S], got {tuple(features.shape)} "
        f"and {tuple(labels.shape)}",
    )
    train = len(labels) // 2
    held = train + len(labels) // 4
    x = features.double()
    center, spread = x[:train].mean(0), x[:train].std(0)
    # What is the same in all of them tells nothing; divided by its spread, rounding elsewhere would shout.
    x = torch.where(spread > torch.finfo(torch.float32).tiny, (x - center) / spread, 0)
    y = F.one_hot(labels).double()
    mean = y[:train].mean(0)
    values, vectors = torch.linalg.eigh(x[:train].mT @ x[:train] / train)
    along = vectors.mT @ (x[:train].mT @ (y[:train] - mean)) / train
    best, weight, chosen = float("inf"), None, 0.0
    for penalty in PENALTIES:
        w = vectors @ (along / (values.clamp_min(0) + penalty)[:, None])
        error = float((x[train:held] @ w + mean - y[train:held]).square().mean())
        if error < best:
            best, weight, chosen = error, w, penalty
    assert weight is not None  # the first error is below infinity
    right = (x[held:] @ weight + mean).argmax(1) == labels[held:]
    return Readout(float(right.double().mean()), len(right), chosen)


def _fillers(first: int, vocab: int, length: int, seed: int, row: int) -> Tensor:
    """Sequence number `row`, the same however many are drawn at a time."""
    g = torch.Generator().manual_seed(1_000_003 * (seed + 1) + row)
    return torch.randint(first, vocab, (length,), generator=g)


def _memories_at(model: Backbone, tokens: Tensor, start: int, lags: list[int], chunk: int) -> list[Tensor]:
    """[B, F], the last block's memory after start + lag of `tokens`, for each lag."""
    tokens = tokens.to(model.embedding.weight.device)
    states, at, found = model.init_state(len(tokens)), 0, []
    for lag in lags:
        while at < start + lag:
            to = min(at + chunk, start + lag)
            _, states = model.hidden(tokens[:, at:to], states)
            at = to
        memory = torch.cat([x.flatten(1) for x in memories(states[-1:])], 1).double().cpu()
        if memory.shape[1] > WIDTH:
            g = torch.Generator().manual_seed(0)
            memory = memory @ torch.randn(memory.shape[1], WIDTH, generator=g, dtype=torch.float64) / WIDTH**0.5
        found.append(memory)
    return found


def _probe_row(lag, value, n, chance, penalty, features, note) -> dict:
    return {
        "metric": "linear_probe",
        "lag": lag,
        "value": value,
        "n": n,
        "chance": chance,
        "penalty": penalty,
        "features": features,
        "note": note,
    }


def noise_robustness(
    model: Backbone | Classifier,
    task: Task,
    levels: Iterable[float],
    *,
    examples: int = 256,
    batch_size: int = 32,
    seed: int = 0,
) -> list[dict]:
    """Accuracy on test examples with Gaussian noise added to every input embedding.

    The noise of a level σ has σ times the root mean square of the batch's embeddings, and is the same draw for
    all levels, scaled. The head, which shares the embedding's weight, is not disturbed.

    Returns: rows with metric, level, value (accuracy) and n (sequences).
    """
    levels, seed = check_list("levels", levels, check_number, 0), check_seed("seed", seed)
    backbone = model.backbone if isinstance(model, Classifier) else model
    device, rows = backbone.embedding.weight.device, []
    for level in levels:
        g = torch.Generator().manual_seed(seed)

        def disturbed(module: nn.Module, inputs: tuple, x: Tensor, level=level, g=g) -> Tensor:
            noise = torch.randn(x.shape, generator=g).to(x)
            return x + level * x.square().mean().sqrt() * noise

        handle = backbone.embedding.register_forward_hook(disturbed)
        try:
            scores = evaluate(model, task, "test", examples, batch_size, device)
        finally:
            handle.remove()
        rows.append(
            {"metric": "noise_accuracy", "level": level, "value": scores.accuracy, "n": scores.sequences}
        )
    return rows
