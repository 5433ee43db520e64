"""The contract of a token mixer: what every memory layer answers, whatever it remembers with."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.trace import Trace


class Mixer(nn.Module, ABC):
    """A causal map over time with an explicit state.

        y, state = mixer(x)                 x, y [B, T, d_model]
        y, state = mixer(x, state)          continue where another call stopped
        y_t, state = mixer.step(x_t, state) one token, x_t, y_t [B, d_model]

    The state is a NamedTuple of tensors, passed in and returned, never kept in the module.
    A mixer that `packs` also takes ``cu_seqlens``: the bounds of sequences that lie end to end in x.
    One pass, any chunking and single steps agree; y_t depends on x_≤t only.
    """

    name: ClassVar[str]
    packs: ClassVar[bool] = False
    former_names: ClassVar[dict[str, str]] = {}  # what older files call a weight → what it is called
    d_model: int

    def __init__(self, d_model: int):
        super().__init__()
        require(d_model >= 1, f"d_model must be at least 1, got {d_model}")
        self.d_model = d_model
        self.trace: Trace | None = None  # set by `layers.trace.recording`
        self.register_load_state_dict_pre_hook(_rename)

    @classmethod
    def arguments(cls, **given: Any) -> list[str]:
        """Names of what the constructor takes beside d_model, with the arguments `given`."""
        return [name for name in inspect.signature(cls).parameters if name != "d_model"]

    @abstractmethod
    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mix x [B, T, d_model] over time, starting from `state` (None: an empty memory)."""

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One token, x [B, d_model]: what decoding calls."""

    @abstractmethod
    def init_state(
        self, batch: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """The empty memory of `batch` sequences."""

    @abstractmethod
    def state_size(self, length: int) -> int:
        """Floats of state per sequence after `length` tokens; constant for a bounded memory."""

    @abstractmethod
    def flops_per_token(self, length: int) -> float:
        """Floating-point operations (two per multiply-add) of one decoded token, on average over
        a sequence of `length`: projections and memory; element-wise work is left out."""

    @property
    def output_projections(self) -> list[nn.Linear]:
        """The linear maps that write to the residual stream, scaled down at initialisation by depth."""
        return []

    def _check_input(self, x: Tensor, ndim: int = 3) -> None:
        shape = "[B, T, d_model]" if ndim == 3 else "[B, d_model]"
        require(
            x.ndim == ndim and x.shape[-1] == self.d_model,
            f"x must be {shape} with d_model = {self.d_model}, got {tuple(x.shape)}",
        )
        require(ndim == 2 or x.shape[1] > 0, "x has T = 0 tokens; at least one is needed")


def former_names(model: nn.Module) -> dict[str, str]:
    """What older files call weights of `model` → what they are called."""
    return {
        f"{path}.{old}".lstrip("."): f"{path}.{new}".lstrip(".")
        for path, mixer in model.named_modules()
        if isinstance(mixer, Mixer)
        for old, new in mixer.former_names.items()
    }


def _rename(mixer: Mixer, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for old, new in mixer.former_names.items():
        if prefix + old in state_dict:
            state_dict[prefix + new] = state_dict.pop(prefix + old)


def split_heads(d_model: int, num_heads: int) -> int:
    """d_model / num_heads, refused where it does not divide."""
    require(num_heads >= 1, f"num_heads must be at least 1, got {num_heads}")
    require(
        d_model % num_heads == 0,
        f"num_heads = {num_heads} does not divide d_model = {d_model}; choose a divisor or give head_dim",
    )
    return d_model // num_heads


def conv_weight(channels: int, size: int) -> nn.Parameter:
    """A short convolution's weight [channels, size], uniform within ±1/√size as nn.Conv1d starts."""
    require(size >= 1, f"conv_size must be at least 1, got {size}")
    bound = size**-0.5
    return nn.Parameter(torch.empty(channels, size).uniform_(-bound, bound))


def no_decay(parameter: nn.Parameter) -> nn.Parameter:
    """Mark a recurrence parameter that weight decay must leave alone."""
    parameter._no_weight_decay = True
    return parameter
