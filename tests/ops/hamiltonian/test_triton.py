"""The Hamiltonian memory's Triton kernels against the law, token by token.

On a GPU they are tested at real sizes. Without one they run in Triton's interpreter at small sizes, in fp32,
where Triton is installed: this file, run as a program with TRITON_INTERPRET=1, prints each case and its errors.
Without that variable the program compiles every kernel for a Hopper GPU, which takes none.
"""

import os

import pytest
import torch
from kernel_programs import assert_compiled, assert_right, compile_kernel, interpret
from memory_cases import DYNAMICS, assert_close, coefficients, draw, errors, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend
from hmlcore.ops.hamiltonian import chunk_hamiltonian, hamiltonian, naive_hamiltonian, triton_hamiltonian
from hmlcore.ops.hamiltonian.triton import unfit

every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)


def convert(x, dtype, narrow=None):
    """Leaves in `dtype`, and r, k and v in `narrow` if given."""
    kinds = {name: narrow if narrow and name in ("r", "k", "v") else dtype for name in x}
    return {name: t.detach().to(kinds[name]).requires_grad_() for name, t in x.items()}


# In the interpreter.


def small(dynamics, length, size=16, *, start=True, n=5, d=3, seed=0, gamma=None):
    """Errors of outputs, final state and every gradient, by name."""
    x = draw(dynamics, length, batch=1, n=n, d=d, seed=seed, gamma=gamma)
    found = everything(triton_hamiltonian, dynamics, convert(x, torch.float32), start=start, chunk_size=size)
    return errors(found, everything(naive_hamiltonian, dynamics, x, start=start))


def shut():
    x = draw("leapfrog", 20, batch=1)
    with torch.no_grad():
        x["log_alpha"][:, 7], x["log_gamma"][:, 11] = -torch.inf, -torch.inf
    found = everything(triton_hamiltonian, "leapfrog", convert(x, torch.float32), chunk_size=16)
    return errors(found, everything(naive_hamiltonian, "leapfrog", x))


def packed():
    bounds = torch.tensor([0, 1, 18, 21])
    x = draw("leapfrog", 21, batch=1)
    x["initial_state"] = draw("leapfrog", 1, batch=3, seed=1)["initial_state"]
    found = everything(triton_hamiltonian, "leapfrog", convert(x, torch.float32), cu_seqlens=bounds)
    return errors(found, everything(naive_hamiltonian, "leapfrog", x, cu_seqlens=bounds))


def strided():
    x = draw("leapfrog", 9, batch=2)
    y = {
        name: torch.stack((t, torch.full_like(t, torch.nan)), -1).float()[..., 0].detach().requires_grad_()
        for name, t in x.items()
    }
    assert not y["k"].is_contiguous()
    return errors(
        everything(triton_hamiltonian, "leapfrog", y), everything(naive_hamiltonian, "leapfrog", x)
    )  # fmt: skip


KERNELS = (
    "_prepare", "_pass", "_outputs", "_outputs_back", "_pass_back", "_operands_back", "gates_back",
)  # fmt: skip
CASES = {
    **{f"{dynamics}, 37 tokens": lambda d=dynamics: small(d, 37) for dynamics in DYNAMICS},
    **{f"{dynamics}, from nothing": lambda d=dynamics: small(d, 17, start=False) for dynamics in DYNAMICS},
    **{f"leapfrog, {t} tokens": lambda t=t: small("leapfrog", t, None) for t in (1, 2, 16, 33)},
    "chunks of 32": lambda: small("leapfrog", 45, 32),
    "chunks of 64, one row": lambda: small("delta", 70, 64),
    "chunks of 64, two rows": lambda: small("leapfrog", 70, 64),
    "several blocks of columns": lambda: small("leapfrog", 18, n=17, d=70),
    "several blocks of columns, one row": lambda: small("delta", 18, n=33, d=33),
    "no padding": lambda: small("euler", 32, n=16, d=16),
    "strong friction": lambda: small("leapfrog", 40, 64, gamma=1e-4),
    "gates shut": shut,
    "packed sequences": packed,
    "strides": strided,
}  # fmt: skip


def interpret_all():
    from hmlcore.ops.hamiltonian.triton import backward, forward, gates

    interpret(CASES, backward, forward, gates)


def compile_all():
    """Every kernel, both numbers of rows, both kinds of operands."""
    from hmlcore.ops.hamiltonian.triton import backward, forward

    in_fp32 = {"log_alpha", "log_gamma", "drift", "c", "e", "f", "reach", "phi", "initial", "final"}
    for rows, precision in ((1, "bf16"), (2, "bf16"), (2, "tf32x3")):
        sizes = forward.Sizes(2, 16, 16, rows, 32, 16, 16, precision)
        operand = "*bf16" if precision == "bf16" else "*fp32"
        for name in (*vars(forward), *vars(backward)):
            if name not in KERNELS:
                continue
            kernel = getattr(forward, name, None) or getattr(backward, name)
            fixed = sizes._asdict() | {"ROW": rows - 1}
            kinds = {x: "*fp32" if x.removeprefix("d_") in in_fp32 else operand for x in kernel.arg_names}
            kinds |= {x: "constexpr" for x in kinds.keys() & fixed.keys()} | {"tokens": "i32"}
            given = {x: fixed[x] for x in kinds.keys() & fixed.keys()}
            compile_kernel(f"{name} {rows} {precision}", kernel, kinds, given)


@pytest.mark.parametrize("case", CASES)
def test_the_kernels_are_naive_in_the_interpreter(case):
    assert_right(__file__, case, 3e-5)


def test_the_kernels_compile(tmp_path):
    assert_compiled(__file__, tmp_path, 3 * len(KERNELS))


# Anywhere.


def operands(n=4, d=4, dtype=torch.float32):
    x = convert(draw("leapfrog", 3, n=n, d=d), dtype)
    return x["r"], x["k"], x["v"], coefficients("leapfrog", x)


def test_what_the_kernels_do_not_take():
    for n, d, problem in (
        (129, 4, "keys of at most 128 channels, given 129"), (4, 129, "values of at most 128"), (128, 128, None)
    ):  # fmt: skip
        r, k, v, x = operands(n, d)
        found = unfit(r, k, v, *x, None)
        assert found is None if problem is None else problem in found
    with pytest.raises(HmlcoreError, match="kernels cannot run: it takes keys of at most 128 channels"):
        triton_hamiltonian(*operands(129))
    with pytest.raises(HmlcoreError, match="kernels cannot run: it computes in fp32 at most, given float64"):
        triton_hamiltonian(*operands(dtype=torch.float64))
    for size in (0, 8, 24, 128):
        with pytest.raises(HmlcoreError, match=rf"chunk_size must be one of \(16, 32, 64\).* got {size}"):
            triton_hamiltonian(*operands(), chunk_size=size)


def test_the_op_goes_on_with_chunk_where_the_kernels_do_not_fit(monkeypatch):
    """As on a GPU: the kernels are there, and say no to float64."""
    kernel, *others = backend._FORMS["hamiltonian"]
    ready = kernel._replace(obstacle=backend.anywhere, kernel=False)
    monkeypatch.setitem(backend._FORMS, "hamiltonian", [ready, *others])
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    r, k, v, x = operands(dtype=torch.float64)
    assert torch.equal(hamiltonian(r, k, v, x)[0], chunk_hamiltonian(r, k, v, x)[0])
    r, k, v, x = operands()
    wide = torch.zeros(2, 2, 2, 4, 4, dtype=torch.float64)
    assert hamiltonian(r, k, v, x, initial_state=wide, output_final_state=True)[1].dtype == torch.float64


# On a GPU.


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if problem := backend._FORMS["hamiltonian"][0].obstacle(torch.device("cuda")):
        pytest.skip(problem)
    return torch.device("cuda")


def real(dynamics, length, device, dtype, *, batch=2, heads=4, n=64, d=64):
    """Leaves on `device` with r, k and v in `dtype`, and the same numbers in float64."""
    x = draw(dynamics, length, batch=batch, heads=heads, n=n, d=d, seed=length)
    x = convert({name: t.to(device) for name, t in x.items()}, torch.float32, dtype)
    return x, convert(x, torch.float64)


def on_the_gpu(form, dynamics, x, **options):
    o, state = form(
        x["r"], x["k"], x["v"], coefficients(dynamics, x),
        initial_state=x["initial_state"], output_final_state=True, **options,
    )  # fmt: skip
    grads = torch.autograd.grad(o.double().sin().sum() + state.double().sin().sum(), list(x.values()))
    return {"o": o, "state": state} | {f"d{name}": g for name, g in zip(x, grads, strict=True)}


PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])


@pytest.mark.gpu
@every_dynamics
@PRECISIONS
@pytest.mark.parametrize("length", [1, 64, 1000])
def test_the_kernels_are_naive_at_real_sizes(cuda, dynamics, dtype, tolerance, length):
    """Outputs, every gradient and the final state, against naive in float64 on the same rounded numbers."""
    x, wide = real(dynamics, length, cuda, dtype)
    found = on_the_gpu(triton_hamiltonian, dynamics, x)
    assert found["o"].dtype == dtype and found["state"].dtype == torch.float32
    assert_close(found, on_the_gpu(naive_hamiltonian, dynamics, wide), tolerance)


@pytest.mark.gpu
@PRECISIONS
@pytest.mark.parametrize(("n", "d"), [(128, 128), (96, 80), (16, 128), (128, 16), (5, 3)])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_every_size_fits(cuda, dtype, tolerance, n, d, size):
    x, wide = real("leapfrog", 150, cuda, dtype, n=n, d=d)
    found = on_the_gpu(triton_hamiltonian, "leapfrog", x, chunk_size=size)
    assert_close(found, on_the_gpu(chunk_hamiltonian, "leapfrog", wide), tolerance)


@pytest.mark.gpu
def test_packed_sequences_stay_apart_on_the_gpu(cuda):
    x, wide = real("leapfrog", 300, cuda, torch.float32, batch=1)
    starts = draw("leapfrog", 1, batch=3, heads=4, n=64, d=64)["initial_state"].detach().to(cuda)
    bounds = torch.tensor([0, 1, 130, 300], device=cuda)
    x["initial_state"], wide["initial_state"] = starts.float().requires_grad_(), starts.requires_grad_()
    found = on_the_gpu(triton_hamiltonian, "leapfrog", x, cu_seqlens=bounds)
    assert_close(found, on_the_gpu(naive_hamiltonian, "leapfrog", wide, cu_seqlens=bounds), 1e-4)


@pytest.mark.gpu
def test_a_run_repeats_itself_bit_for_bit(cuda):
    """No two programs write to one place: a moving result would be a race."""
    x, _ = real("leapfrog", 500, cuda, torch.bfloat16)
    first, second = (on_the_gpu(triton_hamiltonian, "leapfrog", x) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
def test_the_op_runs_the_kernels_on_a_gpu(cuda, monkeypatch):
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    choice = backend.choose("hamiltonian", cuda)
    assert choice.form.name == "triton" and "of naive" in choice.reason


if __name__ == "__main__":
    interpret_all() if os.environ.get("TRITON_INTERPRET") == "1" else compile_all()
