"""Verdicts on the mechanics follow their rules, driven to each by made-up results."""

import pandas as pd
import pytest
from made_up_claims import decided

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.physics.claims import CLAIMS

RULES = {claim.rule.__name__: claim.rule for claim in CLAIMS}


def results(rows: list[dict]) -> ResultSet:
    frame = pd.DataFrame(rows)
    return ResultSet(
        frame.assign(
            n=8, split="test", spec_hash=frame["dynamics"], schema=1, experiment="physics", profile="laptop",
            mixer="hml", seed=0, lr=None, spec="{}", device="cpu", dirty=False,
        )
    )  # fmt: skip


def exponents(values: dict[tuple[float, float], float], stderr=0.01, dynamics="leapfrog") -> list[dict]:
    """(η, γ) → λ."""
    shared = {"metric": "lyapunov", "dynamics": dynamics, "stderr": stderr, "head_dim": 16}
    return [{**shared, "eta": eta, "gamma": gamma, "value": value} for (eta, gamma), value in values.items()]


def boundaries(ratios: dict[float, float], width=16) -> list[dict]:
    """γ → η*/(1 − γ)."""
    shared = {"metric": "boundary", "dynamics": "leapfrog", "head_dim": width}
    return [{**shared, "gamma": gamma, "value": ratio * (1 - gamma)} for gamma, ratio in ratios.items()]


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.04, 0.2, CONFIRMED), (0.02, 0.2, UNDECIDED), (0.0, 0.02, REFUTED)]
)
def test_symplectic_is_not_bounded(low, high, verdict):
    # Outside .05 to 2, and with friction, nothing counts.
    rows = exponents({(0.01, 1.0): -1.0, (0.1, 1.0): low, (1.0, 1.0): high, (3.0, 1.0): -1.0, (1.0, 0.5): -1.0})
    found, evidence = decided(RULES["symplectic_is_not_bounded"], results(rows))
    assert found == verdict and f"{low:+.3f} at η = 0.1" in evidence and "η = 3" not in evidence


@pytest.mark.parametrize(("worst", "verdict"), [(1e-12, CONFIRMED), (-1e-5, UNDECIDED), (1e-3, REFUTED)])
def test_oscillator_is_neutral(worst, verdict):
    shared = {"metric": "lyapunov", "dynamics": "oscillator", "stderr": 0.0}
    rows = [
        {**shared, "rho": 1.0, "theta": 0.1, "value": 0.0},
        {**shared, "rho": 1.0, "theta": 1.0, "value": worst},
    ]
    rows.append({**shared, "rho": 0.5, "theta": 1.0, "value": -0.5})
    found, evidence = decided(RULES["oscillator_is_neutral"], results(rows))
    assert found == verdict and f"{abs(worst):.1e}" in evidence


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({0.0: 1.6, 0.9: 1.3}, CONFIRMED),
        ({0.0: 2.0, 0.9: 1.6}, UNDECIDED),
        ({0.0: 2.0, 0.9: 2.2}, REFUTED),
        ({0.0: 1.5, 0.9: float("nan")}, UNDECIDED),
    ],
)
def test_boundary_at_three_halves(ratios, verdict):
    """At the width of the map: wider keys do not count."""
    rows = exponents({(0.1, 1.0): 0.1}) + boundaries(ratios) + boundaries({0.5: 9.0}, width=64)
    found, evidence = decided(RULES["boundary_at_three_halves"], results(rows))
    assert found == verdict and "9.00" not in evidence


@pytest.mark.parametrize(("inside", "verdict"), [(-0.001, CONFIRMED), (0.02, UNDECIDED), (0.04, REFUTED)])
def test_stable_below_three_halves(inside, verdict):
    # Undamped, or beyond 1.5(1 − γ), growth is no objection.
    rows = exponents({(0.1, 1.0): 0.5, (0.5, 0.5): inside, (0.1, 0.5): -0.1, (0.8, 0.5): 0.5})
    found, evidence = decided(RULES["stable_below_three_halves"], results(rows))
    assert found == verdict and "of 2 exponents" in evidence


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [({0.0: 2.0, 0.9: 2.09}, CONFIRMED), ({0.0: 2.0, 0.9: 2.2}, UNDECIDED), ({0.0: 2.0, 0.9: 2.4}, REFUTED)],
)
def test_wide_keys_cross_at_two(ratios, verdict):
    rows = boundaries({0.0: 3.0, 0.9: 3.0}, width=4) + boundaries(ratios, width=64)
    found, evidence = decided(RULES["wide_keys_cross_at_two"], results(rows))
    assert found == verdict and "3.00 (3.00 to 3.00) at N = 4" in evidence and "at N = 64" in evidence


@pytest.mark.parametrize(
    ("error", "tokens", "verdict"),
    [(4e-3, 100_000, CONFIRMED), (6e-3, 100_000, REFUTED), (1e-6, 10_000, UNDECIDED)],
)
def test_a_long_way_back(error, tokens, verdict):
    def row(dynamics, at, value, **gate):
        return {"metric": "reversal_error", "dynamics": dynamics, "tokens": at, "value": value, **gate}

    rows = [row("oscillator", 10, 1e-7, rho=1.0), row("oscillator", tokens, error, rho=1.0)]
    rows += [row("oscillator", tokens, 1.0, rho=0.9), row("leapfrog", 300, 1.0, gamma=1.0)]
    found, evidence = decided(RULES["a_long_way_back"], results(rows))
    assert found == verdict and f"{tokens:,} tokens" in evidence and "leapfrog 1.0e+00 after 300" in evidence


@pytest.mark.parametrize(
    ("free", "leapfrog", "verdict"),
    [
        (1.005, {1.0: 1e9, 0.5: 1e-9}, CONFIRMED),
        (1.005, {1.0: 1e9, 0.5: 0.5}, UNDECIDED),
        (1.5, {1.0: 1e9, 0.5: 1e-9}, UNDECIDED),
        (3.0, {1.0: 1e9, 0.5: 1e-9}, REFUTED),
    ],
)
def test_gradients_stay(free, leapfrog, verdict):
    rows = []
    for dynamics, gate, value, ratio in (
        ("oscillator", "rho", 1.0, free),
        ("oscillator", "rho", 0.9, 1e-3),
        *(("leapfrog", "gamma", gamma, ratio) for gamma, ratio in leapfrog.items()),
    ):
        for lag, size in ((1, 0.1), (64, 5.0), (4092, 0.1 * ratio)):
            rows.append(
                {"metric": "gradient_by_lag", "dynamics": dynamics, gate: value, "lag": lag, "value": size}
            )
    found, evidence = decided(RULES["gradients_stay"], results(rows))
    assert (
        found == verdict and "lag 4,092 over that at lag 1" in evidence and "leapfrog γ = 1 1.0e+09" in evidence
    )
