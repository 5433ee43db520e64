"""What HML refuses before it works: one message that names the argument, its value and what it may be."""

import re

import pytest
import torch
from hml_cases import MEMBERS
from mixer_cases import WIDTH, make, normal

from hmlcore.errors import HmlcoreError

every_member = pytest.mark.parametrize("case", MEMBERS)
NOT_FINITE = pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])


def both_ways(layer, x, state, message):
    """A sequence and a token are refused alike."""
    with pytest.raises(HmlcoreError, match=message):
        layer(x, state)
    with pytest.raises(HmlcoreError, match=message):
        layer.step(x[:, 0], state)


@pytest.fixture
def asked(monkeypatch):
    """Gates that are not finite are to be refused; else they go their way, as in every mixer."""
    monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")


@every_member
@NOT_FINITE
def test_gates_that_are_not_finite_are_refused_where_asked(asked, case, value):
    layer, x = make(case), normal(2, 3, WIDTH)
    state = layer.init_state(2)
    x[1, 0, 5] = value
    both_ways(layer, x, state, r"gate \w+ \(of x, before its nonlinearity\) must be finite, got (nan|-?inf)")
    layer, x = make(case), normal(2, 3, WIDTH)
    with torch.no_grad():
        layer.gate_proj.bias[-1] = value  # a sigmoid or a softplus would hide it
    name = list(layer.rule.gates)[-1]
    both_ways(layer, x, state, rf"gate {name} \(of x, before its nonlinearity\) must be finite, got {value:g}")


@pytest.mark.parametrize(
    ("case", "name", "message"),
    [
        ("hml-leapfrog", "log_h", r"coefficients\.drift must be finite, got inf"),
        ("hml-leapfrog", "mu", r"coefficients\.f must be finite, got inf"),
        ("hml-oscillator-head", "theta", "theta must be finite, got inf"),
        ("hml-quad", "mu", r"coefficients\.mu must be finite, got inf"),
        ("hml-quad", "log_omega", r"coefficients\.matrix must be finite, got nan"),
    ],
)
def test_parameters_that_are_not_finite_are_refused_where_asked(asked, case, name, message):
    layer = make(case)
    with torch.no_grad():
        layer.rule.get_parameter(name).view(-1)[0] = torch.inf
    with pytest.raises(HmlcoreError, match=message):
        layer(normal(1, 3, WIDTH))


@every_member
def test_a_sequence_has_a_token(case):
    with pytest.raises(HmlcoreError, match="x has T = 0 tokens; at least one is needed"):
        make(case)(normal(2, 0, WIDTH))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.complex64])
def test_x_of_another_dtype_is_refused(dtype):
    layer, x = make("hml"), normal(2, 3, WIDTH).to(dtype)
    message = f"x must have the dtype of the layer's weights, torch.float32, got {dtype}"
    both_ways(layer, x, layer.init_state(2), message)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_autocast_brings_narrow_dtypes_together():
    layer, x = make("hml-delta-rotating"), normal(2, 3, WIDTH).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(x)
        assert y.dtype == torch.bfloat16 and state.memory.dtype == torch.float32
        for wrong in (x.double(), x.long()):
            both_ways(layer, wrong, layer.init_state(2), "x must have the dtype of the layer's weights")


def test_x_on_another_device_is_refused():
    layer = make("hml")
    both_ways(
        layer, normal(2, 3, WIDTH).to("meta"), layer.init_state(2), "x is on meta but the layer is on cpu"
    )


@pytest.mark.parametrize("part", ["memory", "conv", "phase"])
def test_a_state_that_does_not_fit_is_refused(part):
    layer, x = make("hml-leapfrog-rotating"), normal(2, 3, WIDTH)
    state = layer.init_state(2)
    good = getattr(state, part)
    shape = re.escape(str(tuple(good.shape)))
    for wrong, message in (
        (good[:1], rf"state\.{part} must have shape {shape}.*, got \(1, "),
        (good[..., None], rf"state\.{part} must have shape {shape}.*, got "),
        (good.long(), rf"state\.{part} must be of floating point, got torch.int64"),
        (good.to("meta"), rf"state\.{part} is on meta but x is on cpu"),
    ):
        both_ways(layer, x, state._replace(**{part: wrong}), message)


def test_a_state_of_another_kind_is_refused():
    x, turning = normal(2, 3, WIDTH), make("hml-delta-rotating")
    both_ways(turning, x, (), r"state\.memory must have shape \(2, 4, 1, 4, 4\), got None")
    message = r"state\.phase is given, but the layer has no rotors or rotation_heads and keeps none"
    both_ways(make("hml-delta"), x, turning.init_state(2), message)
    both_ways(
        make("hml-kick"), x, make("hml-quad").init_state(2), r"state\.clock must have shape \(2,\), got None"
    )


def test_a_narrow_memory_is_widened():
    layer, x = make("hml-quad"), normal(2, 3, WIDTH)
    _, state = layer(normal(2, 9, WIDTH, seed=2))
    narrow = state._replace(memory=state.memory.bfloat16())
    wide = state._replace(memory=narrow.memory.float())
    for run in (layer, lambda x, s: layer.step(x[:, 0], s)):
        (y, after), (wanted, last) = run(x, narrow), run(x, wide)
        assert after.memory.dtype == torch.float32
        assert torch.equal(y, wanted) and torch.equal(after.memory, last.memory)
