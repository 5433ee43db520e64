"""The token map is the ops' own step, its inverse undoes it, and what it cannot be is refused."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.token_map import KNOBS, norms, random_keys, random_state, token_map
from hmlcore.ops import hamiltonian as stepped
from hmlcore.ops.oscillator import as_complex, as_real, oscillator_step

B, N, D = 3, 5, 4
GATES = {
    "leapfrog": {"eta": 0.7, "gamma": 0.6},
    "euler": {"eta": 0.7, "gamma": 0.6},
    "delta": {"eta": 0.7},
    "oscillator": {"rho": 0.8, "theta": 1.1},
}
each = pytest.mark.parametrize("dynamics", KNOBS)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_the_op(dynamics, alpha, k, v, state):
    """One token of B sequences through the op's law; state [p, B, N, D'] as the map has it."""

    def gate(x):
        return torch.full((B, 1), x, dtype=torch.float64)

    k = k[:, None]
    if dynamics == "oscillator":
        g = GATES["oscillator"]
        log_rho, theta = gate(math.log(g["rho"])), gate(g["theta"])
        packed = as_real(state[0])[:, None]
        _, after = oscillator_step(k, k, as_real(v)[:, None], gate(math.log(alpha)), log_rho, theta, packed)
        return as_complex(after[:, 0])[None]
    g = GATES[dynamics]
    if dynamics == "delta":
        c = stepped.delta(gate(math.log(alpha)), gate(g["eta"]))
    else:
        # βh² = η with h ≠ 1, so that the map's units (h = 1, momentum times h) are tested with it.
        h = 0.8
        c = getattr(stepped, dynamics)(
            gate(math.log(alpha)), gate(math.log(g["gamma"])), gate(g["eta"] / h**2), gate(h), gate(0.0)
        )
        state = state * torch.tensor([1.0, 1 / h], dtype=torch.float64)[:, None, None, None]
    _, after = stepped.hamiltonian_step(k, k, v[:, None], c, state.transpose(0, 1)[:, None])
    after = after[:, 0].transpose(0, 1)
    return (
        after
        if dynamics == "delta"
        else after * torch.tensor([1.0, h], dtype=torch.float64)[:, None, None, None]
    )


@each
def test_a_step_is_the_ops(dynamics):
    maps = token_map(dynamics, alpha=0.9, **GATES[dynamics])
    k, v = random_keys(1, B, N, seed=1)[0], normal(B, D, seed=2)
    v = torch.complex(v, normal(B, D, seed=3)) if maps.still.is_complex() else v
    state = random_state(maps, B, N, D, seed=4)
    wanted = by_the_op(dynamics, 0.9, k, v, state[0])
    torch.testing.assert_close(maps.step(k, state, v)[0], wanted, rtol=1e-12, atol=1e-13)
    free = by_the_op(dynamics, 0.9, k, 0 * v, state[0])
    torch.testing.assert_close(maps.step(k, state)[0], free, rtol=1e-12, atol=1e-13)
    assert (maps.step(k, state, v) - maps.step(k, state)).norm() > 0.1


@each
def test_many_maps_are_each_of_them(dynamics):
    gates = {name: torch.tensor([x, x / 2]).double() for name, x in GATES[dynamics].items()}
    maps = token_map(dynamics, **gates)
    k, state = random_keys(1, B, N, seed=1)[0], random_state(maps, B, N, D, seed=4)
    moved = maps.step(k, state)
    for i in range(2):
        one = token_map(dynamics, **{name: float(x[i]) for name, x in gates.items()})
        torch.testing.assert_close(one.step(k, state[i : i + 1])[0], moved[i], rtol=1e-13, atol=1e-14)
    assert (moved[0] - moved[1]).norm() > 0.01


@each
def test_undo_undoes(dynamics):
    maps = token_map(dynamics, alpha=0.9, **GATES[dynamics])
    k, v = random_keys(1, B, N, seed=1)[0], normal(B, D, seed=2)
    state = random_state(maps, B, N, D, seed=4)
    back = maps.inverse().undo(k, maps.step(k, state, v), v)
    torch.testing.assert_close(back, state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("dynamics", "gates"),
    [
        ("delta", {"eta": 1.0}),
        ("leapfrog", {"eta": 0.5, "gamma": 0.0}),
        ("oscillator", {"rho": 0.0, "theta": 1.0}),
    ],
)
def test_what_erases_has_no_inverse(dynamics, gates):
    with pytest.raises(HmlcoreError, match="cannot be undone"):
        token_map(dynamics, **gates).inverse()


@each
def test_the_undamped_maps_preserve_volume(dynamics):
    """det along the key: γ for a pair, 1 − β for the delta rule, ρ² (both parts) for the oscillator."""
    maps = token_map(dynamics, **GATES[dynamics])
    wanted = {"leapfrog": 0.6, "euler": 0.6, "delta": 0.3, "oscillator": 0.8}[dynamics]
    assert float(torch.linalg.det(maps.along).abs()) == pytest.approx(wanted, rel=1e-12)


def test_keys_and_states_are_of_length_one():
    maps = token_map("leapfrog", eta=[0.1, 0.2], gamma=1.0)
    keys, state = random_keys(7, B, N, seed=0), random_state(maps, B, N, D, seed=0)
    torch.testing.assert_close(keys.norm(dim=-1), torch.ones(7, B).double())
    torch.testing.assert_close(norms(state), torch.ones(2, B).double())
    assert torch.equal(state[0], state[1]) and state.shape == (2, 2, B, N, D)
    assert maps.to(torch.float32).still.dtype == torch.float32
    turning = token_map("oscillator", rho=1.0, theta=0.5)
    assert turning.to(torch.float32).still.dtype == torch.complex64 and turning.rows == 1
    assert random_state(turning, B, N, D, seed=0).dtype == torch.complex128


@pytest.mark.parametrize(
    ("dynamics", "gates", "message"),
    [
        ("quad", {}, "unknown dynamics 'quad'; known: delta, euler"),
        ("delta", {}, "delta takes eta, got none"),
        ("delta", {"eta": 0.1, "gamma": 1.0}, "delta takes eta, got eta, gamma"),
        ("leapfrog", {"eta": -0.1, "gamma": 1.0}, r"eta must be between 0 and 100, got -0\.1"),
        ("leapfrog", {"eta": 0.1, "gamma": [0.5, 1.1]}, r"gamma must be between 0 and 1, got 1\.1"),
        ("oscillator", {"rho": math.nan, "theta": 0.0}, "rho must be finite, got nan"),
        ("oscillator", {"rho": 1.0, "theta": 4.0}, r"theta must be between -3\.14 and 3\.14, got 4"),
        ("delta", {"eta": 0.1, "alpha": 2.0}, "alpha must be between 0 and 1, got 2"),
    ],
)
def test_bad_gates_are_refused(dynamics, gates, message):
    with pytest.raises(HmlcoreError, match=message):
        token_map(dynamics, **gates)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(HmlcoreError, match="must be at least 1, got 0"):
        random_keys(*sizes, seed=0)
