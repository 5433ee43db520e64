"""The contract of a token mixer: what every memory layer answers, and what most of them answer alike."""

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.layers.trace import Trace

State = TypeVar("State")


class Mixer(nn.Module, ABC):
    """A causal map over time with an explicit state.

        y, state = mixer(x)                 x, y [B, T, d_model]
        y, state = mixer(x, state)          continue where another call stopped
        y_t, state = mixer.step(x_t, state) one token, x_t, y_t [B, d_model]

    The state is a NamedTuple of tensors, passed in and returned, never kept in the module.
    A mixer that `packs` also takes ``cu_seqlens``: the bounds of sequences that lie end to end in x.
    One pass, any chunking and single steps agree; y_t depends on x_≤t only.

    That holds of what is not finite too. A NaN in token t, or a number out of the dtype's range, spoils y_≥t
    and the state of its sequence (window attention's until the window has passed), and nothing before it or in
    another sequence. ``HMLCORE_CHECK_GATES=1`` refuses such gates of HML instead. Gradients are NaN with it.
    A batch of no sequences has outputs and states of none. A second derivative is right or refused.
    """

    name: ClassVar[str]
    packs: ClassVar[bool] = False
    former_names: ClassVar[dict[str, str]] = {}  # what older files call a weight → what it is called
    no_decay: ClassVar[tuple[str, ...]] = ()  # see `decaying`
    not_hidden: ClassVar[tuple[str, ...]] = ("conv", "gate_proj")  # see `training.optim.hidden_matrices`
    d_model: int
    conv: Tensor  # [channels, conv_size], of a mixer that has a short convolution

    def __init__(self, d_model: int):
        super().__init__()
        self.d_model = check_int("d_model", d_model)
        self.trace: Trace | None = None  # set by `layers.trace.recording`
        self.register_load_state_dict_pre_hook(_rename)

    @classmethod
    def arguments(cls, **given: Any) -> list[str]:
        """Names of what the constructor takes beside d_model, with the arguments `given`."""
        return [name for name in inspect.signature(cls).parameters if name != "d_model"]

    @abstractmethod
    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mix x [B, T, d_model] over time, starting from `state` (None: an empty memory)."""

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One token, x [B, d_model]: what decoding calls. As a sequence, unless a layer has a form for it."""
        self._check_input(x, 2)
        y, state = self(x[:, None], state)
        return y[:, 0], state

    @abstractmethod
    def init_state(
        self, batch: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """The empty memory of `batch` sequences."""

    def state_size(self, length: int) -> int:
        """Floats of state per sequence after `length` tokens; of a memory that does not grow, as many as it
        begins with."""
        return sum(x.numel() for x in self.init_state(1, torch.device("meta")))

    @abstractmethod
    def flops_per_token(self, length: int) -> float:
        """Floating-point operations (two per multiply-add) of one decoded token, on average over
        a sequence of `length`: projections and memory; element-wise work is left out."""

    def auxiliary(self, trace: Trace, generator: torch.Generator) -> Tensor | None:
        """A loss that the layer may be trained for beside its task, a mean over the rows of a batch, from what
        its last call recorded in a differentiable `trace`; None, as of most.

        Args: generator, on the CPU, from which comes all that is drawn.
        """
        return None

    @property
    def output_projections(self) -> list[nn.Linear]:
        """The linear maps that write to the residual stream, scaled down at initialisation by depth."""
        return [cast(nn.Linear, module) for name, module in self.named_children() if name == "out_proj"]

    @property
    def silent_projections(self) -> list[nn.Linear]:
        """The linear maps that begin at 0: what they read says nothing until it is asked for."""
        return []

    def _check_input(self, x: Tensor, ndim: int = 3) -> None:
        shape = "[B, T, d_model]" if ndim == 3 else "[B, d_model]"
        require(
            x.ndim == ndim and x.shape[-1] == self.d_model,
            f"x must be {shape} with d_model = {self.d_model}, got {tuple(x.shape)}",
        )
        require(ndim == 2 or x.shape[1] > 0, "x has T = 0 tokens; at least one is needed")

    def _begin(self, x: Tensor, state: State | None) -> State:
        """The state that x [B, T, d_model], which is checked, is read from."""
        self._check_input(x)
        return self.init_state(x.shape[0], x.device, x.dtype) if state is None else state

    def _empty_conv(self, batch: int, device, dtype) -> Tensor:
        """What the short convolution `conv` has seen before the first token: [B, conv_size − 1, channels]."""
        channels, size = self.conv.shape
        return torch.zeros(batch, size - 1, channels, device=device, dtype=dtype)

    def _projection_work(self) -> int:
        """Multiply-adds of the matrices that are applied to a token once, the convolution's taps among them."""
        maps = map(self.get_parameter, decaying(self))
        return sum(p.numel() for p in maps if p.ndim == 2)


class MemoryState(NamedTuple):
    """A memory in fp32 at least, and the inputs that the short convolution may still look back at."""

    memory: Tensor  # [B, *memory_shape]
    conv: Tensor  # [B, conv_size − 1, channels]


class MemoryMixer(Mixer):
    """A mixer whose state is a memory of one shape, `memory_shape`, and a short convolution's inputs."""

    memory_shape: tuple[int, ...]

    def init_state(self, batch, device=None, dtype=None) -> MemoryState:
        wide = torch.promote_types(dtype or self.conv.dtype, torch.float32)
        memory = torch.zeros(batch, *self.memory_shape, device=device, dtype=wide)
        return MemoryState(memory, self._empty_conv(batch, device, dtype))

    @property
    def memory_size(self) -> int:
        """Floats of memory per sequence, without the convolution's window."""
        return math.prod(self.memory_shape)


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
    """d_model / num_heads, both checked, refused where it does not divide."""
    require(
        d_model % num_heads == 0,
        f"num_heads = {num_heads} does not divide d_model = {d_model}; choose a divisor or give head_dim",
    )
    return d_model // num_heads


def conv_weight(channels: int, size: int) -> nn.Parameter:
    """A short convolution's weight [channels, size], uniform within ±1/√size as nn.Conv1d starts; of one tap,
    which is no convolution, 1."""
    size = check_int("conv_size", size)
    if size == 1:
        return nn.Parameter(torch.ones(channels, 1))
    return uniform(channels, size, fan_in=size)


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Uniform within ±1/√fan_in."""
    return nn.Parameter(torch.empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5))


def inverse_softplus(y: Tensor) -> Tensor:
    """b with softplus(b) = y, for y > 0."""
    return y + torch.log(-torch.expm1(-y))


def decaying(model: nn.Module) -> list[str]:
    """Names of the parameters that weight decay shrinks: of two dimensions or more, unless spared.

    Vectors, gains and biases never decay. A module spares what it names in `no_decay`, parameters of its own
    or modules whole. Classes say so, not tensors: a parameter is replaced by copies, loading and sharding.
    """
    spared = {
        id(p)
        for module in model.modules()
        for name, p in module.named_parameters(remove_duplicate=False)
        if name.split(".")[0] in getattr(module, "no_decay", ())
    }
    return [name for name, p in model.named_parameters() if p.ndim >= 2 and id(p) not in spared]
