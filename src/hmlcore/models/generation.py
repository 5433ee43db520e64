"""Generation: read a prompt in parallel, then draw one token after another from the model's state."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_fields, check_int, check_number, check_optional, check_positive
from hmlcore.errors import HmlcoreError, require
from hmlcore.models.backbone import Backbone

# Prompt tokens that are read at once; longer prompts go on from the state, so activations stay bounded.
STRETCH = 2048


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits: divided by the temperature, then cut to top-k, then to top-p.

    Attributes:
        temperature: 0 takes the most likely token (the first of equals), 1 the model's own distribution.
        top_k: only the k most likely tokens; None: all.
        top_p: only the smallest set of most likely tokens that together have probability top_p or more
            (among the top k); 1: all. Source: Holtzman et al. (arXiv 1904.09751).
    Raises: HmlcoreError for a value outside its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_fields(
            self, temperature=(check_number, 0), top_k=(check_optional, check_int), top_p=(check_positive, 1)
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """The distribution that tokens are drawn from: logits [..., V] to probabilities [..., V], in float64.

        Raises: HmlcoreError for logits that are not finite.
        """
        require(bool(torch.isfinite(logits).all()), "the model's logits are not finite; nothing can be drawn")
        ranked, order = logits.double().sort(dim=-1, descending=True, stable=True)
        if self.temperature == 0:
            kept = torch.zeros_like(ranked)
            kept[..., 0] = 1
        else:
            # Differences to the largest are divided, which at worst become −∞; torch divides by a number by
            # way of its reciprocal, which must be finite.
            divisor = max(float(self.temperature), torch.finfo(ranked.dtype).tiny)
            kept = torch.softmax((ranked - ranked[..., :1]) / divisor, -1)
            if self.top_k is not None:
                kept[..., self.top_k :] = 0
                kept = kept / kept.sum(-1, keepdim=True)
            if self.top_p < 1:
                before = F.pad(kept.cumsum(-1)[..., :-1], (1, 0))
                kept = torch.where(before < self.top_p, kept, 0)
        return torch.zeros_like(kept).scatter(-1, order, kept / kept.sum(-1, keepdim=True))

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One token for each row of logits [B, V]: [B]. Temperature 0 leaves the generator alone."""
        chances = self.probabilities(logits)
        if self.temperature == 0:
            return chances.argmax(-1)
        return torch.multinomial(chances, 1, generator=generator)[:, 0]


@torch.no_grad()
def read(
    model: Backbone, tokens: Tensor, state: list | None = None, stretch: int = STRETCH
) -> tuple[Tensor, list]:
    """What the model expects after tokens [B, T]: logits [B, V], and the state there.

    The tokens are read in parallel, `stretch` at a time.
    Raises: HmlcoreError for tokens of another shape, none, or outside the vocabulary; stretch below 1.
    """
    _check_tokens(model, tokens)
    stretch = check_int("stretch", stretch)
    for part in tokens.split(stretch, 1):
        hidden, state = model.hidden(part, state)
    assert state is not None  # there was a token
    return model.logits(hidden[:, -1]), state


def stream(
    model: Backbone,
    prompt: Tensor,
    max_new: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Continue prompt [B, T], each row a sequence of its own: yields `max_new` times the next tokens [B].

    A token costs one :meth:`Backbone.step`, so memory stays constant where the mixer's state is bounded.

    Args:
        sampling: the model's own distribution if None.
        generator: of the model's device; its seed decides everything that is drawn. None: torch's own.
    Raises: HmlcoreError at the call, before anything is yielded, for a prompt as in :func:`read` and
        max_new below 1.
    """
    require(isinstance(model, Backbone), f"only a Backbone generates, and this is a {type(model).__name__}")
    _check_tokens(model, prompt)
    max_new = check_int("max_new", max_new)
    return _stream(model, prompt, max_new, sampling or Sampling(), generator)


@torch.no_grad()
def _stream(model, prompt, max_new, sampling, generator) -> Iterator[Tensor]:
    logits, state = read(model, prompt)
    for left in range(max_new, 0, -1):
        token = sampling.draw(logits, generator)
        yield token
        if left > 1:
            logits, state = model.step(token, state)


def generate(
    model: Backbone,
    prompt: Tensor,
    max_new: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """All that :func:`stream` yields: prompt [B, T] to the tokens after it [B, max_new]."""
    return torch.stack(list(stream(model, prompt, max_new, sampling, generator)), 1)


class Tokenizer(Protocol):
    """What turns text into a model's tokens and back (:mod:`hmlcore.tasks.bpe` has those of the corpora)."""

    name: str

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        ...

    def encode(self, text: bytes) -> Any:
        """The tokens of a text, as an array."""

    def decode(self, tokens: list[int]) -> bytes:
        """The bytes that tokens stand for."""
        ...


def stream_text(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    max_new: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[str]:
    """Continue a text: yields what the next tokens, `max_new` in all, say in UTF-8.

    A character is held back until it is whole; bytes that are none become U+FFFD.
    Raises: HmlcoreError at the call, for an empty prompt, a tokenizer that is not the model's, and as in
        :func:`stream`.
    """
    if not isinstance(model, Backbone):
        raise HmlcoreError(f"only a Backbone generates, and this is a {type(model).__name__}")
    vocabulary = model.config.vocab_size
    require(
        vocabulary == tokenizer.vocab_size,
        f"a prompt of text needs a model of {tokenizer.name}, with vocab_size = {tokenizer.vocab_size}; "
        f"this one has {vocabulary}",
    )
    require(len(prompt) > 0, "prompt is empty; at least one character is needed")
    # What the command line could not decode comes back as the bytes that it was.
    try:
        start = prompt.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        half = prompt[error.start]
        raise HmlcoreError(
            f"prompt has half a character, {half!r} at place {error.start}, which is no text"
        ) from error
    tokens = torch.tensor([tokenizer.encode(start).tolist()], device=model.embedding.weight.device)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(start)  # a character that the prompt leaves open may be closed
    return _decoded(stream(model, tokens, max_new, sampling, generator), tokenizer, decoder)


def _decoded(
    tokens: Iterable[Tensor], tokenizer: Tokenizer, decoder: codecs.IncrementalDecoder
) -> Iterator[str]:
    for token in tokens:
        if text := decoder.decode(tokenizer.decode(token.tolist())):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _check_tokens(model: Backbone, tokens: Tensor) -> None:
    require(
        tokens.ndim == 2 and len(tokens) >= 1 and not tokens.is_floating_point(),
        f"prompt must be whole numbers [B, T], got {tokens.dtype} of shape {tuple(tokens.shape)}",
    )
    require(tokens.shape[1] >= 1, "prompt is empty; at least one token is needed")
    low, high, size = int(tokens.min()), int(tokens.max()), model.config.vocab_size
    require(
        low >= 0 and high < size, f"prompt must lie within 0 … {size - 1}, got tokens within {low} … {high}"
    )
