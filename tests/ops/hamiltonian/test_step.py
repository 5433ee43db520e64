"""The recurrent kernel, which decodes, against the law in float64.

As in `test_triton.py`: run as a program with TRITON_INTERPRET=1 this file prints each case and its
errors, with outputs poisoned before they are written and every address checked; without that variable it
compiles the kernel for a Hopper GPU.
"""

import os

import pytest
import torch
from kernel_programs import assert_compiled, assert_right, compile_kernel, interpret
from memory_cases import DYNAMICS, coefficients, draw, errors

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.ops import backend
from hmlcore.ops.hamiltonian import naive as law
from hmlcore.ops.hamiltonian import naive_hamiltonian
from hmlcore.ops.hamiltonian import step as steps
from hmlcore.ops.hamiltonian.step import hamiltonian_step, triton_hamiltonian_step, unfit

every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)


def inputs(dynamics, tokens, **sizes):
    """r, k, v, coefficients, state in fp32, and the same numbers in float64."""
    x = {name: t.detach().float() for name, t in draw(dynamics, tokens, **sizes).items()}
    wide = {name: t.double() for name, t in x.items()}
    return tuple((y["r"], y["k"], y["v"], coefficients(dynamics, y), y["initial_state"]) for y in (x, wide))


def one(given):
    """The first token of what :func:`inputs` gives."""
    r, k, v, x, state = given
    return r[:, 0], k[:, 0], v[:, 0], x.map(lambda c: c[:, 0]), state


def compare(found, wanted):
    names = ("o", "state")
    return errors(dict(zip(names, found, strict=True)), dict(zip(names, wanted, strict=True)))


# In the interpreter.


def a_few(dynamics, tokens, **sizes):
    from hmlcore.ops.hamiltonian.triton.recurrent import recurrent

    (r, k, v, x, state), wide = inputs(dynamics, tokens, **sizes)
    before = state.clone()
    found = recurrent(r, k, v, x.map(torch.Tensor.contiguous), state)
    assert torch.equal(state, before) and found[0].dtype == v.dtype and found[1].dtype == torch.float32
    return compare(found, naive_hamiltonian(*wide[:4], wide[4], True))


def a_step(dynamics, **sizes):
    with torch.no_grad():
        given, wide = inputs(dynamics, 1, **sizes)
        return compare(triton_hamiltonian_step(*one(given)), law.hamiltonian_step(*one(wide)))


def shut():
    from hmlcore.ops.hamiltonian.triton.recurrent import recurrent

    (r, k, v, x, state), wide = inputs("leapfrog", 4)
    for c in (x, wide[3]):
        c.log_alpha[:, 2], c.log_gamma[:, 1] = -torch.inf, -torch.inf
    return compare(recurrent(r, k, v, x, state), naive_hamiltonian(*wide[:4], wide[4], True))


def strided():
    """Every second number of a larger tensor, the others NaN: the layer's r, k and v are views too."""
    given, wide = inputs("leapfrog", 1, n=6, d=7)

    def spread(x):
        return torch.stack((x, torch.full_like(x, torch.nan)), -1)[..., 0]

    r, k, v, x, state = (spread(y) if torch.is_tensor(y) else y.map(spread) for y in one(given))
    assert not (k.is_contiguous() or state.is_contiguous() or x.c.is_contiguous())
    return compare(triton_hamiltonian_step(r, k, v, x, state), law.hamiltonian_step(*one(wide)))


def compiled(dynamics):
    """As an operator in a graph: what torch asks of one, and the layer's step around it."""
    given, wide = inputs(dynamics, 1)
    r, k, v, x, state = one(given)
    gates = [c.contiguous()[:, None] for c in x if c is not None]
    with torch.no_grad():
        arguments = (*(y.contiguous()[:, None] for y in (r, k, v)), gates, state)
        torch.library.opcheck(steps._operator, arguments, test_utils=("test_schema", "test_faketensor"))
        graph = torch.compile(triton_hamiltonian_step, fullgraph=True, backend="aot_eager")
        return compare(graph(r, k, v, x, state), law.hamiltonian_step(*one(wide)))


def in_a_layer():
    """What HML decodes with the kernel in the place of the law: outputs and memory of 3 tokens."""
    torch.manual_seed(0)
    layer, x = HML(12, 2, head_dim=6, dynamics="leapfrog"), torch.randn(2, 3, 12)
    kernel, naive = backend._FORMS["hamiltonian_step"]
    results = []
    with torch.no_grad():
        for forms in ([kernel._replace(obstacle=backend.anywhere, kernel=False), naive], [naive]):
            backend._FORMS["hamiltonian_step"], state, outputs = forms, layer.init_state(2), []
            with backend.recording_choices() as chosen:
                for t in range(3):
                    y, state = layer.step(x[:, t], state)
                    outputs.append(y)
            assert chosen["hamiltonian_step"] == forms[0].name
            results.append((torch.stack(outputs), state.memory))
    return compare(*results)


CASES = {
    **{f"{dynamics}, one token": lambda d=dynamics: a_step(d) for dynamics in DYNAMICS},
    **{f"{dynamics}, seven tokens": lambda d=dynamics: a_few(d, 7) for dynamics in DYNAMICS},
    "powers of two": lambda: a_step("leapfrog", n=16, d=32),
    "one channel": lambda: a_step("leapfrog", n=1, d=1),
    "several blocks of columns": lambda: a_few("leapfrog", 2, n=33, d=70),
    "several blocks of columns, one row": lambda: a_few("delta", 2, n=17, d=130),
    "the longest keys": lambda: a_step("leapfrog", batch=1, heads=1, n=256, d=17),
    "one batch, many heads": lambda: a_few("euler", 3, batch=1, heads=7),
    "strong friction": lambda: a_few("leapfrog", 4, gamma=1e-4),
    "gates shut": shut,
    "strides": strided,
    "in a layer": in_a_layer,
    "compiled, two rows": lambda: compiled("leapfrog"),
    "compiled, one row": lambda: compiled("delta"),
}


def interpret_all():
    from hmlcore.ops.hamiltonian.triton import recurrent

    interpret(CASES, recurrent)


def compile_all():
    """Both numbers of rows, operands in fp32 and bf16."""
    from hmlcore.ops.hamiltonian.triton.recurrent import _recur, block

    for rows, operand, n, d in (
        (1, "*fp32", 64, 64),
        (2, "*bf16", 64, 64),
        (2, "*fp32", 128, 128),
        (2, "*fp32", 256, 40),
    ):
        bn, bd = block(n, d, rows)
        fixed = {"H": 2, "N": n, "D": d, "ROWS": rows, "BN": bn, "BD": bd}
        kinds = {x: operand if x in ("r", "k", "v", "o") else "*fp32" for x in _recur.arg_names}
        kinds |= dict.fromkeys(fixed, "constexpr") | {"tokens": "i32"}
        compile_kernel(f"{rows} {operand} {n} {d}", _recur, kinds, fixed)


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_the_law_in_the_interpreter(case):
    assert_right(__file__, case, 2e-6)


def test_the_kernel_compiles(tmp_path):
    assert_compiled(__file__, tmp_path, 4)


# Anywhere.


@every_dynamics
def test_on_a_cpu_a_token_is_the_law(dynamics):
    given = one(inputs(dynamics, 1)[0])
    assert backend.choose("hamiltonian_step", "cpu").form.name == "naive"
    for found, wanted in zip(hamiltonian_step(*given), law.hamiltonian_step(*given), strict=True):
        assert torch.equal(found, wanted)


def test_the_op_and_the_layer_dispatch():
    from hmlcore.ops import hamiltonian

    assert hamiltonian.hamiltonian_step is hamiltonian_step
    layer = HML(12, 2, dynamics="leapfrog")
    with backend.recording_choices() as chosen:
        layer.step(torch.zeros(1, 12), layer.init_state(1))
    assert chosen["hamiltonian_step"] == "naive"


def as_on_a_gpu(monkeypatch):
    """The kernel is there; what it is given is recorded."""
    kernel, naive = backend._FORMS["hamiltonian_step"]
    calls = []

    def function(*given):
        calls.append(given)
        return naive.function(*given)

    ready = kernel._replace(function=function, obstacle=backend.anywhere, kernel=False)
    monkeypatch.setitem(backend._FORMS, "hamiltonian_step", [ready, naive])
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    return calls


@pytest.mark.parametrize("which", range(5))
def test_the_law_runs_where_a_gradient_is_asked_for(monkeypatch, which):
    calls = as_on_a_gpu(monkeypatch)
    given = list(one(inputs("leapfrog", 1)[0]))
    hamiltonian_step(*given)
    assert len(calls) == 1
    if which == 3:
        given[3] = given[3]._replace(drift=given[3].drift.requires_grad_())
    else:
        given[which] = given[which].requires_grad_()
    o, state = hamiltonian_step(*given)
    assert len(calls) == 1 and (o.requires_grad or which == 0) and (state.requires_grad or which == 0)
    with torch.no_grad():
        hamiltonian_step(*given)
    assert len(calls) == 2
    with pytest.raises(HmlcoreError, match="kernel cannot run: it has no gradient, and one is asked for"):
        triton_hamiltonian_step(*given)


def test_gradients_through_decoded_tokens_do_not_break_on_a_gpu(monkeypatch):
    calls = as_on_a_gpu(monkeypatch)
    layer = HML(12, 2, dynamics="leapfrog")
    y, _ = layer.step(torch.ones(1, 12), layer.init_state(1))
    assert calls == []
    assert torch.autograd.grad(y.square().sum(), layer.gate_proj.weight)[0].abs().sum() > 0
    with torch.inference_mode():
        layer.step(torch.ones(1, 12), layer.init_state(1))
    assert len(calls) == 1


def test_what_the_kernel_does_not_take():
    r, k, v, x, state = one(inputs("leapfrog", 1, n=257, d=2)[0])
    assert unfit(r, k, v, *x, state) == "it takes keys of at most 256 channels, given 257"
    given, wide = inputs("leapfrog", 1)
    r, k, v, x, state = one(given)
    assert unfit(r, k, v, *x, state) is None
    with pytest.raises(HmlcoreError, match="kernel cannot run: it computes in fp32 at most, given float64"):
        triton_hamiltonian_step(*one(wide))


WRONG = {
    "r": ((2, 2, 6), r"r must have k's shape \(2, 2, 5\), got \(2, 2, 6\)"),
    "k": ((2, 5), r"k must be \[B, H, N\], got shape \(2, 5\)"),
    "v": ((2, 3, 3), r"v must be \[B, H, D\] with \[B, H\] = \(2, 2\), got \(2, 3, 3\)"),
    "state": ((3, 2, 2, 5, 3), r"state must have shape \(2, 2, 2, 5, 3\), got \(3, 2, 2, 5, 3\)"),
    "drift": ((2, 1), r"coefficients.drift must have shape \(2, 2\), got \(2, 1\)"),
}


@pytest.mark.parametrize("form", [hamiltonian_step, triton_hamiltonian_step])
@pytest.mark.parametrize("which", WRONG)
def test_shapes_are_refused_before_an_address_is_formed(form, which):
    r, k, v, x, state = one(inputs("leapfrog", 1)[0])
    given = {"r": r, "k": k, "v": v, "state": state}
    shape, message = WRONG[which]
    if which == "drift":
        x = x._replace(drift=torch.zeros(shape))
    else:
        given[which] = torch.zeros(shape)
    with pytest.raises(HmlcoreError, match=message):
        form(coefficients=x, **given)
    with pytest.raises(HmlcoreError, match="state is on meta but k is on cpu"):
        form(r, k, v, one(inputs("leapfrog", 1)[0])[3], state.to("meta"))


# On a GPU.


@pytest.mark.gpu
@every_dynamics
@pytest.mark.parametrize(("n", "d"), [(5, 3), (64, 64), (128, 128), (256, 80)])
@pytest.mark.parametrize("narrow", [torch.float32, torch.bfloat16])
def test_the_kernel_is_the_law_on_a_gpu(dynamics, n, d, narrow):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if problem := backend._FORMS["hamiltonian_step"][0].obstacle(torch.device("cuda")):
        pytest.skip(problem)
    with torch.no_grad():
        r, k, v, x, state = one(inputs(dynamics, 1, batch=3, heads=5, n=n, d=d)[0])
        r, k, v = (y.to("cuda", narrow) for y in (r, k, v))
        x, state = x.map(lambda c: c.cuda()), state.cuda()
        wide = (*(y.double() for y in (r, k, v)), x.map(torch.Tensor.double), state.double())
        gaps = compare(triton_hamiltonian_step(r, k, v, x, state), law.hamiltonian_step(*wide))
        assert gaps["state"] < 2e-6 and gaps["o"] < (2e-6 if narrow == torch.float32 else 2**-8)
        assert backend.choose("hamiltonian_step", "cuda").form.name == "triton"


if __name__ == "__main__":
    interpret_all() if os.environ.get("TRITON_INTERPRET") == "1" else compile_all()
