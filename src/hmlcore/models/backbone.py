"""The only model: embed → N × (mixer, MLP) → norm → head; every mixer is compared inside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import (
    LARGEST,
    check_arguments,
    check_fields,
    check_instance,
    check_int,
    check_number,
    check_positive,
    check_text,
)
from hmlcore.errors import require
from hmlcore.layers import build_mixer


@dataclass(frozen=True)
class BackboneConfig:
    """What determines a backbone.

    Attributes:
        vocab_size: tokens, 0 … vocab_size − 1.
        mixer: a name of the mixer registry; mixer_args: its arguments.
        d_model, layers: width of the residual stream and number of blocks.
        d_ff: width of the SwiGLU MLP.
        embedding_std: standard deviation that the embedding, and with it the head, starts with.
    Raises: HmlcoreError for a size below 1; what is wrong with a mixer's arguments its constructor says.
    """

    vocab_size: int
    mixer: str
    d_model: int = 64
    layers: int = 2
    d_ff: int = 128
    mixer_args: dict[str, Any] = field(default_factory=dict)
    embedding_std: float = 0.02

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("vocab_size", "d_model", "layers", "d_ff"), (check_int,))
        words = {"mixer": (check_text,), "mixer_args": (check_arguments,)}
        check_fields(self, embedding_std=(check_positive,), **words, **sizes)

    def build(self) -> "Backbone":
        """The model, with weights that torch's generator draws."""
        return Backbone(self)


class SwiGLU(nn.Module):
    """W₂(SiLU(W_g x) ∘ W₁x), without biases. Source: Shazeer (arXiv 2002.05202)."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.up = nn.Linear(d_model, 2 * d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * value)


class Block(nn.Module):
    """x ← x + mixer(RMSNorm(x)); x ← x + MLP(RMSNorm(x))."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.mixer_norm = nn.RMSNorm(config.d_model, eps=1e-5)
        self.mixer = build_mixer(config.mixer, config.d_model, **config.mixer_args)
        self.mlp_norm = nn.RMSNorm(config.d_model, eps=1e-5)
        self.mlp = SwiGLU(config.d_model, config.d_ff)

    def forward(self, x: Tensor, state: Any = None, cu_seqlens: Any = None) -> tuple[Tensor, Any]:
        require(
            cu_seqlens is None or self.mixer.packs,
            f"mixer {self.mixer.name!r} does not take cu_seqlens; only mixers that pack do",
        )
        packed = {} if cu_seqlens is None else {"cu_seqlens": cu_seqlens}
        y, state = self.mixer(self.mixer_norm(x), state, **packed)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.mixer.step(self.mixer_norm(x), state)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state


if TYPE_CHECKING:

    class Blocks(nn.ModuleList):
        """What nn.ModuleList leaves open, of what it is a list."""

        def __iter__(self) -> Iterator[Block]: ...

        @overload
        def __getitem__(self, idx: slice) -> "Blocks": ...
        @overload
        def __getitem__(self, idx: int) -> Block: ...
        def __getitem__(self, idx: Any) -> Any: ...
else:
    Blocks = nn.ModuleList


class Backbone(nn.Module):
    """A causal language model around one mixer; the head shares the embedding's weight.

        logits, state = model(tokens)              tokens [B, T] → logits [B, T, vocab_size]
        logits, state = model(tokens, state)       continue; state: one mixer state per block
        logits, state = model(tokens, cu_seqlens=bounds)   documents packed in [1, T], if the mixer packs
        logits, state = model.step(token, state)   decode one token [B] → [B, vocab_size]

    Raises: HmlcoreError for a size below 1 or a mixer argument that does not fit.
    """

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = check_instance("config", config, BackboneConfig)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = Blocks(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.d_model, eps=1e-5)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Linear maps normal with standard deviation 1/√fan_in, those that write to the residual
        stream divided by √(2 · layers) more, or 0 where the layer says so; embedding as configured. Gates
        keep the biases of their layer."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        nn.init.normal_(self.embedding.weight, std=self.config.embedding_std)
        with torch.no_grad():
            for block in self.blocks:
                for out in (*block.mixer.output_projections, block.mlp.down):
                    out.weight.mul_((2 * len(self.blocks)) ** -0.5)
                for silent in block.mixer.silent_projections:
                    silent.weight.zero_()

    def hidden(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        """Final normalised hidden states [B, T, d_model], before the head, and the new state."""
        require(tokens.ndim == 2, f"tokens must be [B, T], got shape {tuple(tokens.shape)}")
        x = self.embedding(tokens)
        states = []
        for block, s in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            x, s = block(x, s, cu_seqlens)
            states.append(s)
        return self.norm(x), states

    def logits(self, hidden: Tensor) -> Tensor:
        """The head: hidden states [..., d_model] to logits [..., vocab_size]."""
        return F.linear(hidden, self.embedding.weight)

    def forward(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        """Logits [B, T, vocab_size] of tokens [B, T], from `state` (None: empty), and the new state."""
        x, states = self.hidden(tokens, state, cu_seqlens)
        return self.logits(x), states

    def step(self, token: Tensor, state: list) -> tuple[Tensor, list]:
        """Decode one token [B] from `state`; logits [B, vocab_size] and the new state."""
        x = self.embedding(token)
        states = []
        for block, s in zip(self.blocks, state, strict=True):
            x, s = block.step(x, s)
            states.append(s)
        return self.logits(self.norm(x)), states

    def block_index(self, layer: int) -> int:
        """Which of the blocks 0, 1, … is `layer`; −1 is the last. Raises: HmlcoreError where there is none."""
        count = len(self.blocks)
        number = check_int("layer", layer, -LARGEST)
        require(-count <= number < count, f"layer must be one of the model's {count}, got {number}")
        return number % count

    def init_state(self, batch: int) -> list:
        """The empty memory of `batch` sequences."""
        batch, weight = check_int("batch", batch, 0), self.embedding.weight
        return [b.mixer.init_state(batch, weight.device, weight.dtype) for b in self.blocks]

    def state_size(self, length: int) -> int:
        """Floats of state per sequence after `length` tokens, over all blocks."""
        length = check_int("length", length, 0)
        return sum(block.mixer.state_size(length) for block in self.blocks)

    def flops_per_token(self, length: int) -> float:
        """Floating-point operations of one decoded token, on average over `length`, head included."""
        length = check_int("length", length)
        mlp = sum(p.numel() for block in self.blocks for p in block.mlp.parameters())
        mixers = sum(block.mixer.flops_per_token(length) for block in self.blocks)
        return mixers + 2 * (mlp + self.embedding.weight.numel())

    @property
    def parameter_count(self) -> int:
        """All trainable numbers, the shared embedding counted once."""
        return sum(p.numel() for p in self.parameters())


def map_state(function: Callable, *states: list) -> list:
    """The state of a model, one mixer state per block, that has `function` of those tensors of `states` which
    stand in the same place."""
    return [type(block[0])(*map(function, *block)) for block in zip(*states, strict=True)]


def match_parameters(config: BackboneConfig, target: int, tolerance: float = 0.01) -> BackboneConfig:
    """`config` with the MLP width that brings its parameters nearest to `target`.

    Equal parameters are a condition of every comparison, and the MLP is the part that mixers share.
    Raises: HmlcoreError where no width of at least 1 comes within `tolerance` (relative).
    """
    target = check_int("target", target, 1, LARGEST**2)
    tolerance = check_number("tolerance", tolerance, 0)
    check_instance("config", config, BackboneConfig)
    with torch.device("meta"):
        one = replace(config, d_ff=1).build().parameter_count
    unit = 3 * config.d_model * config.layers  # a SwiGLU channel is a row of up twice, a column of down
    width = max(1, round((target - one) / unit) + 1)
    count = one + unit * (width - 1)
    require(
        abs(count - target) <= tolerance * target,
        f"target_parameters = {target} cannot be met by mixer {config.mixer!r} at d_model = {config.d_model}: "
        f"the nearest is {count}",
    )
    return replace(config, d_ff=width)
