"""How a language model uses a long text: bits per byte by context and by position, and what it writes."""

import itertools
import math

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_list, check_text
from hmlcore.errors import require
from hmlcore.evaluation.strided import strided_nats
from hmlcore.models import Backbone
from hmlcore.models.generation import Sampling, generate
from hmlcore.tasks.bpe import Tokenizer

FIRST_EDGE = 64


def position_edges(length: int) -> list[int]:
    """0, 64, 128, 256, … and `length`: bins that double."""
    length, edges = check_int("length", length), [0]
    edge = FIRST_EDGE
    while edge < length:
        edges.append(edge)
        edge *= 2
    return [*edges, length]


def context_rows(
    model: Backbone, tokenizer: Tokenizer, texts: dict[str, Tensor], windows: list[tuple[int, int]]
) -> list[dict]:
    """Rows of every (context, stride) in `windows`: each document's and those of all together.

    Args: texts, document → tokens [N + 1], of which the last N are scored.
    Returns: metrics ``bits_per_byte`` and ``perplexity`` (of a token), and ``bits_per_byte_at`` with the first
        token of its bin as `position`; n = tokens scored.
    """
    windows = check_list("windows", windows, _check_window)
    sizes = torch.from_numpy(tokenizer.sizes)
    rows = []
    for context, stride in windows:
        common = {"context": context, "stride": stride, "split": "test"}
        sums: dict[int, list[Tensor]] = {}
        for document, tokens in texts.items():
            nats = strided_nats(model, tokens, context, stride)
            here = torch.stack((nats, sizes[tokens[1:]].double(), torch.ones_like(nats)))
            binned = _binned(here)
            for position, part in binned.items():
                sums.setdefault(position, []).append(part)
            rows += _rows(common | {"document": document}, binned)
        rows += _rows(
            common | {"document": "all"}, {at: torch.stack(parts).sum(0) for at, parts in sums.items()}
        )
    return rows


def _check_window(name: str, window: object) -> tuple[int, int]:
    pair = check_list(name, window, check_int)
    require(len(pair) == 2, f"{name} must be a context and a stride, got {pair}")
    return tuple(pair)


def _binned(values: Tensor) -> dict[int, Tensor]:
    """[3, N] → first position of each bin → [3], the sums in it."""
    edges = position_edges(values.shape[1])
    return {a: values[:, a:b].sum(1) for a, b in itertools.pairwise(edges)}


def _rows(common: dict, binned: dict[int, Tensor]) -> list[dict]:
    nats, size, count = torch.stack(list(binned.values())).sum(0).tolist()
    rows = [
        {"metric": "bits_per_byte", "value": nats / size / math.log(2), "n": int(count)},
        {"metric": "perplexity", "value": math.exp(nats / count), "n": int(count)},
    ]
    for position, (paid, bytes_, n) in ((at, part.tolist()) for at, part in binned.items()):
        value = paid / bytes_ / math.log(2)
        rows.append({"metric": "bits_per_byte_at", "value": value, "n": int(n), "position": position})
    return [common | row for row in rows]


def sample_row(model: Backbone, tokenizer: Tokenizer, prompt: str, tokens: int, sampling: Sampling) -> dict:
    """What the model writes after `prompt`, drawn with seed 0 and stored as it came."""
    prompt, tokens = check_text("prompt", prompt), check_int("tokens", tokens)
    device = model.embedding.weight.device
    start = torch.tensor([tokenizer.encode(prompt.encode()).tolist()], device=device)
    drawn = generate(model, start, tokens, sampling, torch.Generator(device).manual_seed(0))
    text = tokenizer.decode(drawn[0].tolist()).decode("utf-8", "replace")
    return {
        "metric": "sample", "value": float(tokens), "n": tokens, "prompt": prompt, "text": text,
        "temperature": sampling.temperature, "top_p": sampling.top_p,
    }  # fmt: skip
