"""The nonlinear oscillators' Triton kernels against the law, token by token.

On a GPU they are tested at real sizes. Without one they run in Triton's interpreter at small sizes, where
Triton is installed: this file, run as a program with TRITON_INTERPRET=1, prints each case and its errors.
Without that variable the program compiles both kernels for a Hopper GPU, which takes none.
"""

import os

import pytest
import torch
from kernel_programs import assert_compiled, assert_right, compile_kernel, interpret
from matrix_memory_cases import convert
from memory_cases import assert_close, errors
from nonlinear_cases import apply, draw, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend
from hmlcore.ops.nonlinear import Net, naive_nonlinear, nonlinear, segment_nonlinear, triton_nonlinear
from hmlcore.ops.nonlinear.triton import unfit

both = pytest.mark.parametrize("potential", ["sep", "mlp"])


# In the interpreter.


def small(potential, length, segment=8, *, start=True, shut=(), alpha=None, **sizes):
    """Errors of outputs, final state and every gradient, by name; α = 0 at the tokens `shut`."""
    x = draw(potential, length, **{"batch": 1, "seed": length} | sizes)
    with torch.no_grad():
        if alpha is not None:
            x["log_alpha"].fill_(alpha).log_()
        for t in shut:
            x["log_alpha"][:, t, 0] = -torch.inf
    found = everything(triton_nonlinear, convert(x, torch.float32), start=start, segment=segment)
    return errors(found, everything(naive_nonlinear, x, start=start))


def packed(potential):
    bounds = torch.tensor([0, 1, 12, 15])
    x = draw(potential, 15, batch=1)
    x["initial_state"] = draw(potential, 1, batch=3, seed=1)["initial_state"]
    found = everything(triton_nonlinear, convert(x, torch.float32), cu_seqlens=bounds)
    return errors(found, everything(naive_nonlinear, x, cu_seqlens=bounds))


def strided(potential):
    x = draw(potential, 6)
    y = {
        name: torch.stack((t, torch.full_like(t, torch.nan)), -1).float()[..., 0].detach().requires_grad_()
        for name, t in x.items()
    }
    assert not y["k"].is_contiguous()
    return errors(everything(triton_nonlinear, y), everything(naive_nonlinear, x))


KERNELS = ("_forward", "_backward")
CASES = {
    f"{potential}, {name}": lambda potential=potential, case=case: case(potential)
    for potential in ("sep", "mlp")
    for name, case in {
        **{f"{t} tokens": lambda p, t=t: small(p, t) for t in (1, 8, 9, 21)},
        "from nothing": lambda p: small(p, 11, start=False),
        "two sequences": lambda p: small(p, 11, batch=2),
        "several blocks of columns": lambda p: small(p, 9, n=17, d=19),
        "no padding": lambda p: small(p, 9, n=16, d=16),
        "gates shut": lambda p: small(p, 21, shut=(3, 17)),
        "strong friction": lambda p: small(p, 21, alpha=0.3),
        "packed sequences": packed,
        "strides": strided,
    }.items()
} | {"mlp, a wide network": lambda: small("mlp", 9, hidden=19)}


def interpret_all():
    from hmlcore.ops.nonlinear.triton import backward, forward

    interpret(CASES, backward, forward)


VARIANTS = [(net, scratch) for net in (False, True) for scratch in (False, True)]


def compile_all():
    """Both kernels, with and without a network and a scratch."""
    from hmlcore.ops.nonlinear.triton import backward, forward

    for net, scratch in VARIANTS:
        sizes = forward.Sizes(2, 24, 24, 24 if net else 0, 32, 32, 32 if net else 16, 16, net, "tf32x3")
        fixed = sizes._asdict() | {"SCRATCH": scratch}
        for kernel in (forward._forward, backward._backward):
            given = {name: value for name, value in fixed.items() if name in kernel.arg_names}
            kinds = {name: "constexpr" if name in given else "*fp32" for name in kernel.arg_names}
            kinds |= {"tokens": "i32"} | ({"flags": "*i32"} if "flags" in kinds else {})
            compile_kernel(f"{kernel.fn.__name__} {net} {scratch}", kernel, kinds, given)


@pytest.mark.parametrize("case", CASES)
def test_the_kernels_are_naive_in_the_interpreter(case):
    assert_right(__file__, case, 3e-5)


def test_the_kernels_compile(tmp_path):
    assert_compiled(__file__, tmp_path, len(KERNELS) * len(VARIANTS))


# Anywhere.


def test_what_the_kernels_do_not_take():
    for potential, n, hidden, problem in (
        ("sep", 129, 0, "keys of at most 128 channels, given 129"),
        ("sep", 128, 0, None),
        ("mlp", 65, 4, "keys of at most 64 channels, given 65"),
        ("mlp", 4, 65, "networks of at most 64 hidden units, given 65"),
        ("mlp", 64, 64, None),
    ):
        x = draw(potential, 2, n=n, hidden=hidden, dtype=torch.float32)
        net = Net(*(x[name] for name in Net._fields)) if hidden else None
        found = unfit(x["r"], x["k"], x["v"], net)
        assert found is None if problem is None else problem in found
    with pytest.raises(HmlcoreError, match="kernels cannot run: it computes in fp32 at most, given float64"):
        apply(triton_nonlinear, draw("sep", 3))
    with pytest.raises(HmlcoreError, match="segment must be at least 1, got 0"):
        apply(triton_nonlinear, draw("sep", 3, dtype=torch.float32), segment=0)


@both
def test_the_op_goes_on_with_segments_where_the_kernels_do_not_fit(monkeypatch, potential):
    """As on a GPU: the kernels are there, and say no to float64."""
    kernel, *others = backend._FORMS["nonlinear"]
    ready = kernel._replace(obstacle=backend.anywhere, kernel=False)
    monkeypatch.setitem(backend._FORMS, "nonlinear", [ready, *others])
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    x = draw(potential, 5)
    assert torch.equal(apply(nonlinear, x)[0], apply(segment_nonlinear, x)[0])


# On a GPU.


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if problem := backend._FORMS["nonlinear"][0].obstacle(torch.device("cuda")):
        pytest.skip(problem)
    return torch.device("cuda")


def real(potential, length, device, *, n=32, d=32, batch=2, heads=4, hidden=None):
    """Leaves on `device` in fp32, with steps small enough for no chaos, and the same numbers in float64."""
    hidden = n if hidden is None and potential == "mlp" else hidden
    x = draw(potential, length, batch=batch, heads=heads, n=n, d=d, hidden=hidden, seed=length)
    for name in ("drift", "pull"):
        x[name] = x[name].detach() / 4
    x = convert({name: t.to(device) for name, t in x.items()}, torch.float32)
    return x, convert(x, torch.float64)


@pytest.mark.gpu
@both
@pytest.mark.parametrize("length", [1, 64, 500])
def test_the_kernels_are_naive_at_real_sizes(cuda, potential, length):
    x, wide = real(potential, length, cuda)
    assert_close(everything(triton_nonlinear, x), everything(naive_nonlinear, wide), 2e-4)


@pytest.mark.gpu
@both
@pytest.mark.parametrize(("n", "d"), [(64, 64), (16, 128), (5, 3)])
def test_every_size_fits(cuda, potential, n, d):
    x, wide = real(potential, 70, cuda, n=n, d=d)
    with torch.no_grad():  # one segment that cannot be inverted
        x["log_alpha"][:, 40, 0], wide["log_alpha"][:, 40, 0] = -torch.inf, -torch.inf
    assert_close(everything(triton_nonlinear, x), everything(segment_nonlinear, wide), 2e-4)


@pytest.mark.gpu
@both
def test_a_run_repeats_itself_bit_for_bit(cuda, potential):
    """No two programs write to one place: a moving result would be a race."""
    x, _ = real(potential, 200, cuda)
    first, second = (everything(triton_nonlinear, x) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
def test_the_op_runs_the_kernels_on_a_gpu(cuda, monkeypatch):
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    choice = backend.choose("nonlinear", cuda)
    assert choice.form.name == "triton" and "of naive" in choice.reason


if __name__ == "__main__":
    interpret_all() if os.environ.get("TRITON_INTERPRET") == "1" else compile_all()
