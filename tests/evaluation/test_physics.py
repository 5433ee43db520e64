"""The phase portrait of a head, recomputed prefix by prefix."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.physics import phase_portrait
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.ops.hamiltonian import naive_hamiltonian

HEADS = 2


def make(mixer="hml", **arguments):
    torch.manual_seed(1)
    sizes = {} if mixer == "gru" else {"num_heads": HEADS}
    sizes |= {"dynamics": "leapfrog"} if mixer == "hml" else {}
    model = Backbone(BackboneConfig(20, mixer, 8, 2, 12, sizes | arguments)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
        if mixer == "hml" and "dynamics" not in arguments:  # head 1 of each layer has the least friction
            for block in model.blocks:
                block.mixer.gate_proj.bias.view(-1, HEADS)[2] = torch.tensor([-2.0, 1.0])
    return model


TOKENS = torch.randint(20, (11,), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("layer", [0, -1])
def test_rows_are_the_mechanics_of_the_freest_head(layer):
    model = make()
    rows = phase_portrait(model, TOKENS, layer)
    assert [row["t"] for row in rows] == list(range(11))
    assert [row["byte"] for row in rows] == TOKENS.tolist()
    assert {row["head"] for row in rows} == {1}

    x = model.embedding(TOKENS[None])
    if layer == -1:
        x, _ = model.blocks[0](x)
    block = model.blocks[layer]
    x = block.mixer_norm(x)
    mixer = block.mixer
    r, k, v, _ = mixer._project(x, mixer.init_state(1, dtype=x.dtype).conv)
    coefficients, gates = mixer.coefficients(x)
    states = []
    for t in range(1, 12):
        part = coefficients.map(lambda c, t=t: c[:, :t])
        states.append(naive_hamiltonian(r[:, :t], k[:, :t], v[:, :t], part, None, True)[1][0, 1])
    u, _, w = torch.linalg.svd(states[-1][0])
    for t, (row, (q, p)) in enumerate(zip(rows, states, strict=True)):
        key, value, beta = k[0, t, 1], v[0, t, 1], gates["beta"][0, t, 1]
        wanted = {
            "q": u[:, 0] @ q @ w[0],
            "p": u[:, 0] @ p @ w[0],
            "kinetic": sum(float(x) ** 2 for x in p.flatten()) / 2,
            "potential": beta / 2 * sum(float(x) ** 2 for x in q.T @ key - value),
            "beta": beta,
            "alpha": gates["alpha"][0, t, 1],
            "gamma": gates["gamma"][0, t, 1],
        }
        for name, expected in wanted.items():
            assert row[name] == pytest.approx(float(expected), rel=1e-8, abs=1e-12), (t, name)


def test_the_last_position_is_the_largest_singular_value():
    """Along the leading pair of the last Q, q_T = aᵀQ_T b is its spectral norm."""
    rows = phase_portrait(make(), TOKENS)
    assert rows[-1]["q"] > 0
    assert rows[-1]["kinetic"] >= rows[-1]["p"] ** 2 / 2


def test_looking_changes_nothing():
    model = make().train()
    before, _ = model(TOKENS[None])
    phase_portrait(model, TOKENS)
    after, _ = model(TOKENS[None])
    assert model.training and torch.equal(before, after)
    assert all(block.mixer.trace is None for block in model.blocks)


@pytest.mark.parametrize(
    ("mixer", "arguments"), [("attention", {}), ("gru", {}), ("hml", {"dynamics": "delta"})]
)
def test_a_memory_without_momentum_has_no_portrait(mixer, arguments):
    with pytest.raises(HmlcoreError, match="block 1 keeps no momentum"):
        phase_portrait(make(mixer, **arguments), TOKENS)
