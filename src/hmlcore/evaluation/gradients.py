r"""How far back a model can learn from: the gradient that reaches an input, or the state, L tokens before.

What of the last output's gradient survives L tokens decides what training can assign to them; it vanishes or
explodes as the product of the state's Jacobians does (Bengio, Simard and Frasconi, IEEE Transactions on Neural
Networks 5, 1994). Both measures work alike on any mixer, trained or not.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import stdtrit
from torch import Tensor

from hmlcore.checks import check_int, check_list, check_number, check_optional, check_seed
from hmlcore.errors import require
from hmlcore.evaluation.memories import (
    as_leaves,
    check_tokens,
    grows,
    memories,
    pull_back,
    run_blocks,
    states_at,
)  # fmt: skip
from hmlcore.models import Backbone
from hmlcore.tasks import IGNORE

FLOOR = torch.finfo(torch.float32).tiny
"""Norms below the smallest normal number in fp32 are given as this, and counted."""


class Slope(NamedTuple):
    """A least-squares slope and its 95 % t-interval."""

    slope: float
    low: float
    high: float


class Slopes(NamedTuple):
    """How norms change with lag.

    Attributes:
        power: of log norm against log lag, the exponent of a power law; no unit.
        rate: of the natural log of the norm against lag, per token.
        floored: how many of the norms are :data:`FLOOR`; they make both slopes flatter than they are.
    """

    power: Slope
    rate: Slope
    floored: int


def directions(width: int, count: int, seed: int = 0) -> Tensor:
    """`count` random unit vectors: [count, width], in fp64."""
    width, count = check_int("width", width), check_int("count", count)
    g = torch.Generator().manual_seed(check_seed("seed", seed))
    return F.normalize(torch.randn(count, width, generator=g, dtype=torch.float64), dim=-1)


def input_gradients(
    model: Backbone, tokens: Tensor, *, count: int = 4, seed: int = 0, chunk: int | None = None
) -> Tensor:
    """‖∂(g·hidden_T)/∂x_t‖ for every t, root mean square over `count` random unit g: [B, T].

    x_t is the embedding of token t, hidden_T the last normalised hidden state. For many g it is the
    Frobenius norm ‖∂hidden_T/∂x_t‖ over √d_model. In fp32 Hyena's transforms leave 1e-7 of the largest
    gradient at every t; a model in fp64 has no such floor.

    Args:
        tokens: [B, T].
        chunk: the graph is held over so many tokens at a time and the forward pass made twice, states being
            kept between; None: the whole sequence. A state that grows takes the whole sequence all the same,
            since what is kept between chunks would be larger than the graph.
    """
    check_tokens(tokens)
    count, seed = check_int("count", count), check_seed("seed", seed)
    chunk = check_optional("chunk", chunk, check_int)
    was_training = model.training
    model.eval()
    x = model.embedding(tokens.to(model.embedding.weight.device)).detach()
    length: int = x.shape[1]
    if chunk is None or any(grows(block.mixer) for block in model.blocks):
        chunk = length
    starts = list(range(0, length, chunk))
    kept = states_at(model, x, model.init_state(len(x)), starts)
    read, above, found = directions(x.shape[-1], count, seed).to(x), [], []
    for a, states in zip(reversed(starts), reversed(kept), strict=True):
        on_x, above = pull_back(model, x[:, a : a + chunk], states, above, read)
        found.append(on_x.double().square().sum(-1).mean(0).sqrt())
        read = None  # only the last hidden state is read
    model.train(was_training)
    return torch.cat(found[::-1], 1)


def gradient_by_lag(
    model: Backbone,
    tokens: Tensor,
    lags: Iterable[int],
    *,
    count: int = 4,
    seed: int = 0,
    chunk: int | None = None,
) -> list[dict]:
    """:func:`input_gradients` at t = T − 1 − lag, a row a lag.

    Args: tokens [B, T]. lags: from 0, the last token itself, to T − 1. The rest as for all tokens.
    Returns: rows with metric, lag, value (geometric mean over the batch), stderr (of its natural log, None for
        one sequence), n (sequences) and floored (how many of them were below :data:`FLOOR`).
    Raises: HmlcoreError for a lag that the sequence does not have.
    """
    check_tokens(tokens)
    lags = _check_lags(lags, 0, tokens.shape[1] - 1)
    norms = input_gradients(model, tokens, count=count, seed=seed, chunk=chunk)
    return [_row("gradient_by_lag", lag, norms[:, -1 - lag]) for lag in lags]


def state_gradient_by_lag(model: Backbone, tokens: Tensor, targets: Tensor, lags: Iterable[int]) -> list[dict]:
    """‖∂loss/∂state_{s−lag}‖: loss at the last scored position s of each sequence, state of all blocks.

    The state after token s − lag is what :func:`hmlcore.evaluation.memories.memory_fields` names, without the
    short convolution's window. Where a state grows it is the cache: the keys and values (attention) or the
    inputs of the long convolutions (Hyena) of all tokens up to there, so its norm sums over more with every
    token. One forward and backward pass over the last `lag` tokens for each lag.

    Args: tokens, targets [B, T], targets IGNORE where nothing is scored. lags: from 1 to the smallest s.
    Returns: rows as :func:`gradient_by_lag`.
    Raises: HmlcoreError for shapes that differ, a sequence with nothing scored, a lag beyond its position.
    """
    check_tokens(tokens)
    require(
        targets.shape == tokens.shape,
        f"targets must have tokens' shape {tuple(tokens.shape)}, got {tuple(targets.shape)}",
    )
    scored = (targets != IGNORE).cpu()
    require(bool(scored.any(1).all()), "targets must have a scored position in every sequence")
    last = scored.shape[1] - 1 - scored.flip(1).int().argmax(1)  # argmax finds the first of equals
    lags = _check_lags(lags, 1, int(last.min()))
    was_training = model.training
    model.eval()
    device = model.embedding.weight.device
    norms = torch.zeros(len(tokens), len(lags), dtype=torch.float64)
    for s in last.unique().tolist():
        rows = (last == s).nonzero()[:, 0]
        seen, wanted = tokens[rows, : s + 1].to(device), targets[rows, s].to(device)
        norms[rows] = _state_gradients(model, seen, wanted, lags)
    model.train(was_training)
    return [_row("state_gradient_by_lag", lag, norms[:, i]) for i, lag in enumerate(lags)]


def _state_gradients(model: Backbone, tokens: Tensor, wanted: Tensor, lags: list[int]) -> Tensor:
    """[B, lags] for a loss at the last of `tokens` [B, s + 1]."""
    x = model.embedding(tokens).detach()
    end = x.shape[1]
    norms = torch.zeros(len(x), len(lags), dtype=torch.float64)
    states, at = model.init_state(len(x)), 0
    for i in sorted(range(len(lags)), key=lambda i: -lags[i]):
        cut = end - lags[i]
        if cut > at:
            with torch.no_grad():
                _, states = run_blocks(model, x[:, at:cut], states)
            at = cut
        leaves = as_leaves(states)
        with torch.enable_grad():
            hidden, _ = run_blocks(model, x[:, cut:], leaves)
            loss = F.cross_entropy(model.logits(hidden[:, -1]), wanted, reduction="sum")
        found = torch.autograd.grad(loss, memories(leaves), materialize_grads=True, allow_unused=True)
        norms[:, i] = reduce(add, (g.double().square().flatten(1).sum(1) for g in found)).sqrt().cpu()
    return norms


def log_slope(lags: Sequence[int], values: Sequence[float]) -> Slopes:
    """The slopes of log norm, as a power of lag and as a rate per token, by least squares.

    A t-interval takes points as independent about a line; where the law is another one it says how far from it.

    Raises: HmlcoreError for fewer than three lags, lags below 1 or alike, norms negative or not finite.
    """
    at = np.asarray(check_list("lags", lags, check_number), float)
    norms = np.asarray(check_list("values", values, check_number), float)
    require(
        at.shape == norms.shape and len(set(at.tolist())) == len(at) >= 3,
        f"lags must be at least three different ones with a value each, got {at.tolist()}",
    )
    require(bool((at >= 1).all()), f"lags must be at least 1, got {at.tolist()}")
    logs = np.log(_floored(norms))
    return Slopes(_fit(np.log(at), logs), _fit(at, logs), int(_lost(norms).sum()))


def early_late_ratio(lags: Sequence[int], values: Sequence[float]) -> float:
    """g_early / g_late: the norm at the longest lag over that at the shortest; NaN where the latter is lost.

    A norm that underflowed counts as :data:`FLOOR`, so the ratio of one is an upper bound.
    """
    lags = check_list("lags", lags, check_number)
    norms = np.asarray(check_list("values", values, check_number), float)
    require(
        len(lags) == len(norms) and len(set(lags)) >= 2,
        f"lags must be at least two different ones with a value each, got {lags}",
    )
    norms = _floored(norms)
    early, late = norms[lags.index(max(lags))], norms[lags.index(min(lags))]
    return float("nan") if _lost(late) else float(early / late)


def _fit(x: np.ndarray, y: np.ndarray) -> Slope:
    x = x - x.mean()
    spread, free = float(x @ x), len(x) - 2
    slope = float(x @ y) / spread
    rest = y - y.mean() - slope * x
    half = float(stdtrit(free, 0.975)) * (float(rest @ rest) / free / spread) ** 0.5
    return Slope(slope, slope - half, slope + half)


def _floored(values: np.ndarray) -> np.ndarray:
    fine = bool(np.isfinite(values).all() and (values >= 0).all())
    require(fine, f"values must be norms, finite and not negative, got {values.tolist()}")
    return np.maximum(values, FLOOR)


def _lost(values: np.ndarray) -> np.ndarray:
    return values < FLOOR * (1 + 1e-6)  # a geometric mean of floors is rounded


def _row(metric: str, lag: int, norms: Tensor) -> dict:
    """The geometric mean of norms [B]."""
    logs, n = norms.clamp_min(FLOOR).log(), len(norms)
    return {
        "metric": metric,
        "lag": lag,
        "value": float(logs.mean().exp()),
        "stderr": float(logs.std() / n**0.5) if n > 1 else None,
        "n": n,
        "floored": int((norms <= FLOOR).sum()),
    }


def _check_lags(lags: Iterable[int], least: int, most: int) -> list[int]:
    lags = check_list("lags", lags, check_int, 0)
    require(
        all(least <= lag <= most for lag in lags),
        f"lags must be whole numbers from {least} to {most}, what the sequences have, got {lags}",
    )
    return lags
