"""HML's damping, first step and place of injection: what they conserve, what they fix, what is refused."""

import math

import pytest
import torch
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, HMLState
from hmlcore.layers.hml import FAMILY
from hmlcore.ops.hamiltonian import Coefficients, hamiltonian_step
from hmlcore.ops.oscillator import as_complex

WIDTH, HEADS, SIZE = 16, 2, 4
STEPPED = ("leapfrog", "euler")
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
each_option = pytest.mark.parametrize("option", OPTIONS)
DAMPED = [name for name, given in OPTIONS.items() if "damping" in given]


def make(dtype=torch.float64, stir=0.2, **arguments):
    torch.manual_seed(3)
    layer = HML(WIDTH, HEADS, head_dim=SIZE, **arguments).to(dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(stir * torch.randn_like(p))
    return layer


def double(*shape, seed=1):
    return normal(*shape, seed=seed, dtype=torch.float64)


def unit(*shape, seed=1):
    return torch.nn.functional.normalize(double(*shape, seed=seed), dim=-1)


def one_token(layer):
    """The 2N×2N matrix by which one token with a fixed key moves one value channel of the first head, v = 0."""
    x, k = double(1, 1, WIDTH), unit(1, HEADS, SIZE, seed=2)
    c = layer.coefficients(x)[0].map(lambda y: y[:, 0])
    columns = []
    for i in range(2 * SIZE):
        memory = torch.zeros(1, HEADS, 2, SIZE, SIZE, dtype=torch.float64)
        memory[0, 0, i // SIZE, i % SIZE, 0] = 1
        _, after = layer.rule.advance(k, k, torch.zeros_like(k), c, memory)
        columns.append(after[0, 0, :, :, 0].flatten())
    return torch.stack(columns, 1)


def twisted(matrix):
    """MᵀJM − J, 0 where M is symplectic."""
    j = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), torch.eye(SIZE).double())
    return matrix.T @ j @ matrix - j


# What is conserved


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("dynamics", STEPPED)
def test_undamped_one_token_is_a_symplectic_map(dynamics, step_size):
    matrix = one_token(make(dynamics=dynamics, damping=1.0, step_size=step_size))
    assert twisted(matrix).abs().max() < 1e-14
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-13)
    assert (matrix - torch.eye(2 * SIZE)).abs().max() > 0.1  # it does move


@pytest.mark.parametrize("dynamics", STEPPED)
def test_damping_shrinks_phase_space_by_itself_and_nothing_else(dynamics):
    """One momentum a key direction, each times γ: the volume by γ^N."""
    for damping in (0.9, 0.5):
        matrix = one_token(make(dynamics=dynamics, damping=damping))
        assert torch.linalg.det(matrix).item() == pytest.approx(damping**SIZE, rel=1e-12)
        assert twisted(matrix).abs().max() > 0.05
    # Tokens that choose lose more than their γ: α < 1 forgets as well.
    assert torch.linalg.det(one_token(make(dynamics=dynamics))) < 0.5


def test_injection_into_both_is_not_symplectic():
    assert twisted(one_token(make(dynamics="leapfrog", damping=1.0, injection="both"))).abs().max() > 0.05


@pytest.mark.parametrize("dynamics", STEPPED)
def test_the_coefficients_have_no_loss_where_undamped(dynamics):
    layer = make(dynamics=dynamics, damping=1.0)
    c, gates = layer.coefficients(double(2, 5, WIDTH))
    assert not c.log_alpha.any() and not c.log_gamma.any()
    assert (gates["alpha"] == 1).all() and (gates["gamma"] == 1).all()
    assert gates["beta"].std() > 0.01  # what is written is still the tokens' choice


def test_the_undamped_oscillator_turns_about_the_association_without_loss():
    layer = make(dynamics="oscillator", theta="token", damping=1.0)
    with torch.no_grad():
        layer.rule.theta.mul_(10)
    c = layer.coefficients(double(1, 1, WIDTH))[0].map(lambda y: y[:, 0])
    assert not c.log_alpha.any() and not c.log_rho.any() and c.theta.abs().min() > 0.01
    k, v = unit(1, HEADS, SIZE, seed=2), double(1, HEADS, SIZE, seed=3)
    before = double(1, HEADS, 1, SIZE, SIZE, seed=4)
    _, after = layer.rule.advance(k, k, v, c, before)

    def error(memory):
        return as_complex(torch.einsum("bhn,bhnd->bhd", k, memory[:, :, 0]) - v)

    torch.testing.assert_close(error(after), error(before) * torch.exp(1j * c.theta)[..., None])
    moved = before - after
    along = k[:, :, None, :, None] * torch.einsum("bhn,bhpnd->bhpd", k, moved)[..., None, :]
    across = moved - along
    assert across.abs().max() < 1e-14 and (after - before).abs().max() > 1e-3
    _, back = layer.rule.advance(k, k, v, c._replace(theta=-c.theta), after)
    torch.testing.assert_close(back, before, rtol=1e-13, atol=1e-13)


def test_the_oscillator_loses_its_damping_of_the_error():
    layer = make(dynamics="oscillator", theta="head", damping=0.9)
    c, gates = layer.coefficients(double(1, 1, WIDTH))
    c = c.map(lambda y: y[:, 0])
    torch.testing.assert_close(gates["beta"], torch.full_like(gates["beta"], 0.1))
    k, v = unit(1, HEADS, SIZE, seed=2), double(1, HEADS, SIZE, seed=3)
    before = double(1, HEADS, 1, SIZE, SIZE, seed=4)
    _, after = layer.rule.advance(k, k, v, c, before)
    sizes = [(torch.einsum("bhn,bhnd->bhd", k, m[:, :, 0]) - v).norm(dim=-1) for m in (before, after)]
    torch.testing.assert_close(sizes[1], 0.9 * sizes[0])


# What is fixed


@pytest.mark.parametrize("option", DAMPED)
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


@pytest.mark.parametrize("option", DAMPED)
def test_gates_that_damping_replaces_get_no_gradient(option):
    layer = make(**OPTIONS[option])
    largest = gate_gradients(layer)
    # ρ takes the place of the oscillator's β.
    learned = {"beta"} if OPTIONS[option]["dynamics"] in STEPPED else set()
    assert {name for name, most in largest.items() if most > 0} == learned
    assert layer.log_a.grad is None or not layer.log_a.grad.any()
    free = make(**{k: v for k, v in OPTIONS[option].items() if k != "damping"})
    assert all(most > 0 for most in gate_gradients(free).values())


@pytest.mark.parametrize("dynamics", STEPPED)
@pytest.mark.parametrize("step_size", [0.25, 0.5, 1.0, 2.0])
def test_the_first_step_is_h_in_every_head(dynamics, step_size):
    layer = HML(WIDTH, HEADS, dynamics=dynamics, step_size=step_size)
    torch.testing.assert_close(layer.rule.log_h.exp(), torch.full((HEADS,), step_size), rtol=2e-7, atol=0)
    assert layer.rule.log_h.requires_grad and layer.rule.log_h._no_weight_decay
    c, gates = layer.coefficients(normal(1, 3, WIDTH))
    torch.testing.assert_close(c.e[..., 1], gates["beta"] * step_size)


def test_injection_into_both_is_the_leapfrog_and_the_delta_write():
    """One step by hand: half a drift, a kick to P, the same error's delta write to Q, half a drift."""
    layer = make(dynamics="leapfrog", injection="both", step_size=0.5)
    c, gates = layer.coefficients(double(1, 1, WIDTH))
    alpha, beta, gamma = (gates[name][:, 0, :, None, None] for name in ("alpha", "beta", "gamma"))
    h, mu = layer.rule.log_h.exp()[:, None, None], layer.rule.mu[:, None, None]
    r, k = unit(1, HEADS, SIZE, seed=2), unit(1, HEADS, SIZE, seed=5)
    v, memory = double(1, HEADS, SIZE, seed=3), double(1, HEADS, 2, SIZE, SIZE, seed=4)
    q, p = alpha * memory[:, :, 0], alpha * memory[:, :, 1]
    q = q + h / 2 * p
    error = torch.einsum("bhn,bhd->bhnd", k, torch.einsum("bhn,bhnd->bhd", k, q) - v)
    p = gamma * p - h * beta * error
    q = q + h / 2 * p - beta * error
    o, after = hamiltonian_step(r, k, v, c.map(lambda y: y[:, 0]), memory)
    torch.testing.assert_close(after, torch.stack((q, p), 2), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(o, torch.einsum("bhn,bhnd->bhd", r, q + mu * p), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dynamics", STEPPED)
def test_injection_changes_what_is_written_to_the_position_alone(dynamics):
    x = double(2, 5, WIDTH)
    once, gates = make(dynamics=dynamics).coefficients(x)
    both, _ = make(dynamics=dynamics, injection="both").coefficients(x)
    for name in Coefficients._fields:
        if name != "e":
            assert torch.equal(getattr(once, name), getattr(both, name)), name
    torch.testing.assert_close(both.e[..., 0] - once.e[..., 0], gates["beta"])
    assert torch.equal(both.e[..., 1], once.e[..., 1])


# Forms


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


DEFAULTS = {"damping": None, "step_size": 1.0, "injection": "momentum", "theta": "few", "every": 16}


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


# What is refused


@pytest.mark.parametrize("damping", [0.0, -0.5, 1.0001, math.nan, math.inf])
@pytest.mark.parametrize("dynamics", ["leapfrog", "oscillator"])
def test_damping_out_of_range_is_refused(dynamics, damping):
    with pytest.raises(HmlcoreError, match=rf"damping must be in \(0, 1\], got {damping}"):
        HML(WIDTH, dynamics=dynamics, damping=damping)


@pytest.mark.parametrize("step_size", [0.0, -1.0, math.nan, math.inf])
def test_a_step_that_is_none_is_refused(step_size):
    with pytest.raises(HmlcoreError, match=f"step_size must be above 0 and finite, got {step_size}"):
        HML(WIDTH, dynamics="leapfrog", step_size=step_size)


def test_an_unknown_injection_is_refused():
    with pytest.raises(HmlcoreError, match="unknown injection 'position'; known: both, momentum"):
        HML(WIDTH, dynamics="leapfrog", injection="position")


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
