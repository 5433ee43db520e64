"""Honest recall of planted facts in one long stream, its controls, and the source's own metric."""

from collections import Counter
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmlcore.checks import check_instance, check_int
from hmlcore.layers import recording
from hmlcore.models import Backbone, Sparse
from hmlcore.tasks.base import IGNORE
from hmlcore.tasks.planted import Drawn, Planted

STRETCH = 4096


class Recalled(NamedTuple):
    """What became of the facts of some rows.

    Attributes: hits, kind → whether each fact's answer was said, all of it; gated, written, the share of tokens
        that the gate let pass and of slots changed a token (0 without a memory); legacy, kind → whether the
        answer's first id stands in any slot at the end.
    """

    hits: dict[str, np.ndarray]
    gated: float
    written: float
    legacy: dict[str, np.ndarray]


@torch.no_grad()
def recall(
    model: Backbone, task: Planted, split: str, rows: int, stretch: int = STRETCH, first: int = 0
) -> Recalled:
    """Ask `model` for every fact of `rows` rows of `split` from `first` on, each read in constant memory.

    A fact is hit if the most likely token at each place of its answer is the right one.
    Raises: HmlcoreError for another task, rows or stretch below 1, first below 0.
    """
    check_instance("task", task, Planted)
    rows, stretch, first = check_int("rows", rows), check_int("stretch", stretch), check_int("first", first, 0)
    was, parts, marks = model.training, [], []
    model.eval()
    for row in range(first, first + rows):
        drawn = task.questions(split, row)
        right, density, ids = _read(model, drawn, stretch)
        parts.append(_hits(task, drawn, right))
        parts.append(_present(task, drawn, ids))
        marks.append(density)
    model.train(was)
    hits, legacy = (
        {kind: np.concatenate([part[kind] for part in parts[i::2]]) for kind in task.kinds} for i in (0, 1)
    )
    gated, written = np.mean(marks, 0).tolist()
    return Recalled(hits, gated, written, legacy)


def _read(model: Backbone, drawn: Drawn, stretch: int) -> tuple[np.ndarray, tuple[float, float], np.ndarray]:
    """Which targets of a stream are said [T]; densities; the ids that slots hold at its end."""
    device = model.embedding.weight.device
    tokens, wanted = (torch.from_numpy(x).to(device) for x in (drawn.inputs, drawn.targets))
    right = torch.zeros_like(wanted, dtype=torch.bool)
    state, passed, stands = None, 0, 0
    for start in range(0, tokens.shape[1], stretch):
        here = slice(start, start + stretch)
        # Of others nothing is asked, and a record of theirs may be a walk token by token.
        with recording(model) if isinstance(model, Sparse) else nullcontext({}) as traces:
            hidden, state = model.hidden(tokens[:, here], state)
        for trace in (t for t in traces.values() if t.records and "stands" in t.records[0]):
            passed, stands = passed + int(trace["open"].sum()), stands + int(trace["stands"].sum())
        scored = wanted[:, here] != IGNORE
        if scored.any():
            right[:, here][scored] = model.logits(hidden[scored]).argmax(-1) == wanted[:, here][scored]
    slots = state[-1].ids.flatten() if isinstance(model, Sparse) and state else Tensor()
    length = tokens.shape[1]
    return right[0].cpu().numpy(), (passed / length, stands / length), slots.cpu().numpy()


def _hits(task: Planted, drawn: Drawn, right: np.ndarray) -> dict[str, np.ndarray]:
    width = (drawn.answer[0] != IGNORE).sum(1)
    sums = np.concatenate(([0], right.cumsum()))
    at = drawn.at[0]
    return _by_kind(task, drawn, sums[at + width] - sums[at] == width)


def _present(task: Planted, drawn: Drawn, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The source's metric: the answer is presented, and whatever holds its id is what is found."""
    return _by_kind(task, drawn, np.isin(drawn.answer[0, :, 0], ids))


def _by_kind(task: Planted, drawn: Drawn, values: np.ndarray) -> dict[str, np.ndarray]:
    return {kind: values[drawn.kind[0] == number] for number, kind in enumerate(task.kinds)}


def controls(task: Planted, split: str, rows: int, first: int = 0) -> dict[str, dict[str, float]]:
    """What is had without a memory that is chosen well: control → kind → share of the facts of `rows` rows.

    chance   a guess within the right pool
    unigram  the answer that is most frequent among those of its kind, in hindsight
    echo     the last word of the cue
    oracle   the nearest of all cues that were ever planted, a synonym being as near as the word itself
    """
    check_instance("task", task, Planted)
    found: dict[str, dict[str, list[bool]]] = {
        name: {k: [] for k in task.kinds} for name in ("unigram", "echo", "oracle")
    }
    for row in range(first, check_int("first", first, 0) + check_int("rows", rows)):
        drawn = task.questions(split, row)
        said = [tuple(a[a != IGNORE]) for a in drawn.answer[0]]
        kinds = [task.kinds[k] for k in drawn.kind[0]]
        best = {
            k: Counter(a for a, of in zip(said, kinds, strict=True) if of == k).most_common(1)[0][0]
            for k in task.kinds
        }
        meanings = {tuple(c // 2): a for c, a in zip(drawn.cue[0], said, strict=True)}
        for answer, kind, at, cue in zip(said, kinds, drawn.at[0], drawn.cue[0], strict=True):
            asked = drawn.inputs[0, at - 1 : at + 1]
            found["unigram"][kind].append(answer == best[kind])
            found["echo"][kind].append(answer == (asked[1],))
            found["oracle"][kind].append(meanings[tuple(asked // 2)] == answer)
            assert (asked // 2 == cue // 2).all()
    shares = {name: {k: float(np.mean(v)) for k, v in by.items()} for name, by in found.items()}
    return {"chance": {k: task.chance(k) for k in task.kinds}} | shares
