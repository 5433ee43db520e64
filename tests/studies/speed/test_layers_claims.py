"""The rule of the layers' speed, driven to each verdict."""

import pytest
from made_up_claims import decided, one_run_a_mixer

from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.speed.claims import overtakes_attention


@pytest.mark.parametrize(
    ("ratios", "spread", "verdict"),
    [
        ({512: 3.0, 1024: 0.7}, 0.1, CONFIRMED),
        ({512: 0.5, 1024: 1.3}, 0.1, REFUTED),
        ({512: 3.0, 1024: 0.9}, 0.1, UNDECIDED),
    ],
)
def test_overtakes_attention(ratios, spread, verdict):
    """Attention takes 2 s at every length and was not timed at 2048, which the rule must leave out."""
    rows = [{"mixer": "hml", "length": 2048, "value": 9.0}]
    for length, ratio in ratios.items():
        rows += [
            {"mixer": m, "length": length, "value": v} for m, v in (("hml", 2 * ratio), ("attention", 2.0))
        ]
    rows = [{"metric": "seconds_train", "spread": spread} | row for row in rows]
    found, evidence = decided(overtakes_attention, one_run_a_mixer("speed", [], rows))
    assert found == verdict
    assert f"{ratios[1024]:.2f} at 1,024" in evidence and "2,048" not in evidence
