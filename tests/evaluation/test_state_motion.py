"""Growth of the state's Jacobian where it is known, and the energy of a memory left alone."""

import math

import pytest
import torch
from toy_memory import draw, stirred, toy

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.memories import memories
from hmlcore.evaluation.physics import set_gates
from hmlcore.evaluation.state_motion import energy_drift, spectral_radius_proxy
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig


@pytest.mark.parametrize("scale", [1.0, 0.7, 1.2])
@pytest.mark.parametrize("every", [1, 16])
def test_a_turn_neither_grows_nor_fades_and_a_scale_is_its_log(monkeypatch, scale, every):
    (row,) = spectral_radius_proxy(toy(monkeypatch, scale=scale, angle=0.4), draw(3, 50), 40, every=every)
    assert row["value"] == pytest.approx(math.log(scale), abs=1e-12)
    assert row["stderr"] == pytest.approx(0, abs=1e-12) and (row["lag"], row["n"]) == (40, 3)


def test_one_retention_head_fades_at_its_published_rate():
    model = stirred("retnet", num_heads=1)
    (row,) = spectral_radius_proxy(model, draw(2, 40), 37)
    assert row["value"] == pytest.approx(math.log(1 - 2**-5), rel=1e-9)


@pytest.mark.parametrize("mixer", ["gru", "lstm", "hml", "mamba", "linoss", "gated_deltanet"])
def test_many_directions_give_the_jacobians_norm(mixer):
    """One token, one sequence: E‖Jᵀu‖² = ‖J‖²/n, against J by central differences, entry by entry."""
    model, tokens, eps = stirred(mixer), draw(1, 9), 1e-5
    with torch.no_grad():
        _, states = model.hidden(tokens[:, :8])
        (state,) = states
        floats = sum(x.numel() for x in memories(states))
        many = type(state)(*(x.repeat(2 * floats, *[1] * (x.ndim - 1)) for x in state))
        row = 0
        for part in memories([many]):
            flat = part.view(2 * floats, -1)
            for i in range(flat.shape[1]):
                flat[row, i] += eps
                flat[row + 1, i] -= eps
                row += 2
        _, after = model.hidden(tokens[:, 8:].expand(2 * floats, -1), [many])
    moved = torch.cat([x.flatten(1) for x in memories(after)], 1)
    jacobian = (moved[::2] - moved[1::2]) / (2 * eps)  # [from, to]
    g = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(4000, floats, generator=g, dtype=torch.float64), dim=1)
    wanted = (u @ jacobian.T).norm(dim=1).log()
    (found,) = spectral_radius_proxy(model, tokens, 1, count=400)
    assert found["stderr"] is None
    assert found["value"] == pytest.approx(float(wanted.mean()), abs=4 * float(wanted.std()) / 400**0.5 + 1e-6)


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_every_bounded_memory_has_one_and_a_cache_none(mixer):
    model = stirred(mixer, layers=2).float()
    (row,) = spectral_radius_proxy(model, draw(2, 30), 24)
    if mixer in ("attention", "hyena"):
        assert row["value"] is None and "grows" in row["note"]
        return
    assert math.isfinite(row["value"]) and row["note"] is None
    (other,) = spectral_radius_proxy(model, draw(2, 30), 24, every=5)
    assert other["value"] == pytest.approx(row["value"], abs=1e-9)
    assert next(model.parameters()).dtype == torch.float32


def pair(dynamics, gamma, beta=0.2, layers=1):
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(9, "hml", 12, layers, 12, {"num_heads": 2, "dynamics": dynamics})).double()
    for block in model.blocks:
        set_gates(block.mixer, beta=beta, gamma=gamma)
        block.mixer.log_a.data.fill_(-60)  # α = 1
    return model


KEPT = 1 - 1e-15


@pytest.mark.parametrize("dynamics", ["leapfrog", "euler"])
def test_without_friction_the_energy_stays_within_its_bound(dynamics):
    """A symplectic step conserves its shadow energy, between which and E lies, with η = βh² = β, a factor of

    1 … 1 − η/4 for leapfrog,        1 − √η/2 … 1 + √η/2 for Euler.
    """
    eta, tokens = 0.2, draw(3, 6, vocab=9)
    low, high = (1 - eta / 4, 1) if dynamics == "leapfrog" else (1 - eta**0.5 / 2, 1 + eta**0.5 / 2)
    model = pair(dynamics, KEPT, eta)
    for count in (50, 800):
        rows = {(r["metric"], r["head"]): r["value"] for r in energy_drift(model, tokens, 8, count)}
        assert len(rows) == 4
        for head in range(2):
            assert 1e-6 < rows["energy_drift", head] <= high / low - 1
            assert abs(rows["energy_change", head]) <= rows["energy_drift", head]


def test_leapfrog_is_the_better_integrator():
    tokens = draw(3, 6, vocab=9)
    leapfrog, euler = (
        max(r["value"] for r in energy_drift(pair(d, KEPT), tokens, 8, 100) if r["metric"] == "energy_drift")
        for d in ("leapfrog", "euler")
    )
    assert leapfrog < euler / 3


def test_friction_takes_all_energy():
    """γ = .8 for 300 tokens: what the key addresses and what it does not both come to rest."""
    model, tokens = pair("leapfrog", 0.8), draw(3, 6, vocab=9)
    change = [r["value"] for r in energy_drift(model, tokens, 8, 300) if r["metric"] == "energy_change"]
    assert change == pytest.approx([-1.0, -1.0], abs=1e-6)


def test_looking_changes_nothing():
    model, tokens = pair("euler", 0.9, layers=2).train(), draw(2, 6, vocab=9)
    before, _ = model(tokens)
    energy_drift(model, tokens, 8, 5, layer=0)
    spectral_radius_proxy(model, tokens, 4)
    after, _ = model(tokens)
    assert model.training and torch.equal(before, after)
    assert all(block.mixer.trace is None for block in model.blocks)


def test_refusals():
    model, tokens = stirred("gru"), draw(2, 9)
    for call, message in (
        (lambda: spectral_radius_proxy(model, tokens, 10), "lag must be between 1 and T = 9, got 10"),
        (lambda: spectral_radius_proxy(model, tokens, 3, every=0), "every must be at least 1, got 0"),
        (lambda: energy_drift(model, tokens, 1, 5), "block 0 keeps no momentum"),
        (lambda: energy_drift(stirred("hml"), tokens, 1, 5), "block 0 keeps no momentum"),
        (lambda: energy_drift(model, tokens, 20, 5), "blank must be a token of the model, got 20"),
        (lambda: energy_drift(model, tokens, 1, 0), "count must be at least 1, got 0"),
        (lambda: energy_drift(model, tokens, 1, 5, layer=1), "layer must be one of the model's 1, got 1"),
    ):
        with pytest.raises(HmlcoreError, match=message):
            call()
