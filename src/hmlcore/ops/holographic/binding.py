r"""Three ways to bind a value to a key, and what a key must be so that unbinding is exact.

    unitary       D/2 complex numbers, neighbouring channels (q, p) one of them; k = e^{iφ};  k ∘ v,  k̄ ∘ m
    bipolar       k ∈ {±1}^D;  k ∘ v,  k ∘ m
    convolution   k ⊛ v = F⁻¹(Fk ∘ Fv),  F⁻¹(conj(Fk) ∘ Fm) with |Fk| = 1: circular, by the fast transform

Each is a diagonal of numbers of modulus 1, in the frame of the channels or of their spectrum, so binding keeps
every length and inner product, and unbind(k, bind(k, v)) = v. With keys of modulus 1 convolution is therefore
the unitary binding seen through the (orthogonal) transform: the same memory, dearer by D log D.
Sources: Plate, Holographic reduced representations (IEEE Trans. Neural Networks 6, 1995); Ganesan et al.,
arXiv 2109.02157, for the projection onto |Fk| = 1.
"""

import torch
from torch import Tensor

from hmlcore.checks import check_choice
from hmlcore.errors import require
from hmlcore.ops.finite import visible
from hmlcore.ops.precision import without_autocast

BINDINGS = ("unitary", "bipolar", "convolution")
TOLERANCE = 1e-3  # of a modulus: what fp32 rounds, and no more than a narrow dtype does
_NARROW = 2e-2


def check_channels(name: str, binding: str, channels: int) -> int:
    """D, refused where it is odd and channels are to be pairs."""
    require(
        binding != "unitary" or channels % 2 == 0,
        f"{name} must be even with binding = 'unitary', whose channels are complex pairs, got {channels}",
    )
    return channels


def _squared_moduli(binding: str, key: Tensor) -> Tensor:
    """What must be 1: |k|² of each channel, pair or frequency, [..., D], [..., D/2] or [..., D//2 + 1]."""
    if binding == "convolution":
        key = torch.view_as_real(torch.fft.rfft(key)).flatten(-2)
    squares = key.square()
    return squares if binding == "bipolar" else squares[..., 0::2] + squares[..., 1::2]


@without_autocast
def check_unit(name: str, binding: str, key: Tensor) -> None:
    """Refuse keys whose moduli are not 1. NaN is let pass, which a state keeps; so is what is not looked at, on
    a GPU or in a compiled graph.

    Raises: HmlcoreError naming the key, the binding and the modulus that is furthest from 1.
    """
    check_channels(f"the channels D of {name}", check_choice("binding", binding, BINDINGS), key.shape[-1])
    if not visible(key) or not key.numel():
        return
    with torch.no_grad():
        wide = key.to(torch.promote_types(key.dtype, torch.float32))
        allowed = TOLERANCE if key.dtype.itemsize >= 4 else _NARROW
        squares = _squared_moduli(binding, wide)
        low, high = (float(x) for x in squares.aminmax())
        if (1 - allowed) ** 2 <= low and high <= (1 + allowed) ** 2:  # nearly always, and a NaN is not within
            return
        found = squares.sqrt()
        off = torch.where(found.isfinite(), (found - 1).abs(), 0)
        worst = float(off.max())
        if worst > allowed:
            modulus = float(found.flatten()[off.argmax()])
            require(
                False, f"{name} must have modulus 1 everywhere with binding = {binding!r}, got {modulus:.6g}"
            )


@without_autocast
def bind(binding: str, key: Tensor, value: Tensor) -> Tensor:
    """k bound to v: key, value [..., D], which broadcast, in one dtype of fp32 at least.

    Raises: HmlcoreError for an unknown binding, and an odd D with pairs.
    """
    return _product(binding, key, value, 1)


@without_autocast
def unbind(binding: str, key: Tensor, memory: Tensor) -> Tensor:
    """What k is bound to in a superposition m [..., D], plus what else is in it, turned at random.

    The inverse of :func:`bind` for keys of modulus 1; its adjoint for all.
    Raises: HmlcoreError for an unknown binding, and an odd D with pairs.
    """
    return _product(binding, key, memory, -1)


def _product(binding: str, key: Tensor, x: Tensor, sign: int) -> Tensor:
    check_choice("binding", binding, BINDINGS)
    check_channels("D", binding, key.shape[-1])
    if binding == "bipolar":
        return key * x
    if binding == "unitary" and torch.compiler.is_compiling():  # a compiled graph has no complex numbers
        (a, b), (c, d) = (y.unflatten(-1, (-1, 2)).unbind(-1) for y in (key, x))
        b = sign * b
        return torch.stack((a * c - b * d, a * d + b * c), -1).flatten(-2)
    if binding == "unitary":  # one pass over memory in the place of eight
        k, z = (torch.view_as_complex(y.contiguous().unflatten(-1, (-1, 2))) for y in (key, x))
        return torch.view_as_real((k if sign == 1 else k.conj()) * z).flatten(-2)
    if not x.numel():  # transforms of nothing are refused
        return key * x
    spectrum = torch.fft.rfft(key)
    spectrum = spectrum if sign == 1 else spectrum.conj_physical()
    return torch.fft.irfft(spectrum * torch.fft.rfft(x), n=key.shape[-1])


def keys_of_phases(binding: str, phases: Tensor) -> Tensor:
    """Keys of modulus 1 [..., D] from angles: D/2 in radians [..., D/2] for "unitary" and "convolution".

    A spectrum's first number is real, and so is the last where D is even: of the D/2 + 1 frequencies both are
    1, and the first angle is not used.
    Raises: HmlcoreError for "bipolar", whose keys are signs (:func:`keys_of_signs`).
    """
    require(binding != "bipolar", "binding 'bipolar' has keys of signs, not of phases")
    check_choice("binding", binding, BINDINGS)
    if torch.compiler.is_compiling():
        pairs = torch.stack((phases.cos(), phases.sin()), -1)
    else:
        pairs = torch.view_as_real(torch.complex(phases.cos(), phases.sin()))
    if binding == "unitary":
        return pairs.flatten(-2)
    if not phases.numel():
        return pairs.flatten(-2)
    real = torch.tensor([1.0, 0.0], dtype=phases.dtype, device=phases.device).expand(*pairs.shape[:-2], 1, 2)
    spectrum = torch.cat((real, pairs[..., 1:, :], real), -2)
    return torch.fft.irfft(torch.view_as_complex(spectrum.contiguous()), n=2 * phases.shape[-1])


class _Sign(torch.autograd.Function):
    """±1, whose gradient is that of tanh, and has none itself."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype) + 0 * x  # NaN stays what it is

    @staticmethod
    def backward(ctx, d):
        (x,) = ctx.saved_tensors
        return _StraightThrough.apply(d * (1 - x.tanh().square()), d, x)


class _Chosen(torch.autograd.Function):
    """1 where x is largest, 0 elsewhere, along the last dimension; its gradient is that of softmax."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0) + 0 * x

    @staticmethod
    def backward(ctx, d):
        (x,) = ctx.saved_tensors
        soft = x.softmax(-1)
        return _StraightThrough.apply(soft * (d - (soft * d).sum(-1, keepdim=True)), d, x)


class _StraightThrough(torch.autograd.Function):
    """A gradient that is the derivative of nothing: refused where one asks for its own."""

    @staticmethod
    def forward(ctx, gradient, *_):
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, *_):
        require(False, "a straight-through gradient is no derivative and has none itself")


def keys_of_signs(x: Tensor) -> Tensor:
    """±1 by the sign of x, of the same shape; the gradient that of tanh (straight through), once."""
    return _Sign.apply(x)


def one_of(x: Tensor) -> Tensor:
    """The largest of x [..., S] as a one among zeros; the gradient that of softmax (straight through), once."""
    return _Chosen.apply(x)
