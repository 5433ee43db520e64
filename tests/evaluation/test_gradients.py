"""Gradients against Jacobians, finite differences and a memory whose fading is known."""

import math

import pytest
import torch
import torch.nn.functional as F
from toy_memory import draw, stirred, toy

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.gradients import (
    FLOOR,
    directions,
    early_late_ratio,
    gradient_by_lag,
    input_gradients,
    log_slope,
    state_gradient_by_lag,
)  # fmt: skip
from hmlcore.evaluation.memories import grows, memories, run_blocks
from hmlcore.layers import MIXERS
from hmlcore.tasks import IGNORE

MODELS = [(mixer, {}) for mixer in sorted(MIXERS)] + [
    ("hml", {"dynamics": "leapfrog"}),
    ("hml", {"dynamics": "kick", "num_heads": 2}),
    ("hml", {"dynamics": "oscillator", "rotation_heads": 1}),
]
NAMES = ["-".join([m, *map(str, a.values())]) for m, a in MODELS]


@pytest.mark.parametrize(("mixer", "arguments"), MODELS, ids=NAMES)
def test_all_lags_at_once_are_the_whole_jacobian(mixer, arguments):
    """The Jacobian of hidden_T with respect to one sequence's embeddings, row by row."""
    model, tokens = stirred(mixer, layers=2, **arguments), draw(2, 9)
    found = input_gradients(model, tokens, count=3, seed=5)
    g = directions(8, 3, seed=5)
    for b in range(2):

        def last(x):
            return run_blocks(model, x, model.init_state(1))[0][0, -1]

        x = model.embedding(tokens[b : b + 1]).detach()
        jacobian = torch.autograd.functional.jacobian(last, x)[:, 0]  # [d, T, d]
        wanted = torch.einsum("gi,itj->gtj", g, jacobian).square().sum(-1).mean(0).sqrt()
        torch.testing.assert_close(found[b], wanted, rtol=1e-9, atol=1e-12)
        assert (wanted > 0).all()
    rows = gradient_by_lag(model, tokens, [0, 8], count=3, seed=5)
    for row, t in zip(rows, (8, 0), strict=True):
        logs = found[:, t].log()
        assert row["value"] == pytest.approx(float(logs.mean().exp()))
        assert row["stderr"] == pytest.approx(float(logs.diff().abs() / 2))
        assert (row["n"], row["floored"]) == (2, 0)


@pytest.mark.parametrize(("mixer", "arguments"), MODELS, ids=NAMES)
@pytest.mark.parametrize("chunk", [1, 7])
def test_the_graph_in_pieces_gives_the_same(mixer, arguments, chunk):
    model, tokens = stirred(mixer, layers=2, **arguments), draw(2, 23)
    whole = input_gradients(model, tokens)
    torch.testing.assert_close(input_gradients(model, tokens, chunk=chunk), whole, rtol=1e-8, atol=1e-11)
    assert grows(model.blocks[0].mixer) == (mixer in ("attention", "hyena"))


@pytest.mark.parametrize(("mixer", "arguments"), MODELS, ids=NAMES)
def test_an_output_has_no_gradient_from_what_comes_later(mixer, arguments):
    model = stirred(mixer, layers=2, **arguments)
    x = model.embedding(draw(2, 12)).detach().requires_grad_()
    hidden, _ = run_blocks(model, x, model.init_state(2))
    (g,) = torch.autograd.grad(hidden[:, 6].sum(), x)
    size = g.abs().max()
    assert g[:, 7:].abs().max() <= 1e-12 * size and (g[:, :7].abs().amax(-1) > 1e-9 * size).all()


@pytest.mark.parametrize(("mixer", "arguments"), MODELS, ids=NAMES)
def test_state_gradient_is_the_finite_difference(mixer, arguments):
    """Every float of every block's memory moved by ±ε; sequences with different last scored positions."""
    model, tokens = stirred(mixer, layers=2, **arguments), draw(2, 12)
    targets = draw(2, 12, seed=3)
    targets[1, 10:] = IGNORE
    lags = [5, 2]
    rows = state_gradient_by_lag(model, tokens, targets, lags)
    for lag, row in zip(lags, rows, strict=True):
        logs = [math.log(_by_differences(model, tokens[b], targets[b], s, lag)) for b, s in ((0, 11), (1, 9))]
        assert row["lag"] == lag and row["n"] == 2
        assert math.log(row["value"]) == pytest.approx(sum(logs) / 2, abs=1e-5)
        assert row["stderr"] == pytest.approx(abs(logs[0] - logs[1]) / 2, abs=1e-5)


@torch.no_grad()
def _by_differences(model, tokens, targets, s, lag, eps=1e-5):
    cut = s - lag + 1
    _, states = model.hidden(tokens[None, :cut])
    floats = sum(x.numel() for x in memories(states))
    states = [type(z)(*(x.repeat(2 * floats, *[1] * (x.ndim - 1)) for x in z)) for z in states]
    row = 0
    for part in memories(states):
        flat = part.view(2 * floats, -1)
        for i in range(flat.shape[1]):
            flat[row, i] += eps
            flat[row + 1, i] -= eps
            row += 2
    hidden, _ = model.hidden(tokens[None, cut : s + 1].expand(2 * floats, -1), states)
    wanted = targets[s].expand(2 * floats)
    losses = F.cross_entropy(model.logits(hidden[:, -1]), wanted, reduction="none")
    return float(((losses[::2] - losses[1::2]) / (2 * eps)).norm())


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.1])
def test_a_known_decay_is_the_slope(monkeypatch, scale):
    """One token repeated, so that nothing but the memory depends on the lag: the norm is c·scaleᴸ."""
    model = toy(monkeypatch, scale=scale)
    tokens, lags = torch.full((2, 41), 7), [1, 2, 4, 8, 16, 32]
    values = [row["value"] for row in gradient_by_lag(model, tokens, lags)]
    slopes = log_slope(lags, values)
    for x in slopes.rate:
        assert x == pytest.approx(math.log(scale), rel=1e-8)
    assert early_late_ratio(lags, values) == pytest.approx(scale**31, rel=1e-6)
    # A turn changes no length of the state's gradient, but which way the input's norm is met.
    model = toy(monkeypatch, scale=scale, angle=0.3)
    values = [row["value"] for row in state_gradient_by_lag(model, tokens, tokens, lags)]
    assert log_slope(lags, values).rate.slope == pytest.approx(math.log(scale), rel=1e-8)


def test_a_power_law_has_its_exponent():
    lags = [2**i for i in range(1, 8)]
    slopes = log_slope(lags, [3 * x**-1.5 for x in lags])
    assert slopes.power == pytest.approx((-1.5,) * 3) and slopes.floored == 0
    assert slopes.rate.low < slopes.rate.slope < slopes.rate.high < 0


def test_the_interval_is_students():
    """Against scipy's own regression, on noisy points."""
    from scipy import stats

    lags = [1, 2, 3, 5, 8, 13]
    logs = [0.3, -0.4, 0.1, -1.0, -0.7, -2.5]
    found = log_slope(lags, [math.exp(y) for y in logs]).rate
    wanted = stats.linregress(lags, logs)
    half = stats.t(4).ppf(0.975) * wanted.stderr
    assert found == pytest.approx((wanted.slope, wanted.slope - half, wanted.slope + half))


def test_what_underflows_is_floored_and_counted(monkeypatch):
    model = toy(monkeypatch, scale=1e-6)
    tokens, lags = torch.full((2, 41), 7), [1, 4, 16, 32]
    rows = gradient_by_lag(model, tokens, lags)
    assert [row["floored"] for row in rows] == [0, 0, 2, 2]
    assert rows[-1]["value"] == pytest.approx(FLOOR)
    values = [row["value"] for row in rows]
    assert log_slope(lags, values).floored == 2 and log_slope(lags, [1, 1, 0, 0]).floored == 2
    assert early_late_ratio(lags, values) == pytest.approx(FLOOR / values[0])
    assert math.isnan(early_late_ratio([1, 2], [0.0, 1.0]))


def test_looking_changes_nothing():
    model, tokens = stirred("gru").train(), draw(2, 9)
    before = [p.detach().clone() for p in model.parameters()]
    gradient_by_lag(model, tokens, [3])
    state_gradient_by_lag(model, tokens, tokens, [3])
    assert model.training
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))


def test_refusals():
    model, tokens = stirred("gru"), draw(2, 9)
    for call, message in (
        (lambda: gradient_by_lag(model, tokens, [9]), r"lags must be whole numbers from 0 to 8.*\[9\]"),
        (lambda: gradient_by_lag(model, tokens[0], [1]), r"tokens must be \[B, T\]"),
        (lambda: gradient_by_lag(model, tokens, [1], count=0), "count must be at least 1, got 0"),
        (lambda: gradient_by_lag(model, tokens, [1], chunk=0), "chunk must be at least 1, got 0"),
        (lambda: state_gradient_by_lag(model, tokens, tokens, [0]), "from 1 to 8"),
        (lambda: state_gradient_by_lag(model, tokens, tokens[:1], [1]), "targets must have tokens' shape"),
        (lambda: state_gradient_by_lag(model, tokens, tokens * 0 + IGNORE, [1]), "a scored position"),
        (lambda: log_slope([1, 2], [1, 1]), "at least three"),
        (lambda: log_slope([0, 1, 2], [1, 1, 1]), "lags must be at least 1"),
        (lambda: log_slope([1, 2, 3], [1, 1, math.nan]), "finite"),
        (lambda: early_late_ratio([1, 1], [1, 1]), "at least two"),
    ):
        with pytest.raises(HmlcoreError, match=message):
            call()
