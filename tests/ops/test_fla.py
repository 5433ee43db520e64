"""The forms that call kernels of flash-linear-attention and causal-conv1d.

What each form hands over and takes back is tested anywhere, with the packages' own plain torch references
(and for the convolution its documented contract) in the place of the kernels. The kernels themselves are
tested on a GPU at real sizes, and without one in Triton's interpreter where Triton is installed.
"""

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from fla_references import reference
from matrix_memory_cases import gradients
from memory_cases import assert_close

import hmlcore.ops as ops
from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend

OPS = ["delta_rule", "retention", "short_conv", "ssd"]
PACKED = ["delta_rule", "retention"]


def draw(op, length, *, batch=2, heads=3, n=8, d=6, dtype=torch.float32, device="cpu", seed=0):
    """Named leaves of `op`, for a short convolution heads·n channels and 4 taps."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    if op == "ssd":
        x = {
            "x": normal(batch, length, heads, d),
            "dt": F.softplus(normal(batch, length, heads) - 2),
            "a": -normal(heads).exp(),
            "b": normal(batch, length, n) * n**-0.5,
            "c": normal(batch, length, n),
            "initial_state": normal(batch, heads, d, n),
        }
    elif op == "short_conv":
        e = heads * n
        x = {"x": normal(batch, length, e), "weight": normal(e, 4), "initial_state": normal(batch, 3, e)}
    else:
        x = getattr(ops, op).random_inputs(batch, length, heads, n, d, dtype=torch.float64, seed=seed)
    return {name: t.to(device, dtype).requires_grad_() for name, t in x.items()}


def run(op, form, x, *, start=True, **options):
    """Outputs, final state and the gradient of every leaf, by name."""
    leaves = {name: t for name, t in x.items() if start or name != "initial_state"}
    if op in ("ssd", "short_conv"):
        o, state = form(*leaves.values())
    else:
        rest = [t for name, t in leaves.items() if name != "initial_state"]
        o, state = form(
            *rest, initial_state=leaves.get("initial_state"), output_final_state=True, **options
        )  # fmt: skip
    return {"o": o, "state": state} | gradients(o.double(), state.double(), leaves)


def kernel_form(op):
    return backend._FORMS[op][0].function


def naive(op):
    return backend._FORMS[op][-1].function


# Without the kernels: their references take their place.


def one_by_one(rule):
    """`rule` given the packed sequences that the kernels take and the references do not."""

    def packed(*, cu_seqlens=None, initial_state=None, **given):
        if cu_seqlens is None:
            return rule(**given, initial_state=initial_state)
        assert cu_seqlens.dtype == torch.int64
        outputs, states = [], []
        for i, (a, b) in enumerate(itertools.pairwise(cu_seqlens.tolist())):
            part = {name: t[:, a:b] if isinstance(t, torch.Tensor) else t for name, t in given.items()}
            o, state = rule(**part, initial_state=None if initial_state is None else initial_state[i : i + 1])
            outputs.append(o)
            states.append(state)
        return torch.cat(outputs, 1), torch.cat(states) if given["output_final_state"] else None

    return packed


def conv_contract(x, weight):
    """What causal-conv1d documents, and refuses: [B, E, T] with channels last, E and its strides in eights."""
    assert x.stride(1) == 1 and x.shape[1] % 8 == x.stride(0) % 8 == x.stride(2) % 8 == 0
    assert 2 <= weight.shape[1] <= 4 and x.dtype == weight.dtype
    width = weight.shape[1]
    return F.conv1d(x, weight[:, None], padding=width - 1, groups=x.shape[1])[..., : x.shape[2]]


@pytest.fixture
def references(monkeypatch):
    """The references in the place of the kernels' modules."""
    delta = reference("gated_delta_rule").naive_recurrent_gated_delta_rule
    gla = reference("simple_gla").naive_recurrent_simple_gla
    stand_ins = {
        "fla.ops.gated_delta_rule": SimpleNamespace(chunk_gated_delta_rule=one_by_one(delta)),
        "fla.ops.simple_gla": SimpleNamespace(chunk_simple_gla=one_by_one(gla)),
        "causal_conv1d": SimpleNamespace(causal_conv1d_fn=conv_contract),
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("length", [1, 2, 23])
def test_what_goes_in_and_comes_out_is_translated(references, op, start, length):
    x = draw(op, length, seed=length)
    assert_close(run(op, kernel_form(op), x, start=start), run(op, naive(op), x, start=start), 1e-5)


def test_heads_with_their_own_b_and_c_are_handed_over(references):
    x = draw("ssd", 9)
    own = {
        name: (x[name].detach()[:, :, None] * torch.arange(1, 4)[:, None]).requires_grad_()
        for name in ("b", "c")
    }
    assert_close(run("ssd", kernel_form("ssd"), x | own), run("ssd", naive("ssd"), x | own), 1e-5)


@pytest.mark.parametrize("op", PACKED)
@pytest.mark.parametrize("start", [True, False])
def test_packed_sequences_are_handed_over(references, op, start):
    x = draw(op, 20, batch=1)
    x["initial_state"] = (
        x["initial_state"].detach().repeat(3, 1, 1, 1).mul(torch.arange(1, 4)[:, None, None, None])
    )
    x["initial_state"].requires_grad_()
    bounds = torch.tensor([0, 4, 5, 20], dtype=torch.int32)
    found = run(op, kernel_form(op), x, start=start, cu_seqlens=bounds)
    assert_close(found, run(op, naive(op), x, start=start, cu_seqlens=bounds), 1e-5)


@pytest.mark.parametrize("op", PACKED)
def test_no_final_state_unless_asked_for(references, op):
    x = draw(op, 5)
    rest = [t for name, t in x.items() if name != "initial_state"]
    o, state = kernel_form(op)(*rest)
    assert state is None and o.shape == x["v"].shape


@pytest.mark.parametrize("op", OPS)
def test_dtypes_are_the_contracts(references, op):
    """bf16 operands: outputs in bf16, states of the memories in fp32; autocast changes nothing."""
    x = {name: t.detach() for name, t in draw(op, 5).items()}
    narrow = {name: t.bfloat16() if name in ("q", "k", "v", "x", "b", "c") else t for name, t in x.items()}
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        leaves = list(narrow.values())
        if op in PACKED:
            o, state = kernel_form(op)(*leaves[:-1], initial_state=leaves[-1], output_final_state=True)
        else:
            o, state = kernel_form(op)(*leaves)
    assert o.dtype == torch.bfloat16
    assert state.dtype == (torch.bfloat16 if op == "short_conv" else torch.float32)


@pytest.mark.parametrize("op", OPS)
def test_a_second_derivative_is_refused(references, op):
    """The kernels compute gradients outside of torch's sight: those of gradients would lack a part."""
    x = draw(op, 5)
    *rest, start = x.values()
    o, _ = kernel_form(op)(*rest, start) if op in ("ssd", "short_conv") else kernel_form(op)(*rest)
    (first,) = torch.autograd.grad(o.square().sum(), rest[0], create_graph=True)
    with pytest.raises(HmlcoreError, match=r"can be differentiated once only; .* use naive_"):
        first.sum().backward()


@pytest.mark.parametrize("op", OPS)
def test_float64_is_not_narrowed_in_silence(monkeypatch, op):
    """The kernel's form says no; the op goes on with one that holds float64."""
    kernel, *others = backend._FORMS[op]
    monkeypatch.setitem(backend._FORMS, op, [kernel._replace(obstacle=backend.anywhere, kernel=False), *others])
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    wide = draw(op, 5, dtype=torch.float64)
    choice = backend.choose(op, "cpu", given=tuple(wide.values()))
    assert choice.form == others[0]
    assert f"not {kernel.name}: it computes in fp32 at most, given float64" in choice.reason
    assert backend.choose(op, "cpu", given=tuple(draw(op, 5).values())).form.name == kernel.name
    with pytest.raises(
        HmlcoreError, match=f"{kernel.name!r} of op {op!r} cannot run on cpu: it computes in fp32"
    ):
        backend.choose(op, "cpu", kernel.name, given=tuple(wide.values()))
    entry = ops.selective_scan.ssd if op == "ssd" else getattr(getattr(ops, op), op)
    assert run(op, entry, wide)["o"].dtype == torch.float64


def test_sizes_that_the_kernels_do_not_take_are_passed_over():
    delta, conv = (backend._FORMS[op][0].unfit for op in ("delta_rule", "short_conv"))
    assert "at most 256 channels, given 257" in delta(*draw("delta_rule", 2, n=257, d=1).values())
    assert delta(*draw("delta_rule", 2, n=256, d=1).values()) is None
    for op in OPS:
        unfit, nothing = backend._FORMS[op][0].unfit, draw(op, 5, n=8).values()
        assert "at least one sequence" in unfit(*(t[:0] if t.ndim > 2 else t for t in nothing))
    for channels, taps, fits in ((8, 4, True), (6, 4, False), (8, 1, False), (8, 5, False)):
        problem = conv(torch.zeros(1, 2, channels), torch.zeros(channels, taps), None)
        assert (problem is None) == fits, (channels, taps, problem)


@pytest.mark.parametrize("op", OPS)
def test_no_kernel_runs_on_the_cpu(op):
    kernel = backend._FORMS[op][0]
    assert kernel.kernel and kernel.obstacle(torch.device("cpu")) == "it needs a CUDA device"


# The kernels themselves.

INTERPRETED = Path(__file__).with_name("fla_interpreted.py")


@pytest.mark.skipif(
    not importlib.util.find_spec("triton") and "HMLCORE_REQUIRE_TRITON" not in os.environ,
    reason="needs Triton, which comes with a CUDA torch: make kernels",
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the GPU")
def test_the_kernels_agree_with_naive_in_the_interpreter():
    """fla's kernels as written, one program after the other on the CPU, in exact fp32."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, str(INTERPRETED)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found.keys() == set(OPS) - {"short_conv"}
    assert all(float(error) < 2e-5 for error in found.values()), found


def form_on_the_gpu(op):
    """The kernel's form, where its device and its package are."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    form = backend._FORMS[op][0]
    if problem := form.obstacle(torch.device("cuda")):
        pytest.skip(problem)
    return form.function


@pytest.mark.gpu
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("length", [64, 1000])
def test_the_kernels_agree_with_naive_at_real_sizes(op, dtype, tolerance, length):
    """Outputs, every gradient and the final state, against naive in float64 on the same rounded numbers."""
    form = form_on_the_gpu(op)
    x = draw(op, length, batch=4, heads=4, n=64, d=64, device="cuda", seed=length)
    narrow = ("q", "k", "v", "x", "b", "c", "weight")
    x = {name: t.detach().to(dtype if name in narrow else torch.float32) for name, t in x.items()}
    if op == "short_conv":
        x["initial_state"] = x["initial_state"].to(dtype)
    wanted = run(op, naive(op), {name: t.double().requires_grad_() for name, t in x.items()})
    found = run(op, form, {name: t.requires_grad_() for name, t in x.items()})
    assert_close(found, wanted, tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("op", PACKED)
def test_the_kernels_keep_packed_sequences_apart(op):
    form = form_on_the_gpu(op)
    x = draw(op, 300, batch=1, n=64, d=64, device="cuda")
    x["initial_state"] = x["initial_state"].detach().repeat(3, 1, 1, 1).requires_grad_()
    bounds = torch.tensor([0, 1, 130, 300], device="cuda")
    found = run(op, form, x, cu_seqlens=bounds)
    assert_close(found, run(op, naive(op), x, cu_seqlens=bounds), 5e-3)


@pytest.mark.gpu
def test_present_kernels_are_chosen_and_reported():
    """On a GPU the choice is the kernel, or the reason says why it is not."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for op in OPS:
        choice, kernel = backend.choose(op, "cuda"), backend._FORMS[op][0]
        assert choice.form == kernel or f"not {kernel.name}: " in choice.reason
        assert choice.form != kernel or "of naive" in choice.reason
