"""Trace mathematics: what past tokens can still be read as, where energy goes, what a step stretches."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.explorers.energy import energies
from hmlcore.explorers.readback import losses, read_back, returned, shares
from hmlcore.explorers.stability import eigenvalues, gain_by_lag
from hmlcore.explorers.steps import steps_of
from hmlcore.layers import GRU, HML, GatedDeltaNet, recording

LENGTH, WIDTH, HEADS = 11, 12, 2


def made(kind, **given):
    """A layer in double precision whose every gate, angle and rotor is in use, its input, and its steps."""
    torch.manual_seed(3)
    layer = kind(WIDTH, num_heads=HEADS, **given).double()
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if name not in ("conv", "log_a") and not name.endswith("log_h"):
                p.normal_(std=0.5)
        for name in ("gate_proj.bias",):
            layer.get_parameter(name).normal_()
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    with recording(layer) as traces, torch.no_grad():
        layer(x)
    return layer, x, steps_of(layer, traces[""])


def alternatives():
    return {
        "oscillator": (HML, {"dynamics": "oscillator", "theta": "token"}),
        "delta": (HML, {"dynamics": "delta"}),
        "leapfrog": (HML, {"dynamics": "leapfrog"}),
        "euler, undamped": (HML, {"dynamics": "euler", "damping": 1.0}),
        "turning heads": (HML, {"dynamics": "oscillator", "theta": "head", "rotation_heads": 1, "rotors": 2}),
        "gated DeltaNet": (GatedDeltaNet, {"expand_v": 1.5, "negative_eigenvalues": True}),
    }


@pytest.fixture(params=alternatives())
def case(request):
    kind, given = alternatives()[request.param]
    return made(kind, **given)


def reads(layer, x, value=None):
    """o of the layer, by its own scan, with its values replaced by `value`; in the frame of turning heads."""
    state = layer.init_state(len(x))
    with torch.no_grad():
        if isinstance(layer, GatedDeltaNet):
            q, k, v, _ = layer._project(x, state.conv)
            return layer.scan(q, k, v if value is None else value, x, state.memory)[0]
        r, k, v, _ = layer._project(x, state.conv)
        phase = None if layer.rotation is None else layer.rotation(x, state.phase)
        written = layer._turn(v if value is None else value, phase, -1)
        o, _ = layer.rule.scan(r, k, written, layer.coefficients(x)[0], state.memory)
        return layer._turn(o, phase, 1)


def test_the_map_is_what_removing_each_write_takes_away(case):
    """By brute force: each token's value is taken away in turn and the layer's own scan run again."""
    layer, x, steps = case
    parts = returned(read_back(steps).weights, steps.value)
    whole = reads(layer, x)
    torch.testing.assert_close(parts.sum(2), whole, rtol=1e-9, atol=1e-11)
    for s in range(LENGTH):
        without = steps.value.clone()
        without[:, s] = 0
        missing = whole - reads(layer, x, without)
        assert missing[:, s:].abs().amax() > 1e-3
        torch.testing.assert_close(parts[:, :, s], missing, rtol=1e-9, atol=1e-11)


def test_shares_of_a_read_add_up(case):
    *_, steps = case
    found = shares(steps, read_back(steps))
    torch.testing.assert_close(found.sum(-1), torch.ones(2, LENGTH, dtype=torch.float64))
    assert (found.triu(1) == 0).all() and (found < 0).any()


def test_what_is_lost_is_forgotten_or_overwritten(case):
    *_, steps = case
    maps = read_back(steps)
    forgotten, overwritten = losses(steps, maps)
    assert (forgotten >= 0).all()
    past = torch.ones(LENGTH, LENGTH).tril(-1).bool()
    change = (maps.held[:, :-1] - maps.held[:, 1:])[:, :, :]
    taken = (forgotten + overwritten)[:, 1:]
    torch.testing.assert_close(taken[:, past[1:]], change[:, past[1:]])


def test_the_same_key_again_overwrites_all_and_an_orthogonal_one_nothing():
    """Of the delta rule with β = 1: known without any computation."""
    *_, steps = made(HML, dynamics="delta")
    one = torch.eye(WIDTH // HEADS, dtype=torch.float64)
    key = one[[0, 1, 2, 1, 3, 4, 0, 5, 2, 2, 1]].expand(2, HEADS, -1, -1).transpose(1, 2)
    sure = torch.ones_like(steps.beta)
    ideal = steps._replace(key=key, push=sure[..., None] + 0j, reach=sure[..., None], alpha=sure)
    ideal = ideal._replace(move=sure[..., None, None])
    held = read_back(ideal).held[0, :, :, 0]
    gone = {0: 6, 1: 3, 2: 8, 3: 10, 8: 9}  # written by → overwritten by
    for s in range(LENGTH):
        end = gone.get(s, LENGTH)
        assert (held[s:end, s] == 1).all() and (held[end:, s] == 0).all()


def test_energy_is_work_less_what_is_lost(case):
    *_, steps = case
    found = energies(steps)
    change = torch.diff(found.energy, dim=1, prepend=torch.zeros_like(found.energy[:, :1]))
    torch.testing.assert_close(found.work + found.forgetting + found.step, change)
    assert (found.energy >= 0).all()


def test_the_oscillator_dissipates_what_its_friction_says():
    """One step leaves ρ² of the energy in the token's potential, whatever the angle."""
    *_, steps = made(HML, dynamics="oscillator", theta="token")
    found = energies(steps)
    rho = 1 - steps.beta
    before = found.energy - found.step
    torch.testing.assert_close(found.energy, rho.square() * before, rtol=1e-9, atol=1e-12)
    assert (found.step <= 0).all() and steps.push.imag.abs().max() > 0.1


def jacobian(layer, x, lag):
    """∂S_T/∂S_{T−lag} of the first sequence and head, gates held fixed, by differentiating the layer's scan."""
    cut = LENGTH - lag
    r, k, v, _ = layer._project(x, layer.init_state(len(x)).conv)
    c = layer.coefficients(x)[0].map(lambda y: y[:1, cut:])

    def end(memory):
        return layer.rule.scan(r[:1, cut:], k[:1, cut:], v[:1, cut:], c, memory)[1][0, 0]

    start = torch.zeros(1, *layer.state_shapes(1)["memory"][1:], dtype=torch.float64)
    found = torch.autograd.functional.jacobian(end, start)[..., 0, 0, :, :, :]
    return found.reshape(start[0, 0].numel(), -1)


@pytest.mark.parametrize("given", [{"dynamics": "leapfrog"}, {"dynamics": "oscillator", "theta": "token"}])
def test_gain_and_eigenvalues_are_those_of_the_jacobian(given):
    layer, x, steps = made(HML, **given)
    gains = gain_by_lag(steps)
    assert gains.shape == (2, LENGTH + 1, HEADS) and (gains[:, 0] == 1).all()
    for lag in (1, 4, LENGTH):
        full = jacobian(layer, x, lag)
        size = torch.linalg.vector_norm(full) / len(full) ** 0.5
        torch.testing.assert_close(gains[0, lag, 0], size, rtol=1e-9, atol=0)
    across, along = (y[0, -1, 0] for y in eigenvalues(steps))
    width, rows = WIDTH // HEADS, layer.rows
    every = torch.linalg.eigvals(jacobian(layer, x, 1))
    repeated = torch.cat((across.repeat((width - 1) * width), along.repeat(width)))
    if given["dynamics"] == "oscillator":  # a complex number is a pair of eigenvalues of what is real
        repeated = torch.cat((repeated, repeated.conj()))[::2] if rows == 2 else _with_conjugates(repeated)
    gap = (every[:, None] - repeated[None]).abs()
    assert gap.amin(1).max() < 1e-6 and gap.amin(0).max() < 1e-6


def _with_conjugates(found):
    return torch.cat((found, found.conj()))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: GRU(WIDTH), "no explorer knows the memory of GRU"),
        (lambda: HML(WIDTH, 2, dynamics="quad"), "explorers take dynamics oscillator, .*, got 'quad'"),
        (lambda: HML(WIDTH, 2, dynamics="delta", corrections=2), "corrections = 1, got 2"),
        (lambda: HML(WIDTH, 2, dynamics="delta", decay="channel"), "decay = 'head', got 'channel'"),
    ],
)
def test_other_memories_are_refused(layer, words):
    layer = layer()
    with recording(layer) as traces:
        layer(torch.zeros(1, 3, WIDTH))
    with pytest.raises(HmlcoreError, match=words):
        steps_of(layer, traces[""])


@pytest.mark.parametrize("corrections", [1, 2])
def test_gated_deltanet_records_what_happens_and_changes_nothing(corrections):
    torch.manual_seed(0)
    layer, x = GatedDeltaNet(WIDTH, 2, corrections=corrections), torch.randn(1, 7, WIDTH)
    y, end = layer(x)
    with recording(layer) as traces:
        again, _ = layer(x)
    assert torch.equal(y, again)
    trace = traces[""]
    assert trace["state"].shape == (1, 7, 2, 1, 6, 12) and trace["read"].shape == (1, 7, 2, 12)
    torch.testing.assert_close(trace["state"][:, -1, :, 0], end.memory)
    expected = layer._read_out(trace["read"], layer._project(x, layer.init_state(1).conv)[2], x)
    torch.testing.assert_close(expected, y)
