"""Options of dynamics: forms agree under each, they add nothing that is learned, and others are refused."""

import math

import pytest
import torch
from hml_cases import HEADS, STEPPED, WIDTH, double, make
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, HMLState
from hmlcore.layers.hml import FAMILY

OPTIONS = {
    "undamped leapfrog": {"dynamics": "leapfrog", "damping": 1.0},
    "damped leapfrog": {"dynamics": "leapfrog", "damping": 0.9},
    "undamped Euler": {"dynamics": "euler", "damping": 1.0},
    "undamped oscillator": {"dynamics": "oscillator", "theta": "token", "damping": 1.0},
    "damped oscillator": {"dynamics": "oscillator", "theta": "head", "damping": 0.9},
    "damped, few turn": {"dynamics": "oscillator", "damping": 0.8},
    "damped, rotating": {"dynamics": "leapfrog", "damping": 0.9, "rotation_heads": 1},
    "small steps": {"dynamics": "leapfrog", "step_size": 0.25},
    "small steps of Euler": {"dynamics": "euler", "step_size": 0.5},
    "into both": {"dynamics": "leapfrog", "injection": "both"},
    "Euler into both": {"dynamics": "euler", "injection": "both"},
    "all at once": {"dynamics": "leapfrog", "damping": 0.9, "step_size": 0.5, "injection": "both"},
}
DEFAULTS = {"damping": None, "step_size": 1.0, "injection": "momentum", "theta": "few", "every": 16}
each_option = pytest.mark.parametrize("option", OPTIONS)
each_damped = pytest.mark.parametrize("option", [name for name, given in OPTIONS.items() if "damping" in given])


@each_damped
def test_fixed_damping_does_not_depend_on_the_input(option):
    given = OPTIONS[option]
    layer = make(**given)
    c, _ = layer.coefficients(3 * double(2, 7, WIDTH))
    lost = c.log_rho if given["dynamics"] == "oscillator" else c.log_gamma
    torch.testing.assert_close(lost, torch.full_like(lost, math.log(given["damping"])), rtol=1e-15, atol=0)
    assert lost.shape == (2, 7, HEADS) and (c.log_alpha == 0).all()


def gate_gradients(layer):
    """Gate → the largest entry of its weights' gradient."""
    layer(double(2, 9, WIDTH))[0].square().sum().backward()
    grad = layer.gate_proj.weight.grad
    grad = torch.zeros_like(layer.gate_proj.weight) if grad is None else grad
    return dict(zip(layer.rule.gates, grad.view(-1, HEADS, WIDTH).abs().amax((1, 2)).tolist(), strict=True))


@each_damped
def test_gates_that_damping_replaces_get_no_gradient(option):
    layer = make(**OPTIONS[option])
    largest = gate_gradients(layer)
    # ρ takes the place of the oscillator's β.
    learned = {"beta"} if OPTIONS[option]["dynamics"] in STEPPED else set()
    assert {name for name, most in largest.items() if most > 0} == learned
    assert layer.log_a.grad is None or not layer.log_a.grad.any()
    free = make(**{k: v for k, v in OPTIONS[option].items() if k != "damping"})
    assert all(most > 0 for most in gate_gradients(free).values())


@each_option
def test_forms_agree(option):
    """The sequence at once, in three stretches, and token by token."""
    layer, x = make(**OPTIONS[option]), double(2, 37, WIDTH)
    whole, end = layer(x)
    stretches, state = [], None
    for part in x.split((20, 1, 16), 1):
        y, state = layer(part, state)
        stretches.append(y)
    torch.testing.assert_close(torch.cat(stretches, 1), whole, rtol=1e-9, atol=1e-11)
    tokens, walked = [], layer.init_state(2, dtype=torch.float64)
    for t in range(x.shape[1]):
        y, walked = layer.step(x[:, t], walked)
        tokens.append(y)
    torch.testing.assert_close(torch.stack(tokens, 1), whole, rtol=1e-9, atol=1e-11)
    for found in (state, walked):
        for a, b in zip(found, end, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    assert end.memory.abs().max() > 0.01


@each_option
def test_gradients_of_the_chunked_form_are_those_of_the_walk(option):
    layer, x = make(**OPTIONS[option]), double(1, 19, WIDTH)
    weight = double(1, 19, WIDTH, seed=6)
    learned = {n: p for n, p in layer.named_parameters()}
    (layer(x)[0] * weight).sum().backward()
    found = {n: p.grad for n, p in learned.items() if p.grad is not None}
    layer.zero_grad()
    state, ys = layer.init_state(1, dtype=torch.float64), []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        ys.append(y)
    (torch.stack(ys, 1) * weight).sum().backward()
    assert found and set(found) >= {"in_proj.weight", "out_proj.weight"}
    for name, grad in found.items():
        torch.testing.assert_close(learned[name].grad, grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dynamics", FAMILY)
def test_the_defaults_change_nothing(dynamics):
    def built(**arguments):
        torch.manual_seed(5)
        layer = HML(WIDTH, HEADS, dynamics=dynamics, **arguments)
        return layer, torch.rand(1)

    usual = {name: DEFAULTS[name] for name in FAMILY[dynamics].options()}
    (plain, drawn), (given, again) = built(), built(**usual)
    assert torch.equal(drawn, again)
    assert plain.state_dict().keys() == given.state_dict().keys()
    assert all(torch.equal(x, given.state_dict()[name]) for name, x in plain.state_dict().items())
    x = normal(2, 11, WIDTH)
    (y, state), (z, other) = plain(x), given(x)
    assert torch.equal(y, z) and torch.equal(state.memory, other.memory)
    if dynamics in STEPPED:
        assert not plain.rule.log_h.any()  # h = 1, in stored models to the bit


@each_option
def test_options_add_no_parameters_and_no_state(option):
    given = dict(OPTIONS[option])
    own = {name: given.pop(name) for name in ("damping", "step_size", "injection") if name in given}
    assert own
    with_it, without = make(**given, **own), make(**given)
    sizes = [{n: p.shape for n, p in layer.named_parameters()} for layer in (with_it, without)]
    assert sizes[0] == sizes[1]
    assert with_it.state_size(10) == without.state_size(10)
    if with_it.rotation is None:
        assert isinstance(with_it.init_state(1), HMLState)


@pytest.mark.parametrize("damping", [0.0, -0.5, 1.0001, math.nan, math.inf])
@pytest.mark.parametrize("dynamics", ["leapfrog", "oscillator"])
def test_damping_out_of_range_is_refused(dynamics, damping):
    with pytest.raises(HmlcoreError, match=f"damping must be above 0 and at most 1, got {damping}"):
        HML(WIDTH, dynamics=dynamics, damping=damping)


@pytest.mark.parametrize("dynamics", FAMILY)
def test_an_option_that_the_dynamics_do_not_have_is_refused_with_those_they_have(dynamics):
    has = FAMILY[dynamics].options()
    assert has == {
        "leapfrog": ["damping", "step_size", "injection"],
        "euler": ["damping", "step_size", "injection"],
        "oscillator": ["theta", "damping"],
        "kick": ["every"],
    }.get(dynamics, [])
    for option in (*DEFAULTS, "nosuch"):
        if option not in has:
            known = ", ".join(sorted(has)) or "none"
            message = f"unknown option of dynamics '{dynamics}' '{option}'; known: {known}$"
            with pytest.raises(HmlcoreError, match=message):
                HML(WIDTH, dynamics=dynamics, **{option: DEFAULTS.get(option)})
