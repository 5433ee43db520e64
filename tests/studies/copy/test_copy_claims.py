"""The rule of copy, driven to each verdict."""

import pytest
from made_up_claims import decided, one_run_a_mixer

from hmlcore.results import ResultSet
from hmlcore.studies.copy.claims import load_not_lag
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED


def copying(hml: float, gru: float, near: float = 1.0) -> ResultSet:
    """Exact accuracy `near` at delay 32 and near·share at delay 512, for the trained payload."""
    rows = []
    for mixer, share in {"hml": hml, "gru": gru, "attention": 0.0}.items():
        for delay, value in ((32, near), (512, near * share)):
            rows.append({"metric": "exact", "mixer": mixer, "payload": 8, "delay": delay, "value": value})
    # An untrained payload, which the rule must leave out.
    rows.append({"metric": "exact", "mixer": "hml", "payload": 16, "delay": 512, "value": 0.0})
    return one_run_a_mixer("copy", [{"payload": 8, "delay": 0}, {"payload": 8, "delay": 32}], rows)


@pytest.mark.parametrize(
    ("hml", "gru", "near", "verdict"),
    [
        (0.95, 0.1, 1.0, CONFIRMED),
        (0.90, 0.99, 1.0, CONFIRMED),
        (0.82, 0.1, 1.0, UNDECIDED),
        (0.30, 0.4, 1.0, REFUTED),
        (0.95, 0.1, 0.4, UNDECIDED),
    ],
)
def test_load_not_lag(hml, gru, near, verdict):
    found, evidence = decided(load_not_lag, copying(hml, gru, near))
    assert found == verdict
    assert f"hml {hml:.0%}" in evidence and "512" in evidence
